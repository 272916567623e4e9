"""Attention that OpenVINO 2026.4 computes wrongly on a CPU: `python -m benchmarks.attention`.

Where a picture has as many tokens as there are heads, its fused attention of fixed shape answers something
else, in float32 and without an error. Found by an export that was refused: MobileViT at 64 pixels has four
heads and four tokens. Prints the error against numpy, as a share of the range, by heads and tokens.
"""

import sys

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino import opset13 as ops

_WIDTH = 32  # of a head


def main() -> int:
    """Compare, and tell whether the fault is still there."""
    core, faulty = openvino.Core(), 0
    print(openvino.get_version())
    for heads, tokens in ((2, 2), (4, 4), (8, 8), (12, 12), (16, 16), (4, 8), (8, 4), (12, 196)):
        x = np.random.default_rng(0).normal(size=(2, tokens, 3 * heads * _WIDTH)).astype(np.float32)
        compiled = core.compile_model(_attention(x.shape, heads), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        wanted = _by_numpy(x, heads)
        off = float(np.abs(compiled({0: x})[0] - wanted).max() / np.ptp(wanted))
        faulty += off > 1e-3
        print(f"{heads:3} heads, {tokens:3} tokens: {off:.0e}")
    return int(faulty > 0)


def _attention(shape: tuple[int, ...], heads: int) -> openvino.Model:
    """Return softmax(q kᵀ / √width) v of heads that lie side by side in the input, as networks write it."""

    def constant(values: object) -> openvino.Node:
        return ops.constant(np.asarray(values))

    pictures, tokens, _ = shape
    x = ops.parameter(shape, np.float32)
    split = ops.reshape(x, constant([pictures, tokens, 3, heads, _WIDTH]), False)
    parts = ops.split(ops.transpose(split, constant([2, 0, 3, 1, 4])), constant(0), 3)
    q, k, v = (ops.squeeze(parts.output(number), constant([0])) for number in range(3))
    q = ops.multiply(q, ops.constant(np.float32(_WIDTH**-0.5)))
    scores = ops.matmul(q, ops.transpose(k, constant([0, 1, 3, 2])), False, False)
    mixed = ops.transpose(ops.matmul(ops.softmax(scores, -1), v, False, False), constant([0, 2, 1, 3]))
    return openvino.Model([ops.reshape(mixed, constant([pictures, tokens, heads * _WIDTH]), False)], [x])


def _by_numpy(x: NDArray[np.float32], heads: int) -> NDArray[np.float64]:
    pictures, tokens, width = x.shape
    split = x.astype(np.float64).reshape(pictures, tokens, 3, heads, _WIDTH)
    q, k, v = split.transpose(2, 0, 3, 1, 4)
    scores = np.exp(_WIDTH**-0.5 * q @ k.swapaxes(2, 3))
    mixed = scores / scores.sum(axis=-1, keepdims=True) @ v
    return mixed.transpose(0, 2, 1, 3).reshape(pictures, tokens, width // 3)


if __name__ == "__main__":
    sys.exit(main())
