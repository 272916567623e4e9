"""Which variant of a bundle is opened on which device, and what happens where one cannot be used.

Decides; engines compile, `proof` compares, and `session` is what comes out. Nothing falls back that was not
asked to, and every variant that was passed over is told with its reason.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from edgetl_runtime.engines import Engine, Hint, load_engine
from edgetl_runtime.environment import read_environment
from edgetl_runtime.errors import EngineError, InputError, ProofError
from edgetl_runtime.proof import proof_from_json, proof_to_json, prove
from edgetl_runtime.remembered import Memory

if TYPE_CHECKING:
    from edgetl_runtime.bundle import Bundle
    from edgetl_runtime.manifest import Manifest, Variant
    from edgetl_runtime.session import Session
    from edgetl_runtime.strict_json import JSON

Policy = Literal["refuse", "next"]
# "anew": also where this machine remembers that the variant agreed.
Proving = bool | Literal["anew"]
AUTO = "auto"


class Skipped(NamedTuple):
    """A variant that was preferred and could not be used, and why."""

    variant: str
    reason: str


@dataclass(frozen=True, slots=True)
class Target:
    """How a variant is to be opened, whichever it will be."""

    device: str
    batch: int
    threads: int | None
    hint: Hint
    prove: Proving

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise InputError(f"batch must be at least 1, got {self.batch!r}.")
        if self.threads is not None and self.threads < 1:
            raise InputError(f"threads must be at least 1, or None, got {self.threads!r}.")
        if self.hint not in get_args(Hint):
            raise InputError(f"hint must be one of {get_args(Hint)}, got {self.hint!r}.")

    def on(self, device: str) -> Target:
        """Return the same on another device."""
        return replace(self, device=device)

    def facts(self) -> dict[str, JSON]:
        """Return what a proof depends on besides the bundle, its variant and the machine."""
        return {"device": self.device, "batch": self.batch, "threads": self.threads, "hint": self.hint}


def memory_of(bundle: Bundle) -> Memory:
    """Return what is remembered of a bundle on this machine with this software."""
    environment = read_environment()
    facts: dict[str, JSON] = {
        "cpu": environment.cpu,
        "flags": list(environment.flags),
        "cores": environment.cores,
        "os": environment.os,
        "python": environment.python,
        "versions": dict(environment.versions),
    }
    return Memory.of(bundle.id, facts)


def open_variant(bundle: Bundle, variant: Variant, target: Target, memory: Memory) -> Session:
    """Compile one variant for one device and prove it, or recall that it was proven here.

    Raises:
        EngineError: the engine is not installed, or has no such device.
        ProofError: the device disagrees with the reference cases.
    """
    from edgetl_runtime.session import Session

    if variant.core is not None:
        load_engine(variant.engine)  # Which says that there is none, and what to do instead.
    if not variant.fits(target.device):
        raise EngineError(
            f"Variant {variant.name!r} was made for {variant.device!r} and measured there, got the device "
            f"{target.device!r}. Name that device, or another variant."
        )
    make, batch = load_engine(variant.engine), variant.batch or target.batch

    def compiled() -> Engine:
        return make(
            bundle.path(variant.model),
            device=target.device,
            execution=variant.execution,
            batch=batch,
            threads=target.threads,
            hint=target.hint,
            cache=memory.place("compiled"),
        )

    def compiled_anew() -> Engine:
        bundle.verify(variant.files)  # A folder may hold other files by now.
        return compiled()

    engine = compiled()
    session = Session(bundle, variant, engine, batch=batch, reopen=compiled_anew)
    session.threads, session.hint = target.threads, target.hint
    if target.prove:
        executed: JSON = [engine.executed_device, engine.version, engine.driver]
        facts = {**target.facts(), "variant": variant.name, "executed": executed}
        known = None if target.prove == "anew" else memory.read("proof", **facts)
        session.proof = proof_from_json(known, session)
        if session.proof is None:
            session.proof = prove(session)
            memory.write("proof", proof_to_json(session.proof), **facts)
    return session


def open_wanted(
    bundle: Bundle, variant: str, target: Target, policy: Policy, memory: Memory, fallback: str | None
) -> Session:
    """Open a variant by name, or `auto`, on a device, or `auto`; where that fails, on the named fallback."""
    try:
        if target.device.lower() == AUTO:
            from edgetl_runtime.choosing import open_fastest

            return open_fastest(bundle, variant, target, memory)
        return open_first(bundle, variant, target, policy, memory)
    except (EngineError, ProofError) as error:
        if fallback is None:
            raise
        first = f"{variant} on {target.device}"
        try:
            session = open_wanted(bundle, variant, target.on(fallback), policy, memory, None)
        except (EngineError, ProofError) as second:
            raise refusal({first: error, f"{variant} on {fallback}": second}) from error
        session.skipped = (Skipped(first, str(error)), *session.skipped)
        return session


def open_first(bundle: Bundle, name: str, target: Target, policy: Policy, memory: Memory) -> Session:
    """Open the first candidate that the policy lets through, with the reasons of those before it."""
    errors: dict[str, EngineError | ProofError] = {}
    for variant in candidates(bundle.manifest, name, policy, target.device):
        try:
            session = open_variant(bundle, variant, target, memory)
        except EngineError as error:
            installed = _is_installed(variant)
            if policy == "refuse" and (installed or name != AUTO):
                raise
            errors[variant.name] = error
        except ProofError as error:
            if policy == "refuse":
                raise
            errors[variant.name] = error
        else:
            session.skipped = skipped(errors)
            return session
    raise refusal(errors)


def candidates(manifest: Manifest, name: str, policy: Policy, device: str) -> tuple[Variant, ...]:
    """Return the variants that may be opened, in the manifest's order, from the one that was named.

    Where none was named, those that were made for the device come first, and those made for another device
    are left out.

    Raises:
        EngineError: none was named, and all were made for another device.
    """
    if name == AUTO and device.lower() == AUTO:
        return manifest.variants
    if name == AUTO:
        fitting = [variant for variant in manifest.variants if variant.fits(device)]
        if not fitting:
            if all(variant.core is not None for variant in manifest.variants):
                load_engine(manifest.variants[0].engine)  # Which says what to do with firmware.
            made = ", ".join(f"{variant.name} for {variant.device!r}" for variant in manifest.variants)
            raise EngineError(f"The bundle has no variant for the device {device!r}; it has {made}.")
        return tuple(sorted(fitting, key=lambda variant: variant.device is None))
    first = manifest.variants.index(manifest.variant(name))
    return manifest.variants[first:] if policy == "next" else manifest.variants[first : first + 1]


def skipped(errors: dict[str, EngineError | ProofError]) -> tuple[Skipped, ...]:
    """Return what could not be used, with the reasons."""
    return tuple(Skipped(name, str(error)) for name, error in errors.items())


def refusal(errors: dict[str, EngineError | ProofError]) -> EngineError | ProofError:
    """Return one error for all that could not be used: of a proof where there is one among them."""
    disagreed = any(isinstance(error, ProofError) for error in errors.values())
    reasons = " ".join(f"{name}: {error}" for name, error in errors.items())
    return (ProofError if disagreed else EngineError)(f"No variant of the bundle can be used here. {reasons}")


def _is_installed(variant: Variant) -> bool:
    if variant.core is not None:
        return True  # Nothing could be installed for it.
    try:
        load_engine(variant.engine)
    except EngineError:
        return False
    return True
