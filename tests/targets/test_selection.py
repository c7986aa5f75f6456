"""TargetSet: targets that are evaluated together, and the set of one sample applied to any rows."""

import numpy as np
import onnx_ir as ir
import pytest
from scipy.special import expit, log_softmax, softmax

from tests import tiny
from tests.tolerances import Tolerance, assert_close
from xaionnx.graph.builder import Builder
from xaionnx.targets.selection import TargetSet, TargetTerm, emit_activation

RNG = np.random.default_rng(3)
ACTIVATIONS = {
    "identity": lambda v: v,
    "sigmoid": expit,
    "exp": np.exp,
    "softmax": lambda v: softmax(v, axis=1),
    "log_softmax": lambda v: log_softmax(v, axis=1),
}


def target_term(tensor="y", activation="identity", places=2, samples=4, reference=False):
    indices = RNG.integers(0, 6, (samples, places))
    own = RNG.normal(size=indices.shape) if reference else None
    return TargetTerm(tensor, activation, indices, RNG.normal(size=indices.shape), ("some target",) * samples, own)


def written_out(one, outputs, rows=None):
    """The definition, element by element."""
    scores = outputs[one.tensor].reshape(len(outputs[one.tensor]), -1).astype(np.float64)
    f = ACTIVATIONS[one.activation](scores)
    values = []
    for row in range(len(f)):
        n = row if rows is None else rows
        taken = [f[row, i] for i in one.indices[n]]
        if one.reference is not None:
            taken = [(t - r) ** 2 for t, r in zip(taken, one.reference[n], strict=True)]
        values.append(sum(t * c for t, c in zip(taken, one.coefficients[n], strict=True)))
    return np.array(values)


@pytest.fixture
def terms():
    return [
        target_term(),
        target_term("z"),
        target_term(places=1),
        target_term(activation="softmax"),
        target_term(activation="log_softmax"),
        target_term(activation="sigmoid"),
        target_term(activation="exp"),
        target_term(reference=True),
        target_term(reference=True),
        target_term(),
    ]


@pytest.fixture
def outputs():
    return {"y": RNG.normal(size=(4, 2, 3)).astype(np.float32), "z": RNG.normal(size=(4, 6))}


def test_every_form_against_its_definition(terms, outputs):
    expected = np.stack([written_out(p, outputs) for p in terms], axis=1)
    assert_close(TargetSet(terms).select(outputs), expected, Tolerance.FLOAT64_SOLVED)


def test_a_samples_own_selection_answers_any_rows(terms, outputs):
    rows = {name: np.concatenate([array, array[:3]]) for name, array in outputs.items()}
    for n in range(4):
        expected = np.stack([written_out(p, rows, n) for p in terms], axis=1)
        assert_close(TargetSet(terms).of_sample(n).select(rows), expected, Tolerance.FLOAT64_SOLVED)


def test_equal_structures_share_a_graph_whatever_the_indices(terms):
    whole = TargetSet(terms)
    assert whole.of_sample(0).structure == whole.of_sample(3).structure
    assert hash(whole.structure) == hash(whole.of_sample(1).structure)
    assert whole.structure != TargetSet(terms[:-1]).structure
    assert whole.tensors == ["y", "z"]
    assert len(whole) == len(terms)
    assert whole.names.shape == (len(terms), 4)


def test_sums_are_exact_where_float32_would_lose_them():
    many = 2**13
    output = np.concatenate([[2.0**25], np.ones(many)]).astype(np.float32)[None]
    one = TargetTerm("y", "identity", np.arange(many + 1)[None], np.ones((1, many + 1)), ("sum",))
    assert TargetSet([one]).select({"y": output})[0, 0] == 2.0**25 + many


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_graphs_compute_the_same_activations(activation, outputs):
    g = Builder(opset=17)
    g.output(emit_activation(g, activation, g.input("y", np.float32, ("N", 2, 3))), "f")
    found = tiny.run(ir.to_proto(g.model), {"y": outputs["y"]})["f"]
    assert_close(found, ACTIVATIONS[activation](outputs["y"].reshape(4, -1)), Tolerance.OPERATIONS)
