"""Ops of onnxruntime that ONNX has too, and some that are a few of its ops."""

from __future__ import annotations

from xaionnx.graph.fused_op import FusedNode, fused

_MODES = {"bilinear": "linear", "bicubic": "cubic", "nearest": "nearest"}


@fused("GatherND", "Pad", "Trilu")
def same_in_onnx(f: FusedNode) -> str:
    """The op of the same name of ONNX."""
    return f.op(f.node.op_type, *f.node.input, **f.attributes)


@fused("GridSample")
def grid_sample(f: FusedNode) -> str:
    """GridSample of ONNX, which calls the modes differently."""
    return f.op(
        "GridSample", f.input(0), f.input(1),
        mode=_MODES[f.attribute("mode", "bilinear")],
        padding_mode=f.attribute("padding_mode", "zeros"),
        align_corners=f.attribute("align_corners", 0),
    )  # fmt: skip


@fused("Range")
def range_from(f: FusedNode) -> str:
    """Range of ONNX, by default in steps of one."""
    step = f.input(2) or f.op("CastLike", f.integers(1), f.input(0))
    scalars = [f.op("Reshape", each, f.integers([])) for each in (f.input(0), f.input(1), step)]
    return f.op("Range", *scalars)


@fused("ExpandDims")
def expand_dims(f: FusedNode) -> str:
    """Unsqueeze."""
    axis = f.array(f.input(1))
    if axis is None:
        raise f.refusal("its axis is computed")
    return f.op("Unsqueeze", f.input(0), f.integers([int(axis.reshape(()))]))


@fused("CDist")
def distances(f: FusedNode) -> str:
    """Distances between the rows of two matrices."""
    metric = f.attribute("metric", "sqeuclidean")
    if metric not in ("euclidean", "sqeuclidean"):
        raise f.refusal(f"its metric '{metric}' has no plain form")
    rows, columns = f.op("Unsqueeze", f.input(0), f.integers([1])), f.op("Unsqueeze", f.input(1), f.integers([0]))
    apart = f.op("Sub", rows, columns)
    squares = f.op("ReduceSum", f.op("Mul", apart, apart), f.integers([2]), keepdims=0)
    return squares if metric == "sqeuclidean" else f.op("Sqrt", squares)


@fused("ComplexMul", "ComplexMulConj")
def complex_product(f: FusedNode) -> str:
    """The product of complex numbers, whose two parts are the last axis; the second factor may be conjugated."""
    (a, b), (c, d) = (
        [f.op("Slice", f.input(index), f.integers([part]), f.integers([part + 1]), f.integers([-1])) for part in (0, 1)]
        for index in (0, 1)
    )
    first, second = ("Sub", "Add") if f.node.op_type == "ComplexMul" else ("Add", "Sub")
    real = f.op(first, f.op("Mul", a, c), f.op("Mul", b, d))
    # The imaginary part of a product with a conjugate is b c - a d.
    imaginary = f.op(second, f.op("Mul", b, c), f.op("Mul", a, d))
    return f.op("Concat", real, imaginary, axis=-1)


@fused("ScaledSiLU")
def scaled_silu(f: FusedNode) -> str:
    """``z * sigmoid(z)`` of ``z``, the scaled input."""
    scaled = f.op(
        "Mul", f.input(0), f.op("CastLike", f.input(1), f.input(0)) if f.input(1) else f.attribute("alpha", 1.0)
    )
    return f.op("Mul", scaled, f.op("Sigmoid", scaled))


@fused("Affine", domain="")
def affine(f: FusedNode) -> str:
    """``alpha * x + beta``."""
    return f.op("Add", f.op("Mul", f.input(0), f.attribute("alpha", 1.0)), f.attribute("beta", 0.0))


@fused("ScaledTanh", domain="")
def scaled_tanh(f: FusedNode) -> str:
    """``alpha * tanh(beta * x)``."""
    return f.op("Mul", f.op("Tanh", f.op("Mul", f.input(0), f.attribute("beta", 1.0))), f.attribute("alpha", 1.0))


@fused("ParametricSoftplus", domain="")
def parametric_softplus(f: FusedNode) -> str:
    """``alpha * softplus(beta * x)``."""
    return f.op("Mul", f.op("Softplus", f.op("Mul", f.input(0), f.attribute("beta", 1.0))), f.attribute("alpha", 1.0))


@fused("ImageScaler", domain="")
def image_scaler(f: FusedNode) -> str:
    """``scale * x`` plus one number for each channel."""
    scaled = f.op("Mul", f.input(0), f.attribute("scale", 1.0))
    bias = f.numbers([[[number]] for number in f.attribute("bias", [0.0])], f.input(0))
    return f.op("Add", scaled, bias)
