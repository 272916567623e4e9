"""What lies around this process and decides how engines do here: limits, device nodes, distributions.

It reads files and names, imports no engine and judges nothing. What the system hides counts as not there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from importlib import metadata, util
from importlib.machinery import ModuleSpec
from pathlib import Path

from edgetl_runtime.known_bad import Accel


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return how many cores a container's limit pays for; None without a limit.

    Asked are the groups that this process is in, and all above them: the least limit counts.
    """
    found = [
        _quota_2(folder) if version == 2 else _quota_1(folder) for version, folder in _groups(root, "cpu")
    ]
    return min((quota for quota in found if quota is not None), default=None)


def free_memory(root: Path = Path("/")) -> int | None:
    """Return how many bytes this process can still have; None where the system does not tell.

    That is what the kernel could free, its page cache included, or what the limits of a container leave.
    """
    available = re.search(r"^MemAvailable: +(\d+) kB$", _text(root / "proc/meminfo"), re.MULTILINE)
    found = [_left(folder, version) for version, folder in _groups(root, "memory")]
    found.append(1024 * int(available[1]) if available else None)
    return min((left for left in found if left is not None), default=None)


def accelerators(nodes: Path = Path("/dev/accel")) -> Accel:
    """Return whether there are nodes of accelerators, and whether this user may open one."""
    found = sorted(nodes.glob("accel*"))
    if not found:
        return "none"
    return "open" if any(os.access(node, os.R_OK | os.W_OK) for node in found) else "closed"


def installed_of(distributions: Iterable[str]) -> dict[str, str]:
    """Return the version of each of these distributions that is installed."""
    versions = {}
    for name in distributions:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def has_npu_compiler() -> bool:
    """Say whether the installed OpenVINO package has the compiler for NPUs, without loading it."""
    spec = find("openvino")
    folders = spec.submodule_search_locations if spec is not None else None
    return any(any(Path(folder).glob("libs/*openvino_intel_npu_compiler*")) for folder in folders or ())


def find(module: str) -> ModuleSpec | None:
    """Return where a module is, without loading it; None where it is not."""
    try:
        return util.find_spec(module)
    except (ImportError, ValueError):  # Its package is not there, or it is blocked or half-made.
        return None


def _groups(root: Path, controller: str) -> list[tuple[int, Path]]:
    """Return the folders of the groups that this process is in, and of all above, each with its version."""
    found = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if number == "0" and not controllers:
            found += [(2, folder) for folder in _up(root / "sys/fs/cgroup", group)]
        elif controller in controllers.split(","):
            found += [(1, folder) for folder in _up(root / "sys/fs/cgroup" / controllers, group)]
            found += [(1, folder) for folder in _up(root / "sys/fs/cgroup" / controller, group)]
    return found


def _up(top: Path, group: str) -> list[Path]:
    """Return the folder of a group and of all above it; inside a container only the top one is there."""
    parts = [part for part in group.split("/") if part not in ("", "..")]
    return [top.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]


def _quota_2(folder: Path) -> float | None:
    limit, _, period = _text(folder / "cpu.max").strip().partition(" ")
    return _cores(limit, period)


def _quota_1(folder: Path) -> float | None:
    return _cores(_text(folder / "cpu.cfs_quota_us").strip(), _text(folder / "cpu.cfs_period_us").strip())


def _cores(limit: str, period: str) -> float | None:
    """Return limit / period; "max" and -1 say that there is none."""
    if not (limit.isdigit() and period.isdigit() and int(period)):
        return None
    return int(limit) / int(period)


def _left(folder: Path, version: int) -> int | None:
    """Return what a group's limit leaves: files that it has read and no longer uses do not count."""
    names = ("memory.max", "memory.current", "inactive_file")
    if version == 1:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    limit, used = (_text(folder / name).strip() for name in names[:2])
    cache = re.search(rf"^{names[2]} (\d+)$", _text(folder / "memory.stat"), re.MULTILINE)
    if not (limit.isdigit() and used.isdigit()):
        return None
    return max(0, int(limit) - int(used) + (int(cache[1]) if cache else 0))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux, or not for us to read
        return ""
