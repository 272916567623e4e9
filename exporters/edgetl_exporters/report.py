"""What an export found, for people and for JSON: a row for each rung, a row for each variant."""

from dataclasses import dataclass

from edgetl_exporters.rejecting import Rejecting
from edgetl_runtime.integer_core import IntegerCore
from edgetl_runtime.metrics import Figure
from edgetl_runtime.statistics import Interval


@dataclass(frozen=True, slots=True)
class RungRow:
    """An int8 candidate on the choosing pictures, and on the verifying ones where it was tried there.

    rung: its name in `rungs.RUNGS`. head: "float" is the float model's own, "resolved" was solved again on
    int8 features. accuracy: 0–1 with its 95 % interval. balanced_accuracy: 0–1, None for multi-label
    pictures. agreement: share of the pictures that it answers like the float model, with its 95 % interval.
    drop: float's accuracy less its own, 0–1, negative for a gain. loss: balanced cross entropy in nats.
    passes: whether it is within the limit on these pictures. verified: the outcome on the verifying pictures;
    None where it was not tried. outcome: in words.
    """

    rung: str
    head: str
    n: int
    accuracy: Figure
    balanced_accuracy: float | None
    agreement: Interval
    drop: float
    loss: float
    passes: bool
    verified: bool | None
    outcome: str


@dataclass(frozen=True, slots=True)
class VariantRow:
    """A variant in the bundle, measured on the verifying pictures as the saved file, by its engine.

    accuracy: with its 95 % interval. drop: float's accuracy less its own, 0–1; drop_interval: 90 %.
    agreement: share of the pictures answered like the float model, with its 95 % interval; changed: how many
    are not. certified: the interval lies within the limit; needs: otherwise how many pictures would decide
    it. calibration_error: "before" its temperature and "after", 0–1, None for several labels. rejecting: its
    threshold of confidence, None where none was wanted. p50_ms: median of a batch on this machine, None where
    a simulator ran it, and where `elsewhere`: its device is not here, and the CPU stood in. slower_here: int8
    that is not faster here than its float file in the same engine, timed in turns. core: of a
    variant for firmware, with its compiler's estimates. tolerance: of the logits on other devices.
    """

    name: str
    size_bytes: int
    n: int
    accuracy: Figure
    balanced_accuracy: float | None
    drop: float
    drop_interval: Interval
    agreement: float
    agreement_interval: Interval
    changed: int
    certified: bool
    needs: int | None
    calibration_error: dict[str, float] | None
    rejecting: Rejecting | None
    p50_ms: float | None
    elsewhere: bool
    slower_here: bool
    core: IntegerCore | None
    tolerance: float


@dataclass(frozen=True, slots=True)
class Report:
    """An export from end to end.

    bundle_id: SHA-256 of the manifest. max_drop: the limit of the int8 contract, 0–1. parity: by float file,
    the largest absolute difference of its logits from torch's, on so many parity_pictures. left_out: variants
    that are not in the bundle, and why.
    """

    name: str
    bundle_id: str
    max_drop: float
    parity: dict[str, float]
    parity_pictures: int
    rungs: tuple[RungRow, ...]
    variants: tuple[VariantRow, ...]
    left_out: dict[str, str]
    seconds: float
