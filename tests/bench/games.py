"""Evaluations until Shapley values are within 5 % of the exact ones, on games small enough to evaluate completely."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

import xaionnx
from tests.bench.tasks import MODELS, applicants, background
from xaionnx import Features, Model, Target
from xaionnx.typing import Array

ERROR = 0.05
LEAST, MOST = 128, 32_768


@dataclass(frozen=True, eq=False)
class Known:
    """A game with all coalitions evaluated.

    Attributes
    ----------
    name : str
    model : Model
    x : array (1, ...)
    baseline : array (1, ...)
    labels : array (...)
        The player of each element of x.
    target : int
    values : array (2^P,)
        Player j is in row r where bit j of r is set.
    exact : array (P,)
        Shapley values.
    """

    name: str
    model: Model
    x: Array
    baseline: Array
    labels: Array
    target: int
    values: Array
    exact: Array

    @property
    def players(self) -> int:
        """Their number P."""
        return len(self.exact)


def known(name: str, path: str, x: Array, baseline: Array, labels: Array) -> Known:
    """Evaluate every coalition; the target is the top class."""
    model = Model.load(MODELS / path)
    output = model.output().name
    feed = model.input().name
    players = int(labels.max()) + 1
    target = int(model.run({feed: x}, [output])[output][0].argmax())
    values = np.empty(2**players)
    for start in range(0, len(values), 4096):
        rows = np.arange(start, min(start + 4096, len(values)))
        present = (rows[:, None] >> np.arange(players) & 1).astype(bool)
        values[rows] = model.run({feed: np.where(present[:, labels], x, baseline)}, [output])[output][:, target]
    return Known(name, model, x, baseline, labels, target, values, shapley(values, players))


def shapley(values: Array, players: int) -> Array:
    """By definition: the marginal contributions of each player to coalitions of the others, weighted by their size."""
    sizes = np.array([row.bit_count() for row in range(2**players)])
    weights = np.array([1 / (players * math.comb(players - 1, size)) for size in range(players)])
    found = np.empty(players)
    for i in range(players):
        without = np.flatnonzero(~np.arange(2**players) >> i & 1)
        found[i] = weights[sizes[without]] @ (values[without | 1 << i] - values[without])
    return found


def games() -> Iterator[Known]:
    """Four trained models: a table of 20 columns, and digits in 12 and 16 cells."""
    rows = applicants()
    columns = np.arange(rows.shape[1])
    yield known("credit MLP, 20 columns", "german_credit_mlp.onnx", rows[1:2], background(1), columns)
    yield known("credit forest, 20 columns", "german_credit_forest.onnx", rows[1:2], background(1), columns)
    with np.load(MODELS / "data" / "mnist_sample.npz") as file:
        digit = file["images"][:1].astype(np.float32) / 255
    for name, path, cells in (
        ("MNIST CNN, 16 cells", "mnist_cnn.onnx", 4),
        ("MNIST ViT, 12 cells", "mnist_vit.onnx", 3),
    ):
        down, across = np.arange(28) * 4 // 28, np.arange(28) * cells // 28
        labels = (down[:, None] * cells + across)[None]
        yield known(name, path, digit, np.zeros_like(digit), labels)


def ours(method: str) -> Callable[[Known, int, int], Array]:
    """A method of the library, through :func:`xaionnx.explain`."""

    def values(game: Known, budget: int, seed: int) -> Array:
        found = xaionnx.explain(
            game.model, game.x, method, Target.index(game.target), features=Features.of(game.labels),
            baseline=game.baseline, budget=budget, seed=seed,
        )  # fmt: skip
        return np.asarray(found.feature_values)[0]

    return values


def permutations(game: Known, budget: int, seed: int) -> Array:
    """Captum's ShapleyValueSampling, rebuilt: the plain mean over random orders, P evaluations each."""
    rng, total = np.random.default_rng(seed), np.zeros(game.players)
    orders = max(1, (budget - 1) // game.players)
    for _ in range(orders):
        order = rng.permutation(game.players)
        rows = np.concatenate([[0], np.cumsum(1 << order)])
        total[order] += np.diff(game.values[rows])
    return total / orders


def kernel_shap_of_peer(game: Known, budget: int, seed: int) -> Array:
    """KernelExplainer of shap, with all features kept (l1_reg=0; its default keeps 10)."""
    import shap

    bits = 1 << np.arange(game.players)

    def answers(rows: Array) -> Array:
        return np.asarray(game.values[(np.asarray(rows) > 0.5) @ bits])

    np.random.seed(seed)  # noqa: NPY002 - the only seed that this library takes
    explainer = shap.KernelExplainer(answers, np.zeros((1, game.players)))
    found = explainer.shap_values(np.ones((1, game.players)), nsamples=budget, l1_reg=0, silent=True)
    return np.asarray(found)[0]


def evaluations_needed(game: Known, method: Callable[[Known, int, int], Array], seeds: int) -> float:
    """The budget at which the mean relative error over seeds falls to 5 %, between the powers of the root of 2.

    Infinite if 32,768 do not suffice; 2^P if every coalition is needed.
    """
    before: tuple[float, float] | None = None
    for step in itertools.count():
        budget = int(LEAST * 2 ** (step / 2))
        if budget > MOST:
            return math.inf
        errors = [np.linalg.norm(method(game, budget, seed) - game.exact) for seed in range(seeds)]
        error = float(np.mean(errors) / np.linalg.norm(game.exact))
        if error <= ERROR:
            if before is None or error < 1e-6:
                return budget
            share = math.log(before[1] / ERROR) / math.log(before[1] / error)
            return float(before[0] * (budget / before[0]) ** share)
        before = budget, error
    raise AssertionError("the loop ends by returning")
