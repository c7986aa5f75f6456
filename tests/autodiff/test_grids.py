"""Rules against central differences over grids of attributes, at other batch sizes than were probed."""

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx.reference.op_run import OpRun

from tests.autodiff.differences import (
    COTANGENT,
    batch_error,
    built,
    error,
    gradient_name,
    grid_error,
    in_numpy,
    onnxruntime,
    reference,
    single,
    slopes,
)
from tests.oracles.convolution import Conv, ConvTranspose
from tests.tolerances import Tolerance, assert_close
from xaionnx.autodiff.backward import differentiate
from xaionnx.autodiff.table import STANDARD

BROADCASTS = [
    ((3, 4), (3, 4), False), ((3, 4), (4,), False), ((3, 4), (), False), ((3, 1), (1, 4), True),
    ((1, 1), (2, 1, 3, 4), False),    ((3, 4), (1, 1), True), ((3, 4), (1, 3, 1), False),
]  # fmt: skip


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean", "Mod", "PRelu"])
@pytest.mark.parametrize(("left", "right", "both"), BROADCASTS)
def test_broadcasts_of_both_sides(op, left, right, both):
    if op == "PRelu" and len(right) > len(left) + 1:
        pytest.skip("its slope is broadcast to its numbers alone")
    if op == "PRelu" and any(a == 1 != b for a, b in zip(left[::-1], right[::-1], strict=False)):
        pytest.skip("its slope is broadcast to its numbers alone")
    shapes, batched = {"x": left, "z": right}, {"x", "z"} if both else {"x"}
    attributes = {"fmod": 1} if op == "Mod" else {}
    if op == "Mean":
        attributes["evaluate"] = in_numpy(Mean)
    assert_close(grid_error(op, shapes, batched=batched, **attributes), 0, Tolerance.DIFFERENCES)
    if op in ("Max", "Min", "Sum", "Mean"):
        assert_close(grid_error(op, shapes | {"v": (1,)}, batched=batched, **attributes), 0, Tolerance.DIFFERENCES)
        assert_close(grid_error(op, {"x": left}), 0, Tolerance.DIFFERENCES)


class Mean(OpRun):
    """The reference adds into its first operand, which may be too small."""

    op_domain = ""

    def _run(self, *operands):
        return (np.asarray(sum(operands) / len(operands)),)


@pytest.mark.parametrize(("left", "right", "both"), BROADCASTS)
def test_where_and_powers_broadcast(left, right, both):
    shapes, batched = {"x": left, "z": right}, {"x", "z"} if both else {"x"}
    sizes = {name: np.zeros((2, *s) if name in batched else s) for name, s in shapes.items()}
    condition = {"c": np.arange(4) % 2 == 0} if left[-1] == right[-1:] == (4,) else {"c": np.array(True)}
    model = single("Where", ["c", "x", "z"], sizes, constants=condition)
    assert_close(batch_error(model, shapes, ["x", "z"], batched=batched), 0, Tolerance.DIFFERENCES)
    # Positive bases only: the square root of the sum of squares would hide the derivative of the exponent.
    model = single("Pow", ["a", "z"], sizes)
    model.graph.node.insert(0, helper.make_node("Softplus", ["x"], ["a"]))
    assert_close(batch_error(model, shapes, ["x", "z"], batched=batched), 0, Tolerance.DIFFERENCES)


@pytest.mark.parametrize("exponent", [2.0, 3.0, 0.0, 1.0, -1.0, -2.0])
def test_whole_powers_of_numbers_of_both_signs(exponent):
    assert_close(grid_error("Pow", {"x": (4,)}, {"p": np.array(exponent)}), 0, Tolerance.DIFFERENCES)


PADDINGS = [
    ((1, 2, 0, 3), None),
    ((0, 0, 0, 0), None),
    ((-1, 0, 2, -2), None),
    ((2, 1), [2]),
    ((1, 2), [-2]),
    ((-1, -1), [-1]),
]


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "wrap"])
@pytest.mark.parametrize(("pads", "axes"), PADDINGS)
def test_pads(mode, pads, axes):
    if min(pads) < 0 and mode != "constant":
        pytest.skip("runtimes disagree on a pad below 0 that is no constant")
    axes = [1, 2] if axes is None else axes
    constants = {"p": np.array(pads), "v": np.array(2.0), "a": np.array(axes)}
    assert_close(
        grid_error("Pad", {"x": (4, 5)}, constants, evaluate=in_numpy(Pad), mode=mode), 0, Tolerance.DIFFERENCES
    )


class Pad(OpRun):
    """Pad of numpy, which has all modes; negative pads crop."""

    op_domain = ""

    def _run(self, x, pads, value=None, axes=None, mode="constant"):
        own = range(x.ndim) if axes is None else [a % x.ndim for a in axes]
        widths, crops = [(0, 0)] * x.ndim, [slice(None)] * x.ndim
        for axis, begin, end in zip(own, pads[: len(own)], pads[len(own) :], strict=True):
            widths[axis] = (max(begin, 0), max(end, 0))
            crops[axis] = slice(max(-begin, 0), x.shape[axis] - max(-end, 0))
        options = {"constant_values": 0.0 if value is None else value} if mode == "constant" else {}
        return (np.pad(x[tuple(crops)], widths, mode=mode, **options),)


def test_the_number_that_is_padded_with():
    feeds = [{"x": np.ones((n, 4)), "v": np.array(2.0)} for n in (2, 3, 4)]
    model = single("Pad", ["x", "p", "v"], feeds[0], constants={"p": np.array([0, 1, 0, 2])})
    assert_close(error(model, feeds, ["x", "v"]), 0, Tolerance.DIFFERENCES)


SLICES = [
    ([1], [4], [1], [1]), ([-3], [-1], [1], [1]), ([0], [100], [1], [2]), ([4], [0], [1], [-1]),
    ([-1], [-100], [2], [-2]),
    ([1], [100], [-1], [3]), ([100], [-100], [-2], [-1]), ([0, 1], [3, 5], [1, 2], [2, 1]), ([2], [2], [1], [1]),
]  # fmt: skip


@pytest.mark.parametrize(("starts", "ends", "axes", "steps"), SLICES)
def test_slices(starts, ends, axes, steps):
    constants = {name: np.array(v) for name, v in zip("seat", (starts, ends, axes, steps), strict=True)}
    assert_close(grid_error("Slice", {"x": (5, 6)}, constants), 0, Tolerance.DIFFERENCES)


REDUCTIONS = [
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
    "ReduceSum", "ReduceSumSquare",
]  # fmt: skip


@pytest.mark.sampled(percent=40)
@pytest.mark.parametrize("op", REDUCTIONS)
@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("axes", [[1], [-1], [1, 2], [-2, 1], [2, 3, 1], None, "noop"])
def test_reductions(op, keepdims, axes):
    if axes is None:
        # Over all axes including the batch, so for one batch size: the gradient of a mean is not valid for others.
        feeds = [{"x": np.random.default_rng(3).uniform(0.5, 2, (2, 3, 4, 5))}]
        model = single(op, ["x"], feeds[0], keepdims=keepdims)
        assert_close(error(model, feeds), 0, Tolerance.DIFFERENCES)
        return
    empty = axes == "noop"
    constants = {"a": np.array([] if empty else axes, dtype=np.int64)}
    sizes = {"x": np.zeros((2, 3, 4, 5))}
    model = single(op, ["s", "a"], sizes, constants=constants, keepdims=keepdims, noop_with_empty_axes=int(empty))
    # Logarithms take numbers above 0.
    model.graph.node.insert(0, helper.make_node("Softplus" if "Log" in op else "Identity", ["x"], ["s"]))
    if empty and op in ("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"):
        pytest.skip("runtimes disagree on whether no axes leave the elementwise part")
    assert_close(batch_error(model, {"x": (3, 4, 5)}), 0, Tolerance.DIFFERENCES)


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("axis", [1, 2, 3, -1, -3])
def test_softmaxes(op, axis):
    assert_close(grid_error(op, {"x": (3, 4, 5)}, axis=axis), 0, Tolerance.DIFFERENCES)


@pytest.mark.parametrize(("ta", "tb"), [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("bias", [(), (1,), (5,), (4, 1), (1, 5), (4, 5)])
def test_gemm(ta, tb, bias):
    shapes = {"a": (3, 4) if ta else (4, 3), "b": (5, 3) if tb else (3, 5), "c": bias}
    found = grid_error("Gemm", shapes, batched=set(), transA=ta, transB=tb, alpha=0.7, beta=1.3)
    assert_close(found, 0, Tolerance.DIFFERENCES)


PRODUCTS = [
    ((4, 3), (3, 5), False), ((2, 4, 3), (3, 5), False), ((4, 3), (3,), False), ((2, 4, 3), (2, 3, 5), True),
    ((1, 4, 3), (2, 3, 5), True), ((2, 4, 3), (1, 3, 5), False), ((4, 3), (2, 1, 3, 5), False), ((3,), (3, 5), False),
]  # fmt: skip


@pytest.mark.parametrize(("left", "right", "both"), PRODUCTS)
def test_matrix_products(left, right, both):
    assert_close(
        grid_error("MatMul", {"a": left, "b": right}, batched={"a", "b"} if both else {"a"}), 0, Tolerance.DIFFERENCES
    )


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("lead", [(), (2,)])
def test_determinants(size, lead):
    assert_close(grid_error("Det", {"x": (*lead, size, size)}, evaluate=reference), 0, Tolerance.DIFFERENCES)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("inverse", [0, 1])
@pytest.mark.parametrize("length", [None, 5, 8, 11])
@pytest.mark.parametrize("axis", [1, -2, 2])
def test_fourier_transforms(parts, inverse, length, axis):
    constants = {"l": np.array(8 if length is None else length), "a": np.array(axis)}
    shape = (8, 8, parts) if axis == 2 else (8, parts)
    assert_close(
        grid_error("DFT", {"x": shape}, constants, inverse=inverse, evaluate=reference), 0, Tolerance.DIFFERENCES
    )
    if inverse and parts == 2:
        # One half of the spectrum; entries that mirror themselves count with their real part only.
        shape = (8, 8 // 2 + 1, 2) if axis == 2 else (8 // 2 + 1, 2)
        constants["l"] = np.array(8)
        assert_close(
            grid_error("DFT", {"x": shape}, constants, inverse=1, onesided=1, evaluate=reference),
            0,
            Tolerance.DIFFERENCES,
        )
    if not inverse and parts == 1:
        assert_close(
            grid_error("DFT", {"x": shape}, constants, onesided=1, evaluate=reference), 0, Tolerance.DIFFERENCES
        )


@pytest.mark.parametrize(("step", "length", "size"), [(2, 6, 20), (5, 4, 21), (3, 7, 16), (4, 4, 16)])
@pytest.mark.parametrize("onesided", [0, 1])
@pytest.mark.parametrize("windowed", [False, True])
def test_short_time_fourier_transforms(step, length, size, onesided, windowed):
    window = np.hanning(length + 2)[1:-1] if windowed else np.ones(length)
    constants = {"s": np.array(step), "w": window, "l": np.array(length)}
    evaluate = in_numpy(STFT, Conv, ConvTranspose)
    for parts in (1, 2)[: 1 if onesided else 2]:
        assert_close(
            grid_error("STFT", {"x": (size, parts)}, constants, onesided=onesided, evaluate=evaluate),
            0,
            Tolerance.DIFFERENCES,
        )


class STFT(OpRun):
    """The Fourier transform of windowed frames."""

    op_domain = ""

    def _run(self, x, step, window=None, length=None, onesided=1):
        step, length = int(step), int(length)
        signal = x[..., 0] + (1j * x[..., 1] if x.shape[-1] == 2 else 0)
        starts = range(0, x.shape[1] - length + 1, step)
        frames = np.stack([signal[:, s : s + length] * window for s in starts], axis=1)
        found = np.fft.fft(frames, axis=-1)[..., : length // 2 + 1 if onesided else length]
        return (np.stack([found.real, found.imag], axis=-1),)


@pytest.mark.parametrize(
    ("image", "block", "attributes"),
    [
        ((5, 6), (2, 3), {}),
        ((5, 6), (2, 3), {"strides": [2, 1]}),
        ((5, 6), (2, 2), {"dilations": [2, 3], "pads": [1, 0, 2, 1]}),
        ((7,), (3,), {"strides": [2], "pads": [1, 1]}),
        ((3, 4, 3), (2, 2, 1), {}),
    ],
)
def test_columns_to_pictures(image, block, attributes):
    rank = len(image)
    pads, strides = attributes.get("pads", [0] * 2 * rank), attributes.get("strides", [1] * rank)
    dilations = attributes.get("dilations", [1] * rank)
    count = [
        (image[a] + pads[a] + pads[a + rank] - dilations[a] * (block[a] - 1) - 1) // strides[a] + 1 for a in range(rank)
    ]
    constants = {"i": np.array(image), "b": np.array(block)}
    shapes = {"x": (2 * int(np.prod(block)), int(np.prod(count)))}
    assert_close(grid_error("Col2Im", shapes, constants, **attributes), 0, Tolerance.DIFFERENCES)


@pytest.mark.parametrize("axes", [None, [1, 2], [-1], [2, 1]])
@pytest.mark.parametrize("sizes", [(3, 3), (4, 9), (8, 2), (5, 6)])
def test_crops_and_pads_around_the_centre(axes, sizes):
    if axes is None:
        feeds = [{"x": np.random.default_rng(0).standard_normal((2, 5, 6))}]
        model = single("CenterCropPad", ["x", "s"], feeds[0], constants={"s": np.array([3, *sizes])})
        assert_close(error(model, feeds, evaluate=reference), 0, Tolerance.DIFFERENCES)
        return
    constants = {"s": np.array(sizes[: len(axes)])}
    assert_close(
        grid_error("CenterCropPad", {"x": (5, 6)}, constants, evaluate=reference, axes=axes), 0, Tolerance.DIFFERENCES
    )


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_the_two_values_of_one_hot(axis):
    feeds = [{"v": np.array([0.5, -2.0])}]
    constants = {"i": np.array([[0, 2, -1], [5, 1, 1]]), "d": np.array(4)}
    model = single("OneHot", ["i", "d", "v"], feeds[0], constants=constants, axis=axis)
    assert_close(error(model, feeds, "v", evaluate=reference), 0, Tolerance.DIFFERENCES)


@pytest.mark.parametrize(("start", "limit", "delta"), [(0.5, 6.0, 1.25), (4.0, -1.2, -0.5), (1.0, 1.0, 2.0)])
def test_ranges(start, limit, delta):
    feeds = [{"s": np.array(start), "l": np.array(limit), "d": np.array(delta)}]
    model = single("Range", ["s", "l", "d"], feeds[0])
    assert_close(error(model, feeds, ["s", "l", "d"]), 0, Tolerance.DIFFERENCES)


@pytest.mark.parametrize("mode", ["half_pixel", "output_half_pixel"])
@pytest.mark.parametrize("ratio", [0, 1, 2, 3])
def test_regions_of_several_pictures(mode, ratio):
    rng = np.random.default_rng(0)
    corners = rng.uniform(-4, 14, (5, 2))
    regions = np.concatenate([corners, corners + rng.uniform(0.2, 12, (5, 2))], axis=1)
    feeds = [{"x": rng.standard_normal((n, 3, 7, 9))} for n in (2, 3, 4)]
    constants = {"r": regions, "b": np.array([1, 0, 1, 1, 0])}
    attributes = {"output_height": 3, "output_width": 2, "sampling_ratio": ratio, "spatial_scale": 0.7}
    model = single(
        "RoiAlign", ["x", "r", "b"], feeds[0], constants=constants, coordinate_transformation_mode=mode, **attributes
    )
    assert_close(error(model, feeds, evaluate=onnxruntime), 0, Tolerance.DIFFERENCES)


def test_regions_without_extent_read_nothing():
    regions = np.array([[1.0, 2, 5, 6], [3, 3, 3, 5], [4, 5, 2, 1]])
    feeds = [{"x": np.random.default_rng(0).standard_normal((2, 3, 7, 9))}]
    constants = {"r": regions, "b": np.array([1, 0, 1])}
    model = single("RoiAlign", ["x", "r", "b"], feeds[0], constants=constants, output_height=2, output_width=2)
    assert_close(error(model, feeds, evaluate=onnxruntime), 0, Tolerance.DIFFERENCES)
    _, run = built(model, feeds, "x", evaluate=onnxruntime)
    cotangent = np.zeros((3, 3, 2, 2))
    cotangent[1:] = 1
    (found,) = run({**feeds[0], COTANGENT: cotangent}, [gradient_name("x")])
    np.testing.assert_array_equal(found, 0)


def test_regions_that_depend_on_the_input_count_as_constant_and_are_labelled():
    rng = np.random.default_rng(0)
    feeds = {"x": rng.standard_normal((2, 3, 7, 9)), "r": rng.uniform(1, 3, (2, 4)) + np.array([0, 0, 3, 3])}
    model = single("RoiAlign", ["x", "r", "b"], feeds, constants={"b": np.array([1, 0])}, sampling_ratio=2)
    facts, run = built(model, [feeds], ["x", "r"], evaluate=onnxruntime)
    found = differentiate(model, facts, "y", ["x", "r"], STANDARD)
    assert [entry.value for entry in found.metadata_props] == ["RoiAlign: its regions count as constant (1 node)"]
    dx, dr = run({**feeds, COTANGENT: np.ones(facts.sizes["y"])}, [gradient_name("x"), gradient_name("r")])
    # Each of two bins is a mean of numbers inside, so the weights sum to 1 in each channel.
    assert_close(dx.sum(axis=(2, 3)), np.ones((2, 3)), Tolerance.OPERATIONS)
    assert not dr.any()


@pytest.mark.parametrize("op", ["EyeLike", "RandomNormalLike", "RandomUniformLike", "Floor", "Ceil", "Round", "Sign"])
def test_what_reads_a_shape_or_jumps_is_flat(op):
    feeds = {"x": np.random.default_rng(0).uniform(1.1, 1.4, (3, 3))}
    dtype = {"dtype": TensorProto.DOUBLE} if op.endswith("Like") else {}
    model = single(op, ["x"], feeds, **dtype)
    assert np.array_equal(slopes(model, feeds, np.ones((3, 3)), evaluate=reference), np.zeros((3, 3)))


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1, -3])
def test_flattening(axis):
    feeds = [{"x": np.random.default_rng(0).standard_normal((n, 4, 5))} for n in (2, 3, 4)]
    assert_close(error(single("Flatten", ["x"], feeds[0], axis=axis), feeds), 0, Tolerance.DIFFERENCES)


@pytest.mark.parametrize("op", ["Transpose", "Split", "Concat"])
@pytest.mark.parametrize("axis", [1, 2, -1])
def test_layouts(op, axis):
    attributes = {
        "Transpose": {"perm": [[0, 2, 1], [0, 1, 2]][axis == 1]},
        "Split": {"axis": axis, "num_outputs": 2, "outputs": ("y", "z")},
        "Concat": {"axis": axis},
    }[op]
    shapes = {"x": (4, 5), "w": (4, 5)} if op == "Concat" else {"x": (4, 5)}
    assert_close(grid_error(op, shapes, batched=set(shapes), **attributes), 0, Tolerance.DIFFERENCES)
