"""Rules of normalisation against central differences: inputs, scales and biases, at other batch sizes than probed."""

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx.reference.op_run import OpRun

from tests.autodiff.differences import COTANGENT, batch_error, built, gradient_name, in_numpy, slopes
from tests.tiny import run
from tests.tolerances import Tolerance, assert_close

SPACES = ((5,), (4, 3), (2, 3, 2))


def model(op, inputs, *, opset, kind=TensorProto.DOUBLE, rank, **attributes):
    """A graph of one node; the first input starts with the batch axis."""
    values = [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()]
    y = helper.make_tensor_value_info("y", kind, [None] * rank)
    node = helper.make_node(op, list(inputs), ["y"], name="n", **attributes)
    graph = helper.make_graph([node], "g", values, [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def check(op, shapes, *, opset, **attributes):
    first, *rest = shapes
    inputs = {"x": ["N", *shapes[first]]} | {name: list(shapes[name]) for name in rest}
    made = model(op, inputs, opset=opset, rank=len(shapes[first]) + 1, **attributes)
    return batch_error(made, shapes, list(shapes), batched={"x"})


@pytest.mark.parametrize("space", [(), *SPACES])
@pytest.mark.parametrize("epsilon", [1e-5, 0.3])
def test_batch_normalization_and_its_statistics(space, epsilon):
    shapes = {"x": (6, *space), "scale": (6,), "bias": (6,), "mean": (6,), "variance": (6,)}
    made = model(
        "BatchNormalization",
        {"x": ["N", 6, *space], **{name: [6] for name in list(shapes)[1:]}},
        opset=20,
        rank=2 + len(space),
        epsilon=epsilon,
    )
    positive = {"variance": lambda count: np.linspace(0.5, 2, 6)}
    assert_close(batch_error(made, shapes, list(shapes), batched={"x"}, kept=positive), 0, Tolerance.DIFFERENCES)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("epsilon", [1e-5, 0.3])
def test_instance_normalization(space, epsilon):
    shapes = {"x": (6, *space), "scale": (6,), "bias": (6,)}
    assert_close(check("InstanceNormalization", shapes, opset=20, epsilon=epsilon), 0, Tolerance.DIFFERENCES)


class LayerNormalization(OpRun):
    """Runtimes accept only scales over the normalised axes; ONNX broadcasts them."""

    op_domain = ""

    def _run(self, x, scale, bias=None, axis=-1, epsilon=1e-5, stash_type=1):
        axes = tuple(range(axis % x.ndim, x.ndim))
        mean = x.mean(axis=axes, keepdims=True)
        inverse = 1 / np.sqrt(x.var(axis=axes, keepdims=True) + epsilon)
        y = (x - mean) * inverse * scale + (0 if bias is None else bias)
        return (y, mean, inverse)[: len(self.onnx_node.output)]


@pytest.mark.sampled(percent=40)
@pytest.mark.parametrize("axis", [1, 2, 3, -1, -2, -3])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("scale", [None, (1,), (4, 1), (3, 1, 1), (3, 4, 5)])
def test_layer_normalization(axis, with_bias, scale):
    own = (3, 4, 5)[axis % 4 - 1 :] if scale is None else scale
    shapes = {"x": (3, 4, 5), "scale": own} | ({"bias": own} if with_bias else {})
    inputs = {name: list(shape) for name, shape in shapes.items()} | {"x": ["N", 3, 4, 5]}
    made = model("LayerNormalization", inputs, opset=20, rank=4, axis=axis, epsilon=0.01)
    error = batch_error(made, shapes, list(shapes), batched={"x"}, evaluate=in_numpy(LayerNormalization))
    assert_close(error, 0, Tolerance.DIFFERENCES)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("groups", [1, 2, 3, 6])
@pytest.mark.parametrize("epsilon", [1e-5, 0.3])
def test_group_normalization_with_a_scale_a_channel(space, groups, epsilon):
    shapes = {"x": (6, *space), "scale": (6,), "bias": (6,)}
    # Type 11 is float64; the statistics would otherwise be float32, too coarse for finite differences.
    attributes = {"num_groups": groups, "epsilon": epsilon, "stash_type": TensorProto.DOUBLE}
    assert_close(check("GroupNormalization", shapes, opset=21, **attributes), 0, Tolerance.DIFFERENCES)


class GroupNormalization(OpRun):
    """Opset 18 has a scale and bias for each group; the reference evaluator has no body for it."""

    op_domain = ""

    def _run(self, x, scale, bias, epsilon=1e-5, num_groups=None, stash_type=1):
        grouped = x.reshape(len(x), num_groups, -1)
        centred = grouped - grouped.mean(axis=2, keepdims=True)
        h = centred / np.sqrt(centred.var(axis=2, keepdims=True) + epsilon)
        return ((h * scale[:, None] + bias[:, None]).reshape(x.shape),)


class MeanVarianceNormalization(OpRun):
    """The reference's body has float32 constants."""

    op_domain = ""

    def _run(self, x, axes=(0, 2, 3)):
        axes = tuple(axes)
        return ((x - x.mean(axis=axes, keepdims=True)) / (x.std(axis=axes, keepdims=True) + 1e-9),)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_group_normalization_with_a_scale_a_group(space, groups):
    shapes = {"x": (6, *space), "scale": (groups,), "bias": (groups,)}
    made = model(
        "GroupNormalization",
        {"x": ["N", 6, *space], "scale": [groups], "bias": [groups]},
        opset=20,
        rank=2 + len(space),
        num_groups=groups,
    )
    error = batch_error(made, shapes, list(shapes), batched={"x"}, evaluate=in_numpy(GroupNormalization), convert=False)
    assert_close(error, 0, Tolerance.DIFFERENCES)


@pytest.mark.parametrize("axes", [None, (0, 2, 3), (1, 2, 3), (-2, -1), (0, 1, 2, 3)])
def test_mean_variance_normalization(axes):
    attributes = {} if axes is None else {"axes": axes}
    made = model("MeanVarianceNormalization", {"x": ["N", 3, 4, 5]}, opset=20, rank=4, **attributes)
    error = batch_error(made, {"x": (3, 4, 5)}, "x", batched={"x"}, evaluate=in_numpy(MeanVarianceNormalization))
    assert_close(error, 0, Tolerance.DIFFERENCES)


@pytest.mark.parametrize("axis", [1, 2, 3, -1, -2, -3])
@pytest.mark.parametrize("epsilon", [1e-5, 0.3])
def test_rms_normalization_along_each_axis(axis, epsilon):
    shapes = {"x": (3, 4, 5), "scale": (3, 4, 5)[axis % 4 - 1 :]}
    assert_close(check("RMSNormalization", shapes, opset=23, axis=axis, epsilon=epsilon), 0, Tolerance.DIFFERENCES)


@pytest.mark.parametrize("scale", [(), (1,), (5,), (4, 1), (1, 5), (3, 1, 1), (3, 4, 5), (1, 3, 1, 5)])
def test_rms_normalization_with_a_scale_that_is_broadcast(scale):
    made = model("RMSNormalization", {"x": ["N", 3, 4, 5], "scale": list(scale)}, opset=23, rank=4, axis=2)

    class RMSNormalization(OpRun):
        """onnxruntime accepts only scales over the normalised axes."""

        op_domain = ""

        def _run(self, x, scale, axis=-1, epsilon=1e-5, stash_type=1):
            axes = tuple(range(axis, x.ndim))
            return (x / np.sqrt((x * x).mean(axis=axes, keepdims=True) + epsilon) * scale,)

    shapes = {"x": (3, 4, 5), "scale": scale}
    error = batch_error(made, shapes, list(shapes), batched={"x"}, evaluate=in_numpy(RMSNormalization))
    assert_close(error, 0, Tolerance.DIFFERENCES)


@pytest.mark.parametrize("shape", [(6,), (4, 5), (3, 4, 5), (2, 3, 2, 3)])
@pytest.mark.parametrize("p", [1, 2])
def test_lp_normalization(shape, p):
    for axis in (*range(1, len(shape) + 1), -1, -len(shape)):
        assert_close(check("LpNormalization", {"x": shape}, opset=22, axis=axis, p=p), 0, Tolerance.DIFFERENCES)


def test_lp_normalization_of_zeros_has_no_gradient():
    for p in (1, 2):
        made = model("LpNormalization", {"x": ["N", 3]}, opset=22, rank=2, p=p)
        feeds = {"x": np.array([[0.0, 0, 0], [3, 0, 4]])}
        slope = slopes(made, feeds, np.ones((2, 3)))
        assert np.array_equal(slope[0], [0, 0, 0])
        assert np.isfinite(slope).all()


class LRN(OpRun):
    """The reference's loop over channels ends at the number of samples."""

    op_domain = ""

    def _run(self, x, alpha=1e-4, beta=0.75, bias=1.0, size=None):
        total = np.zeros_like(x)
        for c in range(x.shape[1]):
            first, last = c - (size - 1) // 2, c + size // 2
            total[:, c] = (x[:, max(first, 0) : last + 1] ** 2).sum(axis=1)
        return (x / (bias + alpha / size * total) ** beta,)


LRN_GRID = [*((size, 0.7, 0.75, 1.0) for size in (1, 2, 3, 4, 5, 9)), (3, 1e-4, 2.0, 2.5)]


@pytest.mark.parametrize(("size", "alpha", "beta", "bias"), LRN_GRID)
def test_local_response_normalization(size, alpha, beta, bias):
    attributes = {"size": size, "alpha": alpha, "beta": beta, "bias": bias}
    made = model("LRN", {"x": ["N", 6, 3, 2]}, opset=20, rank=4, **attributes)
    assert_close(
        batch_error(made, {"x": (6, 3, 2)}, "x", batched={"x"}, evaluate=in_numpy(LRN)), 0, Tolerance.DIFFERENCES
    )


# It accepts only odd sizes.
@pytest.mark.parametrize("size", [1, 3, 5, 9])
def test_channels_are_neighbours_as_onnxruntime_sees_them(size):
    made = model("LRN", {"x": ["N", 6, 3, 2]}, opset=20, kind=TensorProto.FLOAT, rank=4, size=size, alpha=0.7)
    x = np.random.default_rng(0).standard_normal((2, 6, 3, 2)).astype(np.float32)
    (ours,) = in_numpy(LRN)(made)({"x": x}, ["y"])
    assert_close(run(made, {"x": x})["y"], ours, Tolerance.SIGNED_SUMS)


@pytest.mark.parametrize(
    "op", ["GroupNormalization", "RMSNormalization", "LayerNormalization", "InstanceNormalization"]
)
def test_half_precision_works_in_single(op):
    # Squares of these overflow float16.
    rng = np.random.default_rng(1)
    x = (300 * rng.standard_normal((2, 4, 6))).astype(np.float16)
    channels = op in ("GroupNormalization", "InstanceNormalization")
    width = 4 if channels else 6
    feeds = {"x": x, "scale": rng.standard_normal(width).astype(np.float16)}
    if op != "RMSNormalization":
        feeds["bias"] = rng.standard_normal(width).astype(np.float16)
    attributes = {"num_groups": 2} if op == "GroupNormalization" else {}
    answers = []
    for dtype, kind in ((np.float16, TensorProto.FLOAT16), (np.float32, TensorProto.FLOAT)):
        shapes = {name: list(a.shape) for name, a in feeds.items()}
        made = model(op, shapes, opset=23, kind=kind, rank=3, **attributes)
        own = {name: a.astype(dtype) for name, a in feeds.items()}
        _, run = built(made, [own], list(own))
        cotangent = np.random.default_rng(2).standard_normal(x.shape).astype(np.float32)
        answers.append(run({**own, COTANGENT: cotangent}, [gradient_name(name) for name in own]))
    for half, single in zip(*answers, strict=True):
        # Small slopes would be zero in half precision.
        assert half.dtype == np.float32
        assert np.linalg.norm(half - single) < 5e-3 * np.linalg.norm(single)
