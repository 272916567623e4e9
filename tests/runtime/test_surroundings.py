"""Limits of containers, device nodes and distributions, read from folders that stand for a system."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from edgetl_runtime import surroundings
from edgetl_runtime.surroundings import (
    accelerators,
    cpu_quota,
    find,
    free_memory,
    has_npu_compiler,
    installed_of,
)


def system(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        (  # The least limit on the way up counts.
            {
                "proc/self/cgroup": "0::/pods/mine\n",
                "sys/fs/cgroup/pods/cpu.max": "50000 100000\n",
                "sys/fs/cgroup/pods/mine/cpu.max": "200000 100000\n",
            },
            0.5,
        ),
        (  # A container names a group of the host that it does not see.
            {"proc/self/cgroup": "0::/../../mine\n", "sys/fs/cgroup/cpu.max": "300000 100000\n"},
            3.0,
        ),
        (
            {
                "proc/self/cgroup": "3:memory:/a\n2:cpu,cpuacct:/a\n",
                "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "250000\n",
                "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
            },
            2.5,
        ),
        (
            {
                "proc/self/cgroup": "2:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "100000 0\n"}, None),
        ({"proc/self/cgroup": "nonsense\n", "sys/fs/cgroup/cpu.max": "100000 100000\n"}, None),
    ],
)
def test_the_quota_of_a_container_is_the_least_above_this_process(
    tmp_path: Path, files: dict[str, str], quota: float | None
) -> None:
    assert cpu_quota(system(tmp_path, files)) == quota


def test_the_quota_of_this_process_is_none_or_a_number_of_cores() -> None:
    quota = cpu_quota()
    assert quota is None or quota > 0


GIB = 1 << 30
# A machine that keeps 20 GiB of pictures in its page cache has little that is free and much to give.
MEMINFO = {
    "proc/meminfo": f"MemTotal: {32 * GIB >> 10} kB\nMemFree: 1024 kB\nMemAvailable:   {24 * GIB >> 10} kB\n"
}


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, None),
        (MEMINFO, 24 * GIB),
        ({"proc/meminfo": "MemTotal: 1024 kB\n"}, None),  # Linux before 3.14.
        (
            MEMINFO
            | {
                "proc/self/cgroup": "0::/pods/mine\n",
                "sys/fs/cgroup/pods/memory.max": f"{4 * GIB}\n",
                "sys/fs/cgroup/pods/memory.current": f"{3 * GIB}\n",
                "sys/fs/cgroup/pods/memory.stat": f"anon 5\ninactive_file {2 * GIB}\n",
                "sys/fs/cgroup/pods/mine/memory.max": "max\n",
                "sys/fs/cgroup/pods/mine/memory.current": f"{GIB}\n",
            },
            3 * GIB,
        ),
        (
            MEMINFO
            | {
                "proc/self/cgroup": "4:memory:/a\n2:cpu,cpuacct:/a\n",
                "sys/fs/cgroup/memory/a/memory.limit_in_bytes": f"{2 * GIB}\n",
                "sys/fs/cgroup/memory/a/memory.usage_in_bytes": f"{2 * GIB}\n",
                "sys/fs/cgroup/memory/a/memory.stat": f"inactive_file 7\ntotal_inactive_file {GIB}\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",  # No limit.
                "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{9 * GIB}\n",
            },
            GIB,
        ),
        (  # More than the limit, until the kernel ends a process.
            MEMINFO
            | {
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/memory.max": f"{GIB}\n",
                "sys/fs/cgroup/memory.current": f"{2 * GIB}\n",
            },
            0,
        ),
        (MEMINFO | {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "nonsense\n"}, 24 * GIB),
    ],
)
def test_free_memory_is_what_the_kernel_can_free_within_the_limits_of_a_container(
    tmp_path: Path, files: dict[str, str], free: int | None
) -> None:
    assert free_memory(system(tmp_path, files)) == free


def test_accelerators_are_open_where_one_of_their_nodes_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert accelerators(tmp_path / "accel") == "none"
    nodes = system(tmp_path / "accel", {"accel0": "", "accel1": ""})
    assert accelerators(nodes) == "open"
    monkeypatch.setattr(surroundings.os, "access", lambda node, mode: node.name == "accel1")
    assert accelerators(nodes) == "open"
    monkeypatch.setattr(surroundings.os, "access", lambda node, mode: False)
    assert accelerators(nodes) == "closed"


def test_distributions_are_told_with_their_versions() -> None:
    assert set(installed_of(["numpy", "edgetl-no-such-library"])) == {"numpy"}


def test_the_compiler_for_npus_is_looked_for_without_loading_openvino(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = system(tmp_path / "openvino", {"__init__.py": "raise SystemExit('loaded')"})
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "openvino", raising=False)
    assert not has_npu_compiler()
    system(package, {"libs/libopenvino_intel_npu_compiler_loader.so": ""})
    assert has_npu_compiler()


def test_a_module_that_is_not_there_or_half_made_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find("json") is not None
    assert find("edgetl_no_such_module") is None
    assert find("edgetl_no_such_module.inner") is None
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert find("openvino") is None
    monkeypatch.setitem(sys.modules, "openvino", ModuleType("openvino"))
    assert find("openvino") is None
    assert not has_npu_compiler()
