"""Products with Jacobians and Hessians, against exact differences and the gradients that they are made from."""

import numpy as np
import onnx
import pytest
from onnx import parser

from models import planted
from tests.tiny import trained
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model
from xaionnx.autodiff import gradient, hessian_product, jacobian_product
from xaionnx.errors import UnsupportedModelError

TRAINED = ["mnist_cnn", "mnist_vit", "german_credit_mlp", "mnist_vae_decoder", "digits_cnn"]
BY_HAND = {
    # Function, its gradient and its Hessian in float64.
    "ishigami": (
        planted.ishigami,
        lambda a, b, c: [np.cos(a) * (1 + 0.1 * c**4), 7 * np.sin(2 * b), 0.4 * c**3 * np.sin(a)],
        lambda a, b, c: [
            [-np.sin(a) * (1 + 0.1 * c**4), 0, 0.4 * c**3 * np.cos(a)],
            [0, 14 * np.cos(2 * b), 0],
            [0.4 * c**3 * np.cos(a), 0, 1.2 * c**2 * np.sin(a)],
        ],
    ),
    "square and sine": (
        planted.five_x1_x2sq_sinx3,
        lambda a, b, c: [5, 2 * b, np.cos(c)],
        lambda a, b, c: [[0, 0, 0], [0, 2, 0], [0, 0, -np.sin(c)]],
    ),
}


def drawn(shape, *more, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.uniform(0.1, 0.9, shape).astype(np.float32), *(rng.standard_normal(s).astype(np.float32) for s in more)]


@pytest.mark.parametrize("name", BY_HAND)
def test_products_are_those_of_calculus(name):
    build, slope, curvature = BY_HAND[name]
    model = planted.load(build())
    x, v = drawn((4, 3), (4, 3))
    expected = np.array([slope(*row) for row in x.astype(np.float64)])
    hessians = np.array([curvature(*row) for row in x.astype(np.float64)], dtype=np.float64)
    y, along = jacobian_product(model, "y", ["x"]).run({"x": x}, {"x": v})
    np.testing.assert_array_equal(y, model.run({"x": x})["y"])
    assert_close(along[:, 0], (expected * v).sum(1), Tolerance.SIGNED_SUMS)
    weights = np.full((4, 1), 2, np.float32)
    gradients, products = hessian_product(model, "y", ["x"]).run({"x": x}, weights, {"x": v})
    assert_close(gradients["x"], 2 * expected, Tolerance.SIGNED_SUMS)
    assert_close(products["x"], 2 * np.einsum("nij,nj->ni", hessians, v), Tolerance.SIGNED_SUMS)


@pytest.mark.parametrize("name", TRAINED)
def test_forward_and_reverse_mode_are_transposed_to_each_other(name):
    """``u' (J v) = (u' J) v`` for any u and v."""
    model = trained(name)
    given, out = model.input().name, model.outputs[0].name
    x = drawn((3, *model.input().shape[1:]))[0]
    y = model.run({given: x})[out]
    _, v, u = drawn((), x.shape, y.shape)
    found, along = jacobian_product(model, out, [given]).run({given: x}, {given: v})
    _, gradients = gradient(model, out, [given]).run({given: x}, u)
    assert_close(found, y, Tolerance.SIGNED_LAYERS)
    terms = np.linalg.norm(gradients[given]) * np.linalg.norm(v)
    assert_close((along * u).sum() / terms, (gradients[given] * v).sum() / terms, Tolerance.COMPLETENESS)


@pytest.mark.parametrize("name", TRAINED)
def test_several_tangents_in_one_run_are_those_one_by_one(name):
    model = trained(name)
    given, out = model.input().name, model.outputs[0].name
    x, *tangents = drawn((2, *model.input().shape[1:]), *[(2, *model.input().shape[1:])] * 3)
    one, several = (jacobian_product(model, out, [given], several=many) for many in (False, True))
    _, together = several.run({given: x}, {given: np.stack(tangents, 1)})
    for n, v in enumerate(tangents):
        assert_close(together[:, n], one.run({given: x}, {given: v})[1], Tolerance.SIGNED_LAYERS)


def test_the_hessian_of_a_transformer_is_symmetric():
    model = trained("mnist_vit")
    given, out = model.input().name, model.outputs[0].name
    x, v, w = drawn((2, *model.input().shape[1:]), *[(2, *model.input().shape[1:])] * 2)
    u = np.eye(10, dtype=np.float32)[[3, 5]]
    product = hessian_product(model, out, [given], several=True)
    gradients, found = product.run({given: x}, u, {given: np.stack([v, w], 1)})
    scale = np.linalg.norm(found[given]) * np.linalg.norm(v)
    crossed = (found[given][:, 0] * w).sum(), (found[given][:, 1] * v).sum()
    assert_close(crossed[0] / scale, crossed[1] / scale, Tolerance.COMPLETENESS)
    np.testing.assert_array_equal(gradients[given], gradient(model, out, [given]).run({given: x}, u)[1][given])


def test_several_inputs_move_together_and_alone():
    model = planted.load(planted.net_b(two_images=True))
    x, v, w = drawn((2, 1, 4, 4), *[(2, 1, 4, 4)] * 2)
    feeds = {"x": x, "x2": x[::-1].copy()}
    product = jacobian_product(model, "y", ["x", "x2"])
    both = product.run(feeds, {"x": v, "x2": w})[1]
    apart = [product.run(feeds, one)[1] for one in ({"x": v}, {"x2": w})]
    assert_close(both, apart[0] + apart[1], Tolerance.SIGNED_LAYERS)


def test_mixed_second_derivatives_cross_between_inputs(tmp_path):
    proto = parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
        g (float[N, 2] a, float[N, 2] b) => (float[N, 2] y) { y = Mul(a, b) }""")
    onnx.save(proto, tmp_path / "product.onnx")
    model = Model.load(tmp_path / "product.onnx", "cpu")
    a, v, w, u = drawn((3, 2), *[(3, 2)] * 3)
    gradients, products = hessian_product(model, "y", ["a", "b"]).run({"a": a, "b": a + 1}, u, {"a": v, "b": w})
    assert_close(gradients["b"], u * a, Tolerance.OPERATIONS)
    assert_close(products["a"], u * w, Tolerance.OPERATIONS)
    assert_close(products["b"], u * v, Tolerance.OPERATIONS)


def test_a_net_of_linear_pieces_has_no_curvature():
    model = trained("efficientnet_lite0")
    given, out = model.input().name, model.outputs[0].name
    x, v = drawn((1, 3, 224, 224), (1, 3, 224, 224))
    _, products = hessian_product(model, out, [given]).run({given: x}, np.ones((1, 1000), np.float32), {given: v})
    np.testing.assert_array_equal(products[given], 0)


def test_the_derivative_along_a_direction_needs_no_gradient_first():
    """The graph does not hold the reverse pass that it is made from."""
    model = trained("efficientnet_lite0")
    given, out = model.input().name, model.outputs[0].name
    forward = jacobian_product(model, out, [given]).model.graph.graph.node
    backward = gradient(model, out, [given]).model.graph.graph.node
    convolutions = [sum(node.op_type in ("Conv", "ConvTranspose") for node in nodes) for nodes in (forward, backward)]
    assert convolutions[0] <= convolutions[1]


def test_a_tensor_that_does_not_depend_is_refused():
    model = trained("mnist_cnn")
    with pytest.raises(UnsupportedModelError, match="does not depend on"):
        jacobian_product(model, model.input().name, [model.outputs[0].name])
