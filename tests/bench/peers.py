"""KernelSHAP against shap, shapiq and Captum's schemes on 20 rows of trained models.

Run with: python -m tests.bench.peers [--keep], in an environment with shap 0.51 and shapiq 1.4.1; --keep puts the rows
into results.json. Evaluations: the mean relative error over 20 rows falls to 5 %. Time: in turns, processor time, each
peer at its number of evaluations and ours at the smallest one that is as exact.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import xaionnx
from tests.bench import games, table, turns
from tests.bench.tasks import MODELS, applicants
from xaionnx import Model
from xaionnx.typing import Array

ROWS, SEEDS, ERROR = 20, 1, 0.05
LEAST, MOST = 64, 16_384
Estimate = Callable[[games.Known, int, int], Array]


def known_rows() -> Iterator[tuple[str, list[games.Known]]]:
    """Three trained models with 20 inputs each; no feature equals the baseline, the mean of the data."""
    rows = applicants()
    columns = np.arange(rows.shape[1])
    for kind in ("mlp", "forest"):
        mean = rows.mean(axis=0, keepdims=True) + np.float32(1e-3)
        path = f"german_credit_{kind}.onnx"
        yield (
            f"credit {kind}, 20 columns, {ROWS} rows",
            [games.known(kind, path, x[None], mean, columns) for x in rows[:ROWS]],
        )
    with np.load(MODELS / "data" / "mnist_sample.npz") as file:
        digits = file["images"][:ROWS].astype(np.float32) / 255
    cell = np.arange(28) * 4 // 28
    labels, gray = (cell[:, None] * 4 + cell)[None], np.full_like(digits[:1], 0.13)
    yield (
        f"MNIST CNN, 16 cells, {ROWS} digits",
        [games.known("cnn", "mnist_cnn.onnx", x[None], gray, labels) for x in digits],
    )


def shap_kernel(l1: str | int) -> Estimate:
    """KernelExplainer of shap with an ``l1_reg``."""

    def values(game: games.Known, budget: int, seed: int) -> Array:
        import shap

        bits = 1 << np.arange(game.players)
        np.random.seed(seed)  # noqa: NPY002 - the only seed that this library takes
        explainer = shap.KernelExplainer(
            lambda rows: game.values[(np.asarray(rows) > 0.5) @ bits], np.zeros((1, game.players))
        )
        return np.asarray(explainer.shap_values(np.ones((1, game.players)), nsamples=budget, l1_reg=l1, silent=True))[0]

    return values


def shapiqs(name: str, **options: Any) -> Estimate:
    """An approximator of shapiq for Shapley values."""

    def values(game: games.Known, budget: int, seed: int) -> Array:
        from shapiq import approximator

        bits = 1 << np.arange(game.players)
        found = getattr(approximator, name)(game.players, random_state=seed, **options).approximate(
            budget, lambda rows: game.values[np.atleast_2d(np.asarray(rows, dtype=bool)) @ bits] - game.values[0]
        )
        return np.array([found[(player,)] for player in range(game.players)])

    return values


def captum_kernel(game: games.Known, budget: int, seed: int) -> Array:
    """Captum's KernelShap, rebuilt: coalitions by the kernel's sizes, with replacement, and the ends with a weight."""
    rng, players = np.random.default_rng(seed), game.players
    sizes = np.arange(1, players)
    weights = 1 / (sizes * (players - sizes))
    drawn = rng.choice(sizes, budget - 2, p=weights / weights.sum())
    order = rng.random((budget - 2, players)).argsort(axis=1).argsort(axis=1)
    rows = np.concatenate([np.zeros((1, players), bool), np.ones((1, players), bool), order < drawn[:, None]])
    root = np.sqrt(np.r_[1e6, 1e6, np.ones(budget - 2)])
    design = np.concatenate([np.ones((budget, 1)), rows], axis=1)
    right = game.values[rows @ (1 << np.arange(players))]
    return np.asarray(np.linalg.lstsq(design * root[:, None], right * root, rcond=None)[0][1:])


METHODS: dict[str, Estimate] = {
    "KernelSHAP": games.ours("kernel_shap"),
    "shap, l1_reg=0": shap_kernel(0),
    "shap, its default L1": shap_kernel("num_features(10)"),
    "shapiq KernelSHAP, paired": shapiqs("KernelSHAP", pairing_trick=True),
    "shapiq SVARM": shapiqs("SVARM"),
    "shapiq PermutationSamplingSV": shapiqs("PermutationSamplingSV"),
    "Captum KernelShap": captum_kernel,
    "Captum ShapleyValueSampling": games.permutations,
}


def error(some: list[games.Known], method: Estimate, budget: int) -> float:
    """The mean relative error over rows and seeds."""
    each = [
        np.linalg.norm(method(game, budget, seed) - game.exact) / np.linalg.norm(game.exact)
        for game in some
        for seed in range(SEEDS)
    ]
    return float(np.mean(each))


def needed(some: list[games.Known], method: Estimate) -> float:
    """The budget at which the error falls to 5 %, between powers of the root of 2; infinite above 16,384."""
    before: tuple[float, float] | None = None
    for step in itertools.count():
        budget = int(LEAST * 2 ** (step / 2))
        if budget > MOST:
            return math.inf
        try:
            found = error(some, method, budget)
        except xaionnx.errors.BudgetError:
            continue
        if found <= ERROR:
            if before is None:
                return budget
            share = math.log(before[1] / ERROR) / math.log(before[1] / found)
            return float(before[0] * (budget / before[0]) ** share)
        before = budget, found
    raise AssertionError("the loop ends by returning")


def evaluations() -> Iterator[dict[str, Any]]:
    """A row for each model: evaluations to 5 % error."""
    for name, some in known_rows():
        found = {key: needed(some, method) for key, method in METHODS.items()}
        counts = {key: None if math.isinf(n) else round(n) for key, n in found.items()}
        yield {"kind": "peers", "name": name, "least": LEAST, "needed": counts}


def seconds(rounds: int) -> Iterator[dict[str, Any]]:
    """A row for each peer and background: processor time over the peer's for the same error."""
    import shap

    model = Model.load(MODELS / "german_credit_mlp.onnx")
    x, output, name = applicants()[:ROWS], model.output().name, model.input().name
    session = turns.session(MODELS / "german_credit_mlp.onnx")

    def margin(rows: Array) -> Array:
        return np.asarray(session.run([output], {name: np.asarray(rows, np.float32)})[0][:, 1], np.float64)

    for draws in (1, 100):
        background = applicants()[-1:] if draws == 1 else np.stack(
            [np.random.default_rng(1).choice(column, draws) for column in applicants().T], axis=1
        )  # fmt: skip

        def ours(coalitions: int, rows: Array = background) -> Array:
            found = xaionnx.explain(model, x, "kernel_shap", 1, background=rows, budget=len(rows) * coalitions + 1)
            return np.asarray(found.feature_values)

        exact = ours(2**16)
        kernel, permutation = shap.KernelExplainer(margin, background), shap.PermutationExplainer(margin, background)
        peers: dict[str, Callable[[], Array]] = {
            "KernelExplainer": lambda: kernel.shap_values(x, l1_reg=0, silent=True),  # noqa: B023 - called here
            "PermutationExplainer": lambda: permutation(x, max_evals=2048, silent=True).values,  # noqa: B023 - as above
        }
        for peer, run in peers.items():
            np.random.seed(0)  # noqa: NPY002 - the only seed that this library takes
            reached = _distance(run(), exact)
            budgets = (int(128 * 2 ** (step / 4)) for step in range(40))
            coalitions = next(n for n in budgets if _distance(ours(n), exact) <= reached)
            times = turns.turns({"ours": lambda n=coalitions: ours(n), "peer": run}, rounds)  # type: ignore[misc]
            yield {
                "kind": "over",
                "name": f"KernelSHAP over shap's {peer} at its error of {100 * reached:.2g} %, credit MLP, "
                f"{ROWS} rows, {draws} background row{'s' if draws > 1 else ''}, {coalitions:,} coalitions",
                "target": 0.5,
                "rounds": [round(a / b, 3) for a, b in zip(times["ours"], times["peer"], strict=True)],
                "seconds": round(statistics.median(times["ours"]), 4),
                "clock": "processor",
            }


def _distance(values: Array, exact: Array) -> float:
    return float(np.mean(np.linalg.norm(values - exact, axis=1) / np.linalg.norm(exact, axis=1)))


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", action="store_true", help="put the rows into results.json")
    given = parser.parse_args()
    rows = []
    for row in itertools.chain(seconds(given.rounds), evaluations()):
        rows.append(row)
        print(json.dumps(row), flush=True)
    if given.keep:
        kept = table.replaced({"rows": rows, "left_out": []})
        table.RESULTS.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
