"""Pictures that are nearly the same: their features point the same way and their perceptual hashes agree.

Either test alone errs: features of one backbone may not see what differs, and hashes of smooth pictures are
alike. Exact copies are the index's affair. They come in groups, since the pictures of a camera that stands
still are millions of pairs. Knows no labels.
"""

from collections.abc import Hashable, Iterator, Sequence
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
_SAME_SPLIT = np.float32(1_000)  # More than any difference in bits.
_SMALL = Preprocess(_SIDE, 1.0, "box")


@dataclass(frozen=True, slots=True)
class Alike:
    """Pictures by their rows, each nearly the same as at least one other of them.

    rows: the nearest two first, of different splits if any two such are near; then the others, the nearest
    first. bits: in which the hashes of the first two differ, of 256. cosine: of their features. across: how
    many pictures are near to one of another split.
    """

    rows: tuple[int, ...]
    bits: int
    cosine: float
    across: int


def perceptual_hash(path: Any) -> NDArray[np.uint8]:
    """Return 256 bits, (32,) uint8: which low frequencies of the grey picture are above their median.

    The lowest 16 × 16 coefficients of the cosine transform at 64 × 64 pixels, after Zauner, Implementation
    and Benchmarking of Perceptual Image Hash Functions (2010). Takes what `Preprocess` takes.
    """
    grey = _SMALL(path).astype(np.float64) @ (0.299, 0.587, 0.114)
    frequencies = dctn(grey, norm="ortho")[:_KEPT, :_KEPT]
    frequencies[0, 0] = 0  # The brightness.
    return np.packbits(frequencies > np.median(frequencies))


def find_near_duplicates(
    features: NDArray[Any],
    hashes: Sequence[NDArray[np.uint8]],
    contents: Sequence[Hashable],
    splits: Sequence[Hashable],
) -> list[Alike]:
    """Group pictures by the pairs that pass both tests: groups across splits first, then the nearest.

    Args:
        features: (n, width), of all pictures. hashes: of each, see `perceptual_hash`.
        contents: of each; equal ones make no pair. splits: of each.
    """
    x, signs = unit(features), _signs(hashes)
    groups, nearest, distances = np.arange(len(x)), np.arange(len(x)), np.full(len(x), np.inf)
    for block, apart in _compared(x, signs, _numbers(contents), _numbers(splits)):
        nearest[block], distances[block] = apart.argmin(axis=1), apart.min(axis=1)
        for row, near in enumerate(np.isfinite(apart), block.start):
            _join(groups, np.append(np.flatnonzero(near), row))

    def alike(rows: NDArray[np.int64]) -> Alike:
        first, *others = rows[np.argsort(distances[rows], kind="stable")].tolist()
        second = int(nearest[first])
        others.remove(second)
        bits, cosine = int((signs[first] != signs[second]).sum()), min(float(x[first] @ x[second]), 1.0)
        return Alike((first, second, *others), bits, cosine, int((distances[rows] < _SAME_SPLIT / 2).sum()))

    found = [alike(np.flatnonzero(groups == name)) for name in np.unique(groups[np.isfinite(distances)])]
    return sorted(found, key=lambda one: (one.across == 0, one.bits, -one.cosine))


def _compared(
    x: NDArray[np.float32],
    signs: NDArray[np.float32],
    contents: NDArray[np.int64],
    splits: NDArray[np.int64],
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield blocks of rows and how far each is from all others, (rows, n): infinitely where a test fails.

    Pairs of one split are farther than any across splits; then bits count, then the cosine.
    """
    for start in range(0, len(x), _BLOCK):
        block = slice(start, start + _BLOCK)
        cosines = np.minimum(x[block] @ x.T, 1)
        bits = (signs.shape[1] - signs[block] @ signs.T) / 2
        near = (cosines >= MIN_COSINE) & (bits <= MAX_BITS) & (contents[block, None] != contents)
        split = _SAME_SPLIT * (splits[block, None] == splits)
        yield block, np.where(near, split + bits - cosines, np.float32(np.inf))


def _join(groups: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
    """Let the groups of these rows be one, named by its least row."""
    names = np.unique(groups[rows])
    if len(names) > 1:
        groups[np.isin(groups, names)] = names[0]


def _numbers(given: Sequence[Hashable]) -> NDArray[np.int64]:
    """Give equal things equal numbers: arrays compare those."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(one, len(numbers)) for one in given])


def _signs(hashes: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Turn bits into ±1, (n, bits): the product of two hashes then counts agreeing less differing bits.

    A product of matrices compares all pairs at once, and whole numbers this small are exact in float32.
    """
    signs: NDArray[np.float32] = np.unpackbits(np.stack(hashes), axis=1).astype(np.float32) * 2 - 1
    return signs
