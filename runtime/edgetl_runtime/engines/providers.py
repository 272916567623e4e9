"""The devices of ONNX Runtime: its execution providers by short names, built in or brought by a package.

Knows how a provider is found, named and told what it must know; `ort` opens sessions on it.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import import_module, metadata, util
from types import ModuleType
from typing import Any

import onnxruntime

from edgetl_runtime.engines import qnn
from edgetl_runtime.errors import EngineError
from edgetl_runtime.simulated import as_simulated

_SUFFIX = "ExecutionProvider"
_REMOTE = "azure"  # sends pictures to a service, which is no device


def _nothing(package: ModuleType) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Plugin:
    """A provider that a package of its own brings.

    install: how to get it. options: what the provider is told, given its package. simulator: whether it can
    only simulate its device on this machine. quiet: around whatever makes its library print. contexts:
    whether it can keep what it compiled.
    """

    provider: str
    module: str
    distribution: str
    install: str
    options: Callable[[ModuleType], Mapping[str, str]] = _nothing
    simulator: Callable[[], bool] = lambda: False
    quiet: Callable[[], AbstractContextManager[None]] = nullcontext
    contexts: bool = False


PLUGINS: Mapping[str, Plugin] = {
    "qnn": Plugin(
        "QNNExecutionProvider",
        "onnxruntime_qnn",
        "onnxruntime-qnn",
        "pip install onnxruntime-qnn",
        options=qnn.options,
        simulator=qnn.is_simulator,
        quiet=qnn.quiet,
        contexts=True,
    ),
    "openvino": Plugin(
        "OpenVINOExecutionProvider",
        "onnxruntime_ep_openvino",
        "onnxruntime-ep-openvino",
        "pip install onnxruntime-ep-openvino",
    ),
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a session will run: the provider, as session options or the list for `providers` name it.

    device: its short name, which says so where it is simulated. facts: provider, version and settings.
    """

    device: str
    provider: str
    facts: str
    providers: list[str] | None = None
    quiet: Callable[[], AbstractContextManager[None]] = nullcontext
    contexts: bool = False


def built_in() -> dict[str, str]:
    """Return the providers of the installed ONNX Runtime: "cpu" → "CPUExecutionProvider".

    Those that a package brought are among them as soon as they are registered.
    """
    names = {name.removesuffix(_SUFFIX).lower(): name for name in onnxruntime.get_available_providers()}
    names.pop(_REMOTE, None)
    return names


def installed() -> dict[str, str]:
    """Return by short name every provider that could be asked for here; a simulator says so."""
    brought = {name: _named(one, one.provider) for name, one in PLUGINS.items() if _is_installed(one.module)}
    return built_in() | brought


def add_provider(options: Any, device: str) -> Place:
    """Prepare session options for a device.

    Raises:
        EngineError: there is no such provider here, or it finds no device.
    """
    name = device.lower()
    plugin = PLUGINS.get(name)
    brought = plugin is not None and _is_installed(plugin.module)
    if not brought and name in built_in():
        provider = built_in()[name]
        return Place(name, provider, provider, [provider])
    if plugin is None or not brought:
        here = ", ".join(map(repr, sorted(installed())))
        remedy = f" Run: {plugin.install}" if plugin else ""
        raise EngineError(f"Engine 'onnxruntime' has no device {device!r} here; it has {here}.{remedy}")
    devices = _devices(plugin)
    if not devices:
        raise EngineError(
            f"Engine 'onnxruntime' has the provider {plugin.provider!r}, which finds no device here. "
            "Check the device's driver, or name another device."
        )
    told = dict(plugin.options(import_module(plugin.module)))
    options.add_provider_for_devices(devices, told)
    facts = f"{plugin.provider} {_version(plugin.distribution)} {told}"
    return Place(_named(plugin, name), plugin.provider, facts, None, plugin.quiet, plugin.contexts)


def _named(plugin: Plugin, name: str) -> str:
    return as_simulated(name) if plugin.simulator() else name


def _devices(plugin: Plugin) -> list[Any]:  # onnxruntime.OrtEpDevice has no types
    found = [one for one in onnxruntime.get_ep_devices() if one.ep_name == plugin.provider]
    if found:
        return found
    try:
        # The name given here becomes the provider's, by which its devices are found.
        library = import_module(plugin.module).get_library_path()
        onnxruntime.register_execution_provider_library(plugin.provider, library)
    except Exception as error:  # onnxruntime's errors have no common class but Exception.
        message = f"The provider {plugin.provider!r} does not load: {' '.join(str(error).split())}."
        raise EngineError(f"{message} Reinstall it: {plugin.install}") from error
    return [one for one in onnxruntime.get_ep_devices() if one.ep_name == plugin.provider]


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:  # The module lies on the path, as in a build of one's own.
        return "of unknown version"


def _is_installed(module: str) -> bool:
    try:
        return util.find_spec(module) is not None
    except ValueError:  # How find_spec says that the module is blocked or half-made.
        return False
