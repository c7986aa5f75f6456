"""Rules that move numbers between positions, against central differences."""

import numpy as np
import pytest
from onnx import helper

from tests.autodiff.differences import error, onnxruntime, reference, single
from tests.tolerances import Tolerance, assert_close
from xaionnx.errors import UnsupportedModelError


def batches(make, counts=(2, 3, 5), seed=0):
    rng = np.random.default_rng(seed)
    return [make(count, rng) for count in counts]


def check(op, inputs, feeds, wrt="x", outputs=("y",), constants=None, evaluate=reference, opset=20, **attributes):
    model = single(op, inputs, feeds[0], outputs, constants, opset, **attributes)
    assert_close(error(model, feeds, wrt, evaluate=evaluate), 0, Tolerance.DIFFERENCES)


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_gather_elements_adds_up_repeated_indices(axis):
    def feed(count, rng):
        return {"x": rng.standard_normal((count, 3, 4)), "i": rng.integers(-3, 3, (count, 3, 3))}

    check("GatherElements", ["x", "i"], batches(feed), evaluate=onnxruntime, axis=axis)


@pytest.mark.parametrize(("batch_dims", "depth"), [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (2, 1)])
@pytest.mark.parametrize("evaluate", [reference, onnxruntime])
def test_gather_nd(batch_dims, depth, evaluate):
    def feed(count, rng):
        shape = (count, 3, 4)
        led = shape[batch_dims : batch_dims + depth]
        lead = shape[:batch_dims] if batch_dims else (6,)
        low = 0 if evaluate is reference else -1
        index = np.stack([rng.integers(low, size, (*lead, 5)) for size in led], axis=-1)
        return {"x": rng.standard_normal(shape), "i": index}

    check("GatherND", ["x", "i"], batches(feed), evaluate=evaluate, batch_dims=batch_dims)


def beside_the_batch(op, inputs, feeds, constants, wrt="x", **attributes):
    """The op on tensors whose second axis is the batch."""
    model = single(op, ["t", *inputs[1:]], feeds[0], ("s",), constants, **attributes)
    swap = [1, 0, 2]
    model.graph.node.insert(0, helper.make_node("Transpose", ["x"], ["t"], perm=swap))
    if "u" in feeds[0]:
        model.graph.node.insert(1, helper.make_node("Transpose", ["u"], ["v"], perm=swap))
        model.graph.node[2].input[2] = "v"
    model.graph.node.append(helper.make_node("Identity", ["s"], ["y"]))
    model.graph.output[0].name = "y"
    assert_close(error(model, feeds, wrt, evaluate=onnxruntime), 0, Tolerance.DIFFERENCES)


@pytest.mark.parametrize("index", [
    [[0], [2], [2]],
    [[1], [-1]],
    # So often that the entries are added by position.
    [[1]] * 7,
    [[[0], [2]], [[1], [1]]],
])  # fmt: skip
def test_gather_nd_where_the_batch_is_inside(index):
    feeds = batches(lambda count, rng: {"x": rng.standard_normal((count, 3, 4))})
    beside_the_batch("GatherND", ["x", "i"], feeds, {"i": np.array(index)})


def test_gather_nd_over_the_batch():
    def feed(count, rng):
        return {"x": rng.standard_normal((count, 3, 4)), "i": rng.integers(0, (3, count), (5, 2))}

    beside_the_batch("GatherND", ["x", "i"], batches(feed), {})


def test_gather_by_a_matrix_ahead_of_the_batch():
    feeds = batches(lambda count, rng: {"x": rng.standard_normal((count, 3, 4))})
    beside_the_batch("Gather", ["x", "i"], feeds, {"i": np.array([[0, 2], [1, 1], [2, -1]])}, axis=0)


@pytest.mark.parametrize("reduction", ["none", "add", "max"])
@pytest.mark.parametrize("wrt", ["x", "u"])
def test_scatter_nd_where_the_batch_is_inside(reduction, wrt):
    def feed(count, rng):
        return {"x": rng.standard_normal((count, 3, 4)), "u": rng.standard_normal((count, 2, 4))}

    constants = {"i": np.array([[2], [0]])}
    beside_the_batch("ScatterND", ["x", "i", "u"], batches(feed), constants, wrt, reduction=reduction)


def test_parts_joined_along_the_batch():
    feeds = batches(lambda count, rng: {"x": rng.standard_normal((count, 3)), "z": rng.standard_normal((count, 3))})
    model = single("Concat", ["x", "z", "x"], feeds[0], axis=0)
    assert_close(error(model, feeds, ["x", "z"], evaluate=onnxruntime), 0, Tolerance.DIFFERENCES)


@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max", "min"])
@pytest.mark.parametrize("wrt", ["x", "u"])
@pytest.mark.parametrize("axis", [1, -1])
def test_scatter_elements(reduction, wrt, axis):
    def feed(count, rng):
        index = np.argsort(rng.standard_normal((count, 4, 4)), axis=axis)
        if reduction != "none":
            index[:, 0] = index[:, 1]  # a position that is used twice
        return {"x": rng.standard_normal((count, 4, 4)), "i": index, "u": rng.standard_normal((count, 4, 4))}

    check("ScatterElements", ["x", "i", "u"], batches(feed), wrt, evaluate=onnxruntime, axis=axis, reduction=reduction)


@pytest.mark.parametrize("wrt", ["x", "u"])
def test_scatter_elements_multiplies_by_zeros(wrt):
    def feed(count, rng):
        updates = rng.standard_normal((count, 3))
        updates[:, 1] = 0
        updates[-1] = 0
        return {"x": rng.standard_normal((count, 4)), "i": np.tile([0, 0, 2], (count, 1)), "u": updates}

    check("ScatterElements", ["x", "i", "u"], batches(feed), wrt, evaluate=onnxruntime, axis=1, reduction="mul")


@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max", "min"])
@pytest.mark.parametrize("wrt", ["x", "u"])
@pytest.mark.parametrize("depth", [1, 2])
def test_scatter_nd(reduction, wrt, depth):
    def feed(count, rng):
        index = np.array([[0, 1], [1, -1], [1, 0]])[:, :depth] if depth == 2 else np.array([[1], [0]])
        updates = rng.standard_normal((len(index), *(count, 3, 4)[depth:]))
        return {"x": rng.standard_normal((count, 3, 4)), "i": index, "u": updates}

    check("ScatterND", ["x", "i", "u"], batches(feed), wrt, reduction=reduction)
    check("ScatterND", ["x", "i", "u"], batches(feed), wrt, evaluate=onnxruntime, reduction=reduction)


def test_a_tie_is_shared():
    feeds = [{"x": np.ones((n, 3)), "i": np.zeros((n, 1), dtype=np.int64), "u": np.ones((n, 1))} for n in (2, 3, 4)]
    model = single("ScatterElements", ["x", "i", "u"], feeds[0], axis=1, reduction="max")
    # In both directions the central difference gives half of the derivative, like the equal shares of a tie.
    assert_close(error(model, feeds, "x", evaluate=onnxruntime), 0, Tolerance.DIFFERENCES)
    assert_close(error(model, feeds, "u", evaluate=onnxruntime), 0, Tolerance.DIFFERENCES)


@pytest.mark.parametrize("repeats", [(1, 1, 1), (1, 2, 1), (1, 3, 2), (2, 1, 3)])
def test_tile(repeats):
    feeds = batches(lambda count, rng: {"x": rng.standard_normal((count, 3, 4))})
    check("Tile", ["x", "r"], feeds, constants={"r": np.array(repeats)}, evaluate=onnxruntime)


@pytest.mark.parametrize("axis", [1, 2, -1])
@pytest.mark.parametrize("largest", [0, 1])
def test_top_k(axis, largest):
    feeds = batches(lambda count, rng: {"x": rng.standard_normal((count, 5, 4))})
    constants = {"k": np.array([3])}
    check("TopK", ["x", "k"], feeds, "x", ("y", "i"), constants, onnxruntime, axis=axis, largest=largest)


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
@pytest.mark.parametrize("evaluate", [reference, onnxruntime])
def test_depth_to_space(mode, evaluate):
    feeds = batches(lambda count, rng: {"x": rng.standard_normal((count, 12, 2, 3))})
    check("DepthToSpace", ["x"], feeds, evaluate=evaluate, blocksize=2, mode=mode)


@pytest.mark.parametrize("evaluate", [reference, onnxruntime])
def test_space_to_depth(evaluate):
    feeds = batches(lambda count, rng: {"x": rng.standard_normal((count, 2, 4, 6))})
    check("SpaceToDepth", ["x"], feeds, evaluate=evaluate, blocksize=2)


def test_reverse_sequence():
    def feed(count, rng):
        return {"x": rng.standard_normal((count, 5, 2)).astype(np.float64), "n": rng.integers(1, 6, count)}

    check("ReverseSequence", ["x", "n"], batches(feed), batch_axis=0, time_axis=1)


@pytest.mark.parametrize("axis", [1, -2, None])
@pytest.mark.parametrize("constant", [True, False])
def test_compress(axis, constant):
    keep = np.array([True, False, True])
    feeds = batches(lambda count, rng: {"x": rng.standard_normal((count, 3, 2))})
    if not constant:
        feeds = [{**feed, "c": keep} for feed in feeds]
    attributes = {} if axis is None else {"axis": axis}
    constants = {"c": keep} if constant else {}
    check("Compress", ["x", "c"], feeds, constants=constants, evaluate=onnxruntime, **attributes)


def test_max_unpool_with_a_given_shape_is_refused():
    feeds = [{"x": np.ones((1, 1, 1, 1)), "i": np.zeros((1, 1, 1, 1), dtype=np.int64)}]
    shape = {"s": np.array([1, 1, 3, 3])}
    model = single("MaxUnpool", ["x", "i", "s"], feeds[0], constants=shape, kernel_shape=[2, 2], strides=[2, 2])
    with pytest.raises(UnsupportedModelError, match=r"'MaxUnpool' \(node 'maxunpool'\) cannot be differentiated"):
        error(model, feeds, "x")


@pytest.mark.parametrize(("lower", "upper"), [("zero", "count"), ("count", "far"), ("minus", "far")])
def test_slices_at_the_number_of_samples(lower, upper):
    """As networks that run pairs of samples as one batch take it apart again."""
    feeds = batches(lambda count, rng: {"x": rng.standard_normal((count, 3))})
    ends = {"zero": np.array([0]), "far": np.array([2**31])}
    model = single("Concat", ["x", "x"], feeds[0], ("z",), ends, axis=0)
    model.graph.node[0].input[:] = ["x", "e"]
    model.graph.node.insert(0, helper.make_node("Exp", ["x"], ["e"]))
    model.graph.node.extend(
        [
            helper.make_node("Shape", ["x"], ["count"], start=0, end=1),
            helper.make_node("Neg", ["count"], ["minus"]),
            helper.make_node("Slice", ["z", lower, upper, "zero"], ["y"]),
        ]
    )
    model.graph.output[0].name = "y"
    assert_close(error(model, feeds, evaluate=onnxruntime), 0, Tolerance.DIFFERENCES)
