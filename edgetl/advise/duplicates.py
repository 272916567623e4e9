"""Pictures that are nearly the same: their features point the same way and their perceptual hashes agree.

Either test alone errs: features of one backbone may not see what differs, and hashes of smooth pictures are
alike. Exact copies are the index's affair. Knows no labels and no splits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

from edgetl.advise.neighbours import unit
from edgetl_runtime.preprocess import Preprocess

# Of 1,400 solar cells the 22 pairs within 16 bits are neighbours cut from one block of silicon: near
# duplicates indeed. Copies saved again as JPEG differ by 6 bits in the median, while their features may
# turn to 0.66.
MIN_COSINE = 0.7
MAX_BITS = 16  # of 256
_SIDE, _KEPT = 64, 16
_BLOCK = 1024
_SMALL = Preprocess(_SIDE, 1.0, "box")


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """Two pictures, by their rows. cosine: of their features. bits: in which their hashes differ, of 256."""

    first: int
    second: int
    cosine: float
    bits: int


def perceptual_hash(path: Any) -> NDArray[np.uint8]:
    """Return 256 bits, (32,) uint8: which low frequencies of the grey picture are above their median.

    The lowest 16 × 16 coefficients of the cosine transform at 64 × 64 pixels, after Zauner, Implementation
    and Benchmarking of Perceptual Image Hash Functions (2010). Takes what `Preprocess` takes.
    """
    grey = _SMALL(path).astype(np.float64) @ (0.299, 0.587, 0.114)
    frequencies = dctn(grey, norm="ortho")[:_KEPT, :_KEPT]
    frequencies[0, 0] = 0  # The brightness.
    return np.packbits(frequencies > np.median(frequencies))


def find_near_duplicates(features: NDArray[Any], hashes: Sequence[NDArray[np.uint8]]) -> list[NearDuplicate]:
    """Find all pairs that pass both tests, the nearest first.

    Args:
        features: (n, width), of all pictures. hashes: of each, see `perceptual_hash`.
    """
    x, bits = unit(features), np.stack(hashes)
    found = []
    for start in range(0, len(x), _BLOCK):
        cosines = x[start : start + _BLOCK] @ x.T
        for row, column in np.argwhere(cosines >= MIN_COSINE):
            first = start + int(row)
            if first < column:
                differing = int(np.bitwise_count(bits[first] ^ bits[column]).sum())
                if differing <= MAX_BITS:
                    cosine = min(float(cosines[row, column]), 1.0)
                    found.append(NearDuplicate(first, int(column), cosine, differing))
    return sorted(found, key=lambda one: (one.bits, -one.cosine))
