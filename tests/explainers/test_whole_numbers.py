"""Pixels and sound as whole numbers, which a model casts to floats, are explained as the floats are."""

import functools

import numpy as np
import pytest

import xaionnx
from models import planted
from tests import tiny
from xaionnx import Model, discovery
from xaionnx.errors import InputMismatchError, UnsupportedModelError
from xaionnx.typing import Array

WEIGHTS = {
    "k": np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32),
    "w": np.random.default_rng(1).normal(size=(4, 2)).astype(np.float32),
    "scale": np.float32(255),
}
# Their settings, random draws by the name of the tensor, or refusals differ.
APART = {"smooth_grad", "full_grad", "pattern_net", "pattern_attribution", "exact_shapley", "masker", "senn"}
ATTENTION = {"attention_relevance", "attention_rollout"}
ROUNDED = {"rise": 5e-3, "sobol": 2e-2, "score_cam": 2e-3}


@functools.cache
def net(kind: str) -> Model:
    cast = "Identity" if kind == "float" else "Cast <to = 1>"
    text = f"""g ({kind}[N, 8, 8, 3] x) => (float[N, 2] y) {{
        c = {cast} (x)
        n = Div(c, scale)
        t = Transpose <perm = [0, 3, 1, 2]> (n)
        v = Conv <kernel_shape = [3, 3]> (t, k)
        r = Relu(v)
        p = GlobalAveragePool(r)
        f = Flatten(p)
        y = MatMul(f, w) }}"""
    return planted.load(tiny.parsed(text, **WEIGHTS), device="cpu")


def pixels(dtype: str) -> Array:
    return np.random.default_rng(2).integers(0, 256, (2, 8, 8, 3)).astype(dtype)


@pytest.mark.sampled(percent=30)
@pytest.mark.parametrize(
    ("method", "kind"),
    [(method, "uint8") for method in sorted({*discovery.methods()} - APART - ATTENTION)]
    + [(method, kind) for method in ("saliency", "occlusion", *ROUNDED) for kind in ("int16", "int64")],
)
def test_pixels_are_explained_as_their_floats(method, kind):
    # The regression of all pairs of superpixels takes long.
    few = {"features": "grid:3"} if method == "shapley_interactions" else {}
    own = xaionnx.explain(net(kind), pixels(kind), method, 0, **few)
    floats = xaionnx.explain(net("float"), pixels("float32"), method, 0, **few)
    apart = np.abs(own.values.astype(float) - floats.values).max()
    assert apart <= ROUNDED.get(method, 0) * np.abs(floats.values).max()


def test_the_record_names_the_floats():
    result = xaionnx.explain(net("uint8"), pixels("uint8"), "integrated_gradients", 0)
    assert result.provenance["layer"]["name"] == "c"
    assert result.diagnostics["completeness_gap"] == pytest.approx([0, 0], abs=1e-4)


def test_noise_is_that_of_the_floats():
    """Standard errors cover the difference of two sets of draws."""
    own, floats = (
        xaionnx.explain(net(kind), pixels(dtype), "smooth_grad", 0, draws=200)
        for kind, dtype in (("uint8", "uint8"), ("float", "float32"))
    )
    apart = np.abs(own.values.astype(float) - floats.values) / np.hypot(own.standard_error, floats.standard_error)
    assert np.mean(apart <= 2) > 0.9


def test_numbers_that_are_rearranged_and_truths_are_explained_where_they_become_floats():
    turned = tiny.parsed(
        """g (int16[N, 2, 8] x) => (float[N, 1] y) {
            t = Transpose <perm = [0, 2, 1]> (x)
            c = Cast <to = 1> (t)
            v = Tanh(c)
            f = Flatten(v)
            y = MatMul(f, w) }""",
        w=np.ones((16, 1), np.float32),
    )
    x = np.arange(16, dtype=np.int16).reshape(1, 2, 8)
    result = xaionnx.explain(planted.load(turned, device="cpu"), x, "saliency", 0, absolute=False)
    np.testing.assert_allclose(result.values, 1 / np.cosh(x.transpose(0, 2, 1)) ** 2, atol=1e-5)
    truths = tiny.parsed(
        "g (bool[N, 3] x) => (float[N, 1] y) { c = Cast <to = 1> (x) y = MatMul(c, w) }", w=[[1.0], [2.0], [-4.0]]
    )
    model = planted.load(truths, device="cpu")
    result = xaionnx.explain(model, np.array([[True, False, True]]), "integrated_gradients", 0)
    np.testing.assert_allclose(result.values, [[1, 0, -4]])


def test_numbers_that_are_compared_have_no_slope():
    compared = tiny.parsed(
        """g (int64[N, 3] x) => (float[N, 3] y) { m = Greater(x, zero) c = Cast <to = 1> (m) y = Mul(c, two) }""",
        zero=np.array(0),
        two=np.float32(2),
    )
    with pytest.raises(UnsupportedModelError, match=r"int64, which has no gradient\. Use a method without gradients"):
        xaionnx.explain(planted.load(compared, device="cpu"), np.ones((1, 3), np.int64), "saliency", 0)


def test_half_of_a_number_without_a_place_is_not_mixed():
    rows = tiny.parsed("g (int64[N, 3] x) => (float[N, 3] y) { y = Cast <to = 1> (x) }")
    with pytest.raises(InputMismatchError, match=r"Sobol.* needs floats, or whole numbers over space or time"):
        xaionnx.explain(planted.load(rows, device="cpu"), np.ones((1, 3), np.int64), "sobol", 0)
