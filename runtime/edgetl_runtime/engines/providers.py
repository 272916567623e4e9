"""The devices of ONNX Runtime: its execution providers by short names, built in or brought by a package.

Knows how a provider is found and named; `ort` opens sessions on it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module, util
from typing import Any

import onnxruntime

from edgetl_runtime.errors import EngineError

_SUFFIX = "ExecutionProvider"
_REMOTE = "azure"  # sends pictures to a service, which is no device


@dataclass(frozen=True, slots=True)
class Plugin:
    """A provider that a package of its own brings: its name, the module, how to get it, what it is told."""

    provider: str
    module: str
    install: str
    options: Mapping[str, str] = field(default_factory=dict)


PLUGINS: Mapping[str, Plugin] = {
    "qnn": Plugin("QNNExecutionProvider", "onnxruntime_qnn", "pip install onnxruntime-qnn"),
    "openvino": Plugin(
        "OpenVINOExecutionProvider", "onnxruntime_ep_openvino", "pip install onnxruntime-ep-openvino"
    ),
}


def built_in() -> dict[str, str]:
    """Return the providers of the installed ONNX Runtime: "cpu" → "CPUExecutionProvider"."""
    names = {name.removesuffix(_SUFFIX).lower(): name for name in onnxruntime.get_available_providers()}
    names.pop(_REMOTE, None)
    return names


def installed() -> dict[str, str]:
    """Return by short name every provider that could be asked for here."""
    brought = {name: one.provider for name, one in PLUGINS.items() if _is_installed(one.module)}
    return brought | built_in()


def add_provider(options: Any, device: str) -> tuple[str, list[str] | None]:
    """Prepare session options for a device.

    Returns:
        The provider's full name; and the list for `providers`, or None where the options hold it already.

    Raises:
        EngineError: there is no such provider here, or it finds no device.
    """
    name = device.lower()
    if name in built_in():
        return built_in()[name], [built_in()[name]]
    plugin = PLUGINS.get(name)
    if plugin is None or not _is_installed(plugin.module):
        here = ", ".join(map(repr, sorted(installed())))
        remedy = f" Run: {plugin.install}" if plugin else ""
        raise EngineError(f"Engine 'onnxruntime' has no device {device!r} here; it has {here}.{remedy}")
    devices = _devices(plugin)
    if not devices:
        raise EngineError(
            f"Engine 'onnxruntime' has the provider {plugin.provider!r}, which finds no device here. "
            "Check the device's driver, or name another device."
        )
    options.add_provider_for_devices(devices, dict(plugin.options))
    return plugin.provider, None


def _devices(plugin: Plugin) -> list[Any]:  # onnxruntime.OrtEpDevice has no types
    found = [one for one in onnxruntime.get_ep_devices() if one.ep_name == plugin.provider]
    if found:
        return found
    try:
        library = import_module(plugin.module).get_library_path()
        onnxruntime.register_execution_provider_library(plugin.provider, library)
    except Exception as error:  # onnxruntime's errors have no common class but Exception.
        message = f"The provider {plugin.provider!r} does not load: {' '.join(str(error).split())}."
        raise EngineError(f"{message} Reinstall it: {plugin.install}") from error
    return [one for one in onnxruntime.get_ep_devices() if one.ep_name == plugin.provider]


def _is_installed(module: str) -> bool:
    try:
        return util.find_spec(module) is not None
    except ValueError:  # How find_spec says that the module is blocked or half-made.
        return False
