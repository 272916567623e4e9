"""What in a picture mattered to a variant, found by covering it piece by piece.

It asks the exported graph alone, through a session: no gradients, no torch, the same for float and int8.
After Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014, section 4.2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.bundle import Bundle
from edgetl_runtime.errors import EngineError, InputError, PictureError, ProofError
from edgetl_runtime.session import Session

GRID = 8
_BATCH = 13  # 65 pictures, the whole one and 64 covered ones, are five full batches.


@dataclass(frozen=True, slots=True)
class Wish:
    """A picture, and the class whose probability is to be explained."""

    sha256: str
    path: Path
    label: str


@dataclass(frozen=True, slots=True, eq=False)
class Saliency:
    """How much the probability of a class falls when a cell of the picture is covered.

    label: the class, `confidence` its probability on the whole picture, 0–1. answer: what the variant says on
    this machine, which need not be that class.
    drops: (grid, grid) float32, rows from the top, -1 to 1; negative where the cell spoke against the class.
    pixels: (size, size, 3) uint8, what the variant saw.
    """

    label: str
    confidence: float
    answer: tuple[str, ...]
    drops: NDArray[np.float32]
    pixels: NDArray[np.uint8]

    def __post_init__(self) -> None:
        if self.drops.ndim != 2 or self.drops.shape[0] != self.drops.shape[1]:
            raise InputError(f"Saliency.drops must be (grid, grid), got {self.drops.shape}.")


@dataclass(frozen=True, slots=True)
class Maps:
    """Saliency by variant, hash and class; `notes` say what could not be computed, and why."""

    found: Mapping[tuple[str, str, str], Saliency] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def occlude(session: Session, pixels: NDArray[np.uint8], label: str, grid: int = GRID) -> Saliency:
    """Cover each cell of a preprocessed picture with the picture's mean colour and ask again.

    Args:
        pixels: (size, size, 3) uint8 RGB, as `session.preprocess` gives.
        label: the class whose probability is watched.
        grid: cells per side, 1 to the size of the picture.
    """
    size = len(pixels)
    if not 1 <= grid <= size:
        raise InputError(f"grid must be 1 to {size} cells a side, got {grid!r}.")
    if label not in session.labels:
        raise InputError(f"label must be one of {', '.join(session.labels)}, got {label!r}.")
    logits, probabilities = session.infer(np.concatenate([pixels[np.newaxis], _covered(pixels, grid)]))
    place = session.labels.index(label)
    whole, covered = probabilities[0, place], probabilities[1:, place]
    answer = _answer(session, logits[0], probabilities[0])
    drops = (whole - covered).reshape(grid, grid)
    return Saliency(label, min(float(whole), 1.0), answer, drops, pixels)


def explain(bundle: Path, wanted: Mapping[str, Sequence[Wish]], grid: int = GRID) -> Maps:
    """Compute saliency for pictures of several variants, each variant opened once, on this machine's CPU.

    Args:
        wanted: by variant, the pictures and the class of each.
    """
    found: dict[tuple[str, str, str], Saliency] = {}
    notes: list[str] = []
    with Bundle.open(bundle) as opened:
        for variant, wishes in wanted.items():
            try:
                with Session.open(opened, variant=variant, batch=_BATCH) as session:
                    for wish in wishes:
                        saliency = occlude(session, session.preprocess(wish.path), wish.label, grid)
                        found[variant, wish.sha256, wish.label] = saliency
            except (EngineError, ProofError, PictureError) as error:
                notes.append(f"No more saliency of {variant}: {error}")
    return Maps(found, tuple(notes))


def _answer(
    session: Session, logits: NDArray[np.float32], probabilities: NDArray[np.float32]
) -> tuple[str, ...]:
    """Return what the variant says; of one label the most probable, were it rejected or not."""
    if session.manifest.task == "multi_label":
        return session.to_prediction(logits, probabilities).labels
    return (session.labels[int(probabilities.argmax())],)


def _covered(pixels: NDArray[np.uint8], grid: int) -> NDArray[np.uint8]:
    """Return (grid * grid, size, size, 3): the picture with one cell covered in each, row by row."""
    edges = np.linspace(0, len(pixels), grid + 1).round().astype(int)
    mean = pixels.reshape(-1, 3).mean(axis=0).round().astype(np.uint8)
    copies = np.repeat(pixels[np.newaxis], grid * grid, axis=0)
    for number, copy in enumerate(copies):
        row, column = divmod(number, grid)
        copy[edges[row] : edges[row + 1], edges[column] : edges[column + 1]] = mean
    return copies
