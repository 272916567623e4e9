"""A variant of a bundle, opened on a device and proven there: from pictures to predictions.

Knows nothing about datasets and figures. This is the hot path: preprocess, run, one small object.
"""

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Literal, TypeVar, get_args, overload

import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.bundle import Bundle
from edgetl_runtime.cautions import Caution, of_processor
from edgetl_runtime.engines import Engine, Hint
from edgetl_runtime.environment import read_environment
from edgetl_runtime.errors import (
    BundleError,
    EdgetlError,
    EngineError,
    InputError,
    PictureError,
)
from edgetl_runtime.forking import PerProcess
from edgetl_runtime.manifest import Manifest, Variant
from edgetl_runtime.opening import AUTO, Policy, Proving, Skipped, Target, memory_of, open_wanted
from edgetl_runtime.prediction import MULTI_LABEL_THRESHOLD as MULTI_LABEL_THRESHOLD
from edgetl_runtime.prediction import Prediction as Prediction
from edgetl_runtime.proof import Proof
from edgetl_runtime.remembered import Memory
from edgetl_runtime.signature import PublicKey
from edgetl_runtime.slots import is_slots
from edgetl_runtime.streaming import default_workers, in_order

if TYPE_CHECKING:
    from edgetl_runtime.choosing import Choice
    from edgetl_runtime.decode import Channels, PictureSource
    from edgetl_runtime.following import Follower

Source = TypeVar("Source", bound="PictureSource")
Logits = NDArray[np.float32]
Errors = Literal["raise", "yield"]


def _cannot_reopen() -> Engine:
    raise EngineError(
        "The session was made in another process, and this one was forked from it. Use Session.open, or make "
        "the session after the fork."
    )


class Session:
    """An opened variant, to be closed or used in `with`; its methods may be called from several threads.

    bundle, manifest, variant: what was opened. preprocess: what `predict` does to pictures. labels: the
    classes. device: where the engine truly runs. batch: pictures per run. threads, hint: as it was opened.
    proof: what was checked, and whether now or earlier; None where it was left out. skipped: the variants
    that were preferred and could not be used. choice: how `device="auto"` decided. opening_ms: how long
    opening took, proof included. cautions: why the variant may be less accurate here; `open` warns of them.
    Of a folder of slots, all this is that of `current`, which goes with every switch.
    """

    _follower: "Follower | None" = None

    def __init__(
        self,
        bundle: Bundle,
        variant: Variant,
        engine: Engine,
        *,
        batch: int = 1,
        reopen: Callable[[], Engine] = _cannot_reopen,
    ) -> None:
        """Take an engine that was made for `batch`; `Session.open` makes one, and proves it.

        Args:
            reopen: makes the engine anew in a process that was forked from this one.
        """
        self.bundle = bundle
        self.manifest: Manifest = bundle.manifest
        self.variant = variant
        self.preprocess = bundle.manifest.preprocess
        self.labels = bundle.manifest.classes
        self.device = engine.executed_device
        self.batch = batch
        self.threads: int | None = None
        self.hint: Hint = "latency"
        self.proof: Proof | None = None
        self.skipped: tuple[Skipped, ...] = ()
        self.choice: Choice | None = None
        self.opening_ms: float | None = None
        self.cautions: tuple[str, ...] = ()
        self._engine = PerProcess(engine, reopen)
        self._owns_bundle = False

    @classmethod
    def open(
        cls,
        bundle: str | os.PathLike[str] | Bundle,
        *,
        variant: str = AUTO,
        device: str = "cpu",
        fallback: str | None = None,
        batch: int = 1,
        threads: int | None = None,
        hint: Hint = "latency",
        on_disagreement: Policy = "refuse",
        prove: Proving = True,
        cache: bool = True,
        follow: bool = True,
        trust: Sequence[PublicKey] | None = None,
    ) -> "Session":
        """Open a variant and prove it.

        Args:
            bundle: a path, to be opened and closed with the session: a folder, a zip, or a folder of slots;
                or a bundle that stays open.
            variant: a name, or "auto": the first in the manifest's order whose engine is installed.
            device: "cpu", "gpu", "npu" or another one that the engine has; or "auto": whatever variant and
                device are fastest here among those that prove themselves, measured once and remembered.
            fallback: a device to open where `device` cannot be used; None refuses. `skipped` has the reasons.
            batch: pictures per run; the graph is compiled for just so many. A variant whose files take
                exactly so many is compiled for those, and what is missing is filled up.
            threads: of the engine; None leaves the choice to it.
            hint: "latency": one picture as fast as can be. "throughput": as many pictures a second as can be,
                for `stream` and for several threads.
            on_disagreement: "refuse" raises where the variant fails on this device; "next" tries those after
                it in the manifest's order, and keeps the reasons in `skipped`.
            prove: False leaves out the reference cases; "anew" runs them even where this machine remembers
                that the variant agreed.
            cache: False forgets what this machine found out earlier and remembers nothing: proofs, choices
                and compiled graphs, in $EDGETL_CACHE or the user's cache folder.
            follow: of a folder of slots, go with every switch, at the cost of one `stat` a call; and where
                the bundle in use cannot be used, open the one before and keep the reason in `failure`. False
                stays with the bundle that is in use now.
            trust: public keys of which one must have signed the bundle; None asks for no signature.

        Raises:
            SignatureError: the bundle is not signed by a key of `trust`.
            BundleError: the bundle cannot be trusted, or has no such variant.
            EngineError: an engine is not installed, or has no such device.
            ProofError: the device disagrees with the reference cases.
        """
        begun = perf_counter()
        target = Target(device, batch, threads, hint, prove)

        def open_bundle(opened: Bundle) -> Session:
            if trust is not None:
                opened.require_signature(trust)
            memory = memory_of(opened) if cache else Memory(None)
            session = open_wanted(opened, variant, target, on_disagreement, memory, fallback)
            session.cautions = of_processor(
                opened.manifest, session.variant, session.device, read_environment()
            )
            for caution in session.cautions:
                warnings.warn(caution, Caution, stacklevel=3)
            return session

        if isinstance(bundle, Bundle):
            session = open_bundle(bundle)
        elif follow and is_slots(Path(bundle)):
            from edgetl_runtime.following import Follower

            session = of_slots(Follower(Path(bundle), open_bundle))
        else:
            with ExitStack() as stack:
                session = open_bundle(stack.enter_context(Bundle.open(bundle)))
                stack.pop_all()
            session._owns_bundle = True
        session.current.opening_ms = 1000 * (perf_counter() - begun)
        return session

    @property
    def current(self) -> "Session":
        """The session that answers now: this one; of a folder of slots, that of the bundle in use.

        It stays with its bundle: hold on to it for work that must not be in part another bundle's.
        """
        return self if self._follower is None else self._follower.now()

    @property
    def failure(self) -> EdgetlError | None:
        """Of a folder of slots, why not the bundle in use there answers, but the one before; else None."""
        return None if self._follower is None else self._follower.failure

    def refresh(self) -> bool:
        """Follow a switch of a folder of slots now, and return whether there was one.

        Raises:
            EdgetlError: the bundle in use there cannot be opened; the one before goes on to answer.
        """
        return self._follower is not None and self._follower.refresh()

    @overload
    def predict(self, picture: list[Source], *, channels: "Channels" = "rgb") -> list[Prediction]: ...

    @overload
    def predict(self, picture: "PictureSource", *, channels: "Channels" = "rgb") -> Prediction: ...

    def predict(
        self, picture: "PictureSource | list[Source]", *, channels: "Channels" = "rgb"
    ) -> Prediction | list[Prediction]:
        """Predict one picture or a list: paths, encoded bytes, binary files, PIL images, arrays (h, w, 3).

        Args:
            channels: of arrays: "rgb", or "bgr" as OpenCV gives them.

        Raises:
            PictureError: a picture cannot be used.
            InputError: the session is closed.
            EngineError: the engine fails at it.
            BundleError: the variant does not give what its manifest says.
            ContractError: what it gives is no confidence.
        """
        session = self.current
        if isinstance(picture, list):
            return list(session.stream(picture, channels=channels))
        logits, probabilities = session.infer(session.preprocess(picture, channels=channels)[np.newaxis])
        return session.to_prediction(logits[0], probabilities[0])

    @overload
    def stream(
        self,
        pictures: Iterable["PictureSource"],
        *,
        ahead: int | None = None,
        errors: Literal["raise"] = "raise",
        channels: "Channels" = "rgb",
    ) -> Iterator[Prediction]: ...

    @overload
    def stream(
        self,
        pictures: Iterable["PictureSource"],
        *,
        ahead: int | None = None,
        errors: Literal["yield"],
        channels: "Channels" = "rgb",
    ) -> Iterator[Prediction | PictureError]: ...

    def stream(
        self,
        pictures: Iterable["PictureSource"],
        *,
        ahead: int | None = None,
        errors: Errors = "raise",
        channels: "Channels" = "rgb",
    ) -> Iterator[Prediction | PictureError]:
        """Predict any number of pictures in their order, decoding and running several at once.

        The pictures are taken from the iterable in the caller's thread and never far ahead, so that a camera
        or a large folder needs constant memory. Whoever stops early leaves no thread behind.

        Args:
            ahead: how many pictures may be taken beyond those that were answered, rounded up to whole
                batches; None: enough to keep all cores busy. 1 answers each picture of a camera before the
                next one is taken.
            errors: "raise" ends the stream at a picture that cannot be used; "yield" gives its `PictureError`
                as a value and goes on.
            channels: as in `predict`.

        Raises:
            PictureError: a picture cannot be used, and `errors` is "raise".
        """
        if errors not in get_args(Errors):
            raise InputError(f"errors must be one of {get_args(Errors)}, got {errors!r}.")
        if ahead is not None and ahead < 1:
            raise InputError(f"ahead must be at least 1, or None, got {ahead!r}.")
        bound = 2 * default_workers() * self.batch if ahead is None else ahead
        return self._stream(pictures, bound, errors, channels)

    def infer(self, images: NDArray[np.uint8]) -> tuple[Logits, Logits]:
        """Run any number of preprocessed pictures: (n, size, size, 3) uint8 RGB, read in place if they fit.

        Returns:
            logits: (n, classes) float32, unnormalised; and probabilities: (n, classes) float32, 0–1.

        Raises:
            InputError: the pictures are of another type or shape, or the session is closed.
            EngineError: the engine fails at them.
            BundleError: the variant does not give what its manifest says.
        """
        session = self.current
        size, batch = session.preprocess.size, session.batch
        if images.dtype != np.uint8 or images.shape[1:] != (size, size, 3):
            wanted = f"uint8 (n, {size}, {size}, 3)"
            raise InputError(f"Images must be {wanted}, got {images.dtype} {images.shape}; see Preprocess.")
        if len(images) == batch:
            return session._run(images)
        logits, probabilities = np.empty((2, len(images), len(session.labels)), np.float32)
        for start in range(0, len(images), batch):
            part = slice(start, start + batch)
            chunk = images[part]
            got = session._run(_padded(chunk, batch))
            logits[part], probabilities[part] = got[0][: len(chunk)], got[1][: len(chunk)]
        return logits, probabilities

    def to_prediction(self, logits: Logits, probabilities: Logits) -> Prediction:
        """Make the answer from one picture's outputs: (classes,) each, as `infer` gives them."""
        session = self.current
        best = int(probabilities.argmax())  # NaN counts as the highest, so that Prediction refuses it.
        confidence = min(float(probabilities[best]), 1.0)  # bf16 rounds to just above 1.
        if session.manifest.task == "multi_label":
            found = np.flatnonzero(probabilities >= MULTI_LABEL_THRESHOLD)
            labels = tuple(session.labels[number] for number in found)
        else:
            labels = (session.labels[best],) if confidence >= (session.variant.reject_below or 0) else ()
        return Prediction(session.labels[best] if labels else None, labels, confidence, probabilities, logits)

    def close(self) -> None:
        """Let go of the engine, and of the bundle where the session opened it."""
        if self._follower is not None:
            self._follower.close()
            return
        self._engine.let_go()
        if self._owns_bundle:
            self.bundle.close()

    if not TYPE_CHECKING:  # Else every name would be an attribute.

        def __getattr__(self, name: str) -> object:
            """Give what `current` has: a session of slots has no bundle of its own."""
            if self._follower is None:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            return getattr(self._follower.now(), name)

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _stream(
        self, pictures: Iterable["PictureSource"], ahead: int, errors: Errors, channels: "Channels"
    ) -> Iterator[Prediction | PictureError]:
        def answer(part: Sequence["PictureSource"]) -> list[Prediction | PictureError]:
            return self.current._answer(part, channels)

        for found in in_order(pictures, answer, batch=self.batch, ahead=ahead):
            if isinstance(found, PictureError) and errors == "raise":
                raise found
            yield found

    def _answer(
        self, pictures: Sequence["PictureSource"], channels: "Channels"
    ) -> list[Prediction | PictureError]:
        """Answer up to a batch of pictures in one run; one that cannot be used does not stop the others."""
        found = [self._pixels(picture, channels) for picture in pictures]
        images = [one for one in found if isinstance(one, np.ndarray)]
        if not images:
            return [one for one in found if isinstance(one, PictureError)]
        outputs = self.infer(images[0][np.newaxis] if len(images) == 1 else np.stack(images))
        predictions = map(self.to_prediction, *outputs)
        return [one if isinstance(one, PictureError) else next(predictions) for one in found]

    def _pixels(self, picture: "PictureSource", channels: "Channels") -> NDArray[np.uint8] | PictureError:
        try:
            return self.preprocess(picture, channels=channels)
        except PictureError as error:
            return error

    def _run(self, images: NDArray[np.uint8]) -> tuple[Logits, Logits]:
        engine = self._engine.get()
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


def of_slots(follower: "Follower") -> Session:
    """Make a session that has no bundle of its own, but goes with the one that a follower has."""
    session = Session.__new__(Session)
    session._follower = follower
    return session


def _padded(images: NDArray[np.uint8], batch: int) -> NDArray[np.uint8]:
    """Fill up the last batch with black pictures."""
    missing = batch - len(images)
    return np.pad(images, ((0, missing), (0, 0), (0, 0), (0, 0))) if missing else images
