"""Where everything comes from: bundle, data, recipe, machines, versions, licences, and whether they agree."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from edgetl.report.facts import Facts, Missing
from edgetl.report.sources import Measured, Sources

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Check:
    """A statement about the sources, and whether it holds."""

    holds: bool
    text: str


@dataclass(frozen=True, slots=True)
class Context:
    """Facts by name, checks, and the versions of each source. recipe: name and value as JSON."""

    facts: tuple[tuple[str, str], ...]
    checks: tuple[Check, ...]
    recipe: tuple[tuple[str, str], ...]
    sources: tuple[str, ...]
    versions: tuple[tuple[str, tuple[str, ...]], ...]
    machines: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]


def context(facts: Facts) -> Context | Missing:
    """Say what was measured where, and which sources do not belong together."""
    sources = facts.sources
    versions = _versions(sources)
    names = dict.fromkeys(name for found in versions.values() for name in found)
    return Context(
        facts=tuple(_facts(sources)),
        checks=tuple(_checks(sources)),
        recipe=tuple((name, _json(value)) for name, value in _recipe(sources).items()),
        sources=tuple(versions),
        versions=tuple((name, tuple(found.get(name, "") for found in versions.values())) for name in names),
        machines=_machines(sources),
    )


def _facts(sources: Sources) -> list[tuple[str, str]]:
    manifest, run = sources.manifest, sources.run
    lines: list[tuple[str, str]] = []
    if manifest:
        lines += [("Bundle", manifest.name), ("Bundle id", manifest.hash)]
    elif sources.receipts:
        lines += [("Bundle id", one) for one in {each.receipt.bundle.id: 0 for each in sources.receipts}]
    lines += [("Data set's fingerprint", one) for one in dict.fromkeys(_fingerprints(sources).values())]
    provenance: Mapping[str, Any] = manifest.provenance if manifest else {}
    backbone = run.backbone if run else provenance.get("backbone")
    licence = run.licence if run else provenance.get("licence")
    if backbone is not None:
        lines.append(("Backbone", str(backbone)))
    if licence is not None:
        lines.append(("Licence of the pretrained weights", str(licence)))
    return lines


def _fingerprints(sources: Sources) -> dict[str, str]:
    """Return the fingerprint of the data that each source names."""
    found: dict[str, object] = {}
    if sources.run:
        found["the run"] = sources.run.dataset.get("fingerprint")
    dataset = sources.manifest.provenance.get("dataset") if sources.manifest else None
    if isinstance(dataset, dict):
        found["the bundle"] = dataset.get("fingerprint")
    found |= {one.name: one.receipt.dataset.fingerprint for one in sources.receipts}
    return {name: value for name, value in found.items() if isinstance(value, str)}


def _checks(sources: Sources) -> list[Check]:
    checks = []
    if sources.manifest and sources.receipts:
        others = [one.name for one in sources.receipts if one.receipt.bundle.id != sources.manifest.hash]
        text = "Every receipt measured this bundle."
        checks.append(Check(not others, f"Of another bundle: {', '.join(others)}." if others else text))
    fingerprints = _fingerprints(sources)
    if len(fingerprints) > 1:
        same = len(set(fingerprints.values())) == 1
        text = "All sources name the same data set."
        if not same:
            first = next(iter(fingerprints.values()))
            odd = [name for name, value in fingerprints.items() if value != first]
            text = f"The data set of {', '.join(odd)} is not that of {next(iter(fingerprints))}."
        checks.append(Check(same, text))
    if len(sources.receipts) > 1:
        machines = {one.receipt.environment.cpu for one in sources.receipts}
        same = len(machines) == 1
        text = "All receipts come from one kind of machine." if same else "The receipts come from different"
        checks.append(Check(same, text if same else f"{text} machines: {', '.join(sorted(machines))}."))
    return checks


def _recipe(sources: Sources) -> Mapping[str, Any]:
    if sources.run:
        return sources.run.recipe
    recipe = sources.manifest.provenance.get("recipe") if sources.manifest else None
    return recipe if isinstance(recipe, dict) else {}


def _versions(sources: Sources) -> dict[str, Mapping[str, str]]:
    """Return versions by source."""
    found: dict[str, Mapping[str, str]] = {}
    trained = sources.run.environment.get("versions") if sources.run else None
    exported = sources.manifest.provenance.get("versions") if sources.manifest else None
    for name, versions in (("run", trained), ("bundle", exported)):
        if isinstance(versions, dict):
            found[name] = {key: str(value) for key, value in versions.items()}
    measured = _shared(sources, [dict(one.receipt.environment.versions) for one in sources.receipts])
    return found | dict(measured)


def _machines(sources: Sources) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    return _shared(sources, [_machine(one) for one in sources.receipts])


def _shared(sources: Sources, values: Sequence[Value]) -> tuple[tuple[str, Value], ...]:
    """Return each different value once, under the names of the receipts that have it."""
    found: list[tuple[list[str], Value]] = []
    for one, value in zip(sources.receipts, values, strict=True):
        names = next((names for names, known in found if known == value), None)
        if names is None:
            found.append(([one.name], value))
        else:
            names.append(one.name)
    everyone = len(found) == 1 and len(values) > 1
    return tuple(("all receipts" if everyone else ", ".join(names), value) for names, value in found)


def _machine(measured: Measured) -> tuple[tuple[str, str], ...]:
    environment = measured.receipt.environment
    return (
        ("device", measured.receipt.device),
        ("processor", f"{environment.cpu}, {environment.cores} cores, {environment.machine}"),
        ("instructions", " ".join(environment.flags) or "not told"),
        ("system", environment.os),
        ("python", environment.python),
    )


def _json(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
