"""The spectrum of a matrix of features, from which ridge regression and LogME follow in closed form."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_RANK_TOLERANCE = 1e-10


@dataclass(frozen=True, slots=True)
class Spectrum:
    """A matrix as `basis · diag(√squares) · some rotation`.

    basis: (n, rank), orthonormal columns. squares: (rank,), the squared singular values, all above zero.
    """

    basis: Floats
    squares: Floats


def spectrum(features: NDArray[Any]) -> Spectrum:
    """Decompose features, (n, width), by the smaller of their two Gram matrices."""
    x = features.astype(np.float64)
    n, width = x.shape
    squares, vectors = np.linalg.eigh(x @ x.T if n <= width else x.T @ x)
    kept = squares > _RANK_TOLERANCE * max(float(squares[-1]), np.finfo(np.float64).tiny)
    squares, vectors = squares[kept], vectors[:, kept]
    return Spectrum(vectors if n <= width else x @ vectors / np.sqrt(squares), squares)
