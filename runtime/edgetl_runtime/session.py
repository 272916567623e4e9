"""A variant of a bundle, opened on a device and proven there: from pictures to predictions.

Knows nothing about datasets and figures. This is the hot path: preprocess, run, one small object.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.bundle import Bundle
from edgetl_runtime.engines import Engine, load_engine
from edgetl_runtime.errors import BundleError, ContractError, EngineError, InputError, ProofError
from edgetl_runtime.manifest import Manifest, Variant
from edgetl_runtime.proof import Proof
from edgetl_runtime.proof import prove as prove_session

if TYPE_CHECKING:
    from edgetl_runtime.decode import PictureSource

Source = TypeVar("Source", bound="PictureSource")
Policy = Literal["refuse", "next"]

MULTI_LABEL_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The answer for one picture.

    label: the most probable class; None where it was rejected, or where a multi-label picture has none.
    labels: all classes that were found: (label,) or () in single-label, any number in multi-label.
    confidence: the highest probability, 0–1. probabilities: (classes,) float32. logits: (classes,) float32.
    """

    label: str | None
    labels: tuple[str, ...]
    confidence: float
    probabilities: NDArray[np.float32]
    logits: NDArray[np.float32]

    def __post_init__(self) -> None:
        if not 0 <= self.confidence <= 1:
            raise ContractError(
                f"A confidence must be 0 to 1, the engine gave {self.confidence!r}. Open another variant."
            )


class Skipped(NamedTuple):
    """A variant that was preferred and could not be used, and why."""

    variant: str
    reason: str


class Session:
    """An opened variant, to be closed or used in `with`; its methods may be called from several threads.

    bundle, manifest, variant: what was opened. preprocess: what `predict` does to pictures. labels: the
    classes. device: where the engine truly runs. batch: pictures per run. proof: None where it was left out.
    skipped: the variants that were preferred and could not be used.
    """

    def __init__(self, bundle: Bundle, variant: Variant, engine: Engine, *, batch: int = 1) -> None:
        """Take an engine that was made for `batch`; `Session.open` makes one, and proves it."""
        self.bundle = bundle
        self.manifest: Manifest = bundle.manifest
        self.variant = variant
        self.preprocess = bundle.manifest.preprocess
        self.labels = bundle.manifest.classes
        self.device = engine.executed_device
        self.batch = batch
        self.proof: Proof | None = None
        self.skipped: tuple[Skipped, ...] = ()
        self._engine: Engine | None = engine
        self._owns_bundle = False

    @classmethod
    def open(
        cls,
        bundle: str | os.PathLike[str] | Bundle,
        *,
        variant: str = "auto",
        device: str = "cpu",
        batch: int = 1,
        threads: int | None = None,
        on_disagreement: Policy = "refuse",
        prove: bool = True,
    ) -> "Session":
        """Open a variant and prove it.

        Args:
            bundle: a path, to be opened and closed with the session, or a bundle that stays open.
            variant: a name, or "auto": the first in the manifest's order whose engine is installed.
            batch: pictures per run; the graph is compiled for just so many.
            threads: of the engine; None leaves the choice to it.
            on_disagreement: "refuse" raises where the variant fails on this device; "next" tries those after
                it in the manifest's order, and keeps the reasons in `skipped`.
            prove: False leaves out the reference cases.

        Raises:
            BundleError: the bundle cannot be trusted, or has no such variant.
            EngineError: an engine is not installed, or has no such device.
            ProofError: the device disagrees with the reference cases.
        """
        target = _Target(device, batch, threads, prove)
        opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
        try:
            session = _open_first(opened, variant, target, on_disagreement)
        except BaseException:
            if opened is not bundle:
                opened.close()
            raise
        session._owns_bundle = opened is not bundle
        return session

    @overload
    def predict(self, picture: list[Source]) -> list[Prediction]: ...

    @overload
    def predict(self, picture: "PictureSource") -> Prediction: ...

    def predict(self, picture: "PictureSource | list[Source]") -> Prediction | list[Prediction]:
        """Predict one picture or a list: paths, encoded bytes, PIL images, arrays (height, width, 3)."""
        if isinstance(picture, list):
            return list(self.stream(picture))
        logits, probabilities = self.infer(self.preprocess(picture)[np.newaxis])
        return self._prediction(logits[0], probabilities[0])

    def stream(self, pictures: Iterable["PictureSource"]) -> Iterator[Prediction]:
        """Predict any number of pictures in constant memory, a batch at a time."""
        rest = iter(pictures)
        while batch := [self.preprocess(picture) for picture in islice(rest, self.batch)]:
            images = np.stack(batch) if len(batch) > 1 else batch[0][np.newaxis]
            yield from map(self._prediction, *self.infer(images))

    def infer(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Run any number of preprocessed pictures: (n, size, size, 3) uint8 RGB.

        Returns:
            logits: (n, classes) float32, unnormalised; and probabilities: (n, classes) float32, 0–1.
        """
        size = self.preprocess.size
        if images.dtype != np.uint8 or images.shape[1:] != (size, size, 3):
            wanted = f"uint8 (n, {size}, {size}, 3)"
            raise InputError(f"Images must be {wanted}, got {images.dtype} {images.shape}; see Preprocess.")
        if len(images) == self.batch:
            return self._run(images)
        logits, probabilities = np.empty((2, len(images), len(self.labels)), np.float32)
        for start in range(0, len(images), self.batch):
            part = slice(start, start + self.batch)
            chunk = images[part]
            got = self._run(_padded(chunk, self.batch))
            logits[part], probabilities[part] = got[0][: len(chunk)], got[1][: len(chunk)]
        return logits, probabilities

    def close(self) -> None:
        """Let go of the engine, and of the bundle where the session opened it."""
        self._engine = None
        if self._owns_bundle:
            self.bundle.close()

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        engine = self._engine
        if engine is None:
            raise InputError("The session is closed. Open it again.")
        logits, probabilities = engine.run(images)
        if not logits.shape == probabilities.shape == (self.batch, len(self.labels)):
            raise BundleError(
                f"Variant {self.variant.name!r} must give logits and probabilities of shape "
                f"({self.batch}, {len(self.labels)}), got {logits.shape} and {probabilities.shape}. "
                "Export it again."
            )
        return logits, probabilities

    def _prediction(self, logits: NDArray[np.float32], probabilities: NDArray[np.float32]) -> Prediction:
        best = int(probabilities.argmax())  # NaN counts as the highest, so that Prediction refuses it.
        confidence = min(float(probabilities[best]), 1.0)  # bf16 rounds to just above 1.
        if self.manifest.task == "multi_label":
            found = np.flatnonzero(probabilities >= MULTI_LABEL_THRESHOLD)
            labels = tuple(self.labels[number] for number in found)
        else:
            labels = (self.labels[best],) if confidence >= (self.manifest.reject_threshold or 0) else ()
        return Prediction(self.labels[best] if labels else None, labels, confidence, probabilities, logits)


@dataclass(frozen=True, slots=True)
class _Target:
    """How a variant is to be opened, whichever it will be."""

    device: str
    batch: int
    threads: int | None
    prove: bool

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise InputError(f"batch must be at least 1, got {self.batch!r}.")
        if self.threads is not None and self.threads < 1:
            raise InputError(f"threads must be at least 1, or None, got {self.threads!r}.")

    def open(self, bundle: Bundle, variant: Variant, engine: type[Engine]) -> Session:
        model = bundle.path(variant.model)
        made = engine(
            model, device=self.device, execution=variant.execution, batch=self.batch, threads=self.threads
        )
        session = Session(bundle, variant, made, batch=self.batch)
        session.proof = prove_session(session) if self.prove else None
        return session


def _open_first(bundle: Bundle, variant: str, target: _Target, policy: Policy) -> Session:
    """Open the first candidate that the policy lets through, with the reasons of those before it."""
    errors: dict[str, EngineError | ProofError] = {}
    for candidate in _candidates(bundle.manifest, variant, policy):
        try:
            engine = load_engine(candidate.engine)
        except EngineError as error:
            if variant != "auto" and policy == "refuse":
                raise
            errors[candidate.name] = error
            continue
        try:
            session = target.open(bundle, candidate, engine)
        except (EngineError, ProofError) as error:
            if policy == "refuse":
                raise
            errors[candidate.name] = error
            continue
        session.skipped = tuple(Skipped(name, str(error)) for name, error in errors.items())
        return session
    disagreed = any(isinstance(error, ProofError) for error in errors.values())
    reasons = " ".join(f"{name}: {error}" for name, error in errors.items())
    raise (ProofError if disagreed else EngineError)(f"No variant of the bundle can be used here. {reasons}")


def _candidates(manifest: Manifest, variant: str, policy: Policy) -> tuple[Variant, ...]:
    if variant == "auto":
        return manifest.variants
    first = manifest.variants.index(manifest.variant(variant))
    return manifest.variants[first:] if policy == "next" else manifest.variants[first : first + 1]


def _padded(images: NDArray[np.uint8], batch: int) -> NDArray[np.uint8]:
    """Fill up the last batch with black pictures."""
    missing = batch - len(images)
    return np.pad(images, ((0, missing), (0, 0), (0, 0), (0, 0))) if missing else images
