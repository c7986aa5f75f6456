"""What `inspect` says works does work, with default options and on data other than the noise that it was tried on."""

import json

import numpy as np
import pytest
from xaionnx_cli._trials import try_methods

from models import planted
from tests.contracts.axes_zoo import CASES
from xaionnx import Model, discovery
from xaionnx.errors import XaionnxError

SHIPPED = {
    "digits_cnn": (1, 8, 8),
    "mnist_cnn": (1, 28, 28),
    "german_credit_mlp": (20,),
    "german_credit_forest": (20,),
}
# Cases that together have pictures, series, time first, no samples and tokens.
QUICK = {"picture of 4 bands", "RNN, time first", "GRU, no samples", "attention", "waveform"}
# Of a tiny model a method with its default budget takes well below a second.
LIMIT_S = 60.0


def broken(model, x):
    """The methods that are promised and do not run, with the reason."""
    trials, found = try_methods(model, LIMIT_S), {}
    assert [trial.method for trial in trials] == discovery.methods()
    assert {"occlusion", "feature_ablation"} <= {trial.method for trial in trials if trial.outcome == "works"}
    for trial in trials:
        assert trial.reason or trial.outcome == "works"
        if trial.outcome == "works":
            try:
                discovery.method(trial.method)().attribute(model, x)
            except XaionnxError as error:
                found[trial.method] = str(error)
    return found


@pytest.mark.sampled(percent=40)
@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
)
def test_promises_over_the_zoo(name):
    case = CASES[name]
    assert broken(planted.load(case.proto), case.inputs(1, seed=3)) == {}


@pytest.mark.parametrize(
    "name", ["digits_cnn", *(pytest.param(name, marks=pytest.mark.slow) for name in SHIPPED if name != "digits_cnn")]
)
def test_promises_of_shipped_models(name):
    x = np.random.default_rng(4).uniform(size=(1, *SHIPPED[name])).astype(np.float32)
    assert broken(Model.load(f"models/{name}.onnx", device="cpu"), x) == {}


def test_refusals_are_those_of_an_explanation():
    case = CASES["picture of 4 bands"]
    model = planted.load(case.proto)
    for trial in try_methods(model, LIMIT_S):
        if trial.outcome == "refused":
            with pytest.raises(XaionnxError) as raised:
                discovery.method(trial.method)().attribute(model, case.inputs(1))
            assert str(raised.value) == trial.reason
            json.dumps(trial.facts)
