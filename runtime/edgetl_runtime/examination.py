"""What `doctor` finds: processor, engines and devices, extras, known bad combinations, a bundle's prospects.

It asks and collects; `surroundings` reads the system, `known_bad` judges combinations, `choosing` measures.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgetl_runtime.bundle import Bundle
from edgetl_runtime.cautions import of_device
from edgetl_runtime.engines import ENGINES, load_engine
from edgetl_runtime.environment import Environment, read_environment
from edgetl_runtime.errors import EngineError, ProofError
from edgetl_runtime.known_bad import DISTRIBUTIONS, RUNTIMES, Facts, KnownBad, known_bad
from edgetl_runtime.opening import AUTO, Skipped
from edgetl_runtime.remembered import cache_folder
from edgetl_runtime.session import Session
from edgetl_runtime.signature import read_keys
from edgetl_runtime.surroundings import accelerators, cpu_quota, find, has_npu_compiler, installed_of

if TYPE_CHECKING:
    from edgetl_runtime.choosing import Choice
    from edgetl_runtime.commands import Where
    from edgetl_runtime.manifest import Manifest

State = Literal["ok", "warning", "missing", "optional"]

_REQUIRED = "onnxruntime"
_DOT_PRODUCTS = frozenset({"avx512_vnni", "avx_vnni", "avx_vnni_int8", "amx_int8", "asimddp", "i8mm"})
# Modules that are not needed, what they are for, and the extra that brings them.
_EXTRAS = {
    "simplejpeg": ("JPEG decoded faster", "fast"),
    "cryptography": ("signatures of bundles", "sign"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: its state, what was found, and what to do where it is not ok.

    state: "missing" is needed, "optional" is not there and need not be.
    """

    name: str
    state: State
    found: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class EngineHere:
    """An engine on this machine.

    version: None where it is not installed. devices: by name, with model and driver. error: why it cannot be
    used.
    """

    name: str
    version: str | None
    devices: Mapping[str, str]
    error: str = ""

    @property
    def without(self) -> State:
        """What it is not to have it: the runtime depends on one engine, the others are extras."""
        return "missing" if self.name == _REQUIRED else "optional"


@dataclass(frozen=True, slots=True)
class Opening:
    """What opening a bundle gives here.

    variant_asked, device_asked, hint: what was asked for. variant, device: what answers; None where nothing
    can. choice: how device="auto" decided. skipped: what was preferred and could not be used. error: why
    nothing can be opened. exit_code: that of the error. notes: what else to know of the device.
    """

    bundle: str
    variant_asked: str
    device_asked: str
    hint: str
    variant: str | None = None
    device: str | None = None
    choice: Choice | None = None
    skipped: tuple[Skipped, ...] = ()
    error: str = ""
    exit_code: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Examination:
    """The machine, and everything that was looked at.

    quota: how many cores a container's limit pays for; None without one. opening: None where no bundle was
    named.
    """

    environment: Environment
    quota: float | None
    engines: tuple[EngineHere, ...]
    findings: tuple[Finding, ...]
    known_bad: tuple[KnownBad, ...] = ()
    opening: Opening | None = None

    @property
    def exit_code(self) -> int:
        """0, or that of the error where the bundle cannot be opened."""
        return 0 if self.opening is None else self.opening.exit_code

    def to_json(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        value = asdict(self)
        for row in value["known_bad"]:
            del row["applies"]
        return value


def examine(bundle: Path | None, where: Where) -> Examination:
    """Look at this machine, and at what becomes of a bundle on it.

    Args:
        where: what the bundle is opened as, as `Session.open` takes it.

    Raises:
        BundleError: the bundle cannot be trusted.
    """
    environment, quota = read_environment(), cpu_quota()
    engines = tuple(_engine(name) for name in ENGINES)
    manifest, opening = (None, None) if bundle is None else _open(bundle, where)
    facts = _facts(environment, quota, engines, manifest, where)
    return Examination(
        environment,
        quota,
        engines,
        (_int8(environment), _cores(environment, quota), *_extras(), *_plugins(engines), _cache()),
        known_bad(facts),
        opening,
    )


def _engine(name: str) -> EngineHere:
    distributions = RUNTIMES if name == _REQUIRED else (name,)
    version = next(iter(installed_of(distributions).values()), None)
    try:
        return EngineHere(name, version or "of unknown version", load_engine(name).devices())
    except EngineError as error:
        return EngineHere(name, version, {}, str(error))


def _open(bundle: Path, where: Where) -> tuple[Manifest, Opening]:
    with Bundle.open(bundle) as opened:
        manifest = opened.manifest
        settings = asdict(where) | {"trust": read_keys(where.trust)}
        asked = Opening(manifest.name, where.variant, where.device, where.hint)
        try:
            with Session.open(opened, **settings) as session:
                return manifest, replace(
                    asked,
                    variant=session.variant.name,
                    device=session.device,
                    choice=session.choice,
                    skipped=session.skipped,
                    notes=(*of_device(session.device), *session.cautions),
                )
        except (EngineError, ProofError) as error:
            return manifest, replace(asked, error=str(error), exit_code=error.exit_code)


def _facts(
    environment: Environment,
    quota: float | None,
    engines: tuple[EngineHere, ...],
    manifest: Manifest | None,
    where: Where,
) -> Facts:
    variants = [] if manifest is None else manifest.variants
    int8 = [one for one in variants if one.precision == "int8" and where.variant in (AUTO, one.name)]
    devices = {engine.name: engine.devices for engine in engines}
    return Facts(
        x86=environment.machine.lower() in ("x86_64", "amd64", "i686", "x86"),
        flags=frozenset(environment.flags),
        cores=environment.cores,
        quota=quota,
        distributions=frozenset(installed_of(DISTRIBUTIONS)),
        npu_compiler=has_npu_compiler(),
        openvino_devices=frozenset(devices["openvino"]),
        accel=accelerators(),
        device=where.device,
        threads=where.threads,
        int8=manifest is None or bool(int8),
        eight_bits=manifest is None or any(one.contract.get("weights_bits") != 7 for one in int8),
    )


def _int8(environment: Environment) -> Finding:
    fast = [flag for flag in environment.flags if flag in _DOT_PRODUCTS]
    if fast:
        return Finding("int8", "ok", f"in hardware ({', '.join(fast)})")
    if not environment.flags:
        return Finding("int8", "warning", "the system does not tell the processor's instruction sets")
    return Finding("int8", "warning", "no instructions for it: measure what it gives with bench")


def _cores(environment: Environment, quota: float | None) -> Finding:
    if quota is None or quota >= environment.cores:
        return Finding("cores", "ok", f"{environment.cores}, all of which this process may use")
    found = f"{environment.cores} are seen, a container's quota pays for {quota:g}"
    return Finding("cores", "warning", found, f"Say so to engines: --threads {max(1, int(quota))}.")


def _extras() -> list[Finding]:
    distribution = "edgetl" if installed_of(["edgetl"]) else "edgetl-runtime"
    findings = []
    for module, (purpose, extra) in _EXTRAS.items():
        if find(module) is not None:
            findings.append(Finding(purpose, "ok", f"{module} is installed"))
        else:
            remedy = f"Run: pip install '{distribution}[{extra}]'"
            findings.append(Finding(purpose, "optional", f"{module} is not installed", remedy))
    return findings


def _plugins(engines: tuple[EngineHere, ...]) -> list[Finding]:
    """Look for packages that bring ONNX Runtime a device; their table comes with that engine."""
    if any(engine.name == _REQUIRED and engine.error for engine in engines):
        return []
    from edgetl_runtime.engines.providers import PLUGINS

    findings = []
    for name, plugin in PLUGINS.items():
        here = find(plugin.module) is not None
        found = f"{plugin.module} is {'installed' if here else 'not installed'}"
        remedy = "" if here else f"Run: {plugin.install}"
        findings.append(Finding(f"device {name} of onnxruntime", "ok" if here else "optional", found, remedy))
    return findings


def _cache() -> Finding:
    folder = cache_folder()
    place = next(path for path in (folder, *folder.parents) if os.access(path, os.F_OK))
    if place.is_dir() and os.access(place, os.W_OK):
        return Finding("what is remembered", "ok", f"in {folder}")
    remedy = "Name a folder that can be written in EDGETL_CACHE; else each start proves and compiles again."
    return Finding("what is remembered", "warning", f"nothing: {folder} cannot be written", remedy)
