"""What whoever opens a variant, or reads what was measured on a device, should know. Refuses nothing.

The proof refuses what is wrong; here is what a few reference cases may not show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgetl_runtime.simulated import as_simulated

if TYPE_CHECKING:
    from edgetl_runtime.environment import Environment
    from edgetl_runtime.manifest import Manifest, Variant

__all__ = ["Caution", "of_device", "of_processor"]

# Devices that edgetl has not been run on yet.
_UNTRIED = {
    "npu": "not yet run on hardware: no Intel NPU was there when edgetl was tested; check against the CPU",
    "qnn": "not yet run on hardware: no Hexagon was there when edgetl was tested, only its simulator",
    as_simulated("qnn"): "simulated by Qualcomm's library for x86, not yet run on hardware",
}
_X86 = ("x86_64", "amd64")
_EXACT = frozenset({"avx_vnni", "avx512_vnni", "amx_int8"})


class Caution(UserWarning):
    """A variant may be less accurate here than where it was measured."""


def of_device(device: str) -> tuple[str, ...]:
    """Return what a reader of measurements on this device, as an engine reports it, should know."""
    kinds = {one.partition(".")[0] for one in device.lower().split(",")}
    return tuple(note for kind, note in _UNTRIED.items() if kind in kinds)


def of_processor(
    manifest: Manifest, variant: Variant, device: str, environment: Environment
) -> tuple[str, ...]:
    """Return why int8 may lose accuracy on this processor: sums of 8-bit products that saturate.

    x86 without VNNI adds pairs of products in 16 bits. Where the flags are not known, nothing is said.
    """
    export = manifest.provenance.get("export")
    made_for = export.get("weights_for") if isinstance(export, dict) else None
    flags = set(environment.flags)
    if (
        (made_for, variant.precision, device) != ("vnni", "int8", "cpu")
        or environment.machine.lower() not in _X86
        or not flags
        or flags & _EXACT
    ):
        return ()
    caution = (
        f"variant {variant.name!r} has 8-bit weights for processors with VNNI, which this one lacks: sums "
        "may saturate and cost accuracy. Measure it here with validate, or export with --cpu any"
    )
    return (caution,)
