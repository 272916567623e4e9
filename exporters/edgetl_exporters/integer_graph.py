"""A network in whole numbers, as an NPU takes it: int8 tensors, channels last, one picture.

Knows neither the format it was read from nor the one it is written in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.errors import ContractError

OperatorKind = Literal[
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "PAD",
    "ADD",
    "MUL",
    "MEAN",
    "MAX_POOL_2D",
    "CONCATENATION",
    "RELU",
    "RELU6",
    "LOGISTIC",
    "HARD_SWISH",
]


@dataclass(frozen=True, slots=True, eq=False)
class IntegerTensor:
    """A tensor of whole numbers; the number q stands for scale · (q - zero_point).

    scales: one for all of it, or one for each place along `axis`; none for what is no quantity, such as the
    widths of a border. values: of a constant.
    """

    name: str
    shape: tuple[int, ...]
    scales: tuple[float, ...] = ()
    zero_point: int = 0
    axis: int = 0
    values: NDArray[Any] | None = None  # int8, or int32 for biases and for what is no quantity

    def __post_init__(self) -> None:
        if self.values is not None and self.values.shape != self.shape:
            raise ContractError(f"{self.name!r} must have the shape {self.shape}, got {self.values.shape}.")
        if len(self.scales) not in (0, 1) and len(self.scales) != self.shape[self.axis]:
            raise ContractError(f"{self.name!r} must have a scale for each channel, got {len(self.scales)}.")
        if not all(np.isfinite(scale) and scale > 0 for scale in self.scales):
            raise ContractError(f"{self.name!r} must have scales above 0, got {self.scales[:5]}.")


@dataclass(frozen=True, slots=True)
class IntegerOperator:
    """An operator. name: of the layer that it comes from. settings: strides, padding and such, by name."""

    kind: OperatorKind
    name: str
    inputs: tuple[str, ...]
    output: str
    settings: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class IntegerGraph:
    """Operators in an order in which they can run, over tensors by name; one input, one output."""

    tensors: Mapping[str, IntegerTensor]
    operators: tuple[IntegerOperator, ...]
    input: str
    output: str

    def __post_init__(self) -> None:
        known = {self.input, *(name for name, one in self.tensors.items() if one.values is not None)}
        for operator in self.operators:
            if missing := [name for name in operator.inputs if name not in known]:
                raise ContractError(f"{operator.name!r} reads {missing[0]!r}, which nothing gives it.")
            known.add(operator.output)
        if self.output not in known:
            raise ContractError(f"Nothing gives the output {self.output!r}.")
