"""Mean curves of samples with points of their own."""

import numpy as np
import pytest

from xaionnx.render.mean_curve import mean_curve


def curves(*counts, ends=(0.0, 1.0)):
    """A curve of so many points for each sample, of x squared."""
    x = np.full((len(counts), max(counts)), np.nan)
    for row, count in zip(x, counts, strict=True):
        row[:count] = np.linspace(*ends, count)
    return x, x**2


def test_the_mean_of_curves_of_the_same_points_is_at_these():
    x, y = curves(5, 5)
    found = mean_curve(x, np.stack([y[0], y[1] + 1]))
    np.testing.assert_array_equal(found[0], x[0])
    np.testing.assert_allclose(found[1], y[0] + 0.5)


@pytest.mark.parametrize("counts", [(3, 9), (9, 3), (4, 7, 13)])
def test_the_mean_of_curves_of_different_points_never_goes_back(counts):
    """The mean share of the last points was below that of those before: curves of texts ran to the left."""
    x, y = curves(*counts)
    found = mean_curve(x, y)
    assert (np.diff(found[0]) > 0).all()
    assert (found[0][0], found[0][-1]) == (0, 1)
    expected = np.mean(
        [np.interp(found[0], own_x[:count], own_y[:count]) for own_x, own_y, count in zip(x, y, counts, strict=True)], 0
    )
    np.testing.assert_allclose(found[1], expected)
    assert found[1][-1] == 1


def test_a_sample_counts_within_its_own_points_alone():
    x = np.array([[0.0, 1.0, np.nan], [0.2, 0.4, 0.6]])
    y = np.array([[0.0, 0.0, np.nan], [1.0, 1.0, 1.0]])
    shares, means = mean_curve(x, y)
    inside = (shares > 0.21) & (shares < 0.59)
    np.testing.assert_array_equal(means[inside], 0.5)
    np.testing.assert_array_equal(means[(shares < 0.19) | (shares > 0.61)], 0)


def test_samples_without_a_curve_count_for_none():
    x, y = curves(5, 5)
    assert [len(one) for one in mean_curve(x, np.full_like(y, np.nan))] == [0, 0]
    y[1] = np.nan
    np.testing.assert_array_equal(mean_curve(x, y)[1], y[0])
