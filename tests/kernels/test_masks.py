"""Windows and RISE masks against their definitions and other implementations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage import transform
from xaionnx_kernels import masks

from tests.tolerances import Tolerance, assert_close


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 14), st.integers(1, 14), st.data())
def test_windows_cover_every_pixel_and_none_is_idle(h, w, tall, wide, data):
    stride = data.draw(st.integers(1, tall)), data.draw(st.integers(1, wide))
    corners = masks.window_corners((h, w), (tall, wide), stride)
    covered = np.zeros((h, w), int)
    for top, left in corners:
        assert 0 <= top < h
        assert 0 <= left < w
        assert top % stride[0] == left % stride[1] == 0
        covered[top : top + tall, left : left + wide] += 1
    assert covered.min() >= 1
    assert len(np.unique(corners, axis=0)) == len(corners)
    # One row of windows fewer would leave the last row of pixels bare.
    assert corners[:, 0].max() == 0 or corners[:, 0].max() - stride[0] + tall < h


def test_windows_of_the_whole_picture_and_of_single_pixels():
    assert masks.window_corners((5, 6), (5, 6), (5, 6)).tolist() == [[0, 0]]
    assert masks.window_corners((5, 6), (9, 9), (2, 2)).tolist() == [[0, 0]]
    np.testing.assert_array_equal(masks.window_corners((2, 3), (1, 1), (1, 1)), list(np.ndindex(2, 3)))


def test_windows_refuse_gaps_and_nothing():
    for shape, window, stride in (((4, 4), (2, 2), (3, 1)), ((4, 4), (2, 0), (1, 1)), ((0, 4), (1, 1), (1, 1))):
        with pytest.raises(ValueError, match="must be in"):
            masks.window_corners(shape, window, stride)


@pytest.mark.parametrize(("s", "cell"), [(7, 32), (8, 28), (3, 5), (1, 4), (2, 1), (16, 3)])
def test_the_matrix_is_half_pixel_bilinear_resizing(s, cell):
    matrix = masks.bilinear_matrix(s, cell)
    assert matrix.shape == ((s + 1) * cell, s)
    np.testing.assert_array_equal(matrix.sum(axis=1, dtype=np.float32), 1)
    assert (matrix != 0).sum(axis=1).max() <= 2
    values = np.random.default_rng(0).random(s)
    resized = ndimage.zoom(values, (s + 1) * cell / s, order=1, mode="nearest", grid_mode=True)
    assert_close(matrix @ values, resized, Tolerance.ORDER_ONE)


def test_masks_are_the_product_of_the_matrices():
    rng = np.random.default_rng(0)
    cells, cell, shape = rng.random((20, 4, 6)), (5, 3), (19, 17)
    shifts = masks.rise_shifts(0, 0, 20, cell)
    down, across = masks.bilinear_matrix(4, 5).astype(float), masks.bilinear_matrix(6, 3).astype(float)
    made = masks.rise_masks(cells, shifts, cell, shape)
    assert made.dtype == np.float32
    for m, (top, left) in enumerate(shifts):
        enlarged = down @ cells[m] @ across.T
        assert_close(made[m], enlarged[top : top + 19, left : left + 17], Tolerance.ORDER_ONE)
        resized = transform.resize(cells[m], (25, 21), order=1, mode="edge", anti_aliasing=False)
        assert_close(made[m], resized[top : top + 19, left : left + 17], Tolerance.ORDER_ONE)


def test_masks_of_volumes_are_the_product_of_three_matrices():
    rng = np.random.default_rng(0)
    cells, cell, shape = rng.random((9, 2, 4, 3)), (3, 5, 4), (5, 19, 11)
    shifts = masks.rise_shifts(0, 0, 9, cell)
    matrices = [masks.bilinear_matrix(s, c).astype(float) for s, c in zip(cells.shape[1:], cell, strict=True)]
    made = masks.rise_masks(cells, shifts, cell, shape)
    assert made.dtype == np.float32
    for m, starts in enumerate(shifts):
        enlarged = np.einsum("az,by,cx,zyx->abc", *matrices, cells[m])
        cropped = enlarged[tuple(slice(a, a + n) for a, n in zip(starts, shape, strict=True))]
        assert_close(made[m], cropped, Tolerance.ORDER_ONE)


def test_a_volume_of_depth_one_has_the_masks_of_a_picture():
    cells, shifts = masks.rise_cells(2, 0, 20, (3, 4), 0.4), masks.rise_shifts(2, 0, 20, (5, 6))
    assert masks.rise_cells(2, 0, 20, (1, 3, 4), 0.4).tobytes() == cells.tobytes()
    flat = masks.rise_masks(cells, shifts, (5, 6), (14, 22))
    deep = masks.rise_masks(cells[:, None], np.insert(shifts, 0, 0, axis=1), (1, 5, 6), (1, 14, 22))
    assert deep.tobytes() == flat.tobytes()


def test_masks_do_not_depend_on_the_batch():
    args = (11, 0, 30), (7, 7), 0.4
    cells, shifts = masks.rise_cells(*args[0], *args[1:]), masks.rise_shifts(*args[0], (4, 4))
    whole = masks.rise_masks(cells, shifts, (4, 4), (28, 28))
    for a, b in ((0, 1), (1, 8), (8, 30)):
        part = masks.rise_masks(
            masks.rise_cells(11, a, b, (7, 7), 0.4), masks.rise_shifts(11, a, b, (4, 4)), (4, 4), (28, 28)
        )
        assert part.tobytes() == whole[a:b].tobytes()
    assert not np.array_equal(cells, masks.rise_cells(12, 0, 30, (7, 7), 0.4))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_cells_are_kept_with_probability_p_and_shifts_are_uniform(p):
    cells = masks.rise_cells(3, 0, 4000, (5, 5), p)
    error = np.sqrt(p * (1 - p) / cells.size)
    assert abs(cells.mean() - p) < 4 * error
    assert np.abs(cells.mean(axis=0) - p).max() < 4 * error * 5
    shifts = masks.rise_shifts(3, 0, 7000, (7, 3))
    for axis, size in ((0, 7), (1, 3)):
        share = np.bincount(shifts[:, axis], minlength=size) / 7000
        assert share.size == size
        assert np.abs(share - 1 / size).max() < 4 * np.sqrt((1 / size) * (1 - 1 / size) / 7000)


def test_refusals_name_the_interval():
    with pytest.raises(ValueError, match=r"'p' must be a float in \(0, 1\). Got 0 instead"):
        masks.rise_cells(0, 0, 1, (2, 2), 0)
    with pytest.raises(ValueError, match="'grid' must be two or three ints"):
        masks.rise_cells(0, 0, 1, (2, 0), 0.5)
    with pytest.raises(ValueError, match="'cells' must be"):
        masks.rise_masks(np.ones((2, 3)), np.zeros((2, 2), int), (2, 2), (3, 3))
    with pytest.raises(ValueError, match="The cells of an axis"):
        masks.bilinear_matrix(0, 3)
