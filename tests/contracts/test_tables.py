"""Every method on a model of table rows whose InputSpec says so."""

import numpy as np
import pytest

import xaionnx
from xaionnx import Model, discovery, parameters
from xaionnx.autodiff.composites import names
from xaionnx.errors import InputMismatchError, UnsupportedModelError
from xaionnx.patterns import estimate_patterns

ROWS = np.random.default_rng(0).integers(0, 2, size=(2, 20)).astype(np.float32)
# Regions and blurs are of pictures.
PICTURES = {"blur_ig", "xrai"}


@pytest.fixture(scope="module")
def credit():
    model = Model.load("models/german_credit_mlp.onnx", "cpu")
    assert model.spec.kind == "table"
    return model


@pytest.fixture(scope="module")
def settings(credit):
    rows = np.random.default_rng(1).integers(0, 2, size=(8, 20)).astype(np.float32)
    return {
        "budget": 100,
        "patterns": estimate_patterns(credit, rows),
        "features": xaionnx.Features.of(np.arange(20) // 2),
    }


@pytest.mark.parametrize("method", discovery.methods())
def test_a_row_is_explained_or_refused_for_what_it_is(credit, settings, method):
    kind = discovery.method(method)
    known = parameters.declared(kind)
    explainer = kind(**{name: value for name, value in settings.items() if name in known})
    # A map over the picture needs places, which rows have none of.
    if {"layer", "upsampling"} <= known.keys() or method in PICTURES or kind.lacks(credit):
        with pytest.raises((UnsupportedModelError, InputMismatchError)):
            xaionnx.explain(credit, ROWS, explainer, 0)
        return
    found = xaionnx.explain(credit, ROWS, explainer, [0, 1])
    assert np.isfinite(found.values).all()
    assert np.abs(found.values).max() > 0


@pytest.mark.parametrize("name", names())
def test_relevance_of_a_row_by_every_composite(credit, name):
    boxed = {"low": -1.0, "high": 20.0} if "box" in name else {}
    found = xaionnx.explain(credit, ROWS, "lrp", [0, 1], composite=name, **boxed)
    assert np.isfinite(found.values).all()
    assert np.abs(found.values).max() > 0
