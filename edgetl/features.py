"""Frozen layers run once: OpenVINO computes a backbone's activations, the cache keeps them.

Training needs torch only for the layers that change. The others are compiled here, run over each picture and
view once, and what they gave is read from disk from then on: the pooled features, and the activations at each
boundary between frozen and trained stages.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgetl.backbones import Backbone
from edgetl.cache import Rows, Store, cache_folder
from edgetl_runtime.environment import read_environment
from edgetl_runtime.errors import InputError
from edgetl_runtime.pictures import Picture, Progress
from edgetl_runtime.preprocess import Preprocess

# Part of every key: raise it when the same inputs would give other rows.
_VERSION = 1
_BATCH = 16
_DECODING_THREADS = 2

Precision = Literal["f32", "bf16"]


@dataclass(frozen=True, slots=True)
class View:
    """A mirrored copy of a picture: left and right swapped, top and bottom swapped, both or neither."""

    name: str
    horizontal: bool = False
    vertical: bool = False

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Mirror (n, height, width, 3)."""
        return images[:, :: -1 if self.vertical else 1, :: -1 if self.horizontal else 1]


PLAIN = View("plain")
VIEWS = {
    "none": (PLAIN,),
    "hflip": (PLAIN, View("hflip", horizontal=True)),
    "flips": (
        PLAIN,
        View("hflip", horizontal=True),
        View("vflip", vertical=True),
        View("hvflip", horizontal=True, vertical=True),
    ),
}


@dataclass(frozen=True, slots=True)
class Activations:
    """What the frozen layers gave for some pictures.

    features: (n, width) rows for each view. boundaries: by the number of frozen stages, rows for each view.
    """

    features: tuple[Rows, ...]
    boundaries: dict[int, tuple[Rows, ...]]


class FrozenStages(nn.Module):
    """Pictures as the device sees them, (n, size, size, 3) uint8, to activations and pooled features.

    Returns the activations after each number of stages in `cuts`, then the features (n, width).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone, cuts: Sequence[int]) -> None:
        super().__init__()
        self.stages = nn.ModuleList([stage.module for stage in backbone.stages])
        self.cuts = tuple(cuts)
        for name, values in (("mean", backbone.native.mean), ("std", backbone.native.std)):
            self.register_buffer(name, torch.tensor(values).reshape(1, 3, 1, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Normalise, then run the stages one after another."""
        x = (images.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.std
        outputs = [x] if 0 in self.cuts else []
        for done, stage in enumerate(self.stages, start=1):
            x = stage(x)
            if done in self.cuts:
                outputs.append(x)
        return (*outputs, x)


class Extractor:
    """A backbone's frozen stages, compiled when the first picture is not in the cache.

    Args:
        cuts: the boundaries to keep, as numbers of frozen stages, rising.
        precision: bf16 is about twice as fast where the processor has it; see `fast_precision`.
    """

    def __init__(
        self, backbone: Backbone, preprocess: Preprocess, cuts: Sequence[int], precision: Precision
    ) -> None:
        self._module = FrozenStages(backbone, cuts).eval()
        self._preprocess, self._precision, self._cuts = preprocess, precision, tuple(cuts)
        self._facts = {
            "version": _VERSION,
            "backbone": backbone.name,
            "weights": backbone.weights_id,
            "preprocess": preprocess.to_steps(),
            "normalisation": [backbone.native.mean, backbone.native.std],
            "precision": precision,
        }
        size = preprocess.size
        with torch.no_grad():
            outputs = self._module(torch.zeros(1, size, size, 3, dtype=torch.uint8))
        self._shapes = [tuple(output.shape[1:]) for output in outputs]
        self._queue: Any = None  # openvino.AsyncInferQueue, which mypy does not follow

    def __call__(
        self, pictures: Sequence[Picture], views: Sequence[View], progress: Progress | None = None
    ) -> Activations:
        """Return the activations of these pictures; those not cached are computed now.

        Raises:
            InputError: a picture cannot be read, an activation is too large to keep, or the disk is full.
        """
        stores = [[self._store(view, index) for index in range(len(self._shapes))] for view in views]
        if _missing(pictures, stores):
            self._compute(pictures, views, stores, progress)
        keys = [picture.sha256 for picture in pictures]
        rows = [[store.rows(keys) for store in view] for view in stores]
        boundaries = {cut: tuple(view[i] for view in rows) for i, cut in enumerate(self._cuts)}
        return Activations(tuple(view[-1] for view in rows), boundaries)

    def _store(self, view: View, index: int) -> Store:
        cut = self._cuts[index] if index < len(self._cuts) else "features"
        facts = self._facts | {"view": asdict(view), "after": cut}
        name = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]
        return Store(cache_folder() / "activations" / name, self._shapes[index], "float16", facts)

    def _compute(
        self,
        pictures: Sequence[Picture],
        views: Sequence[View],
        stores: Sequence[Sequence[Store]],
        progress: Progress | None,
    ) -> None:
        """Decode ahead in threads, infer asynchronously, and append batch by batch."""
        done = 0
        with ExitStack() as stack:
            pool = stack.enter_context(ThreadPoolExecutor(_DECODING_THREADS))
            writers = [[stack.enter_context(store.writer()) for store in view] for view in stores]
            pictures = _missing(pictures, stores)  # Another process may have had the lock until now.
            for batch, images in _decoded(pool, pictures, self._preprocess):
                keys = [picture.sha256 for picture in batch]
                mirrored = [np.ascontiguousarray(view(images)) for view in views]
                for outputs, view_writers in zip(self._infer(mirrored), writers, strict=True):
                    for rows, writer in zip(outputs, view_writers, strict=True):
                        writer.append(keys, _halved(rows, batch))
                done += len(batch)
                if progress is not None:
                    progress(done, len(pictures))

    def _infer(self, batches: Sequence[NDArray[np.uint8]]) -> list[list[NDArray[np.float32]]]:
        """Run one batch of each view; returns, for each, the outputs."""
        if self._queue is None:
            self._queue = compile_queue(self._module, self._preprocess.size, self._precision)
        results: list[list[NDArray[np.float32]]] = [[] for _ in batches]

        def keep(request: Any, number: int) -> None:
            results[number] = [request.get_output_tensor(i).data.copy() for i in range(len(self._shapes))]

        self._queue.set_callback(keep)
        for number, batch in enumerate(batches):
            self._queue.start_async({0: _padded(batch)}, number)
        self._queue.wait_all()
        return [[o[: len(b)] for o in result] for result, b in zip(results, batches, strict=True)]


def compile_queue(module: nn.Module, size: int, precision: Precision) -> Any:
    """Compile a module of uint8 pictures with OpenVINO, for batches of 16, all requests in flight."""
    import openvino

    example = torch.zeros(_BATCH, size, size, 3, dtype=torch.uint8)
    with torch.no_grad():
        program = torch.export.export(module, (example,))
    model = openvino.convert_model(program)
    settings = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "THROUGHPUT"}
    return openvino.AsyncInferQueue(openvino.Core().compile_model(model, "CPU", settings))


def devices() -> list[str]:
    """List the devices that OpenVINO sees."""
    import openvino

    return list(openvino.Core().available_devices)


def fast_precision() -> Precision:
    """Return bf16 where the processor multiplies it in hardware, else f32."""
    flags = read_environment().flags
    return "bf16" if {"avx512_bf16", "amx_bf16"} & set(flags) else "f32"


def _missing(pictures: Sequence[Picture], stores: Sequence[Sequence[Store]]) -> list[Picture]:
    """Return the pictures, each once, of which some store has no row."""
    keys = [picture.sha256 for picture in pictures]
    return [
        pictures[i] for i in sorted({i for view in stores for store in view for i in store.missing(keys)})
    ]


def _halved(rows: NDArray[np.float32], batch: Sequence[Picture]) -> NDArray[np.float16]:
    """Convert to what the cache keeps."""
    with np.errstate(over="ignore"):
        halved = rows.astype(np.float16)
    wrong = [
        str(picture.path) for picture, row in zip(batch, halved, strict=True) if not np.isfinite(row).all()
    ]
    if wrong:
        raise InputError(
            f"The backbone gives activations above 65,504, or none, for {wrong[0]!r}: more than the feature "
            "cache can hold. Choose another --backbone or other --weights."
        )
    return halved


def _padded(batch: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if len(batch) == _BATCH:
        return batch
    return np.concatenate([batch, np.zeros((_BATCH - len(batch), *batch.shape[1:]), np.uint8)])


def _decoded(
    pool: ThreadPoolExecutor, pictures: Sequence[Picture], preprocess: Callable[[Any], NDArray[np.uint8]]
) -> Iterator[tuple[Sequence[Picture], NDArray[np.uint8]]]:
    """Yield batches with their pixels, (n, size, size, 3), the next batch being decoded meanwhile."""
    batches = [pictures[i : i + _BATCH] for i in range(0, len(pictures), _BATCH)]

    def submit(batch: Sequence[Picture]) -> list[Any]:
        return [pool.submit(preprocess, picture.path) for picture in batch]

    ahead = submit(batches[0]) if batches else []
    for number, batch in enumerate(batches):
        futures, ahead = ahead, submit(batches[number + 1]) if number + 1 < len(batches) else []
        yield batch, np.stack([future.result() for future in futures])
