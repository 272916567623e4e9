"""`device="auto"`: the fastest of the variants that prove themselves on this machine, measured once.

Times every variant on every device side by side, a run each in turn, so that noise of the machine meets all
alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from edgetl_runtime.engines import load_engine
from edgetl_runtime.errors import EngineError, ProofError
from edgetl_runtime.opening import Target, candidates, open_variant, refusal, skipped

if TYPE_CHECKING:
    from edgetl_runtime.bundle import Bundle
    from edgetl_runtime.manifest import Variant
    from edgetl_runtime.remembered import Memory
    from edgetl_runtime.session import Session
    from edgetl_runtime.strict_json import JSON

ROUNDS = 15
SECONDS = 3.0
_WARM_UP = 3
# What is not faster by this share is not worth a variant that its maker liked less.
_CLEARLY = 0.95


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, and the median milliseconds of a batch by "variant on device".

    remembered: whether that was measured earlier.
    """

    variant: str
    device: str
    times_ms: dict[str, float]
    remembered: bool = False


def open_fastest(bundle: Bundle, name: str, target: Target, memory: Memory) -> Session:
    """Open what was fastest here, among all variants where `name` is "auto", else on all devices of the one.

    Raises:
        EngineError: nothing can be opened here.
        ProofError: nothing can, and some of it disagreed with the reference cases.
    """
    places = _places(bundle, name)
    here = {f"{variant.name} on {device}": facts for variant, device, facts in places}
    facts: dict[str, JSON] = {**target.facts(), "asked": name, "places": dict(here)}
    known = _recalled(memory.read("choice", **facts))
    if known is not None and f"{known.variant} on {known.device}" in here:
        session = _open(bundle, known, target, memory)
        if session is not None:
            return session
    sessions, errors = _open_all(bundle, places, target, memory)
    if not sessions:
        raise refusal(errors)
    times = time_interleaved([session for _, session in sessions], target.batch)
    session, choice = _fastest(sessions, times)
    session.skipped, session.choice = skipped(errors), choice
    times_ms: JSON = dict(choice.times_ms)
    value: JSON = {"variant": choice.variant, "device": choice.device, "times_ms": times_ms}
    memory.write("choice", value, **facts)
    return session


def time_interleaved(sessions: Sequence[Session], batch: int) -> list[float]:
    """Return each session's median milliseconds for so many pictures, in turn, a few seconds at most."""
    sides = [session.preprocess.size for session in sessions]
    images = [np.zeros((batch, side, side, 3), np.uint8) for side in sides]
    times: list[list[float]] = [[] for _ in sessions]
    begun = perf_counter()
    for number in range(_WARM_UP + ROUNDS):
        for session, image, found in zip(sessions, images, times, strict=True):
            started = perf_counter()
            session.infer(image)
            if number >= _WARM_UP or not found:
                found.append(1000 * (perf_counter() - started))
        if perf_counter() - begun > SECONDS:
            break
    return [median(found[-ROUNDS:]) for found in times]


def _places(bundle: Bundle, name: str) -> list[tuple[Variant, str, str]]:
    """Return each variant with each device of its engine, and that device's model and driver."""
    places = []
    for variant in candidates(bundle.manifest, name, "refuse"):
        try:
            devices = load_engine(variant.engine).devices()
        except EngineError:
            continue  # Opening it says so, where nothing else can be opened.
        places += [(variant, device, facts) for device, facts in devices.items()]
    return places


def _open_all(
    bundle: Bundle, places: Sequence[tuple[Variant, str, str]], target: Target, memory: Memory
) -> tuple[list[tuple[str, Session]], dict[str, EngineError | ProofError]]:
    sessions, errors = [], {}
    for variant, device, _ in places:
        try:
            opened = open_variant(bundle, variant, target.on(device), memory)
        except (EngineError, ProofError) as error:
            errors[f"{variant.name} on {device}"] = error
        else:
            sessions.append((device, opened))
    return sessions, errors


def _fastest(sessions: Sequence[tuple[str, Session]], times: Sequence[float]) -> tuple[Session, Choice]:
    """Take the first that nothing later beats clearly, close the others."""
    best = 0
    for number, time_ms in enumerate(times):
        if time_ms < _CLEARLY * times[best]:
            best = number
    for number, (_, session) in enumerate(sessions):
        if number != best:
            session.close()
    device, session = sessions[best]
    named = {
        f"{one.variant.name} on {place}": round(time_ms, 3)
        for (place, one), time_ms in zip(sessions, times, strict=True)
    }
    return session, Choice(session.variant.name, device, named)


def _open(bundle: Bundle, known: Choice, target: Target, memory: Memory) -> Session | None:
    """Open what was chosen before; None where that fails now, so that all is measured again."""
    try:
        variant = bundle.manifest.variant(known.variant)
        session = open_variant(bundle, variant, target.on(known.device), memory)
    except (EngineError, ProofError):
        return None
    session.choice = known
    return session


def _recalled(value: JSON) -> Choice | None:
    match value:
        case {"variant": str() as variant, "device": str() as device, "times_ms": dict() as times}:
            numbers = {name: float(one) for name, one in times.items() if isinstance(one, (int, float))}
            return Choice(variant, device, numbers, remembered=True)
    return None
