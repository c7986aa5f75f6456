"""How often values lie within 1.96 of their standard errors, over 400 seeds: the errors should hold in 95 of 100.

python -m tests.standard_errors.coverage [WORD...]    # measure and keep; then python .ci/parts.py --write
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import xaionnx
from tests import tiny
from xaionnx import Model, discovery, parameters

RESULTS = Path(__file__).with_name("results.json")
PLAYERS, SEEDS = 12, 400
X = np.linspace(0.5, 1.5, PLAYERS, dtype=np.float32)[None]
LEAST, MOST = 0.93, 0.97
# Rounding of a value that no draw changes.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Case:
    """A method with settings; ``limit`` replaces some of them for the value that an unlimited budget gives."""

    method: str
    settings: dict[str, Any]
    limit: dict[str, Any] | None = None
    has_errors: bool = True
    # The entries of this map above and on the diagonal, rather than the values.
    pairs: str = ""

    @property
    def name(self) -> str:
        """The call, in short."""
        words = [f"{name}={_short(value)}" for name, value in self.settings.items()]
        return f"{self.method}({', '.join(words)})"


def _short(value: Any) -> str:
    return repr(_plain(value)).replace(" ", "")


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value.tolist() if isinstance(value, np.ndarray) else value


ALL = {"budget": 2 * 2**PLAYERS}
PAIRS, SIXES, TEN_AND_TWO = (np.arange(PLAYERS) // size for size in (2, 6, 10))
INDICES = ("k_sii", "sii", "stii", "fsii", "bii", "fbii")
# Steps as wide as the changes of the model that jumps.
WIDE = "finite_differences:random:16:step=0.3"
OTHERS = ("fsii", "bii", "fbii")
CASES = (
    Case("lime", {"budget": 60}),
    Case("lime", {"budget": 300}),
    Case("lime", {"budget": 300, "kernel": "uniform", "alpha": 0.0}, ALL),
    Case("lime", {"budget": 300, "kernel": "l2"}),
    Case("lime", {"budget": 300, "select": 3}, has_errors=False),
    Case("lime", {"budget": 300, "surrogate": "lasso", "alpha": 0.05}, has_errors=False),
    Case("lime", {"budget": 300, "surrogate": "tree"}, has_errors=False),
    Case("lime", {"budget": 400, "rows": 4}),
    Case("lime", {"budget": 300, "kernel_width": 0.75}),
    Case("lime", {"budget": 900, "tolerance": 0.1}),
    Case("lime", {"budget": 3600, "background": 12, "expectation": "conditional", "neighbours": 3}),
    Case("lime", {"budget": 300, "neighbourhood": "bins", "background": 60}),
    Case("lime", {"budget": 300, "neighbourhood": "bins", "background": 60, "select": 3}, has_errors=False),
    Case("kernel_shap", {"budget": 120}, ALL),
    Case("kernel_shap", {"budget": 400}, ALL),
    Case("kernel_shap", {"budget": 400, "ridge": 0.1}, ALL),
    Case("kernel_shap", {"budget": 600, "tolerance": 0.1}, {"method": "exact_shapley"}),
    Case("kernel_shap", {"budget": 300, "l1": 4}, has_errors=False),
    Case("kernel_shap", {"budget": 800, "rows": 4}, {"method": "exact_shapley"}),
    Case(
        "kernel_shap",
        {"budget": 2400, "background": 12, "expectation": "conditional", "neighbours": 3},
        {"method": "exact_shapley"},
    ),
    Case("kernel_shap", {"budget": 100, "null": 4}, {"method": "exact_shapley"}),
    Case("shapley_sampling", {"budget": 60}, {"method": "exact_shapley"}),
    Case("shapley_sampling", {"budget": 400}, {"method": "exact_shapley"}),
    Case("shapley_sampling", {"budget": 200, "scheme": "plain"}, {"method": "exact_shapley"}),
    Case("shapley_sampling", {"budget": 400, "scheme": "orthogonal"}, {"method": "exact_shapley"}, has_errors=False),
    Case("shapley_sampling", {"budget": 1300, "scheme": "orthogonal"}, {"method": "exact_shapley"}),
    Case("shapley_sampling", {"budget": 900, "tolerance": 0.15}, {"method": "exact_shapley"}),
    Case("shapley_sampling", {"budget": 800, "rows": 4}, {"method": "exact_shapley"}),
    Case("shapley_sampling", {"budget": 100, "null": 4}, {"method": "exact_shapley"}),
    Case("banzhaf", {"budget": 80}, ALL),
    Case("banzhaf", {"budget": 200}, ALL),
    Case("banzhaf", {"budget": 800, "rows": 4}, {"budget": 4 * ALL["budget"]}),
    Case("banzhaf", {"budget": 100, "null": 4}, ALL),
    Case("banzhaf", {"budget": 900, "tolerance": 0.1}, ALL),
    *(Case("shapley_interactions", {"budget": 600, "index": index}, ALL, pairs="interactions") for index in INDICES),
    Case("shapley_interactions", {"budget": 300, "index": "k_sii"}, ALL, pairs="interactions"),
    *(Case("shapley_interactions", {"budget": 300, "index": index}, ALL, pairs="interactions") for index in OTHERS),
    *(
        Case("shapley_interactions", {"budget": 236, "index": index}, has_errors=False, pairs="interactions")
        for index in ("k_sii", "stii")
    ),
    Case("shapley_interactions", {"budget": 1600, "index": "k_sii", "order": 3}, ALL, pairs="interactions"),
    Case("shapley_interactions", {"budget": 1600, "rows": 4}, {"budget": 4 * ALL["budget"]}, pairs="interactions"),
    Case("shapley_interactions", {"budget": 100, "null": 4}, ALL, pairs="interactions"),
    Case("shapley_interactions", {"budget": 2400, "tolerance": 0.1}, ALL, pairs="interactions"),
    Case("partition_shap", {"budget": 60, "hierarchy": "flat"}, ALL),
    Case("partition_shap", {"budget": 300, "hierarchy": "flat"}, ALL),
    Case("partition_shap", {"budget": 100, "hierarchy": PAIRS}, ALL),
    Case("partition_shap", {"budget": 400, "hierarchy": PAIRS}, ALL),
    Case("partition_shap", {"budget": 200, "hierarchy": SIXES}, has_errors=False),
    Case("partition_shap", {"budget": 360, "hierarchy": TEN_AND_TWO}, ALL),
    Case("partition_shap", {"budget": 600, "hierarchy": TEN_AND_TWO}, ALL),
    Case("partition_shap", {"budget": 80, "hierarchy": [SIXES, PAIRS]}, ALL),
    Case("partition_shap", {"budget": 100, "hierarchy": [SIXES, PAIRS]}, has_errors=False),
    Case("feature_permutation", {"draws": 5, "metric": "neg_mean_absolute_error"}),
    Case("sobol", {"budget": 512 * (PLAYERS + 2) + 1}, has_errors=False),
    Case("sobol", {"budget": 256 * (PLAYERS + 2) + 1, "replicates": 8}, has_errors=False),
    Case("sobol", {"budget": 512 * (PLAYERS + 2) + 1, "replicates": 4}),
    Case("sobol", {"budget": 512 * (PLAYERS + 2) + 1, "replicates": 8}),
    Case("sobol", {"budget": 2048 * (PLAYERS + 2) + 1, "replicates": 4, "tolerance": 0.05}),
    Case("rise", {"budget": 60}),
    Case("rise", {"budget": 300}),
    Case("rise", {"budget": 300, "estimator": "centred"}),
    Case("rise", {"budget": 300, "estimator": "plain"}),
    Case("rise", {"budget": 300, "grid": 4}),
    Case("rise", {"budget": 300, "keep": 0.25}),
    Case("rise", {"budget": 900, "tolerance": 0.1}),
    Case("smooth_grad", {"draws": 8}),
    Case("smooth_grad", {"draws": 32}),
    Case("smooth_grad", {"draws": 16, "gradient": WIDE}),
    Case("smooth_grad", {"draws": 32, "inner": "input_x_gradient"}),
    Case("smooth_grad", {"draws": 32, "statistic": "squared"}, has_errors=False),
    Case("smooth_grad", {"draws": 64, "statistic": "variance"}, has_errors=False),
    Case("expected_gradients", {"draws": 50}),
    Case("expected_gradients", {"draws": 50, "factor": "none"}),
    Case("expected_gradients", {"draws": 16, "gradient": WIDE}),
    Case("expected_gradients", {"draws": 50, "rows": 5}),
    Case("expected_gradients", {"draws": 53, "rows": 5}),
    Case("expected_gradients", {"draws": 200, "rows": 20}),
    Case("expected_gradients", {"draws": 50, "rows": 64}, has_errors=False),
    Case("saliency", {"gradient": "finite_differences:random:32"}, has_errors=False),
    Case("saliency", {"gradient": "finite_differences:random:32", "absolute": False}),
    Case("input_x_gradient", {"gradient": "finite_differences:random:32"}),
)


MODELS = ("linear", "curved", "heavy-tailed", "ties", "constant")


@cache
def models() -> dict[str, Model]:
    """A linear model, a curved one, a heavy-tailed one, one with many equal answers, and a constant."""
    return {name: _loaded([name]) for name in MODELS}


@cache
def all_models() -> Model:
    """All of them in one, whose outputs they are."""
    return _loaded(MODELS)


def _loaded(names: Sequence[str]) -> Model:
    rng = np.random.default_rng(1)
    w, v = rng.normal(size=(PLAYERS, 6)).astype(np.float32), rng.normal(size=(6, 1)).astype(np.float32)
    weights = rng.normal(size=(PLAYERS, 1)).astype(np.float32)
    parts = {
        "linear": ("{y} = MatMul(x, w)", {"w": weights}),
        "curved": (_in_layers("Tanh"), {"w": w, "v": v}),
        "heavy-tailed": (_in_layers("Exp"), {"w": 0.9 * w, "v": np.abs(v)}),
        "ties": (_in_layers("Sign"), {"w": np.round(w), "v": np.ones_like(v)}),
        "constant": ("{y} = MatMul(x, w)", {"w": 0 * weights}),
    }
    lines, arrays = [], {}
    for n, name in enumerate(names):
        line, own = parts[name]
        lines.append(line.format(y=f"y{n}", a=f"a{n}", b=f"b{n}").replace("w)", f"w{n})").replace("v)", f"v{n})"))
        arrays |= {f"{key}{n}": array for key, array in own.items()}
    outputs = ", ".join(f"y{n}" for n in range(len(names)))
    head = f"g (float[N,{PLAYERS}] x) => (float[N,{len(names)}] y)"
    return tiny.loaded(f"{head} {{ {' '.join(lines)} y = Concat<axis=1>({outputs}) }}", **arrays)


def _in_layers(activation: str) -> str:
    return f"{{a}} = MatMul(x, w) {{b}} = {activation}({{a}}) {{y}} = MatMul({{b}}, v)"


def coverage(case: Case, model: Model, seeds: int = SEEDS) -> npt.NDArray[np.float64] | None:
    """The share of seeds for which each value is within 1.96 standard errors, (T, K) of the T outputs of a model.

    It is None if there are no errors, and NaN for a value that no draw changes, if the method's errors say so.
    """
    values, errors = [], []
    for seed in range(seeds):
        result = _explained(case.method, model, case.settings, seed)
        if not _has_errors(result, case.pairs):
            return None
        values.append(_numbers(result, case.pairs))
        errors.append(_numbers(result, case.pairs, "standard_error"))
    limit = np.mean(values, axis=0)
    if case.limit is not None:
        settings = {**case.settings, "tolerance": None, **case.limit}
        name = settings.pop("method", case.method)
        known = parameters.declared(discovery.method(name))
        taken = {key: value for key, value in settings.items() if key in (*known, "rows", "null")}
        exact = _explained(name, model, taken, 0)
        limit = _numbers(exact, case.pairs)
    slack = ROUNDING * np.maximum(1.0, np.abs(values).max(axis=(0, 2)))[:, None]
    off = np.abs(values - limit)
    exact = (off <= slack).all(axis=0)
    return np.where(exact, np.nan, (off <= 1.96 * np.array(errors) + slack).mean(axis=0))


def _has_errors(result: xaionnx.Explanation, pairs: str) -> bool:
    return f"{pairs}_standard_error" in result.maps if pairs else result.standard_error is not None


def _numbers(result: xaionnx.Explanation, pairs: str, kind: str = "") -> npt.NDArray[np.float64]:
    """Numbers (T, K) of each target."""
    if pairs:
        rows, columns = np.triu_indices(PLAYERS)
        entries = result.maps[f"{pairs}_{kind}" if kind else pairs].reshape(-1, PLAYERS, PLAYERS)
        return np.asarray(entries[:, rows, columns], dtype=np.float64)
    numbers = np.asarray(getattr(result, kind or "values"), dtype=np.float64)
    return numbers.reshape(len(numbers) if numbers.ndim > X.ndim else 1, -1)


def _explained(method: str, model: Model, settings: dict[str, Any], seed: int) -> xaionnx.Explanation:
    kind = discovery.method(method)
    settings, x = dict(settings), X
    if "gradient" in settings:
        settings["gradient"] = _seeded(f"{settings['gradient']}", seed)
    if "rows" in settings:
        settings["baseline"] = xaionnx.Baseline.background(_drawn(settings.pop("rows")))
    if "background" in settings:
        settings["background"] = _drawn(settings["background"])
    if "null" in settings:
        settings["baseline"] = np.where(np.arange(PLAYERS) < settings.pop("null"), X[0], 0)
    if "metric" in settings:
        x = _drawn(40)
        settings["labels"] = model.run({"x": x})["y"][:, 0] + np.random.default_rng(6).normal(size=40)
    seeded = {"seed": seed} if "seed" in parameters.declared(kind) else {}
    outputs = int(model.outputs[0].shape[1])
    return xaionnx.explain(model, x, kind(**seeded, **settings), 0 if outputs == 1 else list(range(outputs)))


def _drawn(rows: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(5).uniform(-0.5, 1.5, size=(rows, PLAYERS)).astype(np.float32)


def _seeded(text: str, seed: int) -> xaionnx.FiniteDifferences:
    return replace(xaionnx.FiniteDifferences.of(text), seed=seed)


def rates(case: Case) -> dict[str, float | str | None]:
    """The mean coverage of a case on each model, over the players whose values vary; ``exact`` if none does."""
    # Draws that no output changes are the same for all models, which are then explained at once.
    if {"tolerance", "metric"}.isdisjoint(case.settings):
        found = coverage(case, all_models())
        return dict(zip(MODELS, [None] * len(MODELS) if found is None else map(_rate, found), strict=True))
    each = {name: coverage(case, model) for name, model in models().items()}
    return {name: None if found is None else _rate(found[0]) for name, found in each.items()}


def _rate(shares: npt.NDArray[np.float64]) -> float | str:
    return "exact" if np.isnan(shares).all() else round(float(np.nanmean(shares)), 4)


def kept_results() -> dict[str, dict[str, float | str | None]]:
    """The kept results by case and model."""
    kept: dict[str, dict[str, float | str | None]] = json.loads(RESULTS.read_text())
    return kept


def markdown() -> str:
    """The kept results as a table."""
    kept, names = kept_results(), MODELS
    lines = [f"| method | {' | '.join(names)} |", f"| --- |{' ---: |' * len(names)}"]
    lines += [f"| `{case.name}` | {' | '.join(map(_cell, kept[case.name].values()))} |" for case in CASES]
    return "\n".join(lines)


def _cell(rate: float | str | None) -> str:
    if rate is None or isinstance(rate, str):
        return rate or "–"
    return f"{100 * rate:.1f}"


def main() -> None:
    """Measure all, or only those whose names contain one of the words given, and keep."""
    warnings.simplefilter("ignore")
    for case in CASES:
        if not sys.argv[1:] or any(word in case.name for word in sys.argv[1:]):
            found = rates(case)
            sys.stdout.write(f"{case.name} {found}\n")
            sys.stdout.flush()
            # At once, since all of them take an hour, beside what another run kept meanwhile.
            kept = {**kept_results(), case.name: found}
            known = {case.name: kept[case.name] for case in CASES if case.name in kept}
            RESULTS.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
