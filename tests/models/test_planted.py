"""Each planted model against its formula in numpy."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from models import planted
from tests import tiny
from tests.tolerances import Tolerance, assert_close
from xaionnx.typing import Array


def run(model: onnx.ModelProto, *inputs: Array, fetch: str = "y") -> Array:
    if fetch != "y":
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(fetch))
    feeds = dict(zip(("x", "x2"), inputs, strict=False))
    return np.asarray(tiny.run(model, feeds)[fetch], np.float32)


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def formula_a(x: Array) -> Array:
    s = x.sum(1, keepdims=True)
    total = relu(s - 10) + 3 * relu(s + 1)
    return np.hstack([total - 1, total + 1])


def formula_b(x: Array) -> Array:
    windows = np.lib.stride_tricks.sliding_window_view(x[:, 0], (3, 3), axis=(1, 2)).sum((-1, -2))
    first, second = relu(windows - 50).reshape(-1, 4), relu(windows - 75).reshape(-1, 4)
    y = relu(first.sum(1) + second[:, 0] - second[:, 1:].sum(1))
    return np.repeat(y[:, None], 4, axis=1)


def formula_quadrants(x: Array) -> Array:
    h = x.shape[2] // 2
    parts = [x[:, :, :h, :h], x[:, :, :h, h:], x[:, :, h:, :h], x[:, :, h:, h:]]
    return np.stack([10 * part.mean((1, 2, 3)) for part in parts], 1)


def formula_ishigami(x: Array) -> Array:
    first, second, third = x.T[:, :, None]
    return np.asarray(np.sin(first) + 7 * np.sin(second) ** 2 + 0.1 * third**4 * np.sin(first))


def formula_second_order(d: Array) -> Array:
    d0, d1, d2, d3, _ = d.T[:, :, None]
    return np.asarray(d0 * d2 + d1 + d2 + d2 * d3)


W = np.random.default_rng(5).standard_normal((3, 2, 4, 4)).astype(np.float32)
G_MINUS = np.array([[-2, 2, 2], [2, 2, 2], [2, 2, 2]], np.float32)

CASES: dict[str, tuple[Callable[[], onnx.ModelProto], tuple[int, ...], Callable[[Array], Array]]] = {
    "a": (planted.net_a, (3,), formula_a),
    "b": (planted.net_b, (1, 4, 4), formula_b),
    "c": (planted.net_c, (2,), lambda x: relu(relu(x[:, :1]) - 1 - relu(x[:, 1:]))),
    "d": (planted.net_d, (2,), lambda x: relu(relu(x[:, :1] - 1) - relu(x[:, 1:]))),
    "f": (planted.net_f, (2,), lambda x: 2 * relu(x[:, :1]) + 2 * relu(x[:, 1:] - 1.5)),
    "g": (planted.net_g, (3,), lambda x: 9 * relu(2 * x.sum(1, keepdims=True))),
    "g_minus": (lambda: planted.net_g(negative=True), (3,), lambda x: 3 * relu(x @ G_MINUS.T).sum(1, keepdims=True)),
    "i": (planted.net_i, (4,), lambda x: x.max(1, keepdims=True)),
    "linear": (
        lambda: planted.linear(W, [1, 2, 3]),
        W.shape[1:],
        lambda x: np.einsum("kchw,nchw->nk", W, x) + np.arange(1, 4),
    ),
    "quadrants": (lambda: planted.quadrants(8), (3, 8, 8), formula_quadrants),
    "two_quadrants": (lambda: planted.quadrants(8, 2), (3, 8, 8), lambda x: formula_quadrants(x)[:, [0, 3]]),
    "mean_picture": (lambda: planted.mean_picture(6, 5, 2), (2, 6, 5), lambda x: x.mean((1, 2, 3))[:, None]),
    "second_order": (planted.second_order, (5,), formula_second_order),
    "ishigami": (planted.ishigami, (3,), formula_ishigami),
    "null": (lambda: planted.null((1, 3, 3)), (1, 3, 3), lambda x: np.zeros((len(x), 1))),
    "five": (planted.five_x1_x2sq_sinx3, (3,), lambda x: 5 * x[:, :1] + x[:, 1:2] ** 2 + np.sin(x[:, 2:])),
}


@pytest.mark.parametrize("name", CASES)
def test_model_computes_its_formula(name: str) -> None:
    build, shape, formula = CASES[name]
    model = build()
    assert model.ir_version == 8
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
    # 3 standard deviations around 2 switch the rectifiers of every net on and off; net B needs sums beyond 75
    x = np.random.default_rng(1).normal(10 if name == "b" else 2, 3, (50, *shape)).astype(np.float32)
    expected = formula(x)
    assert name == "null" or len(np.unique(expected)) > 10
    assert_close(run(model, x), expected, Tolerance.DEEP)
    assert_close(run(build(), x[:1]), expected[:1], Tolerance.DEEP)


def test_published_values() -> None:
    canonical = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    assert run(planted.net_b(), canonical)[0].tolist() == [54.0] * 4
    # the published 67 of a window over the whole image belongs to the net of two images, the second all ones
    assert run(planted.net_b(two_images=True), canonical, np.ones_like(canonical))[0].tolist() == [67.0] * 4
    assert run(planted.net_b(two_images=True), 0 * canonical, np.ones_like(canonical))[0].tolist() == [0.0] * 4
    x = np.array([[20, 50, 30]], np.float32)
    assert run(planted.net_a(), x).tolist() == [[392, 394]]
    assert run(planted.net_a(), x, fetch="linear1").tolist() == [[90, 101, 101, 101]]
    assert run(planted.net_a(), x, fetch="linear0").tolist() == x.tolist()
    assert run(planted.net_a(), x, fetch="linear2").tolist() == run(planted.net_a(), x).tolist()


def test_two_image_net_sees_the_sum() -> None:
    x, other = np.random.default_rng(2).normal(5, 3, (2, 20, 1, 4, 4)).astype(np.float32)
    assert_close(run(planted.net_b(two_images=True), x, other), formula_b(x + other), Tolerance.DEEP)


def test_c_and_d_are_one_function() -> None:
    x = np.random.default_rng(3).normal(0, 3, (200, 2)).astype(np.float32)
    assert_close(run(planted.net_c(), x), run(planted.net_d(), x), Tolerance.ORDER_ONE)


@pytest.mark.parametrize(("size", "classes"), [(7, 4), (8, 1), (8, 5)])
def test_quadrants_refuses_what_it_cannot_cut(size: int, classes: int) -> None:
    with pytest.raises(ValueError, match="even size and 2 to 4 classes"):
        planted.quadrants(size, classes)
