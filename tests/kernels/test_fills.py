"""The fills against loops written from their definitions, in both versions."""

import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from xaionnx_kernels import _tier, fills, masks

pytestmark = pytest.mark.usefixtures("tier")

SMALL = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # the fixture sets one constant for the whole test
)
TYPES = ["float16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64", "uint64", "bool", "complex64"]
axis = st.integers(1, 6)


def sample(rng, shape, dtype):
    return rng.integers(0, 255, shape).astype(dtype)


def select_oracle(x, baseline, labels, coalitions):
    out = np.empty((len(coalitions), *x.shape), x.dtype)
    for m, a, place, b in np.ndindex(out.shape):
        present = labels[place] < 0 or coalitions[m, labels[place]]
        out[m, a, place, b] = (x if present else baseline)[a, place, b]
    return out


def blend_oracle(x, baseline, mask):
    if mask == 1:
        return x
    return baseline if mask == 0 else x * mask + baseline * (1 - mask)


@SMALL
@given(axis, st.integers(1, 12), axis, st.integers(1, 5), st.integers(0, 5), st.sampled_from(TYPES), st.integers(0, 99))
def test_select_is_the_definition(outer, length, inner, players, count, dtype, seed):
    rng = np.random.default_rng(seed)
    x, baseline = sample(rng, (outer, length, inner), dtype), sample(rng, (outer, length, inner), dtype)
    labels = rng.integers(-1, players, length)
    coalitions = rng.random((count, players)) < 0.5
    out = np.empty((count, *x.shape), dtype)
    fills.fill_select(x, baseline, labels, coalitions, out)
    np.testing.assert_array_equal(out, select_oracle(x, baseline, labels, coalitions))


def test_select_moves_bits_not_numbers():
    quiet = np.array([0x7FC00001, 0xFFC01234, 0x80000000, 0x7F800000], np.uint32).view(np.float32)
    x, baseline = quiet.reshape(1, 4, 1), quiet[::-1].copy().reshape(1, 4, 1)
    out = np.empty((2, 1, 4, 1), np.float32)
    fills.fill_select(x, baseline, np.zeros(4, int), np.array([[True], [False]]), out)
    assert out[0].tobytes() == x.tobytes()
    assert out[1].tobytes() == baseline.tobytes()


def test_select_takes_several_baselines_a_scalar_and_strided_operands():
    rng = np.random.default_rng(0)
    picture = rng.random((5, 7, 3))
    x = np.moveaxis(picture, -1, 0).reshape(3, 35, 1)[:, ::-1]
    labels = rng.integers(-1, 4, 35)
    coalitions = rng.random((6, 4)) < 0.5
    backgrounds = rng.random((2, *x.shape))
    out = np.empty((6, 2, *x.shape))
    fills.fill_select(x, backgrounds, labels, coalitions, out)
    for r in range(2):
        np.testing.assert_array_equal(out[:, r], select_oracle(x, backgrounds[r], labels, coalitions))
    single = np.empty((6, *x.shape))
    fills.fill_select(x, np.array([7.0]), labels, coalitions, single)
    np.testing.assert_array_equal(single, select_oracle(x, np.full(x.shape, 7.0), labels, coalitions))


def test_select_in_pieces_and_from_two_threads_equals_the_whole():
    rng = np.random.default_rng(1)
    x, baseline = rng.random((3, 50, 1), np.float32), rng.random((3, 50, 1), np.float32)
    labels, coalitions = rng.integers(0, 9, 50), rng.random((20, 9)) < 0.5
    whole, pieces = np.empty((2, 20, 3, 50, 1), np.float32)
    fills.fill_select(x, baseline, labels, coalitions, whole)
    bounds = [(0, 7), (7, 20)]
    threads = [
        threading.Thread(target=fills.fill_select, args=(x, baseline, labels, coalitions[a:b], pieces[a:b]))
        for a, b in bounds
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert whole.tobytes() == pieces.tobytes()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"labels": np.array([0, 1, 2])}, ValueError, "below the number of players, 2. Got 2"),
        ({"labels": np.array([0, 1])}, ValueError, "'labels' must be \\(3,\\) int"),
        ({"coalitions": np.ones((4, 2))}, ValueError, "'coalitions' must be \\(M, P\\) bool"),
        ({"out": np.empty((3, 1, 3, 1))}, ValueError, "'out' must have the shape \\(4, 1, 3, 1\\)"),
        ({"out": np.empty((8, 1, 3, 1))[::2]}, ValueError, "C-contiguous"),
        ({"out": np.empty((4, 1, 3, 1), np.float32)}, TypeError, "one type"),
        ({"x": np.zeros((3, 1))}, ValueError, "'x' must have the shape \\(A, L, B\\)"),
    ],
)
def test_select_refuses_what_does_not_fit(change, error, message):
    fitting = {
        "x": np.zeros((1, 3, 1)),
        "baseline": np.zeros((1, 3, 1)),
        "labels": np.array([0, 1, -1]),
        "coalitions": np.ones((4, 2), bool),
        "out": np.empty((4, 1, 3, 1)),
    }
    with pytest.raises(error, match=message):
        fills.fill_select(**(fitting | change))


def test_select_refuses_wide_and_textual_types():
    for dtype in ("complex128", "U1", "object"):
        x = np.zeros((1, 3, 1), dtype)
        with pytest.raises(TypeError, match="numeric type of 1, 2, 4 or 8 bytes"):
            fills.fill_select(x, x, np.zeros(3, int), np.ones((1, 1), bool), x[None].copy())


@SMALL
@given(axis, axis, axis, axis, st.integers(1, 7), st.integers(1, 7), st.sampled_from(TYPES), st.integers(0, 99))
def test_windows_write_their_patch_alone_and_restore_it(a, h, w, b, tall, wide, dtype, seed):
    rng = np.random.default_rng(seed)
    x, baseline = sample(rng, (a, h, w, b), dtype), sample(rng, (a, h, w, b), dtype)
    corners = rng.integers(-8, 8, (5, 2))
    out = np.repeat(x[None], 6, axis=0)
    expected = out.copy()
    for m, (top, left) in enumerate(corners):
        for i, j in np.ndindex(h, w):
            if top <= i < top + tall and left <= j < left + wide:
                expected[m, :, i, j] = baseline[:, i, j]
    fills.fill_windows(baseline, corners, (tall, wide), out)
    np.testing.assert_array_equal(out, expected)
    fills.restore_windows(x, corners, (tall, wide), out)
    np.testing.assert_array_equal(out, np.repeat(x[None], 6, axis=0))


def test_windows_refuse_a_buffer_that_does_not_fit():
    x = np.zeros((1, 4, 4, 1), np.float32)
    with pytest.raises(ValueError, match="must have at least 3 pictures"):
        fills.fill_windows(x, np.zeros((3, 2), int), (2, 2), np.zeros((2, 1, 4, 4, 1), np.float32))
    with pytest.raises(TypeError, match=r"source's type float32\. Got float64"):
        fills.restore_windows(x, np.zeros((1, 2), int), (2, 2), np.zeros((2, 1, 4, 4, 1)))


@SMALL
@given(axis, axis, axis, axis, st.integers(0, 3), st.sampled_from(["float32", "float64"]), st.integers(0, 99))
def test_blend_is_the_definition(a, h, w, b, count, dtype, seed):
    rng = np.random.default_rng(seed)
    x, baseline = rng.standard_normal((2, a, h, w, b)).astype(dtype)
    weights = rng.choice(np.array([0, 1, 0.3, 0.5, 0.999], np.float32), (count, h, w))
    out = np.empty((count, *x.shape), dtype)
    fills.fill_blend(x, baseline, weights, out)
    expected = np.empty_like(out)
    for index in np.ndindex(out.shape):
        m, *place = index
        weight = weights.astype(dtype)[m, index[2], index[3]]
        expected[index] = blend_oracle(x[tuple(place)], baseline[tuple(place)], weight)
    assert out.tobytes() == expected.tobytes()


def test_blend_is_exact_at_the_ends_whatever_the_other_side_holds():
    x = np.array([np.inf, -0.0, np.nan, 3.0], np.float32).reshape(1, 1, 4, 1)
    baseline = np.array([np.nan, 1.0, np.inf, -0.0], np.float32).reshape(1, 1, 4, 1)
    out = np.empty((2, 1, 1, 4, 1), np.float32)
    fills.fill_blend(x, baseline, np.stack([np.ones((1, 4)), np.zeros((1, 4))]), out)
    assert out[0].tobytes() == x.tobytes()
    assert out[1].tobytes() == baseline.tobytes()


@pytest.mark.parametrize("dtype", ["float16", "uint8", "int8", "int16"])
def test_blend_of_narrow_types_rounds_once(dtype):
    x = np.array([100, -128 if dtype != "uint8" else 255, 7], dtype).reshape(1, 1, 3, 1)
    baseline = np.array([0, 0, 8], dtype).reshape(1, 1, 3, 1)
    weights = np.array([[[0.333, 0.5, 0.25]]], np.float32)
    out = np.empty((1, *x.shape), dtype)
    fills.fill_blend(x, baseline, weights, out)
    wide = x.ravel().astype(np.float64) * weights.ravel() + baseline.ravel() * (1.0 - weights.ravel())
    expected = np.rint(wide).astype(dtype) if dtype != "float16" else wide.astype(np.float32).astype(dtype)
    np.testing.assert_array_equal(out.ravel(), expected)


def test_blend_refuses_what_cannot_be_mixed():
    x = np.zeros((1, 2, 2, 1), bool)
    with pytest.raises(TypeError, match="cannot mix bool"):
        fills.fill_blend(x, x, np.zeros((1, 2, 2), np.float32), np.zeros((1, *x.shape), bool))
    x = x.astype(np.float32)
    with pytest.raises(ValueError, match="'masks' must have the shape"):
        fills.fill_blend(x, x, np.zeros((1, 2, 3), np.float32), np.zeros((1, *x.shape), np.float32))
    with pytest.raises(ValueError, match="'out' must have the shape"):
        fills.fill_blend(x, x, np.zeros((1, 2, 2), np.float32), np.zeros((2, *x.shape), np.float32))


@pytest.mark.sampled(percent=50)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("layout", [(3, 1), (1, 3)])
def test_rise_equals_the_blend_with_its_masks_bit_for_bit(dtype, layout):
    rng = np.random.default_rng(3)
    x, baseline = rng.random((2, layout[0], 9, 13, layout[1])).astype(dtype)
    cell = (3, 4)
    cells, shifts = masks.rise_cells(5, 0, 11, (3, 4), 0.5), masks.rise_shifts(5, 0, 11, cell)
    fused, blended, pieces = np.empty((3, 11, *x.shape), dtype)
    fills.fill_rise(x, baseline, cells, shifts, cell, fused)
    fills.fill_blend(x, baseline, masks.rise_masks(cells, shifts, cell, (9, 13)), blended)
    assert fused.tobytes() == blended.tobytes()
    for a, b in ((0, 4), (4, 11)):
        fills.fill_rise(x, baseline, cells[a:b], shifts[a:b], cell, pieces[a:b])
    assert fused.tobytes() == pieces.tobytes()


@pytest.mark.parametrize("layout", [(3, 1), (1, 2)])
def test_rise_of_volumes_equals_the_blend_and_slices_of_one_plane_those_of_pictures(layout, monkeypatch):
    rng = np.random.default_rng(3)
    x, baseline = rng.random((2, layout[0], 5, 9, 13, layout[1])).astype(np.float32)
    cell = (2, 3, 4)
    cells, shifts = masks.rise_cells(5, 0, 11, (3, 3, 4), 0.5), masks.rise_shifts(5, 0, 11, cell)
    fused, blended, plain, deep = np.empty((4, 11, *x.shape), np.float32)
    fills.fill_rise(x, baseline, cells, shifts, cell, fused)
    fills.fill_blend(x, baseline, masks.rise_masks(cells, shifts, cell, (5, 9, 13)), blended)
    assert fused.tobytes() == blended.tobytes()
    monkeypatch.setattr(_tier, "ELEMENTS_BEFORE_LOADING", 2**62)
    fills.fill_rise(x, baseline, cells, shifts, cell, plain)
    assert fused.tobytes() == plain.tobytes()
    # One cell along the depth: every plane has the mask of a picture.
    one, flat = cells[:, :1], np.empty((11, layout[0], 9, 13, layout[1]), np.float32)
    fills.fill_rise(x, baseline, one, shifts * (0, 1, 1), (5, 3, 4), deep)
    fills.fill_rise(x[:, 2], baseline[:, 2], one[:, 0], shifts[:, 1:], (3, 4), flat)
    assert deep[:, :, 2].tobytes() == flat.tobytes()


def test_windows_of_volumes_are_clipped_on_every_axis():
    x = np.arange(24.0).reshape(1, 2, 3, 4, 1)
    batch = np.stack([x, x])
    fills.fill_windows(np.full_like(x, -1), np.array([[1, -1, 2], [0, 2, 3]]), (2, 2, 2), batch)
    expected = np.stack([x, x])
    expected[0, :, 1, :1, 2:] = -1
    expected[1, :, :, 2:, 3:] = -1
    np.testing.assert_array_equal(batch, expected)
    fills.restore_windows(x, np.array([[1, -1, 2], [0, 2, 3]]), (2, 2, 2), batch)
    np.testing.assert_array_equal(batch, [x, x])


def test_rise_with_all_cells_kept_or_removed_is_exact():
    x, baseline = np.random.default_rng(0).random((2, 3, 10, 10, 1), np.float32)
    cells = np.stack([np.ones((4, 4)), np.zeros((4, 4))])
    out = np.empty((2, *x.shape), np.float32)
    fills.fill_rise(x, baseline, cells, np.array([[1, 2], [2, 0]]), (3, 3), out)
    assert out[0].tobytes() == x.tobytes()
    assert out[1].tobytes() == baseline.tobytes()


def test_rise_refuses_a_shift_out_of_the_grid():
    x = np.zeros((1, 9, 9, 1), np.float32)
    for shift in ((4, 0), (0, -1)):
        with pytest.raises(ValueError, match="must fit into the enlarged grid of \\(12, 12\\)"):
            fills.fill_rise(x, x, np.ones((1, 3, 3)), np.array([shift]), (3, 3), np.empty((1, *x.shape), np.float32))


def test_both_tiers_write_the_same_bits(monkeypatch):
    rng = np.random.default_rng(8)
    x, baseline = rng.standard_normal((2, 2, 30, 31, 1), np.float32)
    cells, shifts = rng.random((4, 5, 5), np.float32), masks.rise_shifts(1, 0, 4, (7, 7))
    results = []
    for limit in (-1, 2**62):
        monkeypatch.setattr(_tier, "ELEMENTS_BEFORE_LOADING", limit)
        out = np.empty((4, *x.shape), np.float32)
        fills.fill_rise(x, baseline, cells, shifts, (7, 7), out)
        results.append(out.tobytes())
    assert results[0] == results[1]
