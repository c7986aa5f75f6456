"""Elements that a function of a tensor chooses."""

import numpy as np
import pytest

import xaionnx
from models import planted
from tests.targets.faces import both_faces, shown, words
from tests.tolerances import Tolerance, assert_close
from xaionnx import Target
from xaionnx.errors import AbsentTargetError, ParameterError


def most_active(values):
    return values.reshape(len(values), -1).argmax(axis=1)


@pytest.fixture
def maps():
    return np.random.default_rng(3).normal(size=(3, 2, 4, 4)).astype(np.float32)


def test_one_element_of_each_sample(tmp_path, maps):
    model = shown(tmp_path, [2, 4, 4])
    assert_close(both_faces(Target.where(most_active), model, maps)[0], maps.max(axis=(1, 2, 3)), Tolerance.SIGNED_SUMS)
    places = [np.unravel_index(k, maps.shape[1:]) for k in most_active(maps)]
    assert words(Target.where(most_active), model, maps) == [[f"y[{a}, {b}, {c}]" for a, b, c in places]]


def test_several_elements_are_added_up(tmp_path, maps):
    model, target = shown(tmp_path, [2, 4, 4]), Target.where(lambda a: a > 0.5)
    owed = np.where(maps > 0.5, maps, 0).sum(axis=(1, 2, 3))
    assert_close(both_faces(target, model, maps)[0], owed, Tolerance.SIGNED_SUMS)
    counts = (maps > 0.5).sum(axis=(1, 2, 3))
    assert words(target, model, maps) == [[f"sum of {count} elements of y by <lambda>" for count in counts]]


def test_the_choice_is_made_at_the_input_and_kept(tmp_path):
    """Without its largest element, the input would have another one; gradients are those of the element."""
    x = np.float32([[1, 3, 2], [5, 4, 6]])
    model = shown(tmp_path, [3])
    target = Target.where(most_active)
    removed = xaionnx.explain(model, x, "feature_ablation", target)
    np.testing.assert_array_equal(removed.values, [[0, 3, 0], [0, 0, 6]])
    for source in ("graph", "finite_differences"):
        slopes = xaionnx.explain(model, x, "saliency", target, gradient=source)
        assert_close(slopes.values, [[0, 1, 0], [0, 0, 1]], Tolerance.DIFFERENCE_QUOTIENTS)
    assert removed.provenance["target"] == [{"kind": "Where", "choose": "most_active", "output": None}]
    noisy = xaionnx.explain(model, x, "smooth_grad", target, noise=2.0, draws=4)
    np.testing.assert_array_equal(noisy.values, [[0, 1, 0], [0, 0, 1]])


def test_a_function_cannot_change_the_outputs(tmp_path):
    def spoils(values):
        values[...] = 0
        return np.zeros(len(values), int)

    x = np.float32([[1, 3, 2]])
    assert both_faces(Target.where(spoils), shown(tmp_path, [3]), x)[0] == [1]


def test_a_unit_inside_the_model_and_its_conductance():
    model, x = planted.load(planted.net_a()), np.float32([[20, 50, 30]])
    target = Target.where(lambda a: a.argmin(axis=1), output="relu")
    found = xaionnx.explain(model, x, "input_x_gradient", target)
    assert found.target.tolist() == ["relu[0]"]
    assert_close(found.values, x, Tolerance.OPERATIONS)
    found = xaionnx.explain(model, x, "neuron_conductance", 0, neuron=target, steps=100, rule="middle")
    assert_close(found.values, [[18, 45, 27]], Tolerance.SUMS)


@pytest.mark.parametrize(
    ("choose", "message"),
    [
        (
            lambda a: a.max(axis=1),
            r"a bool array of the shape \(2, 3\) of 'y', .* Got float32 of shape \(2,\)",
        ),
        (lambda a: a[0] > 0, r"Got bool of shape \(3,\)"),
        (lambda a: a > 9, "chooses nothing of 'y' for sample 0"),
        (lambda a: np.array([0, 3]), r"must return ints in \[0, 2\] for 'y'. Got \[0 3\]"),
    ],
)
def test_what_chooses_no_elements_is_refused(tmp_path, choose, message):
    with pytest.raises((AbsentTargetError, ParameterError), match=message):
        xaionnx.explain(shown(tmp_path, [3]), np.ones((2, 3), np.float32), "saliency", Target.where(choose))


def test_what_is_no_function_is_refused_and_no_choice_is_compiled(tmp_path):
    with pytest.raises(ParameterError, match=r"'choose' parameter of Target.where must be a function of an array"):
        Target.where(3)
    with pytest.raises(ParameterError, match="depend on the sample"):
        xaionnx.compile(shown(tmp_path, [3]), "saliency", Target.where(most_active))
    assert repr(Target.where(most_active)) == "Where(choose=most_active, output=None)"
