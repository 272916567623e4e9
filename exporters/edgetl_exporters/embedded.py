"""A variant for firmware on its way into a bundle: its files, and what they answer by the reference kernels.

The compiled file runs on nothing but its NPU. So the numbers are those of the file before it was compiled, by
the kernels whose arithmetic the compiler follows. None of it was measured on hardware.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgetl_exporters.ethosu_tools import run_kernels
from edgetl_exporters.model import Floats, Pixels
from edgetl_runtime.integer_core import IntegerCore, Port

REFERENCE, HEAD = "models/model.ethos-u.tflite", "models/model.ethos-u.head.npy"

_SHIFT = 128


@dataclass(frozen=True, slots=True)
class Embedded:
    """The files of a variant for firmware.

    compiled: for the NPU. reference: before that. head: of the epilogue. quantized: the QDQ file that all of
    it comes from.
    """

    compiled: Path
    reference: Path
    head: Path
    quantized: Path
    core: IntegerCore

    def sources(self, stem: str) -> dict[str, Path]:
        """Return where the files lie, by their paths in the bundle; the one to flash comes first."""
        return {f"models/{stem}.tflite": self.compiled, REFERENCE: self.reference, HEAD: self.head}

    def logits(self, pixels: Pixels) -> Floats:
        """Return logits (n, classes) by the reference kernels and the epilogue."""
        return kernel_logits(self.reference, self.head, self.core.output, pixels)


def kernel_logits(reference: Path, head: Path, output: Port, pixels: Pixels) -> Floats:
    """Run pictures, (n, size, size, 3) uint8, through a file and what follows it; return (n, classes)."""
    shifted = (pixels.astype(np.int16) - _SHIFT).astype(np.int8)
    features = run_kernels(reference, shifted, reference.parent)
    return epilogue(features.astype(np.float32), output, np.load(head, allow_pickle=False))


def epilogue(features: Floats, output: Port, head: Floats) -> Floats:
    """Return logits (n, classes) of features in whole numbers: dequantized, then a linear layer in float."""
    values = np.float32(output.scale) * (features - np.float32(output.zero_point))
    return np.asarray(values @ head[:, :-1].T + head[:, -1], np.float32)


def write_head(weight: Floats, bias: Floats, out: Path) -> None:
    """Write a linear layer, (classes, width) and (classes,), its bias as the last column."""
    np.save(out, np.concatenate([weight, bias[:, np.newaxis]], axis=1).astype(np.float32), allow_pickle=False)
