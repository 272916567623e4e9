"""A network in whole numbers → a .tflite file. The only file here that imports flatbuffers and tflite.

tflite is the schema of the format and nothing else: no framework converts, so that the numbers stay ours.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
import tflite

from edgetl_exporters.integer_graph import IntegerGraph, IntegerOperator, IntegerTensor

# A model of TFLite says so in these bytes, from the fifth on.
IDENTIFIER = b"TFL3"

_SCHEMA = 3
_TYPES = {"int8": tflite.TensorType.INT8, "int32": tflite.TensorType.INT32}
# Of each operator the version that knows int8, and the table of its settings; without settings there is none.
_OPERATORS: Mapping[str, tuple[int, str | None]] = {
    "CONV_2D": (3, "Conv2DOptions"),
    "DEPTHWISE_CONV_2D": (3, "DepthwiseConv2DOptions"),
    "PAD": (2, "PadOptions"),
    "ADD": (2, "AddOptions"),
    "MUL": (2, "MulOptions"),
    "MEAN": (2, "ReducerOptions"),
    "MAX_POOL_2D": (2, "Pool2DOptions"),
    "CONCATENATION": (2, "ConcatenationOptions"),
    "RELU": (2, None),
    "RELU6": (2, None),
    "LOGISTIC": (2, None),
    "HARD_SWISH": (1, "HardSwishOptions"),
}
_SETTINGS = {
    "stride_h": "StrideH",
    "stride_w": "StrideW",
    "dilation_h": "DilationHFactor",
    "dilation_w": "DilationWFactor",
    "filter_h": "FilterHeight",
    "filter_w": "FilterWidth",
    "padding": "Padding",
    "multiplier": "DepthMultiplier",
    "keep_dims": "KeepDims",
    "axis": "Axis",
}
_ALIGNED_BYTES = 16


def to_tflite(graph: IntegerGraph, name: str) -> bytes:
    """Return the bytes of the file; equal graphs give equal bytes."""
    builder = flatbuffers.Builder(1 << 20)
    kinds = sorted({operator.kind for operator in graph.operators})
    names = list(graph.tensors)
    buffers = [_buffer(builder, None)]  # The format wants the first one empty.
    tensors = []
    for tensor in graph.tensors.values():
        tensors.append(_tensor(builder, tensor, 0 if tensor.values is None else len(buffers)))
        if tensor.values is not None:
            buffers.append(_buffer(builder, tensor))
    operators = [_operator(builder, one, kinds.index(one.kind), names) for one in graph.operators]
    parts = {
        "Tensors": _tables(builder, tensors),
        "Inputs": _whole(builder, [names.index(graph.input)]),
        "Outputs": _whole(builder, [names.index(graph.output)]),
        "Operators": _tables(builder, operators),
        "Name": builder.CreateString("main"),
    }
    main = _table(builder, "SubGraph", parts)
    model = {
        "OperatorCodes": _tables(builder, [_code(builder, kind) for kind in kinds]),
        "Subgraphs": _tables(builder, [main]),
        "Description": builder.CreateString(name),
        "Buffers": _tables(builder, buffers),
    }
    builder.Finish(_table(builder, "Model", {"Version": _SCHEMA} | model), IDENTIFIER)
    return bytes(builder.Output())


def operators_in(data: bytes) -> list[tuple[str, str]]:
    """Return the operators of a file in their order: what each is, custom ones by their own name, and the
    tensor that it gives.
    """
    model = tflite.Model.GetRootAs(data, 0)
    names = {number: name for name, number in vars(tflite.BuiltinOperator).items() if name.isupper()}
    found = []
    for part in range(model.SubgraphsLength()):
        graph = model.Subgraphs(part)
        for operator in map(graph.Operators, range(graph.OperatorsLength())):
            code = model.OperatorCodes(operator.OpcodeIndex())
            custom = code.CustomCode()
            number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
            kind = custom.decode() if custom else names.get(number, str(number))
            found.append((kind, graph.Tensors(operator.Outputs(0)).Name().decode()))
    return found


def _table(builder: Any, kind: str, values: Mapping[str, Any]) -> int:  # flatbuffers has no types
    getattr(tflite, f"{kind}Start")(builder)
    for key, value in values.items():
        _schema(kind, f"Add{key}")(builder, value)
    end: int = getattr(tflite, f"{kind}End")(builder)
    return end


def _schema(kind: str, what: str) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(tflite, f"{kind}{what}")
    return function


def _code(builder: Any, kind: str) -> int:
    number = getattr(tflite.BuiltinOperator, kind)
    told = {"DeprecatedBuiltinCode": number, "BuiltinCode": number, "Version": _OPERATORS[kind][0]}
    return _table(builder, "OperatorCode", told)


def _buffer(builder: Any, tensor: IntegerTensor | None) -> int:
    if tensor is None or tensor.values is None:
        return _table(builder, "Buffer", {})
    data = np.frombuffer(tensor.values.astype(tensor.values.dtype.newbyteorder("<")).tobytes(), np.uint8)
    builder.StartVector(1, len(data), _ALIGNED_BYTES)
    builder.head = builder.head - len(data)
    builder.Bytes[builder.head : builder.head + len(data)] = data.tobytes()
    return _table(builder, "Buffer", {"Data": builder.EndVector()})


def _tensor(builder: Any, tensor: IntegerTensor, buffer: int) -> int:
    name, shape = builder.CreateString(tensor.name), _whole(builder, tensor.shape)
    dtype = "int8" if tensor.values is None else tensor.values.dtype.name
    told = {"Shape": shape, "Type": _TYPES[dtype], "Buffer": buffer, "Name": name}
    if tensor.scales:
        told["Quantization"] = _steps(builder, tensor)
    return _table(builder, "Tensor", told)


def _steps(builder: Any, tensor: IntegerTensor) -> int:
    told = {
        "Scale": builder.CreateNumpyVector(np.asarray(tensor.scales, np.float32)),
        "ZeroPoint": builder.CreateNumpyVector(np.full(len(tensor.scales), tensor.zero_point, np.int64)),
        "QuantizedDimension": tensor.axis if len(tensor.scales) > 1 else 0,
    }
    return _table(builder, "QuantizationParameters", told)


def _operator(builder: Any, operator: IntegerOperator, code: int, names: Sequence[str]) -> int:
    told = {
        "OpcodeIndex": code,
        "Inputs": _whole(builder, [names.index(name) for name in operator.inputs]),
        "Outputs": _whole(builder, [names.index(operator.output)]),
    }
    table = _OPERATORS[operator.kind][1]
    if table is not None:
        settings = {_SETTINGS[key]: value for key, value in operator.settings.items()}
        told["BuiltinOptionsType"] = getattr(tflite.BuiltinOptions, table)
        told["BuiltinOptions"] = _table(builder, table, settings)
    return _table(builder, "Operator", told)


def _whole(builder: Any, numbers: Sequence[int]) -> int:
    vector: int = builder.CreateNumpyVector(np.asarray(numbers, np.int32))
    return vector


def _tables(builder: Any, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    vector: int = builder.EndVector()
    return vector
