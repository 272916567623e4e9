"""`edgetl cache`: what the cache of features holds, and how to be rid of it."""

from typing import Annotated, Any

import typer

from edgetl.cli.flags import Debug, Json, finish, show


def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Delete everything that is not in use.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show what the cache of features holds; EDGETL_CACHE names its folder, EDGETL_CACHE_GB its cap."""

    def command() -> int:
        from edgetl.eviction import cap_bytes, evict, list_stores
        from edgetl_runtime.remembered import cache_folder

        above, cap = cache_folder() / "activations", cap_bytes()
        deleted = sum(one.bytes for one in list_stores(above) if clear and evict(one.folder))
        stores = [_facts(one) for one in list_stores(above)]
        facts = {"folder": str(above), "cap_bytes": cap, "deleted_bytes": deleted, "stores": stores}
        show(facts if as_json else _render(facts))
        return 0

    finish(command, debug)


def _facts(one: Any) -> dict[str, Any]:  # edgetl.eviction.StoreInfo, which is loaded on use
    view = one.facts.get("view")
    return {
        "name": one.folder.name,
        "backbone": one.facts.get("backbone", "?"),
        "after": one.facts.get("after", "?"),
        "view": view.get("name", "?") if isinstance(view, dict) else "?",
        "precision": one.facts.get("precision", "?"),
        "bytes": one.bytes,
        "used_s": round(one.used),
        "in_use": one.in_use,
    }


def _render(facts: dict[str, Any]) -> str:
    import time

    from edgetl.tables import table

    stores = facts["stores"]
    total = sum(one["bytes"] for one in stores)
    lines = [f"{facts['folder']}: {total / 1e9:.2f} GB of {facts['cap_bytes'] / 1e9:g} GB at most"]
    if facts["deleted_bytes"]:
        lines.append(f"{facts['deleted_bytes'] / 1e9:.2f} GB deleted")
    rows = [
        (
            one["backbone"],
            f"stage {one['after']}" if isinstance(one["after"], int) else one["after"],
            one["view"],
            one["precision"],
            f"{one['bytes'] / 1e6:.1f}",
            "now" if one["in_use"] else f"{max(0.0, time.time() - one['used_s']) / 86_400:.1f}",
        )
        for one in reversed(stores)
    ]
    if rows:
        lines.append(table(("backbone", "after", "view", "precision", "MB", "days unused"), rows).rstrip())
    return "\n".join(lines)
