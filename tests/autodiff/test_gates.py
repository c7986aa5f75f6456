"""Products of a value and its gate are differentiated as one op."""

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from tests.tiny import loaded, parsed
from tests.tolerances import Tolerance, assert_close
from xaionnx.autodiff import gradient
from xaionnx.autodiff.backward import COTANGENT, differentiate, gradient_name
from xaionnx.autodiff.table import STANDARD
from xaionnx.graph.canonicalize import canonicalize
from xaionnx.graph.probe import probe

HARD = "s = HardSigmoid <alpha = 0.1666666716337204, beta = 0.5> (h)"


def built(gate, order, shape="N, 3, 2, 2"):
    text = f"g (float[{shape}] x) => (float[{shape}] y) {{ h = Neg(x) {gate} y = Mul({order}) }}"
    return loaded(text)


def silu_slope(x):
    s = 1 / (1 + np.exp(-x))
    return s * (1 + x * (1 - s))


def hard_swish_slope(x):
    return np.where(np.abs(x) < 3, x / 3 + 0.5, x >= 3)


@pytest.mark.parametrize("order", ["h, s", "s, h"])
@pytest.mark.parametrize(("gate", "slope"), [("s = Sigmoid(h)", silu_slope), (HARD, hard_swish_slope)])
@pytest.mark.parametrize("shape", [(40, 3, 2, 2), (160, 3)])
def test_gates_have_the_slope_of_the_product(gate, slope, order, shape):
    model = built(gate, order, ", ".join(map(str, ("N", *shape[1:]))))
    x = np.random.default_rng(0).uniform(-9, 9, shape).astype(np.float32)
    found = gradient(model, "y", ["x"]).run({"x": x}, np.ones_like(x))[1]["x"]
    assert_close(found, -slope(-x.astype(np.float64)), Tolerance.ORDER_ONE)


def test_a_hard_gate_is_shut_and_open_at_its_ends():
    x = -np.float32([-3, -30, -1e30, 3, 30, 1e30, 0, 1, -1, 2, -2, 2.9999]).reshape(1, 3, 2, 2)
    found = gradient(built(HARD, "h, s"), "y", ["x"]).run({"x": x}, np.ones_like(x))[1]["x"]
    assert_close(-found.ravel(), hard_swish_slope(-x.ravel().astype(np.float64)), Tolerance.ORDER_ONE)


def test_the_slopes_of_the_gate_itself_can_be_asked_for():
    model = built("s = Sigmoid(h)", "h, s")
    x = np.random.default_rng(0).uniform(-3, 3, (2, 3, 2, 2)).astype(np.float32)
    slopes = gradient(model, "y", ["s", "x"]).run({"x": x}, np.ones_like(x))[1]
    assert_close(slopes["s"], -x, Tolerance.OPERATIONS)
    assert_close(slopes["x"], -silu_slope(-x), Tolerance.SIGNED_SUMS)


def test_a_gate_that_is_read_elsewhere_passes_that_on_too():
    text = "g (float[N, 3, 2, 2] x) => (float[N, 3, 2, 2] y) { s = Sigmoid(x) a = Mul(x, s) y = Add(a, s) }"
    x = np.random.default_rng(0).uniform(-3, 3, (2, 3, 2, 2)).astype(np.float32)
    found = gradient(loaded(text), "y", ["x"]).run({"x": x}, np.ones_like(x))[1]["x"]
    s = 1 / (1 + np.exp(-x.astype(np.float64)))
    assert_close(found, silu_slope(x) + s * (1 - s), Tolerance.SIGNED_SUMS)


def test_a_hard_gate_of_half_precision_is_differentiated_in_single():
    """Half precision cannot hold the steep factor of the rule."""
    text = f"g (float16[N, 3, 2, 2] h) => (float16[N, 3, 2, 2] y) {{ {HARD} y = Mul(h, s) }}"
    model = parsed(text, opset=20, ir=9)
    rng = np.random.default_rng(0)
    feeds = [{"h": rng.uniform(-5, 5, (count, 3, 2, 2)).astype(np.float16)} for count in (2, 3)]
    form = canonicalize(model, [], None)
    facts = probe(form, feeds, lambda shown, values, names: ReferenceEvaluator(shown).run(list(names), dict(values)))
    answer = ReferenceEvaluator(differentiate(form, facts, "y", ["h"], STANDARD))
    (found,) = answer.run([gradient_name("h")], feeds[1] | {COTANGENT: np.ones((3, 3, 2, 2), np.float32)})
    assert_close(found, hard_swish_slope(feeds[1]["h"].astype(np.float64)), Tolerance.FLOAT16)
