"""Small pictures, networks and activations that show their own numbers."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from edgetl.backbones import Backbone, Native, Stage, state_id
from edgetl.cache import Rows
from edgetl.dataset import split_dataset
from edgetl.events import Epoch, Step, Watcher
from edgetl.features import Activations, Extractor
from edgetl.job import Job
from edgetl.recipe import Recipe
from edgetl.regularizers import with_regularizers
from edgetl.roles import halves
from edgetl_runtime.pictures import Index, Picture

COLOURS = {"red": 0, "green": 1, "blue": 2}
# Two short steps of a real network with random weights.
TINY_RECIPE = Recipe(
    backbone="timm/test_efficientnet",
    weights="none",
    size=32,
    crop=1.0,
    views="none",
    unfreeze=(2, 4),
    epochs=2,
    batch_size=8,
    learning_rate=0.003,
    ema=0.5,
)


def colour_picture(path: Path, colour: str, seed: int, strength: int = 100) -> Picture:
    """Write a noisy square of 40 pixels in which one colour is the strongest, on average by `strength`."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 100, (40, 40, 3))
    pixels[..., COLOURS[colour]] += rng.integers(strength // 2, strength + strength // 2)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path, format="PNG")
    return Picture(path, hashlib.sha256(path.read_bytes()).hexdigest(), (colour,))


def colour_folder(
    root: Path, count: int = 20, names: Mapping[str, str] | None = None, strength: int = 100
) -> Path:
    """Write `count` pictures of each colour; `names` may rename the classes."""
    for number in range(count):
        for colour, place in COLOURS.items():
            folder = (names or {}).get(colour, colour)
            colour_picture(root / folder / f"{number}.png", colour, 10 * number + place, strength)
    return root


def colour_csv(root: Path, count: int = 20) -> Path:
    """Write pictures and a CSV in which each has its colour, `coloured`, and every third `third` as well."""
    colour_folder(root, count)
    rows = [
        f"{colour}/{number}.png,{colour}|coloured{'|third' if number % 3 == 0 else ''}"
        for number in range(count)
        for colour in COLOURS
    ]
    (root / "labels.csv").write_text("\n".join(["path,label", *rows]) + "\n", encoding="utf-8")
    return root / "labels.csv"


def tiny_backbone(seed: int = 0, width: int = 8) -> Backbone:
    """Make four stages: convolutions with BatchNorm that has seen numbers, then pooling."""
    torch.manual_seed(seed)
    channels = (3, 4, 6, 8, width)
    convolutions = [_convolution(a, b) for a, b in pairwise(channels)]
    convolutions[-1] = nn.Sequential(convolutions[-1], nn.AdaptiveAvgPool2d(1), nn.Flatten())
    stages = tuple(Stage(f"stage{number}", module) for number, module in enumerate(convolutions))
    trunk = nn.Sequential(*convolutions)
    see_numbers(trunk, torch.randn(16, 3, 32, 32))
    native = Native(32, 1.0, "bilinear", (0.5, 0.4, 0.3), (0.2, 0.3, 0.25))
    return Backbone("tiny", "lite", stages, width, native, "MIT", None, state_id(trunk.state_dict()))


def extractor() -> Extractor:
    """Two boundaries of the tiny network, by torch."""
    backbone = tiny_backbone()
    return Extractor(backbone, backbone.native.preprocess(), (1, 2), "f32", "torch-cpu")


def rows(found: Activations) -> list[NDArray[np.float16]]:
    """All that was computed, array after array."""
    groups = [found.features, *found.boundaries.values()]
    return [one.take(np.arange(len(one))) for group in groups for one in group]


def rows_kept(cache: Path) -> set[int]:
    """How many rows the stores of activations have; of pixels, the time that decoding took decides."""
    stores = (cache / "activations").glob("*/keys.bin")
    return {path.stat().st_size // 32 for path in stores if not path.parent.name.startswith("pixels-")}


def _convolution(inputs: int, outputs: int) -> nn.Module:
    layers = (nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.BatchNorm2d(outputs), nn.ReLU())
    return nn.Sequential(*layers)


def see_numbers(module: nn.Module, images: torch.Tensor) -> None:
    """Let BatchNorm measure its inputs, so that random layers give outputs that vary."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
    with torch.no_grad():
        module.train()(images)
    module.eval()


def rows_of(array: NDArray[np.float32]) -> Rows:
    """Make rows in memory, in the precision of the cache."""
    return Rows(array.astype(np.float16), np.arange(len(array)))


class Diary(Watcher):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.notes: list[str] = []
        self.epochs: list[tuple[str, int]] = []
        self.steps: list[Step] = []
        self.told: list[tuple[int, int]] = []

    def phase(self, name: str) -> None:
        self.phases.append(name)

    def progress(self, done: int, total: int) -> None:
        self.told.append((done, total))

    def note(self, message: str) -> None:
        self.notes.append(message)

    def epoch(self, step: str, epoch: Epoch, of: int) -> None:
        self.epochs.append((step, epoch.number))

    def step(self, step: Step) -> None:
        self.steps.append(step)


class Killed(Exception):
    """The process dies, as in a power cut."""


class Interrupting(Diary):
    """Raises after an epoch of a step, or when a phase begins."""

    def __init__(self, what: type[BaseException], at: tuple[str, int] | str) -> None:
        super().__init__()
        self._what, self._at = what, at

    def phase(self, name: str) -> None:
        super().phase(name)
        if isinstance(self._at, str) and name.startswith(self._at):
            raise self._what

    def epoch(self, step: str, epoch: Epoch, of: int) -> None:
        super().epoch(step, epoch, of)
        if (step, epoch.number) == self._at:
            raise self._what


def tiny_job(watcher: Watcher | None = None, seconds: float = 600.0, **changes: object) -> Job:
    """Make a job of 24 training and 16 validation pictures that lie nowhere, on the tiny network."""
    changes = {"views": "none", "batch_size": 8, "learning_rate": 0.02, "ema": 0.8} | changes
    pictures = [
        Picture(Path(f"{number}.png"), f"{number:064x}", ("ab"[number % 2],), split)
        for number, split in enumerate(["train"] * 24 + ["val"] * 16 + ["test"] * 2)
    ]
    dataset = split_dataset(Index(Path("data"), ("a", "b"), "single_label", tuple(pictures)))
    choose, verify = halves(dataset.val)
    backbone = tiny_backbone()
    return Job(
        backbone=backbone,
        preprocess=backbone.native.preprocess(),
        dataset=dataset,
        recipe=with_regularizers(Recipe(**changes), 24, 2),
        choose=choose,
        verify=verify,
        weights=np.ones(2, np.float32),
        deadline=time.monotonic() + seconds,
        watcher=watcher or Watcher(),
    )


def tiny_activations(job: Job) -> dict[str, Activations]:
    """Run the tiny network over made-up pictures: those of the second class have more contrast."""
    roles = {"train": job.dataset.train, "choose": job.choose, "verify": job.verify}
    return {name: _activations(job, pictures) for name, pictures in roles.items()}


def _activations(job: Job, pictures: Sequence[Picture]) -> Activations:
    generator = torch.Generator().manual_seed(len(pictures))
    contrasts = torch.tensor([1 + 2 * (int(picture.sha256, 16) % 2) for picture in pictures])
    images = contrasts[:, None, None, None] * torch.randn(len(pictures), 3, 32, 32, generator=generator)
    with torch.no_grad():
        found = {cut: job.backbone.prefix(cut)(images).numpy() for cut in range(5)}
    return Activations((rows_of(found[4]),), {cut: (rows_of(found[cut]),) for cut in range(4)})
