"""Views of planes against a loop written from the definition, and against their transpose, in both versions."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from xaionnx_kernels import _tier, views

pytestmark = pytest.mark.usefixtures("tier")

SMALL = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
side = st.integers(1, 7)
number = st.floats(-9, 9, allow_nan=False)


def reflected(position, length):
    while not 0 <= position < length:
        position = 0 if length == 1 else -position if position < 0 else 2 * (length - 1) - position
    return position


def crop_oracle(plane, affine, size, reflect):
    """Bilinear interpolation in float64, pixel by pixel."""
    out, (height, width) = np.zeros(size), plane.shape
    for i, j in np.ndindex(*size):
        y, x = affine @ (i - (size[0] - 1) / 2, j - (size[1] - 1) / 2, 1) + ((height - 1) / 2, (width - 1) / 2)
        for row, below in ((math.floor(y), 1 - y % 1), (math.floor(y) + 1, y % 1)):
            for column, beside in ((math.floor(x), 1 - x % 1), (math.floor(x) + 1, x % 1)):
                if reflect or (0 <= row < height and 0 <= column < width):
                    out[i, j] += below * beside * plane[reflected(row, height), reflected(column, width)]
    return out


@SMALL
@given(side, side, side, side, st.lists(number, min_size=6, max_size=6), st.booleans())
def test_a_view_is_the_definition(height, width, rows, columns, turn, reflect):
    affine = np.array(turn).reshape(2, 3)
    planes = np.random.default_rng(0).random((2, height, width)).astype(np.float32)
    expected = [crop_oracle(plane.astype(float), affine, (rows, columns), reflect) for plane in planes]
    # A pixel beside an edge of a cell may fall into the next cell by rounding, with a weight near 0.
    np.testing.assert_allclose(views.crop_planes(planes, affine, (rows, columns), reflect=reflect), expected, atol=1e-5)


@SMALL
@given(side, side, side, side, st.lists(number, min_size=6, max_size=6), st.booleans())
def test_back_is_the_transpose(height, width, rows, columns, turn, reflect):
    affine, rng = np.array(turn).reshape(2, 3), np.random.default_rng(1)
    planes = rng.standard_normal((2, height, width)).astype(np.float32)
    values = rng.standard_normal((2, rows, columns)).astype(np.float32)
    seen = views.crop_planes(planes, affine, (rows, columns), reflect=reflect)
    back = views.crop_planes_back(values, affine, (height, width), reflect=reflect)
    scale = float(np.linalg.norm(seen) * np.linalg.norm(values)) + 1
    assert (seen * values).sum(dtype=float) == pytest.approx((planes * back).sum(dtype=float), abs=1e-5 * scale)


@pytest.mark.parametrize("reflect", [True, False])
def test_both_versions_agree_to_the_last_bit(reflect, monkeypatch):
    rng, affine = np.random.default_rng(2), np.array([[0.9, 0.3, 5.2], [-0.3, 0.9, -3.1]])
    planes = rng.standard_normal((3, 30, 26)).astype(np.float32)
    found = []
    for limit in (-1, 2**62):
        monkeypatch.setattr(_tier, "ELEMENTS_BEFORE_LOADING", limit)
        seen = views.crop_planes(planes, affine, (28, 31), reflect=reflect)
        found.append((seen, views.crop_planes_back(seen, affine, (30, 26), reflect=reflect)))
    for one, other in zip(*found, strict=True):
        assert one.tobytes() == other.tobytes()
