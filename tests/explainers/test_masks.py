"""Methods that search for masks: their objectives against slow ones, and the regions that they find."""

import numpy as np
import pytest

import xaionnx
from models import planted
from tests.tiny import trained
from tests.tolerances import Tolerance, assert_close
from xaionnx.errors import InputMismatchError, ParameterError
from xaionnx.explainers._masks.upsampling import Linear, SmoothMaximum
from xaionnx.explainers.extremal_masks import ExtremalMasks
from xaionnx.explainers.meaningful_perturbation import MeaningfulPerturbation

METHODS = {"meaningful_perturbation": MeaningfulPerturbation, "extremal_masks": ExtremalMasks}
UPSAMPLINGS = (
    Linear((9,), (4,), 0.0),
    Linear((12, 10), (4, 5), 0.1),
    Linear((4, 6, 5), (2, 3, 5), 0.1),
    SmoothMaximum((9,), (9,), 0.05),
    SmoothMaximum((12, 10), (4, 5), 0.3),
    SmoothMaximum((4, 6, 5), (2, 3, 5), 1.0),
)
# One quarter of the picture is bright and raises the score, which reads nothing else.
BRIGHT = np.zeros((1, 1, 16, 16), np.float32)
BRIGHT[..., 8:, :8] = 1


def reading_a_quarter():
    weights = np.zeros((1, 1, 16, 16), np.float32)
    weights[..., 8:, :8] = 1
    return planted.load(planted.linear(weights), axes="N C H W")


def overlap(mask, region):
    """Intersection over union of a mask above one half with a region."""
    found = mask > 0.5
    return (found & region).sum() / (found | region).sum()


def differences(function, at, direction, step=1e-3):
    return (function(at + step * direction) - function(at - step * direction)) / (2 * step)


@pytest.mark.parametrize("upsampling", UPSAMPLINGS, ids=lambda u: f"{type(u).__name__} {u.extent}")
def test_the_way_back_is_the_gradient_of_the_way_up(upsampling):
    rng = np.random.default_rng(0)
    coarse, direction = rng.uniform(0.1, 0.9, (2, 3, *upsampling.cells)).astype(np.float32)
    cotangent = rng.standard_normal((3, *upsampling.extent)).astype(np.float32)
    slope = differences(lambda c: (upsampling.up(c).astype(np.float64) * cotangent).sum(), coarse, direction)
    np.testing.assert_allclose((upsampling.back(coarse, cotangent) * direction).sum(), slope, rtol=3e-3)
    masks = upsampling.up(coarse)
    assert masks.shape == (3, *upsampling.extent)
    assert masks.dtype == np.float32
    assert (masks <= coarse.max() + 1e-6).all()
    same = upsampling.up(np.full_like(coarse, 0.0))
    np.testing.assert_array_equal(same, 0)


def test_linear_upsampling_keeps_a_constant_and_the_smooth_maximum_a_region():
    assert_close(UPSAMPLINGS[1].up(np.full((1, 4, 5), 0.7, np.float32)), 0.7, Tolerance.SUMS)
    # Cells that are 1 make a mask that is 1 over all of their region, where interpolation would be 1 at centres alone.
    coarse = np.zeros((1, 8, 8), np.float32)
    coarse[0, 2:5, 2:5] = 1
    mask = SmoothMaximum((32, 32), (8, 8), 0.125).up(coarse)[0]
    assert mask[10:18, 10:18].min() > 0.9
    assert mask[:, 28:].max() < 0.01


def slow_smooth_maximum(coarse, size, sigma):
    """Equation 7 at each position of a line with as many cells as positions."""
    found = []
    for u in range(size):
        reach = int(np.ceil(4 / 3 * sigma))
        # Cells beyond the border repeat those at it.
        near = [(i, min(max(i, 0), size - 1)) for i in range(u - reach, u + reach + 1)]
        z = np.array([np.exp(-2 * max(0, abs(u - i) / sigma - 0.5) ** 2) * coarse[cell] for i, cell in near])
        found.append((z * np.exp(20 * z)).sum() / np.exp(20 * z).sum())
    return np.array(found)


def test_the_smooth_maximum_is_that_of_the_paper():
    coarse = np.random.default_rng(1).uniform(0, 1, 11)
    found = SmoothMaximum((11,), (11,), 1.7 / 11).up(coarse[None].astype(np.float32))[0]
    assert_close(found, slow_smooth_maximum(coarse, 11, 1.7), Tolerance.SUMS)


def test_equal_cells_make_a_mask_that_is_equal_everywhere():
    for up in UPSAMPLINGS:
        mask = up.up(np.full((1, *up.cells), 0.5, np.float32))
        assert np.ptp(mask) < 1e-3, up.extent


def test_no_position_is_preferred_for_where_it_is():
    # What is not read is no part of the mask, neither at the border nor where positions are numbered last.
    seen = np.zeros((1, 1, 16, 16), np.float32)
    seen[..., 4:12, 4:12] = 1
    model = planted.load(planted.linear(seen), axes="N C H W")
    found = ExtremalMasks(areas=0.1, baseline=0, grid=16, sigma=0.06, jitter=0).attribute(model, np.ones_like(seen))
    mask = found.values[0, 0]
    assert mask[seen[0, 0] > 0].mean() > 0.3
    assert mask[[0, 1, -2, -1]].max() < 0.01


def test_the_ascent_of_meaningful_perturbation_is_that_of_its_objective():
    method = MeaningfulPerturbation(area=0.3, total_variation=2.0, power=3)
    up = method.upsampling((12, 10), (4, 5))
    rng = np.random.default_rng(0)
    coarse, direction = rng.uniform(0.2, 0.8, (2, 2, 4, 5)).astype(np.float32)
    slope = rng.standard_normal((2, 12, 10)).astype(np.float32)

    def objective(r):
        r = r.astype(np.float64)
        variation = (np.abs(np.diff(r, axis=1)) ** 3).sum() + (np.abs(np.diff(r, axis=2)) ** 3).sum()
        return (up.up(r.astype(np.float32)).astype(np.float64) * slope).sum() - (0.3 * r.sum() + 2 * variation) / 20

    found = method.ascent(up, coarse, up.up(coarse), slope, 0.0)
    np.testing.assert_allclose((found * direction).sum(), differences(objective, coarse, direction), rtol=2e-3)


def test_the_ascent_of_extremal_masks_is_that_of_their_objective():
    method = ExtremalMasks(areas=(0.1, 0.4), weight=256.0, sigma=0.3)
    up = method.upsampling((12, 10), (4, 5))
    rng = np.random.default_rng(0)
    coarse, direction = rng.uniform(0.2, 0.8, (2, 4, 4, 5)).astype(np.float32)
    slope = rng.standard_normal((4, 12, 10)).astype(np.float32)

    def objective(c):
        masks = up.up(c).astype(np.float64)
        total = (masks * slope).sum()
        for mask, area in zip(masks, (0.1, 0.4, 0.1, 0.4), strict=True):
            reference = np.repeat([0.0, 1.0], [round((1 - area) * 120), 120 - round((1 - area) * 120)])
            total -= 16 * np.square(np.sort(mask.ravel()) - reference).mean()  # 256 * 256 ** -(1 / 2)
        return total

    found = method.ascent(up, coarse, up.up(coarse), slope, 0.5)
    np.testing.assert_allclose((found * direction).sum(), differences(objective, coarse, direction, 2e-4), rtol=1e-2)


@pytest.mark.parametrize("variant", ["preserve", "delete"])
def test_extremal_masks_reach_their_areas_and_find_the_region(variant):
    method = ExtremalMasks(areas=(0.125, 0.25), variant=variant, baseline=0, grid=16, sigma=0.06)
    found = method.attribute(reading_a_quarter(), BRIGHT)
    region = BRIGHT[0, 0] > 0
    small, right = found.maps["masks"][0]
    assert found.diagnostics["area_error"][0] < 0.03
    assert overlap(right, region) > 0.8
    assert small[region].mean() > 0.4
    assert small[~region].mean() < 0.05
    # What is left is 64 pixels less, or those that are shown.
    kept = found.maps["left"][0] / 64
    expected = [(m[region].mean() if variant == "preserve" else 1 - m[region].mean()) for m in (small, right)]
    assert_close(kept, expected, Tolerance.SIGNED_LAYERS)
    assert_close(found.values[0, 0], (small + right) / 2, Tolerance.OPERATIONS, 1.0)


def test_meaningful_perturbation_removes_the_region_alone():
    found = MeaningfulPerturbation(baseline=0, grid=16, sigma=0.03).attribute(reading_a_quarter(), BRIGHT)
    region = BRIGHT[0, 0] > 0
    assert overlap(found.values[0, 0], region) > 0.75
    assert_close(found.diagnostics["area"], found.values.mean(axis=(1, 2, 3)), Tolerance.LAYERS)
    assert_close(found.diagnostics["left"], [64 - found.values[0, 0][region].sum()], Tolerance.SIGNED_LAYERS, 64)
    # A larger weight of the area removes less, down to nothing.
    areas = [
        MeaningfulPerturbation(baseline=0, grid=16, sigma=0.03, area=area).attribute(reading_a_quarter(), BRIGHT)
        for area in (0.5, 2.0, 10.0)
    ]
    sizes = [one.diagnostics["area"][0] for one in areas]
    assert sizes[0] > sizes[1] > sizes[2]
    assert sizes[2] < 0.01


@pytest.mark.parametrize("method", METHODS)
def test_digits_lose_their_class_where_the_mask_is(method):
    digits = np.load("models/data/mnist_sample.npz")["images"][:3].astype(np.float32) / 255
    model = trained("mnist_cnn")
    options = {"baseline": 0, "grid": 14, "sigma": 0.07}
    if method == "extremal_masks":
        # A probability of nearly 1 has no slope.
        options |= {"areas": 0.2, "variant": "delete"}
    found = METHODS[method](**options).attribute(model, digits)
    left = found.maps["left"][:, 0] if method == "extremal_masks" else found.diagnostics["left"]
    assert (np.asarray(left) < 0.3 * found.prediction).all()
    assert (found.values.mean(axis=(1, 2, 3)) < 0.4).all()


@pytest.mark.parametrize("method", METHODS)
def test_where_removal_changes_nothing_there_is_nothing_to_find(method):
    found = METHODS[method](baseline=0, steps=5).attribute(reading_a_quarter(), np.zeros_like(BRIGHT))
    np.testing.assert_array_equal(found.values, 0)


@pytest.mark.parametrize("method", METHODS)
def test_all_baselines_take_their_turn(method):
    # Steps use the draws one after the other, and what is left is a mean over all of them.
    one, many = (
        METHODS[method](baseline=xaionnx.Baseline.noise(draws), steps=4, jitter=0).attribute(
            reading_a_quarter(), BRIGHT
        )
        for draws in (1, 3)
    )
    masks = 3 if method == "extremal_masks" else 1
    assert one.diagnostics["gradients"] == many.diagnostics["gradients"] == [4 * masks]
    assert many.diagnostics["evaluations"][0] == one.diagnostics["evaluations"][0] + 2 + 2 * masks
    assert one.provenance["parameters"]["baseline"] != many.provenance["parameters"]["baseline"]


@pytest.mark.parametrize("method", METHODS)
def test_the_blur_is_the_default_and_recorded(method):
    x = np.random.default_rng(0).uniform(0, 1, (1, 1, 16, 16)).astype(np.float32)
    by_default, given = (
        METHODS[method](steps=3, **options).attribute(reading_a_quarter(), x) for options in ({}, {"baseline": "blur"})
    )
    np.testing.assert_array_equal(by_default.values, given.values)
    assert by_default.provenance["parameters"]["baseline"] == given.provenance["parameters"]["baseline"]


@pytest.mark.parametrize("method", METHODS)
def test_the_seed_moves_the_input_under_the_mask(method):
    x = np.random.default_rng(0).uniform(0, 1, (1, 1, 16, 16)).astype(np.float32)
    first, same, other, still = (
        METHODS[method](baseline=0, steps=6, **options).attribute(reading_a_quarter(), x).values
        for options in ({"jitter": 0.1}, {"jitter": 0.1}, {"jitter": 0.1, "seed": 1}, {"jitter": 0})
    )
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - other).max() > 1e-3
    assert np.abs(first - still).max() > 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_what_has_no_neighbours_is_refused(method):
    row = planted.load(planted.linear([[1.0, 2.0, 3.0]]))
    with pytest.raises(InputMismatchError, match="needs a picture, a series or a volume, but 'x' is a row of a table"):
        METHODS[method]().attribute(row, np.ones((1, 3), np.float32))
    single = planted.load(planted.linear([[[[1.0]]]]), axes="N C H W")
    with pytest.raises(InputMismatchError, match="has a single position"):
        METHODS[method]().attribute(single, np.ones((1, 1, 1, 1), np.float32))
    spam = trained("spam")
    with pytest.raises(InputMismatchError, match="embedding of tokens"):
        METHODS[method]().attribute(spam, ["some words"])


@pytest.mark.parametrize("areas", [0, 1.5, (), (0.1, 2), "x"])
def test_areas_that_are_no_shares_are_refused(areas):
    with pytest.raises(ParameterError, match=r"The 'areas' parameter of ExtremalMasks must be a number in \(0, 1\)"):
        ExtremalMasks(areas=areas)
