"""The options of layer-wise relevance propagation, and their errors."""

import numpy as np
import pytest

import xaionnx
from models import planted
from tests.tolerances import Tolerance, assert_close
from xaionnx import InputSpec, Model, parameters
from xaionnx.autodiff.composites import names
from xaionnx.autodiff.lrp import Composite
from xaionnx.autodiff.relevance import Epsilon
from xaionnx.errors import ParameterError, UnknownNameError
from xaionnx.explainers.lrp import Lrp

OWN = Composite({"*": Epsilon()})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"gamma": 5.0},
            "'gamma' parameter of Lrp must be left out for composite='epsilon_plus', which does not use it",
        ),
        ({"low": 0.0}, "'low' parameter of Lrp must be left out for composite='epsilon_plus'"),
        ({"composite": "epsilon_gamma_flat", "high": 1.0}, "'high' parameter of Lrp must be left out"),
        ({"composite": OWN, "epsilon": 0.1}, "'epsilon' parameter of Lrp must be left out for composite=Composite"),
        ({"composite": OWN, "relative": False}, "'relative' parameter of Lrp must be left out for composite=Composite"),
        ({"composite": OWN, "gamma": 1.0}, "'gamma' parameter of Lrp must be left out for composite=Composite"),
        ({"composite": OWN, "low": 0.0}, "'low' parameter of Lrp must be left out for composite=Composite"),
        ({"composite": "z_box", "low": 0.0, "layer": "h"}, "for composite='z_box' at a layer, which does not use it"),
        ({"composite": "z_box", "low": 1.0, "high": 0.0}, "'low' parameter of Lrp must lie below 'high', 0.0. Got 1.0"),
        ({"composite": "z_box", "low": 1.0, "high": 1.0}, "'low' parameter of Lrp must lie below 'high'"),
    ],
)
def test_an_option_without_a_use_is_refused(given, message):
    with pytest.raises(ParameterError, match=message):
        Lrp(**given)


@pytest.mark.parametrize(
    ("composite", "options"),
    [("gamma", {"gamma": 5.0}), ("z_box", {"low": -3.0}), ("z_box", {"high": 9.0}), ("flat", {"epsilon": 0.5})],
)
def test_an_option_that_is_taken_changes_the_values(composite, options):
    model = planted.load(planted.net_g(negative=True))
    x = np.float32([[1, 2, 3]])
    box = {"low": -1.0, "high": 4.0} if composite == "z_box" else {}
    usual = xaionnx.explain(model, x, Lrp(composite=composite, **box), 0)
    other = xaionnx.explain(model, x, Lrp(composite=composite, **{**box, **options}), 0)
    assert np.abs(usual.values - other.values).max() > 1e-3


def test_a_box_that_the_spec_closes_the_wrong_way_is_refused():
    """The maximum is the white of the InputSpec, here 1."""
    model = Model.load("models/mnist_cnn.onnx", "cpu")
    assert model.spec.pixel(255).ravel().tolist() == [1.0]
    with pytest.raises(ParameterError, match="'low' parameter of ZBox must lie below 'high'"):
        xaionnx.explain(model, np.zeros((1, 1, 28, 28), np.float32), Lrp(composite="z_box", low=2.0), 0)


@pytest.mark.parametrize("kind", ["table", "array", "text"])
def test_a_box_of_what_is_no_picture_has_to_be_given(kind):
    model = planted.load(planted.linear([[1.0, 2.0, -3.0]]), spec=InputSpec(kind=kind))
    x = np.float32([[1, 2, 3]])
    with pytest.raises(ParameterError, match=r"has no InputSpec of pictures. Give 'low' and 'high'"):
        xaionnx.explain(model, x, Lrp(composite="z_box"), 0)
    boxed = xaionnx.explain(model, x, Lrp(composite="z_box", low=0.0, high=4.0), 0)
    # x w - low max(w, 0) - high min(w, 0) is (1, 4, 3), which distributes the score -4.
    assert_close(boxed.values, [[-0.5, -2, -1.5]], Tolerance.SUMS)
    plain = xaionnx.explain(model, x, Lrp(composite="epsilon"), 0)
    assert_close(plain.values, [[1, 4, -9]], Tolerance.SUMS)


def test_every_composite_is_named_in_the_help_and_in_the_error():
    told = parameters.declared(Lrp)["composite"][0].help
    assert sorted(told.partition(": ")[2].split(", ")) == names()
    with pytest.raises(UnknownNameError) as error:
        Lrp(composite="qqqq")
    assert str(error.value) == f"No composite named 'qqqq'. Known: {', '.join(names())}."
