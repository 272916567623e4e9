"""A bundle's bill of materials in CycloneDX 1.6: the weights, the pictures, the tools, with their licences.

No serial number and no date, both of which the specification leaves optional: equal bundles have equal bytes.
"""

import json
from importlib.metadata import PackageNotFoundError, metadata
from typing import Any

from edgetl_exporters.model import Provenance
from edgetl_runtime import __version__

_UNKNOWN = "not stated"


def sbom(name: str, provenance: Provenance) -> bytes:
    """Return the JSON; `name` is the model's. What the provenance does not say is called unknown."""
    trained = provenance.get("versions", {})
    made = provenance.get("export", {}).get("versions", {})
    tools = {
        tool: version for tool, version in (dict(trained) | dict(made)).items() if tool != "edgetl-runtime"
    }
    components = [
        _component(
            "machine-learning-model", str(provenance.get("backbone", "network")), provenance.get("licence")
        ),
        _data(provenance.get("dataset", {})),
        *(_tool(tool, version) for tool, version in sorted(tools.items())),
    ]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "edgetl", "version": __version__}]},
            "component": {"type": "machine-learning-model", "name": name, "bom-ref": "model"},
        },
        "components": components,
        "dependencies": [{"ref": "model", "dependsOn": [one["bom-ref"] for one in components]}],
    }
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _component(kind: str, name: str, licence: str | None) -> dict[str, Any]:
    described = {"type": kind, "name": name, "bom-ref": f"{kind}:{name}"}
    return described | {"licenses": [{"license": {"name": licence or _UNKNOWN}}]}


def _data(dataset: dict[str, Any]) -> dict[str, Any]:
    """Describe the pictures by their fingerprint alone: their licence is their owner's to state."""
    return _component("data", f"pictures {dataset.get('fingerprint', _UNKNOWN)}", dataset.get("licence"))


def _tool(name: str, version: str) -> dict[str, Any]:
    try:
        stated = metadata(name).json
        licence = stated.get("license_expression") or stated.get("license") or _UNKNOWN
    except PackageNotFoundError:
        licence = _UNKNOWN
    package = f"pkg:pypi/{name}@{version.partition('+')[0]}"
    return _component("library", name, str(licence).splitlines()[0]) | {
        "version": version,
        "purl": package,
        "bom-ref": package,
    }
