"""The proof of a device: its preprocessing and its engine against the reference cases of the bundle.

An accelerator that computes nonsense raises no error: it has to be asked for answers that are known. Knows
how to compare; `session` knows what a disagreement leads to.
"""

import math
import tokenize
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.decode import open_picture, to_rgb
from edgetl_runtime.errors import BundleError, PictureError, ProofError
from edgetl_runtime.manifest import Case, Execution
from edgetl_runtime.pictures import Task
from edgetl_runtime.strict_json import JSON

if TYPE_CHECKING:
    from edgetl_runtime.session import Session

# JPEG decoders may differ a little everywhere and much at edges, exact formats by rounding only.
MAX_MEAN_LEVELS, MAX_LEVELS, MAX_LEVELS_EXACT = 2.0, 48.0, 1.0
_LOSSY = ("JPEG", "WEBP")

# How far probabilities may be from those of the logits beside them: the rounding of the execution precision.
_MAX_PROBABILITY_ERROR: dict[Execution, float] = {"f32": 0.001, "bf16": 0.05, "f16": 0.01}

# All that NumPy raises for a header that it cannot read.
_NOT_NPY = (ValueError, TypeError, SyntaxError, tokenize.TokenError, OverflowError, EOFError)

Quantity = Literal["mean of pixels", "pixels", "logits", "probabilities", "constancy"]
_OF_A_CASE: tuple[Quantity, ...] = ("mean of pixels", "pixels", "logits", "probabilities")


@dataclass(frozen=True, slots=True)
class Check:
    """One quantity compared with its reference, or with its limit.

    case: None where the quantity is one of all cases together. measured: the difference, in levels of 0–255
    for pixels, infinite where there is none; for constancy 1 where all outputs are the same, else 0.
    """

    case: str | None
    quantity: Quantity
    measured: float
    limit: float
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether the difference is within the limit; NaN is not."""
        return self.measured <= self.limit

    def describe(self) -> str:
        """Return a clause that says what was measured and what is allowed."""
        if self.quantity == "constancy":
            return (
                "the outputs are the same for every case" if self.measured else "the outputs differ by case"
            )
        where = f"case {self.case!r}: "
        if self.note:
            return where + self.note
        if not math.isfinite(self.measured):
            return f"{where}{self.quantity} are not finite"
        return f"{where}{self.quantity} off by {self.measured:.4g}, at most {self.limit:.4g} allowed"


@dataclass(frozen=True, slots=True)
class Proof:
    """All that was checked of one variant on one device.

    remembered: whether it was run earlier, on the same machine with the same software and drivers.
    """

    variant: str
    device: str
    checks: tuple[Check, ...]
    remembered: bool = False

    @property
    def ok(self) -> bool:
        """Whether every check holds."""
        return all(check.ok for check in self.checks)

    def describe(self) -> str:
        """Return a sentence: all that disagrees, or how close the agreement is."""
        if not self.ok:
            wrong = "; ".join(check.describe() for check in self.checks if not check.ok)
            return f"Variant {self.variant!r} disagrees with the reference cases on {self.device!r}: {wrong}."
        logits = [check for check in self.checks if check.quantity == "logits"]
        worst = max(check.measured for check in logits)
        earlier = " This was found earlier." if self.remembered else ""
        return (
            f"Variant {self.variant!r} agrees with {len(logits)} reference cases on {self.device!r}: "
            f"logits off by {worst:.4g}, at most {logits[0].limit:.4g} allowed.{earlier}"
        )


def prove(session: "Session") -> Proof:
    """Run the reference cases on the device.

    Raises:
        ProofError: the device disagrees; the message lists every check that fails.
        BundleError: a reference cannot be read.
    """
    manifest, path = session.manifest, session.bundle.path
    pixels = [_stored_pixels(path(case.pixels), manifest.preprocess.size) for case in manifest.cases]
    reference = _stored_logits(path(session.variant.logits), (len(pixels), len(manifest.classes)))
    checks: list[Check] = []
    for case, want in zip(manifest.cases, pixels, strict=True):
        checks += _pixel_checks(session, case, want)
    checks += _output_checks(session, np.stack(pixels), reference)
    proof = Proof(session.variant.name, session.device, tuple(checks))
    if not proof.ok:
        raise ProofError(f"{proof.describe()} Open another variant here, or export the bundle again.")
    return proof


def proof_to_json(proof: Proof) -> JSON:
    """Return what `proof_from_json` reads."""
    return [[check.case, check.quantity, check.measured, check.limit] for check in proof.checks]


def proof_from_json(value: JSON, session: "Session") -> Proof | None:
    """Return the proof of a session that was remembered, or None where it is not whole or does not hold."""
    if not isinstance(value, list):
        return None
    checks = tuple(filter(None, map(_check_from_json, value)))
    whole = {(case.name, quantity) for case in session.manifest.cases for quantity in _OF_A_CASE}
    found = {(check.case, check.quantity) for check in checks}
    proof = Proof(session.variant.name, session.device, checks, remembered=True)
    return (
        proof if len(checks) == len(value) and found == {*whole, (None, "constancy")} and proof.ok else None
    )


def _check_from_json(value: JSON) -> Check | None:
    match value:
        case [str() | None as case, str() as name, (int() | float()) as measured, (int() | float()) as limit]:
            quantity = next((one for one in get_args(Quantity) if one == name), None)
            return None if quantity is None else Check(case, quantity, float(measured), float(limit))
    return None


def _pixel_checks(session: "Session", case: Case, want: NDArray[np.uint8]) -> list[Check]:
    """Preprocess the encoded file and compare it with the stored pixels."""
    picture = session.bundle.path(case.picture)
    try:
        most = MAX_LEVELS if open_picture(picture).format in _LOSSY else MAX_LEVELS_EXACT
        got = session.preprocess(picture)
    except PictureError as error:
        return [Check(case.name, "pixels", math.inf, MAX_LEVELS, note=str(error))]
    off = np.abs(got.astype(np.int16) - want)
    return [
        Check(case.name, "mean of pixels", float(off.mean()), MAX_MEAN_LEVELS),
        Check(case.name, "pixels", float(off.max()), most),
    ]


def _output_checks(
    session: "Session", pixels: NDArray[np.uint8], reference: NDArray[np.float32]
) -> list[Check]:
    """Run the stored pixels and compare logits with the reference, and probabilities with the logits."""
    names = [case.name for case in session.manifest.cases]
    order = _order(len(names), session.batch)
    logits, probabilities = session.infer(pixels[order])
    with np.errstate(all="ignore"):  # NaN and infinity are findings here.
        expected = _probabilities(logits / session.variant.temperature, session.manifest.task)
        off_logits = np.abs(logits - reference[order]).max(axis=1)
        off_probabilities = np.abs(probabilities - expected).max(axis=1)
    most = _MAX_PROBABILITY_ERROR[session.variant.execution]
    checks = []
    for number, name in enumerate(names):
        places = order == number
        checks += [
            Check(name, "logits", float(off_logits[places].max()), session.variant.tolerance),
            Check(name, "probabilities", float(off_probabilities[places].max()), most),
        ]
    return [*checks, Check(None, "constancy", float((logits == logits[0]).all()), 0.0)]


def _order(cases: int, batch: int) -> NDArray[np.int64]:
    """Return which case goes where: in every place of the batch, once in order and once more in reverse.

    A device may be right in the first place only, or in its first run only.
    """
    forward = np.arange(math.ceil(cases / batch) * batch) % cases
    return np.concatenate([forward, forward[::-1]])


def _probabilities(logits: NDArray[np.float32], task: Task) -> NDArray[np.floating]:
    """Return softmax or sigmoid of logits that temperature has divided already."""
    if task == "multi_label":
        return 1 / (1 + np.exp(-logits))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[np.floating] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def _stored_pixels(path: Path, size: int) -> NDArray[np.uint8]:
    try:
        image = open_picture(path)
        if image.format != "PNG" or image.size != (size, size):
            got = f"{image.format} of {image.width}×{image.height}"
            raise BundleError(f"Reference pixels {path.name!r} must be a PNG of {size}×{size}, got {got}.")
        return np.asarray(to_rgb(image))
    except PictureError as error:
        raise BundleError(f"Reference pixels {path.name!r} cannot be read: {error}") from error


def _stored_logits(path: Path, shape: tuple[int, int]) -> NDArray[np.float32]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # NumPy warns of a header that it has to guess.
            # Mapped, since a hostile header could ask for more memory than there is.
            array = np.lib.format.open_memmap(path, mode="r")
    except (*_NOT_NPY, UserWarning) as error:
        raise BundleError(f"Reference logits {path.name!r} are not a NumPy file: {error}.") from error
    if array.shape != shape or array.dtype != np.float32:
        raise BundleError(
            f"Reference logits {path.name!r} must be float32 {shape}, got {array.dtype} {array.shape}."
        )
    return np.array(array)
