"""RISE against a slow oracle, the closed form of linear models, and its own standard errors."""

import itertools
import tracemalloc

import numpy as np
import pytest
from xaionnx_kernels import masks as kernels

import xaionnx
from models import planted
from tests import tiny
from tests.oracles import rise as oracle
from tests.tolerances import Tolerance, assert_close
from xaionnx.errors import BudgetError, InputMismatchError, ParameterError
from xaionnx.explainers._games import mask_space
from xaionnx.explainers._games.mask_space import _RIDGE, MaskSpace
from xaionnx.explainers.rise import Rise

GRID, CELL, SHAPE, KEEP, COUNT = (2, 3), (4, 3), (7, 8), 0.3, 60
ESTIMATORS = ("plain", "centred", "least_squares")


@pytest.fixture(scope="module")
def small():
    """A picture of 7 by 8 pixels, a linear model, and the masks and outputs of the oracle."""
    rng = np.random.default_rng(0)
    weights, x = rng.normal(size=(1, 1, *SHAPE)), rng.normal(size=(1, 1, *SHAPE)).astype(np.float32)
    cells, shifts = kernels.rise_cells(5, 0, COUNT, GRID, KEEP), kernels.rise_shifts(5, 0, COUNT, CELL)
    masks = np.array([oracle.interpolated(c, s, CELL, SHAPE) for c, s in zip(cells, shifts, strict=True)])
    answers = (masks * weights[0] * x[0]).sum(axis=(1, 2))
    moments = oracle.second_moments(GRID, CELL, SHAPE, KEEP)
    return planted.load(planted.linear(weights)), x, masks, answers, moments


def explained(small, estimator):
    settings = Rise(estimator=estimator, grid=GRID, keep=KEEP, seed=5, budget=COUNT + 1)
    result = xaionnx.explain(small[0], small[1], settings, 0)
    return result.feature_values[0].reshape(SHAPE), result.standard_error[0].reshape(SHAPE)


def test_plain_is_equation_6(small):
    _, _, masks, answers, _ = small
    values, error = explained(small, "plain")
    expected, expected_error = oracle.plain(answers, masks, KEEP)
    assert_close(values, expected, Tolerance.SIGNED_LAYERS)
    assert_close(error, expected_error, Tolerance.LAYERS)


def test_centred_is_the_slope_over_each_pixel(small):
    _, _, masks, answers, moments = small
    values, error = explained(small, "centred")
    expected, expected_error = oracle.centred(answers, masks, KEEP, moments)
    assert_close(values, expected, Tolerance.SIGNED_LAYERS)
    assert_close(error, expected_error, Tolerance.LAYERS)


def test_least_squares_is_the_regression_estimator(small):
    _, _, masks, answers, moments = small
    values, _ = explained(small, "least_squares")
    # Blocks of half a cell: 4 down and 6 across.
    sides = [np.arange(n + 1) * size // n for n, size in ((4, SHAPE[0]), (6, SHAPE[1]))]
    means = [
        np.array([(np.arange(e[-1]) >= a) & (np.arange(e[-1]) < b) for a, b in itertools.pairwise(e)]) for e in sides
    ]
    blocks = np.kron(*(mean / mean.sum(axis=1, keepdims=True) for mean in means))
    expected = oracle.regression(answers, masks, KEEP, moments, blocks, _RIDGE)
    assert_close(values, expected, Tolerance.SIGNED_LAYERS)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_independent_pixels_of_a_linear_model_have_the_published_expectation(estimator):
    weights, x = np.array([[1.0, 2.0, -3.0]]), np.array([[2.0, 1.0, 0.5]], np.float32)
    model = planted.load(planted.linear(weights))
    result = xaionnx.explain(model, x, Rise(estimator=estimator, keep=0.3, budget=2001, seed=1))
    effects = weights[0] * x[0]
    expected = effects if estimator != "plain" else effects + 0.3 * (effects.sum() - effects)
    assert (np.abs(result.feature_values[0] - expected) < 4 * result.standard_error[0]).all()
    # Tight enough to distinguish neighbouring effects, which 4 large standard errors would not be.
    assert result.standard_error.max() < 0.2


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_smooth_masks_on_a_linear_model_have_their_closed_form(small, estimator):
    model, x, _, _, moments = small
    effects = (model.run({"x": np.eye(56, dtype=np.float32).reshape(56, 1, *SHAPE)})["y"][:, 0]) * x.ravel()
    settings = Rise(estimator=estimator, grid=GRID, keep=KEEP, budget=4001)
    result = xaionnx.explain(model, x, settings, 0)
    slope = moments @ effects
    expected = KEEP * effects.sum() + slope / KEEP if estimator == "plain" else slope / np.diag(moments)
    assert (np.abs(result.feature_values[0] - expected) < 4 * result.standard_error[0]).all()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_standard_errors_are_those_of_many_repetitions(digits, three, estimator):
    results = [
        xaionnx.explain(digits, three, Rise(estimator=estimator, budget=301, seed=seed), 3) for seed in range(12)
    ]
    values = np.array([r.feature_values[0] for r in results])
    claimed = np.sqrt(np.mean([r.standard_error[0] ** 2 for r in results], axis=0))
    ratio = np.sqrt(np.mean(values.var(axis=0, ddof=1) / claimed**2))
    assert 0.75 < ratio < 1.33


def test_least_squares_needs_less_than_a_third_of_the_masks(digits, three):
    """The bench measures how much less; a third of either other estimator is guaranteed."""

    def maps(estimator, masks, seed):
        result = xaionnx.explain(digits, three, Rise(estimator=estimator, budget=masks + 1, seed=seed), 3)
        return result.feature_values[0]

    truth = maps("least_squares", 4000, 99)

    def noise(estimator, masks):
        found = [np.corrcoef(maps(estimator, masks, seed), truth)[0, 1] for seed in range(3)]
        return 1 - np.mean(np.square(found))

    ours = noise("least_squares", 250)
    assert ours < noise("centred", 750)
    assert ours < noise("plain", 750)


def test_r2_tells_a_linear_model_from_the_constant_one(small):
    model, x, *_ = small
    straight = xaionnx.explain(model, x, Rise(grid=GRID, budget=1001), 0)
    assert straight.diagnostics["r2"][0][0] > 0.9
    flat = xaionnx.explain(planted.load(planted.null((1, *SHAPE))), x, Rise(budget=101), 0)
    assert flat.diagnostics["r2"] == [[0.0]]


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_tolerance_ends_it_early_and_is_kept(digits, three, estimator):
    settings = Rise(estimator=estimator, tolerance=0.5, budget=5001)
    result = xaionnx.explain(digits, three, settings, 3)
    assert result.diagnostics["stopped_by"] == ["tolerance"]
    assert result.diagnostics["evaluations"][0] < 5001
    assert result.standard_error.max() <= 0.5 * np.abs(result.feature_values).max()
    strict = xaionnx.explain(digits, three, Rise(estimator=estimator, tolerance=1e-9, budget=601), 3)
    assert strict.diagnostics["stopped_by"] == ["budget"]
    assert strict.diagnostics["evaluations"] == [601]


def test_the_sums_never_hold_the_masks():
    """20,000 masks of 224 by 224 would take 8 GB in float64."""
    grid, cell = (7, 7), (32, 32)

    def draw(start, stop):
        return kernels.rise_cells(0, start, stop, grid, 0.5), kernels.rise_shifts(0, start, stop, cell)

    space = MaskSpace(draw, grid, cell, (224, 224), 0.5)
    weights = np.random.default_rng(0).normal(size=(20_000, 1))
    space.sums(weights[:10])  # loads scipy
    space.regress(weights[:10])
    tracemalloc.start()
    space.sums(weights)
    space.square_sums(weights)
    space.regress(weights)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 48 * 2**20


@pytest.mark.parametrize(("grid", "cell", "extent"), [((3, 4), (5, 6), (14, 22)), ((1, 6), (1, 4), (1, 23))])
def test_many_targets_have_the_sums_of_few(grid, cell, extent, monkeypatch):
    def draw(start, stop):
        return kernels.rise_cells(0, start, stop, grid, 0.4), kernels.rise_shifts(0, start, stop, cell)

    # Several chunks of masks, and of rows.
    monkeypatch.setattr(mask_space, "_MASKS", 64)
    monkeypatch.setattr(mask_space, "_PIXELS", 64 * 5 * extent[1])
    space = MaskSpace(draw, grid, cell, extent, 0.4)
    weights = np.random.default_rng(0).normal(size=(150, 30))
    parts = list(space.moments(weights, weights**2, 0.4))
    assert len(parts) > 1 or extent[0] == 1
    ((_, *few),) = space.moments(weights[:, :4], weights[:, :4] ** 2, 0.4)
    for kind, expected in enumerate(few, start=1):
        found = np.concatenate([part[kind] for part in parts], axis=1)
        assert_close(found[:4], expected, Tolerance.FLOAT64, scale=len(weights))


def test_a_sequence_is_masked_along_its_time():
    summed = planted.linear(np.ones((1, 2, 40)))
    model = planted.load(summed, axes="N C T")
    x = np.random.default_rng(0).normal(size=(1, 2, 40)).astype(np.float32)
    values = xaionnx.explain(model, x, Rise(budget=201), 0).values
    assert values.shape == (1, 2, 40)
    np.testing.assert_array_equal(values[0, 0], values[0, 1])
    with pytest.raises(InputMismatchError, match="neither the graph nor names of dimensions say which axes"):
        xaionnx.explain(planted.load(summed), x, Rise(budget=201), 0)


VOLUME, CELLS, CELL_3D = (3, 7, 8), (2, 2, 3), (2, 4, 3)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("order", ["N C D H W", "N D H W C", "N D H W"])
def test_a_volume_has_the_estimate_of_its_masks(estimator, order):
    """The masks in full, and the oracle's formulas for the mean over them."""
    rng = np.random.default_rng(0)
    weights, x = rng.normal(size=VOLUME), rng.normal(size=VOLUME).astype(np.float32)
    shape = {"N C D H W": (1, *VOLUME), "N D H W C": (*VOLUME, 1), "N D H W": VOLUME}[order]
    model = planted.load(planted.linear(weights.reshape(1, *shape)), axes=order)
    settings = Rise(estimator=estimator, grid=CELLS, keep=KEEP, seed=5, budget=COUNT + 1)
    found = xaionnx.explain(model, x.reshape(1, *shape), settings, 0)
    drawn = kernels.rise_cells(5, 0, COUNT, CELLS, KEEP), kernels.rise_shifts(5, 0, COUNT, CELL_3D)
    masks = kernels.rise_masks(*drawn, CELL_3D, VOLUME).reshape(COUNT, -1, VOLUME[-1])
    outputs = (masks * (weights * x).reshape(masks.shape[1:])).sum(axis=(1, 2))
    # The axes are independent, so the covariance of two places is a product.
    along = oracle.second_moments((2, 1), (2, 1), (3, 1), KEEP) / (KEEP * (1 - KEEP))
    moments = np.kron(along, oracle.second_moments(GRID, CELL, SHAPE, KEEP))
    if estimator == "least_squares":
        sides = [np.arange(n + 1) * size // n for n, size in zip((3, 4, 6), VOLUME, strict=True)]
        means = [np.array([(np.arange(e[-1]) >= a) & (np.arange(e[-1]) < b) for a, b in itertools.pairwise(e)])
                 for e in sides]  # fmt: skip
        means = [mean / mean.sum(axis=1, keepdims=True) for mean in means]
        blocks = np.kron(np.kron(means[0], means[1]), means[2])
        expected = oracle.regression(outputs, masks, KEEP, moments, blocks, _RIDGE)
    elif estimator == "centred":
        expected, error = oracle.centred(outputs, masks, KEEP, moments)
        assert_close(found.standard_error.ravel(), error.ravel(), Tolerance.LAYERS)
    else:
        expected, _ = oracle.plain(outputs, masks, KEEP)
    assert found.values.shape == (1, *shape)
    assert_close(found.values.ravel(), expected.ravel(), Tolerance.SIGNED_LAYERS)


def test_a_volume_of_cells_of_one_place():
    """Every place is kept on its own, so a linear model is its own expectation."""
    weights = np.zeros((1, 1, 2, 3, 4))
    weights[0, 0, 1, 2, 3], weights[0, 0, 0, 0, 0] = 3, -2
    model = planted.load(planted.linear(weights), axes="N C D H W")
    found = xaionnx.explain(model, np.ones((1, 1, 2, 3, 4), np.float32), Rise(grid=4, budget=1001), 0)
    assert found.diagnostics["r2"][0][0] > 0.99
    assert (np.abs(found.values - weights).ravel() <= 4 * found.standard_error[0] + 1e-6).all()
    assert found.standard_error.max() < 0.05


def test_a_grid_has_a_number_for_each_axis():
    volume = planted.load(planted.null((1, 4, 6, 8)), axes="N C D H W")
    with pytest.raises(ParameterError, match=r"The 'grid' parameter must be an int or 3 ints for this input"):
        xaionnx.explain(volume, np.ones((1, 1, 4, 6, 8), np.float32), Rise(grid=(2, 3)), 0)


def test_what_it_refuses(digits, three):
    two = Rise(budget=4, baseline=xaionnx.Baseline.background(np.zeros((2, 1, 28, 28))))
    with pytest.raises(BudgetError, match="Rise needs at least 5 model evaluations for two masks with each baseline"):
        xaionnx.explain(digits, three, two, 3)
    cast = tiny.model(
        [tiny.node("Cast", ["x"], ["y"], to=1)], [tiny.tensor("x", ["N", 9], 7)], [tiny.tensor("y", ["N", 9])]
    )
    with pytest.raises(
        InputMismatchError,
        match=r"Input 'x' has type int64; a smooth mask needs floats, or whole numbers.*grid=9, occlusion",
    ):
        xaionnx.explain(planted.load(cast), np.ones((1, 9), np.int64), Rise(), 0)
    fine = xaionnx.explain(planted.load(cast), np.ones((1, 9), np.int64), Rise(grid=9, budget=301), 0)
    assert (np.abs(fine.values[0] - np.eye(9)[0]) <= 4 * fine.standard_error[0] + 1e-6).all()


@pytest.mark.parametrize("method", ["rise", "sobol"])
def test_numbers_of_tokens_that_are_floats_are_not_mixed(method):
    """Half of token 6 is not token 3."""
    text = """g (float[N, 9] x) => (float[N, 2] y) {
      k = Cast<to = 7>(x)  e = Gather<axis = 0>(table, k)  y = ReduceMean<axes = [1], keepdims = 0>(e) }"""
    model = tiny.loaded(text, table=np.random.default_rng(0).normal(size=(10, 2)).astype(np.float32))
    x = np.arange(1, 10, dtype=np.float32)[None]
    with pytest.raises(InputMismatchError, match="holds the numbers of tokens, which cannot be mixed"):
        xaionnx.explain(model, x, method, 0)
    single = xaionnx.explain(model, x, Rise(grid=9, budget=801), 0)
    ablated = xaionnx.explain(model, x, "feature_ablation", 0)
    assert (np.abs(single.values - ablated.values)[0] <= 4 * single.standard_error[0] + 1e-6).all()
