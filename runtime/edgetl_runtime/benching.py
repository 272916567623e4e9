"""How fast the variants of a bundle are on this machine, stage by stage and side by side.

A round times every variant once, so that noise of the machine meets all alike. Knows nothing about accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from edgetl_runtime.errors import EngineError
from edgetl_runtime.measuring import answer_in_stages
from edgetl_runtime.pacing import reference_ms
from edgetl_runtime.receipt import Latency, Stage
from edgetl_runtime.simulated import NO_TIMES, is_simulated

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgetl_runtime.session import Session

_WARM_UP = 5
_STREAMED = 32
_STREAMS = 3
_STAGES: tuple[Stage, ...] = ("decode", "resize", "infer", "outputs", "total")


@dataclass(frozen=True, slots=True)
class Timed:
    """What one variant took on one device.

    opening_ms: compiling and proving; proof_remembered: whether the proof was recalled. stages: of one
    picture.
    stream_per_s: pictures per second by `Session.stream`. reference_ms: the fixed workload of `pacing`.
    """

    variant: str
    device: str
    opening_ms: float | None
    proof_remembered: bool
    stages: dict[Stage, Latency]
    stream_per_s: float
    reference_ms: float


def bench(sessions: Sequence[Session], picture: bytes, rounds: int = 50) -> list[Timed]:
    """Time sessions of batch 1 on one encoded picture, read from memory.

    Raises:
        EngineError: one of them is a simulator's.
    """
    for session in sessions:
        refuse_simulator(session)
    times: list[list[NDArray[np.float64]]] = [[] for _ in sessions]
    references = []
    for number in range(_WARM_UP + rounds):
        references.append(reference_ms())
        for session, found in zip(sessions, times, strict=True):
            _, taken = answer_in_stages(session, picture)
            if number >= _WARM_UP:
                found.append(taken)
    rates = [[_stream_rate(session, picture) for session in sessions] for _ in range(_STREAMS)]
    reference = round(float(np.median(references)), 4)
    return [
        Timed(
            variant=session.variant.name,
            device=session.device,
            opening_ms=None if session.opening_ms is None else round(session.opening_ms, 1),
            proof_remembered=session.proof is not None and session.proof.remembered,
            stages=_stages(np.array(found)),
            stream_per_s=round(float(np.median([rate[number] for rate in rates])), 1),
            reference_ms=reference,
        )
        for number, (session, found) in enumerate(zip(sessions, times, strict=True))
    ]


def refuse_simulator(session: Session) -> None:
    """Refuse to time a simulator."""
    if is_simulated(session.device):
        raise EngineError(f"Variant {session.variant.name!r} on {session.device!r}: {NO_TIMES}.")


def sample_picture(width: int = 1920, height: int = 1280) -> bytes:
    """Make a JPEG of a busy scene, the same bytes each time with the same Pillow."""
    from PIL import Image

    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (height // 40, width // 40, 3), dtype=np.uint8)
    scene = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    grain = generator.integers(-8, 9, (height, width, 1))
    pixels = np.clip(scene.astype(np.int16) + grain, 0, 255).astype(np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _stream_rate(session: Session, picture: bytes) -> float:
    begun = perf_counter()
    count = sum(1 for _ in session.stream([picture] * _STREAMED))
    return count / (perf_counter() - begun)


def _stages(times_ms: NDArray[np.float64]) -> dict[Stage, Latency]:
    columns = [*times_ms.T, times_ms.sum(axis=1)]
    return {name: Latency.of(column) for name, column in zip(_STAGES, columns, strict=True)}
