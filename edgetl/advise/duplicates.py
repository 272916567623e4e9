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
    x, signs = unit(features), _signs(hashes)
    found = []
    for start in range(0, len(x), _BLOCK):
        block = slice(start, start + _BLOCK)
        cosines = x[block] @ x.T
        differing = (signs.shape[1] - signs[block] @ signs.T) / 2
        near = np.triu((cosines >= MIN_COSINE) & (differing <= MAX_BITS), k=start + 1)
        found += [
            NearDuplicate(start + i, j, min(float(cosines[i, j]), 1.0), int(differing[i, j]))
            for i, j in np.argwhere(near).tolist()
        ]
    return sorted(found, key=lambda one: (one.bits, -one.cosine))


def _signs(hashes: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Turn bits into ±1, (n, bits): the product of two hashes then counts agreeing less differing bits.

    A product of matrices compares all pairs at once, and whole numbers this small are exact in float32.
    """
    signs: NDArray[np.float32] = np.unpackbits(np.stack(hashes), axis=1).astype(np.float32) * 2 - 1
    return signs
