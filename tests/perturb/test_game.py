"""Game: values of coalitions, evaluations, and inputs that stay unchanged."""

import numpy as np
import pytest
from onnx import TensorProto

import xaionnx
from models import planted
from tests import tiny
from tests.counting import Heard, rows_run
from tests.tiny import node, tensor
from tests.tolerances import Tolerance, assert_close
from xaionnx import Baseline, Features, Model, Target
from xaionnx.errors import BudgetError, OutputError
from xaionnx.perturb.feature_removal import Mix, Select
from xaionnx.perturb.features import Sample
from xaionnx.perturb.game import Game
from xaionnx.runtime import progress
from xaionnx.targets.resolve import resolve

RNG = np.random.default_rng(2)
WEIGHTS = RNG.normal(size=(3, 6)).astype(np.float32)


def game_of(model, x, features=None, baseline=None, target=None, kind=Select, **options):
    feeds = x if isinstance(x, dict) else {"x": x}
    resolution = resolve(target, model, feeds)
    main = model.input().name
    sample = Sample(
        {n: a if n in model.shared else a[0, ...] for n, a in feeds.items()}, main, None, 0, 1, model.shared
    )
    players = Features.of(features).players(sample)
    removal = kind(sample, players, Baseline.of(baseline).draws(sample, tuple(players.maps), 0))
    return Game(resolution.model, resolution.selection, removal, resolution.values[:, 0], **options)


@pytest.fixture
def linear():
    return planted.load(planted.linear(WEIGHTS), batch_size=1)


@pytest.fixture
def row():
    return RNG.normal(size=(1, 6)).astype(np.float32)


@pytest.mark.parametrize("kind", ["host", "graph"])
def test_values_of_coalitions_against_the_definition(linear, row, kind):
    rows = RNG.normal(size=(4, 6)).astype(np.float32)
    labels = np.array([0, 0, 1, 2, 3, 3])
    game = game_of(linear, row, labels, Baseline.background(rows), [0, 2, Target.margin(1, 0)], applier_kind=kind)
    coalitions = RNG.random((9, 4)) < 0.5
    coalitions[0], coalitions[1] = True, False
    inputs = np.where(coalitions[:, None, labels], row[0], rows)  # (M, B, F)
    scores = (inputs @ WEIGHTS.T).mean(axis=1)
    expected = np.stack([scores[:, 0], scores[:, 2], scores[:, 1] - scores[:, 0]], axis=1)
    assert_close(game.values(coalitions), expected, Tolerance.ORDER_ONE)
    assert_close(game.empty, expected[1], Tolerance.ORDER_ONE)
    assert_close(game.full, expected[0], Tolerance.ORDER_ONE)


def test_evaluations_are_counted_with_every_draw_and_empty_once(linear, row, monkeypatch):
    rows = rows_run(monkeypatch)
    game = game_of(linear, row, "elements", Baseline.background(np.zeros((5, 6))), applier_kind="host")
    assert game.known_empty is None
    game.values(np.ones((7, 6), bool))
    assert game.evaluations == 1 + 7 * 5 == sum(rows)
    first = game.empty
    assert game.empty is first is game.known_empty
    assert game.evaluations == 1 + 8 * 5 == sum(rows)


def test_no_coalitions_cost_nothing(linear, row):
    game = game_of(linear, row, target=[0, 1])
    assert game.values(np.zeros((0, 6), bool)).shape == (0, 2)
    assert game.evaluations == 1


def test_the_budget_is_never_exceeded(linear, row, monkeypatch):
    game = game_of(linear, row, baseline=Baseline.background(np.zeros((3, 6))), budget=12)
    rows = rows_run(monkeypatch)
    assert game.affordable == 3
    with pytest.raises(BudgetError) as caught:
        game.values(np.ones((4, 6), bool))
    assert str(caught.value) == (
        "12 model evaluations are needed, but 11 of the budget of 12 are left. Raise the budget, or use fewer features."
    )
    assert rows == []
    game.values(np.ones((3, 6), bool))
    assert (game.evaluations, game.affordable) == (10, 0)
    with pytest.raises(BudgetError):
        _ = game.empty
    assert game_of(linear, row).affordable is None


def test_nan_is_named_with_its_coalition():
    model = planted.load(planted.linear(WEIGHTS))
    game = game_of(model, np.ones((1, 6), np.float32), [0, 0, 0, 1, 1, 1], baseline=np.array([0, 0, 0, 0, 0, np.nan]))
    with pytest.raises(OutputError) as caught:
        game.values(np.array([[0, 1], [1, 1], [1, 0]], bool))
    assert str(caught.value).endswith(
        "returns NaN or infinity where features are removed (coalition 2 of sample 0). Choose another baseline."
    )


@pytest.mark.parametrize("method", ["feature_ablation", "occlusion", "rise", "kernel_shap", "shapley_sampling"])
def test_progress_adds_up(method):
    model = planted.load(planted.quadrants(12))
    options = {"feature_ablation": {"features": "grid"}, "occlusion": {"window": 4}}.get(method, {"budget": 600})
    count = Heard()
    with progress.listening(count):
        result = xaionnx.explain(model, np.ones((2, 3, 12, 12), np.float32), method, baseline="uniform:2", **options)
    # The evaluation of the input itself comes before the game.
    assert count.done == count.planned == sum(result.diagnostics["evaluations"]) - 2


def test_progress_without_a_listener_is_silent():
    progress.expect(3)
    progress.advance(3)


def shown(tmp_path, kind, shape, **options):
    """A model that outputs its input, as float32."""
    path = tiny.saved(
        tmp_path / f"shown{kind}.onnx",
        [node("Cast", ["x"], ["f"], to=TensorProto.FLOAT), node("Flatten", ["f"], ["y"])],
        [tensor("x", ["N", *shape], kind)],
        [tensor("y", ["N", int(np.prod(shape))])],
    )
    return Model.load(path, **options)


@pytest.mark.sampled(percent=50)
@pytest.mark.parametrize("applier", ["host", "graph"])
@pytest.mark.parametrize(
    "dtype",
    [np.float16, np.float32, np.float64, np.uint8, np.int8, np.int32, np.int64, np.bool_],
    ids=lambda d: d.__name__,
)
def test_every_type_passes_through_a_choice(tmp_path, applier, dtype):
    x = (RNG.random((1, 2, 5)) < 0.5 if dtype == np.bool_ else RNG.integers(0, 120, (1, 2, 5))).astype(dtype)
    kind = xaionnx_type(dtype)
    game = game_of(shown(tmp_path, kind, [2, 5]), x, np.arange(5), 1, Target.classes(), applier_kind=applier)
    coalitions = RNG.random((6, 5)) < 0.5
    expected = np.where(coalitions[:, None, :], x, 1).reshape(6, 10).astype(np.float32)
    np.testing.assert_array_equal(game.values(coalitions), expected)


def xaionnx_type(dtype):
    from onnx import helper

    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


@pytest.mark.parametrize("applier", ["host", "graph"])
@pytest.mark.parametrize("baseline", [0, 2.5])
def test_nan_and_infinity_leave_with_their_player(tmp_path, applier, baseline):
    x = np.array([[1, np.nan, np.inf, -np.inf, 5]], np.float32)
    path = tiny.saved(
        tmp_path / "known.onnx",
        [
            node("IsNaN", ["x"], ["n"]),
            node("IsInf", ["x"], ["i"]),
            node("Or", ["n", "i"], ["bad"]),
            node("Where", ["bad", "hundred", "x"], ["y"]),
        ],
        [tensor("x", ["N", 5])],
        [tensor("y", ["N", 5])],
        {"hundred": np.float32(100)},
    )
    game = game_of(Model.load(path), x, "elements", baseline, Target.classes(), applier_kind=applier)
    coalitions = RNG.random((20, 5)) < 0.5
    expected = np.where(coalitions, [1, 100, 100, 100, 5], baseline)
    np.testing.assert_array_equal(game.values(coalitions), expected)


@pytest.mark.parametrize("applier", ["host", "graph"])
@pytest.mark.parametrize("players", [1, 2, 255, 256, 257, 1000])
@pytest.mark.parametrize("kind", [Select, Mix])
def test_any_number_of_players(tmp_path, applier, players, kind):
    x = RNG.normal(size=(1, 1000)).astype(np.float32)
    labels = np.arange(1000) % players
    game = game_of(
        shown(tmp_path, TensorProto.FLOAT, [1000]), x, labels, 0.5, Target.classes(), kind, applier_kind=applier
    )
    assert game.players == players
    codes = RNG.random((3, players))
    codes = codes < 0.5 if kind is Select else codes.astype(np.float32)
    weights = codes[:, labels]
    assert_close(game.values(codes), weights * x + (1 - weights) * 0.5, Tolerance.ORDER_ONE)


@pytest.mark.parametrize("applier", ["host", "graph"])
def test_strings_pass_through_a_choice(tmp_path, applier):
    model = Model.load(tiny.words(tmp_path / "words.onnx", "Mul", 2, a=1, b=5, c=7))
    feeds = model.check({"word": np.array([["b", "c"]]), "x": np.array([[2, 10]], np.float32)})
    coalitions = np.array([[1, 1], [0, 1], [1, 0], [0, 0]], bool)
    features = {"word": np.array([0, 1])}
    game = game_of(model, feeds, features, {"word": np.array("a")}, Target.classes(), applier_kind=applier)
    assert game.values(coalitions).tolist() == [[10, 70], [2, 70], [10, 10], [2, 10]]
    # String inputs that are not removed, next to numbers that are.
    game = game_of(model, feeds, {"x": np.array([0, 1])}, 1, Target.classes(), applier_kind=applier)
    assert game.values(coalitions).tolist() == [[10, 70], [5, 70], [10, 7], [5, 7]]


@pytest.mark.parametrize("applier", ["host", "graph"])
def test_inputs_without_batch_axis_stay_as_they_are(tmp_path, applier):
    path = tiny.saved(
        tmp_path / "gain.onnx",
        [node("Mul", ["x", "gain"], ["y"])],
        [tensor("x", ["N", 3]), tensor("gain", [1])],
        [tensor("y", ["N", 3])],
    )
    feeds = {"x": np.array([[1, 2, 3]], np.float32), "gain": np.array([10], np.float32)}
    game = game_of(Model.load(path), feeds, None, 0, Target.classes(), applier_kind=applier)
    assert game.players == 3
    assert game.values(np.array([[1, 0, 1]], bool)).tolist() == [[10, 0, 30]]


def test_one_number_a_sample_is_an_input_too(tmp_path):
    path = tiny.saved(
        tmp_path / "columns.onnx",
        [node("Mul", ["a", "b"], ["y"])],
        [tensor("a", ["N"]), tensor("b", ["N"])],
        [tensor("y", ["N"])],
    )
    feeds = {"a": np.array([2, 3], np.float32), "b": np.array([5, 7], np.float32)}
    found = xaionnx.explain(Model.load(path), feeds, "feature_ablation", baseline=1)
    assert {name: values.tolist() for name, values in found.values.items()} == {"a": [5, 14], "b": [8, 18]}
    assert found.feature_values.tolist() == [[5, 8], [14, 18]]


def test_features_over_two_inputs_give_values_by_name():
    two = planted.load(planted.net_b(two_images=True))
    x = {name: RNG.uniform(10, 20, (2, 1, 4, 4)).astype(np.float32) for name in ("x", "x2")}
    halves = np.repeat([[0, 0, 1, 1]], 4, axis=0)
    # The right half of one input is the same player as the left half of the other.
    found = xaionnx.explain(two, x, "feature_ablation", 0, features={"x": halves, "x2": halves + 1})
    assert found.values.keys() == found.features.keys() == {"x", "x2"}
    for n in range(2):
        for k, (left, right) in enumerate([(slice(0, 2), None), (slice(2, 4), slice(0, 2)), (None, slice(2, 4))]):
            without = {name: array[n : n + 1].copy() for name, array in x.items()}
            if left:
                without["x"][..., left] = 0
            if right:
                without["x2"][..., right] = 0
            drop = found.prediction[n] - two.run(without)["y"][0, 0]
            assert_close(found.feature_values[n, k], drop, Tolerance.SUMS)
            for name, columns in (("x", left), ("x2", right)):
                if columns:
                    assert_close(found.values[name][n][..., columns], drop, Tolerance.SUMS)
    second = xaionnx.explain(two, x, "feature_ablation", 0, features={"x2": halves})
    assert second.values.keys() == {"x2"}


def test_a_record_tells_what_stood_behind_defaults_and_shorthands():
    model = planted.load(planted.quadrants(12))
    x = RNG.random((2, 3, 12, 12)).astype(np.float32)
    told = xaionnx.explain(model, x, "feature_ablation", [1]).provenance
    assert told["parameters"] == {
        "baseline": {"kind": "Constant", "value": 0.0},
        "background": None,
        "background_size": 100,
        "background_reduction": "sample",
        "expectation": "interventional",
        "neighbours": 10,
        "seed": 0,
        "layer": None,
        "features": {
            "kind": "Superpixels",
            "algorithm": "slic",
            "count": 50,
            "compactness": 10.0,
            "scale": 100.0,
            "sigma": 1.0,
        },
    }
    assert told["target"] == [{"kind": "Index", "k": 1, "as_probability": False, "output": None, "each": False}]
    assert told["opset"] == 17
    assert told["spec"] is None
    table = xaionnx.explain(planted.load(planted.linear(WEIGHTS)), np.ones((1, 6), np.float32), "feature_ablation")
    assert table.provenance["parameters"]["features"] == {"kind": "Elements"}
    assert table.provenance["target"] == [{"kind": "Top", "rank": 0, "as_probability": False, "output": None}]
    # Arrays are recorded by shape, dtype and hash.
    labels = np.arange(12) // 4
    given = xaionnx.explain(model, x, "feature_ablation", features=labels, baseline=np.zeros(12)).provenance[
        "parameters"
    ]
    assert given["features"]["given"]["shape"] == given["baseline"]["array"]["shape"] == [12]
    assert given["features"]["given"]["sha256"] != given["baseline"]["array"]["sha256"]
