"""Runs pictures through a .tflite file by TensorFlow Lite Micro's reference kernels for int8.

A program of its own, for the interpreter of the tools' environment, where nothing of edgetl is installed:

    python ethosu_kernels.py model.tflite pixels.npy outputs.npy

pixels: (n, size, size, 3) int8. outputs: (n, values) int8, flat.
"""

import sys
from pathlib import Path

import numpy as np

# All layers that are alive at a time, for the largest networks that are exported.
_ARENA_BYTES = 64 * 2**20


def main(model: str, pixels: str, outputs: str) -> None:
    """Write what the model gives for each picture."""
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(Path(model).read_bytes(), arena_size=_ARENA_BYTES)
    found = []
    for picture in np.load(pixels, mmap_mode="r", allow_pickle=False):
        interpreter.set_input(np.ascontiguousarray(picture[np.newaxis]), 0)
        interpreter.invoke()
        found.append(interpreter.get_output(0).reshape(-1))
    np.save(outputs, np.stack(found), allow_pickle=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
