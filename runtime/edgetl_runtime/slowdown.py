"""How much slower a candidate answers than the baseline, load aside: the ratio of times and its interval.

Times of two receipts are divided by those of the reference workload that ran beside them. It says how sure
the ratio is, and judges nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev
from typing import TYPE_CHECKING

from edgetl_runtime.errors import ReceiptError
from edgetl_runtime.statistics import Interval
from edgetl_runtime.verdict import Difference

if TYPE_CHECKING:
    from edgetl_runtime.performance import Block
    from edgetl_runtime.receipt import Receipt

    Blocks = Sequence[Block]

__all__ = ["FEWEST_BLOCKS", "slowdown"]

FEWEST_BLOCKS = 5


def slowdown(
    baseline: Receipt, candidate: Receipt, confidence: float, *, across_machines: bool = False
) -> Difference:
    """Return the ratio of the mean times of a picture, each divided by its run's reference workload.

    An engine of several threads does some of its work on one and some on all, and load on a few cores slows
    the latter more. So both workloads are asked, and the interval reaches from the one's to the other's.

    Raises:
        ReceiptError: A receipt lacks the times, or has them of other blocks; or the cores or threads differ.
    """
    before, after = (_blocks(*side) for side in (("baseline", baseline), ("candidate", candidate)))
    if len(before) != len(after):
        raise ReceiptError(
            f"The receipts tell the times of {len(before)} and {len(after)} blocks of pictures, which do not "
            "compare. Validate both in one go, without --resume, or leave the limit of the latency out."
        )
    if not across_machines:
        _refuse_other_cores(baseline, candidate)
    several = all(block.parallel_ms is not None for block in (*before, *after))
    kinds = ("reference_ms", "parallel_ms") if several else ("reference_ms",)
    found = [_log_ratio(before, after, kind, confidence) for kind in kinds]
    low, high = min(one.interval.low for one in found), max(one.interval.high for one in found)
    return Difference(math.exp(fmean(one.value for one in found)), Interval(math.exp(low), math.exp(high)))


def _blocks(name: str, receipt: Receipt) -> Blocks:
    blocks = () if receipt.performance is None else receipt.performance.blocks
    if len(blocks) < FEWEST_BLOCKS:
        raise ReceiptError(
            f"The receipt of the {name} tells the times of {len(blocks)} blocks of pictures; a limit of the "
            f"latency needs {FEWEST_BLOCKS}. Validate again with this edgetl, in one go and on more "
            "pictures, or leave the limit out."
        )
    return blocks


def _refuse_other_cores(baseline: Receipt, candidate: Receipt) -> None:
    sides = baseline, candidate
    cores = [receipt.environment.cores for receipt in sides]
    threads = [receipt.performance.threads for receipt in sides if receipt.performance is not None]
    for what, found in (("cores", cores), ("threads", threads)):
        before, after = (number or "left to the engine" for number in found)
        if before != after:
            raise ReceiptError(
                f"The {what} of the baseline were {before}, of the candidate {after}, so their times do not "
                "compare. Validate both alike, or ask for it with --across-machines."
            )


def _log_ratio(before: Blocks, after: Blocks, kind: str, confidence: float) -> Difference:
    """Return the logarithm of the ratio, with Student's interval over the blocks.

    A block's influence is by how much its times are above the means, each divided by that mean. The same
    pictures are in the same block, so what they cost more than others cancels.
    """
    value, influences = 0.0, [0.0] * len(before)
    for blocks, name, sign in (
        (after, "picture_ms", 1.0),
        (after, kind, -1.0),
        (before, "picture_ms", -1.0),
        (before, kind, 1.0),
    ):
        times = [float(getattr(block, name)) for block in blocks]
        mean = fmean(times)
        value += sign * math.log(mean)
        influences = [one + sign * (time / mean - 1) for one, time in zip(influences, times, strict=True)]
    arm = _student(0.5 + confidence / 2, len(before) - 1) * stdev(influences) / math.sqrt(len(before))
    return Difference(value, Interval(value - arm, value + arm))


def _student(probability: float, freedom: int) -> float:
    """Return a quantile of Student's t, to three digits from four degrees of freedom on: Cornish-Fisher."""
    z = NormalDist().inv_cdf(probability)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return float(z + first / freedom + second / freedom**2 + third / freedom**3)
