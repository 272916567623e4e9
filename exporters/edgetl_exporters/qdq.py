"""Reads a quantized ONNX graph: which tensors are whole numbers, and what the numbers stand for."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, numpy_helper

from edgetl_runtime.errors import ContractError

_QUANTIZING = ("QuantizeLinear", "DequantizeLinear")
_FLATTENING = ("Reshape", "Flatten", "Squeeze", "Identity")


class Qdq:
    """A graph whose shapes are known.

    nodes: those that compute: without the pairs that quantize, and without those that take a map of one pixel
    for a row. makers: the node that gives a tensor. shapes: of tensors that are no constants.
    """

    def __init__(self, graph: GraphProto) -> None:
        self.graph = graph
        self.makers = {name: node for node in graph.node for name in node.output}
        self.shapes = {
            value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
            for value in (*graph.value_info, *graph.input, *graph.output)
        }
        self._stored = {tensor.name: tensor for tensor in graph.initializer}
        self.nodes: Sequence[NodeProto] = [node for node in graph.node if not self._changes_nothing(node)]
        self._quantizers = {node.input[0]: node for node in graph.node if node.op_type == "QuantizeLinear"}

    def array(self, name: str) -> NDArray[Any]:
        """Return the values of a constant that is stored as it is."""
        if name not in self._stored:
            raise ContractError(f"{name!r} must be a constant. Export the model again.")
        values: NDArray[Any] = numpy_helper.to_array(self._stored[name])
        return values

    def is_constant(self, name: str) -> bool:
        """Tell whether a tensor is stored, as it is or in whole numbers."""
        maker = self.makers.get(name)
        return name in self._stored or (
            maker is not None and maker.op_type == "DequantizeLinear" and maker.input[0] in self._stored
        )

    def is_integer(self, node: NodeProto) -> bool:
        """Tell whether all that a node reads and gives is in whole numbers, but for plain constants."""
        read = [name for name in node.input if name and not self.is_constant(name)]
        return all(self._is_dequantized(name) for name in read) and node.output[0] in self._quantizers

    def before(self, name: str) -> str:
        """Return the tensor that was quantized, dequantized and flattened to this one."""
        while (maker := self.makers.get(name)) is not None and self._changes_nothing(maker):
            name = maker.input[0]
        return name

    def activation(self, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return scale and zero point with which a tensor is quantized."""
        return self._steps(self._quantizers[name])

    def weight(self, name: str) -> tuple[NDArray[Any], tuple[float, ...]]:
        """Return a stored tensor in whole numbers, and its scales.

        Raises:
            ContractError: it is no constant in whole numbers, or one of them stands for zero that is not 0.
        """
        maker = self.makers.get(name)
        if maker is None or maker.op_type != "DequantizeLinear" or not self.is_constant(name):
            raise ContractError(f"{name!r} must be quantized. Export the model again.")
        scale, zero = self._steps(maker)
        if np.any(zero):
            raise ContractError(
                f"{name!r} must be quantized around 0, got the zero points {zero.tolist()!r}."
            )
        return self.array(maker.input[0]), tuple(np.atleast_1d(scale).tolist())

    def _is_dequantized(self, name: str) -> bool:
        maker = self.makers.get(name)
        return maker is not None and maker.op_type == "DequantizeLinear"

    def _changes_nothing(self, node: NodeProto) -> bool:
        if node.op_type in _QUANTIZING:
            return True
        before, after = self.shapes.get(node.input[0], ()), self.shapes.get(node.output[0], ())
        return node.op_type in _FLATTENING and before[:2] == after[:2] and set(before[2:] + after[2:]) <= {1}

    def _steps(self, node: NodeProto) -> tuple[NDArray[Any], NDArray[Any]]:
        return self.array(node.input[1]), self.array(node.input[2])
