"""Locality against brute force: change one pixel, and check that inner changes lie in the predicted box."""

import numpy as np
import onnxruntime as ort
import pytest

from tests import tiny
from tests.tiny import node, tensor
from xaionnx.graph.cut import expose
from xaionnx.graph.locality import separators
from xaionnx.graph.view import GraphView

RNG = np.random.default_rng(5)
H, W = 23, 18


def conv(name, source, channels_in=2, channels=2, kernel=(3, 3), **attributes):
    weights = RNG.normal(size=(channels, channels_in // attributes.get("group", 1), *kernel)).astype(np.float32)
    return node("Conv", [source, f"{name}_w"], [name], **attributes), {f"{name}_w": weights}


def chain(*attributes):
    """Convolutions in sequence, each followed by a Relu; then a mean."""
    nodes, weights, source = [], {}, "x"
    for number, given in enumerate(attributes):
        given = dict(given)
        one, own = conv(f"c{number}", source, kernel=given.pop("kernel", (3, 3)), **given)
        nodes += [one, node("LeakyRelu", [f"c{number}"], [f"r{number}"])]
        weights |= own
        source = f"r{number}"
    return finished(nodes, weights, source)


def finished(nodes, weights, last):
    nodes = [*nodes, node("GlobalAveragePool", [last], ["g"]), node("Flatten", ["g"], ["y"])]
    return tiny.model(nodes, [tensor("x", ["N", 2, H, W])], [tensor("y", ["N", None])], weights)


def residual():
    """Two added branches of different receptive field, a concatenated one, and a constant for each channel."""
    first, a = conv("a", "x", strides=[2, 2], pads=[1, 1, 1, 1])
    side, b = conv("b", "a", pads=[2, 2, 2, 2], dilations=[2, 2])
    nodes = [
        first,
        side,
        node("Add", ["a", "b"], ["s"]),
        node("Mul", ["s", "scale"], ["m"]),
        node("Concat", ["m", "a"], ["cat"], axis=1),
        node("MaxPool", ["cat"], ["p"], kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 0]),
    ]
    scale = RNG.normal(size=(2, 1, 1)).astype(np.float32)
    return finished(nodes, {**a, **b, "scale": scale}, "p")


NETS = {
    "plain": lambda: chain({}, {"strides": [2, 1]}),
    "padded": lambda: chain({"pads": [1, 2, 0, 1], "strides": [2, 3]}, {"pads": [1, 1, 1, 1]}),
    "dilated": lambda: chain({"dilations": [2, 3], "pads": [2, 3, 2, 3]}, {"group": 2}),
    "same upper": lambda: chain(
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, {"auto_pad": "SAME_UPPER", "strides": [3, 2]}
    ),
    "same lower": lambda: chain({"auto_pad": "SAME_LOWER", "strides": [2, 2], "kernel": (4, 2)}, {}),
    "valid": lambda: chain({"auto_pad": "VALID", "strides": [2, 2]}, {"kernel": (1, 1), "strides": [2, 2]}),
    "residual": residual,
}  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_a_pixel_changes_only_what_sees_it(name):
    model = NETS[name]()
    found, _ = separators(GraphView(model), "x", (2, 3), (H, W), ["y"])
    assert len(found) >= 2
    names = [separator.name for separator in found[1:]]
    session = ort.InferenceSession(expose(model, names).SerializeToString(), providers=["CPUExecutionProvider"])
    x = RNG.normal(size=(1, 2, H, W)).astype(np.float32)
    clean = session.run(names, {"x": x})
    touched = dict.fromkeys(names, False)
    for row in range(H):
        for column in (0, 1, 7, 10, W - 2, W - 1):
            other = x.copy()
            other[:, :, row, column] += 50
            for separator, before, after in zip(found[1:], clean, session.run(names, {"x": other}), strict=True):
                assert before.shape[2:] == tuple(reach.length for reach in separator.field.reaches)
                places = np.argwhere((before != after).any(axis=(0, 1)))
                touched[separator.name] |= len(places) > 0
                for axis, pixel in enumerate((row, column)):
                    reach = separator.field.reaches[axis]
                    assert (places[:, axis] * reach.stride + reach.low <= pixel).all()
                    assert (places[:, axis] * reach.stride + reach.high >= pixel).all()
    assert all(touched.values())


def test_the_reach_is_no_larger_than_kernels_make_it():
    model = chain({"strides": [2, 2], "pads": [1, 1, 1, 1]}, {"dilations": [2, 2]})
    found, work = separators(GraphView(model), "x", (2, 3), (H, W), ["y"])
    reach = found[-1].field.reaches[0]
    assert (found[-1].name, reach.stride, reach.low, reach.high, reach.length) == ("r1", 2, -1, 9, 8)
    # 2 x 2 x 3 x 3 weights at 12 x 9 and at 8 x 5 positions
    assert work == 36 * (12 * 9 + 8 * 5)


def names_of(nodes, weights, wanted=("y",)):
    model = finished(nodes, weights, "t")
    return [separator.name for separator in separators(GraphView(model), "x", (2, 3), (H, W), wanted)[0]]


def test_nothing_behind_an_op_that_sees_all_is_a_separator():
    one, weights = conv("c", "x", pads=[1, 1, 1, 1])
    squeezed = [one, node("GlobalAveragePool", ["c"], ["q"]), node("Mul", ["c", "q"], ["t"])]
    assert names_of(squeezed, weights) == ["x", "c"]
    normed = [one, node("InstanceNormalization", ["c", "s", "s"], ["t"])]
    assert names_of(normed, {**weights, "s": np.ones(2, np.float32)}) == ["x", "c"]


def test_a_constant_with_height_and_width_is_not_local():
    one, weights = conv("c", "x", pads=[1, 1, 1, 1])
    nodes = [one, node("Add", ["c", "k"], ["t"])]
    assert names_of(nodes, {**weights, "k": np.ones((2, 1, 1), np.float32)}) == ["x", "t"]
    assert names_of(nodes, {**weights, "k": np.ones((H, 1), np.float32)}) == ["x", "c"]
    beside = [one, node("Concat", ["c", "k"], ["t"], axis=1)]
    assert names_of(beside, {**weights, "k": np.ones((1, 1, H, W), np.float32)}) == ["x", "c"]


def test_what_is_asked_in_front_moves_the_cut_forward():
    first, weights = conv("a", "x")
    second, more = conv("t", "a")
    assert names_of([first, second], weights | more) == ["x", "a", "t"]
    assert names_of([first, second], weights | more, ("y", "a")) == ["x"]
