"""Fashion-MNIST out of Debian's package dataset-fashion-mnist (MIT), unpacked without installing it."""

import gzip
import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_PACKAGE = "dataset-fashion-mnist"
_STEMS = {"train": "train", "test": "t10k"}
Bytes = NDArray[np.uint8]


def arrays(folder: Path, part: str) -> tuple[Bytes, Bytes]:
    """Return pictures, (n, 28, 28), and labels, (n,), of "train" or "test"; fetched into `folder` once."""
    package = folder / _PACKAGE
    if not package.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", _PACKAGE], cwd=folder, check=True, capture_output=True)
        archive = next(folder.glob(f"{_PACKAGE}_*.deb"))
        subprocess.run(["dpkg-deb", "-x", archive, package], check=True)
        archive.unlink()
    images, labels = (
        _idx(next(package.rglob(f"{_STEMS[part]}-{kind}-ubyte.gz")))
        for kind in ("images-idx3", "labels-idx1")
    )
    return images, labels


def _idx(path: Path) -> Bytes:
    """Read a file of the IDX format: a magic number that ends in the number of sides, the sides, bytes."""
    data = gzip.decompress(path.read_bytes())
    sides = np.frombuffer(data, ">i4", count=data[3], offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(sides)
