"""An ONNX graph as a function of float64 tensors of PyTorch, which autograd differentiates.

All floats of the file, of any width, are computed in float64: what remains of a narrow file is the rounding of its
weights. With ``rounding`` each result is rounded to a type, as by kernels that compute one op at a time, and slopes
pass through the rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import helper, numpy_helper

from xaionnx.graph.opset import sort_nodes

FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE)
Tensor = torch.Tensor
# One function an op: attributes, operands (None where omitted) and the version of the op set, to outputs.
Op = Callable[[dict[str, Any], list[Any], int], Any]


class TorchGraph:
    """Run ``proto`` on feeds by name; returns every tensor by name.

    Parameters
    ----------
    proto : onnx.ModelProto
        Without control flow.
    rounding : torch.dtype, optional
        Type to which the floats that a node returns are rounded.
    integers : bool
        Whether quantised numbers are rounded and cut to their range.
    """

    def __init__(self, proto: onnx.ModelProto, rounding: torch.dtype | None = None, *, integers: bool = True) -> None:
        self.proto, self._rounding = proto, rounding
        self._ops = OPS if integers else {**OPS, "QuantizeLinear": _scaled}
        sort_nodes(proto.graph)
        self._weights = {tensor.name: _tensor(tensor) for tensor in proto.graph.initializer}
        self._version = next((e.version for e in proto.opset_import if e.domain in ("", "ai.onnx")), 1)

    def __call__(self, feeds: Mapping[str, Any]) -> dict[str, Tensor]:
        known: dict[str, Any] = {"": None, **self._weights}
        for name, value in feeds.items():
            known[name] = _wide(value if isinstance(value, Tensor) else torch.from_numpy(np.array(value)))
        for node in self.proto.graph.node:
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            operands = [known[name] for name in node.input]
            if node.op_type not in self._ops:
                raise NotImplementedError(f"{node.domain}.{node.op_type}")
            made = self._ops[node.op_type](attributes, operands, self._version)
            made = made if isinstance(made, (tuple, list)) else [made]
            for name, value in zip(node.output, made, strict=False):
                known[name] = self._rounded(value) if node.op_type not in MOVES else value
        return known

    def _rounded(self, value: Tensor) -> Tensor:
        if self._rounding is None or not value.is_floating_point():
            return value
        return value + (value.detach().to(self._rounding).double() - value.detach())


def _tensor(proto: onnx.TensorProto) -> Tensor:
    array = numpy_helper.to_array(proto)
    if proto.data_type in FLOATS:
        array = array.astype(np.float64)
    return torch.from_numpy(np.array(array))


def _wide(value: Tensor) -> Tensor:
    return value.double() if value.is_floating_point() else value


def _ints(value: Any) -> list[int]:
    return [int(v) for v in (value.reshape(-1).tolist() if isinstance(value, Tensor) else value)]


def _cast(a: dict[str, Any], x: list[Any], version: int) -> Tensor:
    if a["to"] in FLOATS:
        return x[0].double()
    kind = torch.from_numpy(np.zeros(0, helper.tensor_dtype_to_np_dtype(a["to"]))).dtype
    return x[0].to(kind)


def _conv(a: dict[str, Any], x: list[Any], version: int) -> Tensor:
    n = x[1].dim() - 2
    pads, strides, dilations = _window(a, n)
    if any(pads):
        x = [F.pad(x[0], _torch_pads(pads)), *x[1:]]
    bias = x[2] if len(x) > 2 else None
    return (F.conv1d, F.conv2d, F.conv3d)[n - 1](x[0], x[1], bias, strides, 0, dilations, a.get("group", 1))


def _window(a: dict[str, Any], n: int) -> tuple[list[int], list[int], list[int]]:
    assert a.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
    return list(a.get("pads", [0] * 2 * n)), list(a.get("strides", [1] * n)), list(a.get("dilations", [1] * n))


def _torch_pads(pads: Sequence[int]) -> list[int]:
    n = len(pads) // 2
    return [p for axis in reversed(range(n)) for p in (pads[axis], pads[axis + n])]


def _conv_transpose(a: dict[str, Any], x: list[Any], version: int) -> Tensor:
    n = x[1].dim() - 2
    pads, strides, dilations = _window(a, n)
    extra = list(a.get("output_padding", [0] * n))
    bias = x[2] if len(x) > 2 else None
    op = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[n - 1]
    # Output padding may exceed the stride here: it is cut from, or filled into, the full result.
    full = op(x[0], x[1], None, strides, 0, 0, a.get("group", 1), dilations)
    shift = [-p for p in pads]
    for axis in range(n):
        shift[axis + n] += extra[axis]
    full = F.pad(full, _torch_pads(shift))
    return full if bias is None else full + bias.reshape(-1, *[1] * n)


def _max_pool(a: dict[str, Any], x: list[Any], version: int) -> tuple[Tensor, Tensor]:
    kernel = list(a["kernel_shape"])
    n = len(kernel)
    pads, strides, dilations = _window(a, n)
    size = x[0].shape[2:]
    padded = F.pad(x[0], _torch_pads(pads), value=-math.inf)
    op = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[n - 1]
    y, at = op(padded, kernel, strides, 0, dilations, bool(a.get("ceil_mode", 0)), True)
    # Positions in the padded maps become those in the flat tensor.
    sizes, places = list(padded.shape[2:]), []
    for axis in reversed(range(n)):
        places.append(at % sizes[axis] - pads[axis])
        at = at // sizes[axis]
    flat = torch.zeros_like(places[0])
    for axis, place in enumerate(reversed(places)):
        flat = flat * size[axis] + place
    planes = torch.arange(y.shape[0] * y.shape[1]).reshape(y.shape[0], y.shape[1], *[1] * n) * math.prod(size)
    return y, flat + planes


def _average_pool(a: dict[str, Any], x: list[Any], version: int) -> Tensor:
    kernel = list(a["kernel_shape"])
    n = len(kernel)
    pads, strides, _ = _window(a, n)
    ones = torch.ones(1, 1, *x[0].shape[2:], dtype=torch.float64)
    op = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[n - 1]

    def summed(v: Tensor, value: float) -> Tensor:
        return op(F.pad(v, _torch_pads(pads), value=value), kernel, strides) * math.prod(kernel)

    return summed(x[0], 0.0) / summed(ones, float(a.get("count_include_pad", 0)))


def _axes(a: dict[str, Any], x: list[Any]) -> list[int] | None:
    if len(x) > 1 and x[1] is not None:
        return _ints(x[1]) or None
    return list(a["axes"]) if "axes" in a else None


def _reduced(function: Callable[..., Tensor]) -> Op:
    def op(a: dict[str, Any], x: list[Any], version: int) -> Tensor:
        axes = _axes(a, x)
        if axes is None:
            if a.get("noop_with_empty_axes", 0):
                return x[0]
            axes = list(range(x[0].dim()))
        return function(x[0], dim=tuple(axes), keepdim=bool(a.get("keepdims", 1))) if axes else x[0]

    return op


def _reshape(a: dict[str, Any], x: list[Any], version: int) -> Tensor:
    sizes = _ints(x[1])
    if not a.get("allowzero", 0):
        sizes = [x[0].shape[at] if size == 0 else size for at, size in enumerate(sizes)]
    return x[0].reshape(sizes)


def _slice(a: dict[str, Any], x: list[Any], version: int) -> Tensor:
    starts, ends = _ints(x[1]), _ints(x[2])
    axes = _ints(x[3]) if len(x) > 3 and x[3] is not None else list(range(len(starts)))
    steps = _ints(x[4]) if len(x) > 4 and x[4] is not None else [1] * len(starts)
    y = x[0]
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = y.shape[axis]
        low = -size - 1 if end < -size else end
        positions = range(size)[slice(start, None if step < 0 and low < -size else end, step)]
        y = y.index_select(axis, torch.tensor(list(positions), dtype=torch.int64))
    return y


def _gather(a: dict[str, Any], x: list[Any], version: int) -> Tensor:
    axis = a.get("axis", 0) % x[0].dim()
    at = x[1].long()
    at = torch.where(at < 0, at + x[0].shape[axis], at)
    y = x[0].index_select(axis, at.reshape(-1))
    return y.reshape([*x[0].shape[:axis], *at.shape, *x[0].shape[axis + 1 :]])


def _scatter_elements(a: dict[str, Any], x: list[Any], version: int) -> Tensor:
    at, axis = x[1].long(), a.get("axis", 0)
    if a.get("reduction", b"none") == b"add":
        return x[0].scatter_add(axis, at, x[2])
    return x[0].scatter(axis, at, x[2])


def _pad(a: dict[str, Any], x: list[Any], version: int) -> Tensor:
    pads = _ints(x[1])
    if len(x) > 3 and x[3] is not None:
        axes, rank = _ints(x[3]), x[0].dim()
        full = [0] * 2 * rank
        for at, axis in enumerate(axes):
            full[axis % rank], full[axis % rank + rank] = pads[at], pads[at + len(axes)]
        pads = full
    value = float(x[2]) if len(x) > 2 and x[2] is not None else 0.0
    mode = a.get("mode", b"constant").decode()
    if mode == "constant":
        return F.pad(x[0], _torch_pads(pads), value=value)
    return F.pad(x[0], _torch_pads(pads)[:4], mode={"edge": "replicate"}.get(mode, mode))


def _split(a: dict[str, Any], x: list[Any], version: int) -> list[Tensor]:
    axis = a.get("axis", 0)
    if len(x) > 1 and x[1] is not None:
        return list(x[0].split(_ints(x[1]), axis))
    if "split" in a:
        return list(x[0].split(list(a["split"]), axis))
    return list(x[0].chunk(a["num_outputs"], axis))


def _norm(a: dict[str, Any], x: list[Any], version: int) -> tuple[Tensor, Tensor, Tensor]:
    dims = tuple(range(a.get("axis", -1) % x[0].dim(), x[0].dim()))
    mean = x[0].mean(dims, keepdim=True)
    inverse = 1 / torch.sqrt((x[0] - mean).square().mean(dims, keepdim=True) + a.get("epsilon", 1e-5))
    y = (x[0] - mean) * inverse * x[1]
    return (y if len(x) < 3 or x[2] is None else y + x[2]), mean, inverse


def _batch_norm(a: dict[str, Any], x: list[Any], version: int) -> Tensor:
    scale, bias, mean, variance = (v.reshape(-1, *[1] * (x[0].dim() - 2)) for v in x[1:5])
    return (x[0] - mean) / torch.sqrt(variance + a.get("epsilon", 1e-5)) * scale + bias


def _gemm(a: dict[str, Any], x: list[Any], version: int) -> Tensor:
    left = x[0].T if a.get("transA", 0) else x[0]
    right = x[1].T if a.get("transB", 0) else x[1]
    y = a.get("alpha", 1.0) * (left @ right)
    return y if len(x) < 3 or x[2] is None else y + a.get("beta", 1.0) * x[2]


def _squeeze(a: dict[str, Any], x: list[Any], version: int) -> Tensor:
    axes = _axes(a, x)
    axes = [at for at, size in enumerate(x[0].shape) if size == 1] if axes is None else axes
    return x[0].squeeze(tuple(axes))


def _unsqueeze(a: dict[str, Any], x: list[Any], version: int) -> Tensor:
    axes = _axes(a, x) or []
    y, rank = x[0], x[0].dim() + len(axes)
    for axis in sorted(at % rank for at in axes):
        y = y.unsqueeze(axis)
    return y


def _constant(a: dict[str, Any], x: list[Any], version: int) -> Tensor:
    ((name, value),) = a.items()
    if name == "value":
        return _tensor(value)
    return torch.tensor(value, dtype=torch.float64 if "float" in name else torch.int64)


def _constant_of_shape(a: dict[str, Any], x: list[Any], version: int) -> Tensor:
    value = _tensor(a["value"]).reshape(()) if "value" in a else torch.zeros((), dtype=torch.float64)
    return value.expand(_ints(x[0])).clone()


def _divided(a: dict[str, Any], x: list[Any], version: int) -> Tensor:
    if x[0].is_floating_point():
        return x[0] / x[1]
    return torch.div(x[0], x[1], rounding_mode="trunc")


def _clip(a: dict[str, Any], x: list[Any], version: int) -> Tensor:
    low = x[1] if len(x) > 1 else a.get("min")
    high = x[2] if len(x) > 2 else a.get("max")
    y = x[0] if low is None else torch.maximum(x[0], torch.as_tensor(low, dtype=x[0].dtype))
    return y if high is None else torch.minimum(y, torch.as_tensor(high, dtype=x[0].dtype))


def _shape(a: dict[str, Any], x: list[Any], version: int) -> Tensor:
    sizes = list(x[0].shape)[a.get("start", 0) : a.get("end")]
    return torch.tensor(sizes, dtype=torch.int64)


def _where(a: dict[str, Any], x: list[Any], version: int) -> Tensor:
    return torch.where(x[0], x[1], x[2])


def _hard_sigmoid(a: dict[str, Any], x: list[Any], version: int) -> Tensor:
    # Wide steps of gradient graphs overflow in float32 only.
    return torch.clamp(a.get("alpha", 0.2) * x[0] + a.get("beta", 0.5), 0, 1)


def _softmax(function: Callable[..., Tensor]) -> Op:
    return lambda a, x, version: function(x[0], dim=a.get("axis", -1 if version >= 13 else 1))


def _folded(function: Callable[[Any, Any], Tensor]) -> Op:
    def op(a: dict[str, Any], x: list[Any], version: int) -> Tensor:
        y = x[0]
        for other in x[1:]:
            y = function(y, other)
        return y

    return op


def _quantise(a: dict[str, Any], x: list[Any], version: int) -> Tensor:
    """Integers as float64; slopes pass where the integer is within its range."""
    scale = _along(x[1], x[0], a)
    zero = torch.zeros((), dtype=torch.uint8) if len(x) < 3 or x[2] is None else x[2]
    low, high = (torch.iinfo(zero.dtype).min, torch.iinfo(zero.dtype).max)
    steps = x[0] / scale
    steps = steps + (torch.round(steps) - steps).detach()
    return torch.clamp(steps + _along(zero, x[0], a).double(), low, high)


def _scaled(a: dict[str, Any], x: list[Any], version: int) -> Tensor:
    zero = 0 if len(x) < 3 or x[2] is None else _along(x[2], x[0], a).double()
    return x[0] / _along(x[1], x[0], a) + zero


def _dequantise(a: dict[str, Any], x: list[Any], version: int) -> Tensor:
    numbers = x[0].double()
    if len(x) > 2 and x[2] is not None:
        numbers = numbers - _along(x[2], numbers, a).double()
    y = numbers * _along(x[1], numbers, a)
    # Weights are floats of the file's type; what depends on an input is not rounded.
    return y if y.requires_grad else y.float().double()


def _along(parameter: Tensor, x: Tensor, a: dict[str, Any]) -> Tensor:
    if parameter.numel() == 1:
        return parameter.reshape(())
    axis = a.get("axis", 1) % x.dim()
    return parameter.reshape([-1 if at == axis else 1 for at in range(x.dim())])


def _of_one(function: Callable[[Tensor], Tensor]) -> Op:
    return lambda a, x, version: function(x[0])


def _of_two(function: Callable[[Any, Any], Tensor]) -> Op:
    return lambda a, x, version: function(x[0], x[1])


OPS: dict[str, Op] = {
    **{name: _of_one(getattr(torch, name.lower())) for name in ("Abs", "Erf", "Exp", "Log", "Neg", "Reciprocal",
                                                               "Relu", "Sigmoid", "Sign", "Sqrt", "Tanh")},
    "Not": _of_one(torch.logical_not),
    "Identity": _of_one(lambda x: x),
    "Dropout": _of_one(lambda x: x),
    "HardSwish": _of_one(F.hardswish),
    "Softplus": _of_one(lambda x: F.softplus(x, threshold=1e3)),
    "Round": _of_one(torch.round),
    "Floor": _of_one(torch.floor),
    "GlobalAveragePool": _of_one(lambda x: x.mean(tuple(range(2, x.dim())), keepdim=True)),
    "Gelu": lambda a, x, v: F.gelu(x[0], approximate=a.get("approximate", b"none").decode()),
    "LeakyRelu": lambda a, x, v: F.leaky_relu(x[0], a.get("alpha", 0.01)),
    "Elu": lambda a, x, v: F.elu(x[0], a.get("alpha", 1.0)),
    "Add": _of_two(torch.add), "Sub": _of_two(torch.sub), "Mul": _of_two(torch.mul), "Div": _divided,
    "Pow": _of_two(lambda x, p: x ** p.double()), "MatMul": _of_two(torch.matmul), "Equal": _of_two(torch.eq),
    "Greater": _of_two(torch.gt), "GreaterOrEqual": _of_two(torch.ge), "Less": _of_two(torch.lt),
    "LessOrEqual": _of_two(torch.le), "And": _of_two(torch.logical_and), "Or": _of_two(torch.logical_or),
    "Mod": _of_two(torch.remainder),
    "Max": _folded(torch.maximum), "Min": _folded(torch.minimum), "Sum": _folded(torch.add),
    "Where": _where, "Cast": _cast, "Clip": _clip, "HardSigmoid": _hard_sigmoid,
    "Softmax": _softmax(torch.softmax), "LogSoftmax": _softmax(torch.log_softmax),
    "Conv": _conv, "ConvTranspose": _conv_transpose, "MaxPool": _max_pool, "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm, "LayerNormalization": _norm, "Gemm": _gemm,
    "ReduceMean": _reduced(torch.mean), "ReduceSum": _reduced(torch.sum), "ReduceMax": _reduced(torch.amax),
    "ReduceLogSumExp": _reduced(torch.logsumexp),
    "Reshape": _reshape, "Squeeze": _squeeze, "Unsqueeze": _unsqueeze, "Shape": _shape, "Slice": _slice,
    "Flatten": lambda a, x, v: x[0].reshape(math.prod(x[0].shape[: a.get("axis", 1)]), -1),
    "Transpose": lambda a, x, v: x[0].permute(list(a.get("perm", range(x[0].dim())[::-1]))),
    "Concat": lambda a, x, v: torch.cat(x, a["axis"]), "Split": _split,
    "Expand": lambda a, x, v: x[0] * torch.ones(_ints(x[1]), dtype=x[0].dtype),
    "Gather": _gather, "GatherElements": lambda a, x, v: torch.gather(x[0], a.get("axis", 0), x[1].long()),
    "ScatterElements": _scatter_elements, "Pad": _pad, "Constant": _constant, "ConstantOfShape": _constant_of_shape,
    "QuantizeLinear": _quantise, "DequantizeLinear": _dequantise,
}  # fmt: skip
# What moves numbers, or says what is rounded already, rounds nothing.
MOVES = frozenset(
    ("Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Slice", "Split", "Concat", "Gather", "Expand", "Pad",
     "Constant", "QuantizeLinear", "DequantizeLinear", "Where", "MaxPool", "Relu")
)  # fmt: skip
