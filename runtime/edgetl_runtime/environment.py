"""What a measurement ran on: processor, instruction sets, system and versions.

It reads and names, and judges nothing. No library is imported to learn its version, no engine is started.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

__all__ = [
    "DISTRIBUTIONS",
    "FLAGS",
    "Environment",
    "machine_differences",
    "parse_cpuinfo",
    "read_cores",
    "read_environment",
    "version_differences",
]

# Only the instruction sets that change which kernels an engine picks, under their names in Linux.
FLAGS = (
    *("sse4_1", "avx", "avx2", "fma", "f16c", "avx_vnni", "avx_vnni_int8"),
    *("avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_int8", "amx_bf16", "amx_fp16"),
    *("neon", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme", "sme2"),
)
DISTRIBUTIONS = (
    *("numpy", "pillow", "simplejpeg"),
    *("onnxruntime", "onnxruntime-qnn", "onnxruntime-ep-openvino", "openvino"),
)


@dataclass(frozen=True, slots=True)
class Environment:
    """The machine and software behind a measurement.

    flags: those of `FLAGS` that the processor has; empty where the system does not tell (only Linux does).
    cores: how many this process may use.
    versions: of edgetl-runtime and of each of `DISTRIBUTIONS` that is installed.
    notes: what a reader of the measurement should know of the device, such as that it was never tried before.
    """

    cpu: str
    flags: tuple[str, ...]
    cores: int
    os: str
    machine: str
    python: str
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_environment(cpuinfo: Path = Path("/proc/cpuinfo")) -> Environment:
    """Describe the machine and the software of this process."""
    cpu, flags = parse_cpuinfo(_text(cpuinfo))
    return Environment(
        cpu=cpu or platform.processor() or "unknown",
        flags=flags,
        cores=read_cores(),
        os=_system(),
        machine=platform.machine(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        versions=dict(_versions(DISTRIBUTIONS)),
    )


def machine_differences(one: Environment, other: Environment, names: Sequence[str]) -> list[str]:
    """Say in which of what decides about answers the machines of two measurements differ.

    Args:
        names: what the two are called.
    """
    found = [
        f"{what} {getattr(one, field)!r} and {getattr(other, field)!r}"
        for what, field in (("the processor", "cpu"), ("the architecture", "machine"))
        if getattr(one, field) != getattr(other, field)
    ]
    for name, some, rest in ((names[0], one, other), (names[1], other, one)):
        alone = [flag for flag in some.flags if flag not in rest.flags]
        found += [f"instruction sets only of {name}: {', '.join(alone)}"] if alone else []
    return found


def version_differences(one: Environment, other: Environment) -> list[str]:
    """Say which software has other versions in two measurements."""
    names = sorted({*one.versions, *other.versions})
    both = ((name, *(side.versions.get(name, "none") for side in (one, other))) for name in names)
    return [f"{name} {before} and {after}" for name, before, after in both if before != after]


def parse_cpuinfo(text: str) -> tuple[str, tuple[str, ...]]:
    """Return the processor's name and its known flags from the text of /proc/cpuinfo, x86 or ARM.

    ARM gives numbers instead of a name (implementer 0x41, part 0xd0b is a Cortex-A76), and some systems name
    the board in a last line "Model".
    """
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            fields.setdefault(key.strip(), value.strip())
    name = fields.get("model name", "")
    if not name and "CPU part" in fields:
        name = f"implementer {fields.get('CPU implementer', '?')}, part {fields['CPU part']}"
    name = ", ".join(filter(None, (fields.get("Model"), name)))
    present = (fields.get("flags") or fields.get("Features") or "").split()
    return name, tuple(flag for flag in FLAGS if flag in present)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux, or a sandbox that hides it
        return ""


def read_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # a container or taskset may leave this process fewer
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _system() -> str:
    """Name the system as `platform.platform` does, without the process that it starts on Linux."""
    if platform.system() != "Linux":
        return platform.platform()
    told, libc = os.uname(), "".join(platform.libc_ver())
    return "-".join(filter(None, (told.sysname, told.release, told.machine, libc and f"with-{libc}")))


@cache
def _versions(names: tuple[str, ...]) -> Mapping[str, str]:
    """Read the versions of this process: what is installed while it runs is not what it has loaded."""
    from importlib import metadata

    from edgetl_runtime import __version__

    versions = {"edgetl-runtime": __version__}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
