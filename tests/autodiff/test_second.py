"""The rules are closed under their own output: each gradient has a gradient, right to the second derivative."""

import numpy as np
import onnx
import pytest

from tests.autodiff.differences import (
    COTANGENT,
    arrays,
    cases,
    either,
    error,
    frozen,
    gradient_name,
    reference,
    widened,
)
from tests.autodiff.test_rules import BY_REFERENCE, ELSEWHERE, REFUSED, SKIPPED, floats, free_inputs, outputs
from tests.tolerances import Tolerance, assert_close
from xaionnx.autodiff.backward import differentiate
from xaionnx.autodiff.table import STANDARD
from xaionnx.graph.canonicalize import canonicalize
from xaionnx.graph.expand import COMPOSED
from xaionnx.graph.probe import probe

# Inputs are moved further off ties than for first derivatives: at a kink these have an error of the step, second ones
# any. They are moved up, since some begin at the lower end of what the op is defined for.
JITTER = 1e-2
WEIGHTS = "u"
OPS = sorted((set(STANDARD) | COMPOSED) - set(ELSEWHERE))


def gradient_model(model, at, free, out, evaluate):
    """The gradient of an output as a model of its inputs and of the weights ``u``, and the shape of these."""
    form = canonicalize(model, [], None)
    facts = probe(form, [at], lambda shown, values, names: evaluate(shown)(values, names))
    first = differentiate(form, facts, out, free, STANDARD)
    return renamed(first, {COTANGENT: WEIGHTS} | {gradient_name(name): slope(name) for name in free}), facts.sizes[out]


def slope(name):
    return f"slope_{name}"


def renamed(model, names):
    found = onnx.ModelProto()
    found.CopyFrom(model)
    for value in (*found.graph.input, *found.graph.output):
        value.name = names.get(value.name, value.name)
    for node in found.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    return found


def fit(op):
    """The cases of an op that are compared, with the values of all inputs and the names of those that vary."""
    for case in cases(op):
        feeds = arrays(case)
        free = free_inputs(case, feeds)
        if case.name not in REFUSED and not any(unfit(case, feeds, free) for unfit in SKIPPED.values()):
            yield case, feeds, free


@pytest.mark.parametrize("op", OPS)
@pytest.mark.sampled(percent=15)
def test_second_derivatives_agree_with_central_differences(op):
    """Of each output's gradient, with respect to all inputs and to its weights, in which it is linear."""
    evaluate = reference if op in BY_REFERENCE else either
    rng = np.random.default_rng(2)
    compared = 0
    for case, feeds, free in fit(op):
        wide = {n: np.asarray(a, np.float64) if n in floats(case.model.graph.input) else a for n, a in feeds.items()}
        at = {name: np.asarray(wide[name] + JITTER * rng.uniform(size=wide[name].shape)) for name in free}
        model = frozen(widened(case.model), wide, free)
        first, shape = gradient_model(model, at, free, outputs(case)[0], evaluate)
        at[WEIGHTS] = np.asarray(rng.standard_normal(shape))
        for name in free:
            found = error(first, [at], [*free, WEIGHTS], slope(name), evaluate, independent=True)
            assert_close(found, 0, Tolerance.DIFFERENCES)
            compared += 1
    assert compared, f"{op} has no case"
