"""What an export begins with: the float model and the pictures that calibrate, choose and verify.

Knows nothing about engines and files. The roles of the pictures: `train` calibrates and solves heads,
`choose` picks among the quantized candidates, `verify`, which nothing was fitted to, has the last word.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.errors import InputError
from edgetl_runtime.pictures import Task
from edgetl_runtime.preprocess import Preprocess

# Numbers of classes (n,) int64 for a single label, zeros and ones (n, classes) float32 for several.
Targets: TypeAlias = NDArray[Any]
Pixels: TypeAlias = NDArray[np.uint8]
Floats: TypeAlias = NDArray[np.float32]

OnMiss = Literal["fail", "fp16"]
Layout = Literal["nchw", "nhwc"]
Cpu = Literal["any", "vnni", "arm"]


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A trained network and what must be known to run it.

    module: normalised pictures (n, 3, size, size) float32 to logits (n, classes). Either a torch module in
    evaluation mode, which only `to_onnx` looks into, or the path of an ONNX file, which only `from_onnx` does
    and which may take `layout` "nhwc". mean, std: per channel of RGB in 0–1. temperature: probabilities are
    those of logits / temperature; None lets the export fit it on the choosing pictures.
    """

    name: str
    module: Any
    task: Task
    classes: tuple[str, ...]
    preprocess: Preprocess
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    temperature: float | None = None
    layout: Layout = "nchw"

    def __post_init__(self) -> None:
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise InputError(
                f"Model.mean and Model.std must be 3 numbers, std above 0, got {self.mean!r}, {self.std!r}."
            )
        if self.temperature is not None and not 0 < self.temperature < float("inf"):
            raise InputError(f"Model.temperature must be a number above 0, got {self.temperature!r}.")
        if self.layout == "nhwc" and not isinstance(self.module, Path):
            raise InputError("Model.layout 'nhwc' is for ONNX files; a torch module takes 'nchw'.")


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Preprocessed pictures, (n, size, size, 3) uint8 RGB, with what a model should answer.

    sha256: of the pictures' files, to name those that change their answer; empty where there are no files.
    """

    pixels: Pixels
    targets: Targets
    sha256: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 4 or self.pixels.shape[3] != 3:
            got = f"{self.pixels.dtype} {self.pixels.shape}"
            raise InputError(f"Labelled.pixels must be uint8 (n, size, size, 3), got {got}.")
        if not 0 < len(self.pixels) == len(self.targets):
            raise InputError(
                f"Labelled needs a target for each of at least one picture, got {len(self.targets)} targets "
                f"for {len(self.pixels)} pictures."
            )
        if len(self.sha256) not in (0, len(self.targets)):
            raise InputError(
                f"Labelled.sha256 must name all of {len(self)} pictures or none, got {len(self.sha256)}."
            )

    def __len__(self) -> int:
        return len(self.targets)

    def keys(self) -> tuple[str, ...]:
        """Return what tells each picture from others: the hash of its file, or else of its pixels."""
        return self.sha256 or tuple(sha256(one.tobytes()).hexdigest() for one in self.pixels)


@dataclass(frozen=True, slots=True, eq=False)
class ExportData:
    """The pictures of an export by their role; no picture may have two."""

    train: Labelled
    choose: Labelled
    verify: Labelled

    def __post_init__(self) -> None:
        named = {"train": self.train, "choose": self.choose, "verify": self.verify}
        roles = {name: set(role.keys()) for name, role in named.items()}
        for one, other in combinations(roles, 2):
            if both := len(roles[one] & roles[other]):
                raise InputError(
                    f"ExportData needs other pictures for each role, got {both:,} in both {one} and {other}. "
                    "Leave them out of one: what a file was made with cannot verify it."
                )


class HeadSolver(Protocol):
    """Solves a linear head: logits = features @ weight.T + bias."""

    def __call__(
        self, train: Floats, train_targets: Targets, choose: Floats, choose_targets: Targets
    ) -> tuple[Floats, Floats]:
        """Fit on features (n, width) of the training pictures, with the penalty that suits `choose` best.

        Returns:
            weight: (classes, width) float32, and bias: (classes,) float32.
        """
        ...


class TemperatureFitter(Protocol):
    """Finds the temperature that makes logits (n, classes) probable given the targets."""

    def __call__(self, logits: Floats, targets: Targets) -> float:
        """Return the temperature."""
        ...


class Watcher(Protocol):
    """Hears how far an export is."""

    def phase(self, name: str) -> None:
        """A phase begins."""

    def progress(self, done: int, total: int) -> None:
        """So much of the phase is done."""

    def note(self, message: str) -> None:
        """Something worth a line."""


class Silent:
    """A watcher that tells nobody."""

    def phase(self, name: str) -> None:
        """Do nothing."""

    def progress(self, done: int, total: int) -> None:
        """Do nothing."""

    def note(self, message: str) -> None:
        """Do nothing."""


Provenance: TypeAlias = Mapping[str, Any]  # any JSON
