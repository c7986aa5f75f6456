"""How alike explanations rank features."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

import xaionnx
from tests.tiny import trained
from xaionnx.agreement import importance, rank_agreement
from xaionnx.data.display import Display
from xaionnx.errors import DataError, ParameterError
from xaionnx.explanation import Explanation


def of(values, method="lime", **more):
    values = np.asarray(values, np.float64)
    shape = values.shape[:-1]
    return Explanation(method, values, np.full(shape, "y"), np.zeros(shape), **more)


def test_the_numbers_are_those_of_scipy_with_ties():
    rng = np.random.default_rng(3)
    values = rng.integers(-3, 4, (4, 1, 9))
    found = rank_agreement([of(one) for one in values])
    for i in range(4):
        for j in range(4):
            known = spearmanr(np.abs(values[i, 0]), np.abs(values[j, 0])).statistic
            assert found[i, j] == pytest.approx(known, abs=1e-12)


def test_over_several_samples_the_mean_sizes_are_ranked():
    one, other = of([[1, -5, 0], [3, 1, 1]]), of([[-2, 3, 0.5], [2, 3, 0.5]])
    assert importance(one).tolist() == [2, 3, 0.5]
    assert rank_agreement([one, other])[0, 1] == pytest.approx(1)
    assert rank_agreement([one, other], 1)[0, 1] < 0.9


def test_targets_are_compared_one_by_one():
    several = of([[[1, 2, 3]], [[3, 2, 1]]])
    assert rank_agreement([several, several], target=1)[0, 1] == pytest.approx(1)
    assert importance(several, target=1).tolist() == [3, 2, 1]
    with pytest.raises(ParameterError, match=r"in \[0, 1\]"):
        importance(several, target=2)


def test_values_of_one_size_have_no_ranking():
    assert np.isnan(rank_agreement([of([[2, -2, 2]]), of([[1, 2, 3]])])[0, 1])


def test_other_features_of_the_same_input_are_compared_at_its_elements():
    """Colours of each pixel, pixels, and two regions of four pixels."""
    rng = np.random.default_rng(0)
    colours = rng.normal(size=(1, 3, 2, 2))
    pixels = rng.normal(size=(1, 4))
    regions = np.array([[2.0, -5.0]])
    labels = np.array([[[0, 0], [0, 1]]])
    each = [
        of(colours),
        of(np.repeat(pixels.reshape(1, 1, 2, 2), 3, axis=1), feature_values=pixels),
        of(np.repeat(regions[0][labels][:, None], 3, axis=1), feature_values=regions, features=labels),
    ]
    found = rank_agreement(each, 0)
    known = spearmanr(np.abs([one.values.reshape(-1) for one in each]), axis=1).statistic
    np.testing.assert_allclose(found, known, atol=1e-12)
    # Those of the same number of features are compared by these, as before.
    alike = [of(values, feature_values=values) for values in (pixels, pixels[:, ::-1])]
    assert rank_agreement(alike)[0, 1] == pytest.approx(spearmanr(*np.abs([one.values[0] for one in alike])).statistic)


def test_only_the_same_inputs_are_compared():
    with pytest.raises(DataError, match="lime 3, saliency 2"):
        rank_agreement([of([[1, 2, 3]]), of([[1, 2]], "saliency")])
    with pytest.raises(DataError, match="at least two"):
        rank_agreement([of([[1]]), of([[2]])])


def test_samples_of_different_features_have_no_mean():
    padded = of([[1, 2, 3], [1, 2, 3]], feature_values=np.array([[1, 2, np.nan], [1, 2, 3]]))
    with pytest.raises(DataError, match="different features"):
        importance(padded)
    assert importance(padded, 1).tolist() == [1, 2, 3]


def test_texts_are_compared_one_by_one():
    """Their words are not those of each other, and one has more than another."""
    model, texts = trained("spam"), ["free money now", "lunch at noon with the team", "hello you"]
    found = [xaionnx.explain(model, texts, name) for name in ("occlusion", "kernel_shap")]
    alone = [rank_agreement(found, n)[0, 1] for n in range(3)]
    for n, text in enumerate(texts):
        assert importance(found[0], n).shape == (len(text.split()),)
        single = [xaionnx.explain(model, [text], one.method) for one in found]
        assert rank_agreement(single, 0)[0, 1] == pytest.approx(alone[n])
    assert rank_agreement(found)[0, 1] == pytest.approx(np.mean(alone))
    with pytest.raises(DataError, match="different features"):
        importance(found[0])


def test_an_agreement_that_one_sample_lacks_is_that_of_the_others():
    flat = [of([[2, 2], [1, 3]], display={"x": Display("picture", np.zeros((2, 1, 2, 3), np.uint8))}) for _ in range(2)]
    assert rank_agreement(flat)[0, 1] == pytest.approx(1)
