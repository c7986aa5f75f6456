"""How often values lie within 1.96 of their standard errors, over 400 seeds: the errors should hold in 95 of 100.

python -m tests.standard_errors.coverage              # measure and keep; then python .ci/parts.py --write
"""

from __future__ import annotations

import json
import sys
import warnings
from dataclasses import dataclass
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
    # Why the errors may be larger than the spread of the values.
    above: str = ""
    has_errors: bool = True

    @property
    def name(self) -> str:
        """The call, in short."""
        return f"{self.method}({', '.join(f'{name}={value!r}' for name, value in self.settings.items())})"


ALL = {"budget": 2 * 2**PLAYERS}
EVEN = "a Sobol sequence is more even than independent points"
LEVERAGE = "HC3 is cautious where few rows weigh much"
CASES = (
    Case("lime", {"budget": 60}, above=LEVERAGE),
    Case("lime", {"budget": 300}),
    Case("lime", {"budget": 300, "kernel": "uniform", "alpha": 0.0}, ALL),
    Case("lime", {"budget": 300, "kernel": "l2"}, above=LEVERAGE),
    Case("lime", {"budget": 300, "select": 3}, has_errors=False),
    Case("lime", {"budget": 300, "surrogate": "lasso", "alpha": 0.05}, has_errors=False),
    Case("kernel_shap", {"budget": 120}, ALL),
    Case("kernel_shap", {"budget": 400}, ALL),
    Case("kernel_shap", {"budget": 300, "l1": 4}, has_errors=False),
    Case("shapley_sampling", {"budget": 60}, {"method": "exact_shapley"}),
    Case("shapley_sampling", {"budget": 400}, {"method": "exact_shapley"}),
    Case("shapley_sampling", {"budget": 200, "scheme": "plain"}, {"method": "exact_shapley"}),
    Case(
        "shapley_sampling",
        {"budget": 400, "scheme": "orthogonal"},
        {"method": "exact_shapley"},
        above="orthogonal orders vary less than independent ones",
    ),
    Case("banzhaf", {"budget": 80}, ALL, above=LEVERAGE),
    Case("banzhaf", {"budget": 200}, ALL),
    Case("sobol", {"budget": 64 * (PLAYERS + 2) + 1}, has_errors=False),
    Case("sobol", {"budget": 128 * (PLAYERS + 2) + 1}, above=EVEN),
    Case("sobol", {"budget": 512 * (PLAYERS + 2) + 1}, above=EVEN),
    Case("rise", {"budget": 60}),
    Case("rise", {"budget": 300}),
    Case("rise", {"budget": 300, "estimator": "centred"}),
    Case("rise", {"budget": 300, "estimator": "plain"}),
    Case("smooth_grad", {"draws": 8}),
    Case("smooth_grad", {"draws": 32}),
    Case("smooth_grad", {"draws": 32, "statistic": "squared"}, has_errors=False),
    Case("smooth_grad", {"draws": 64, "statistic": "variance"}, has_errors=False),
    Case("expected_gradients", {"draws": 50}),
    Case("expected_gradients", {"draws": 50, "rows": 5}),
    Case("expected_gradients", {"draws": 53, "rows": 5}, above="three rows are taken once more than the others"),
    Case("expected_gradients", {"draws": 200, "rows": 20}),
    Case("expected_gradients", {"draws": 50, "rows": 64}, above="no row is taken twice, which independent draws do"),
    Case("saliency", {"gradient": "finite_differences:random:32"}, above="signs are drawn in pairs"),
)


@cache
def models() -> dict[str, Model]:
    """A linear model, a curved one, a heavy-tailed one, one with many equal answers, and a constant."""
    rng = np.random.default_rng(1)
    w, v = rng.normal(size=(PLAYERS, 6)).astype(np.float32), rng.normal(size=(6, 1)).astype(np.float32)
    weights = rng.normal(size=(PLAYERS, 1)).astype(np.float32)
    head, form = "g (float[N,12] x) => (float[N,1] y)", "{{ a = MatMul(x, w) b = {}(a) y = MatMul(b, v) }}"
    return {
        "linear": tiny.loaded(f"{head} {{ y = MatMul(x, w) }}", w=weights),
        "curved": tiny.loaded(f"{head} {form.format('Tanh')}", w=w, v=v),
        "heavy-tailed": tiny.loaded(f"{head} {form.format('Exp')}", w=0.9 * w, v=np.abs(v)),
        "ties": tiny.loaded(f"{head} {form.format('Sign')}", w=np.round(w), v=np.ones_like(v)),
        "constant": tiny.loaded(f"{head} {{ y = MatMul(x, w) }}", w=0 * weights),
    }


def coverage(case: Case, model: Model, seeds: int = SEEDS) -> npt.NDArray[np.float64] | None:
    """The share of seeds for which each player's value is within 1.96 standard errors; None if there are no errors.

    It is NaN for a player whose value no draw changes, if the method's errors say so.
    """
    values, errors = [], []
    for seed in range(seeds):
        result = _explained(case.method, model, case.settings, seed)
        if result.standard_error is None:
            return None
        values.append(result.values.ravel().astype(np.float64))
        errors.append(result.standard_error.ravel().astype(np.float64))
    limit = np.mean(values, axis=0)
    if case.limit is not None:
        settings = {**case.settings, **case.limit}
        name = settings.pop("method", case.method)
        known = parameters.declared(discovery.method(name))
        exact = _explained(name, model, {key: value for key, value in settings.items() if key in known}, 0)
        limit = exact.values.ravel().astype(np.float64)
    slack = ROUNDING * max(1.0, float(np.abs(values).max()))
    off = np.abs(values - limit)
    exact = (off <= slack).all(axis=0)
    return np.where(exact, np.nan, (off <= 1.96 * np.array(errors) + slack).mean(axis=0))


def _explained(method: str, model: Model, settings: dict[str, Any], seed: int) -> xaionnx.Explanation:
    kind = discovery.method(method)
    if "gradient" in settings:
        given = f"{settings['gradient']}"
        return xaionnx.explain(model, X, kind(gradient=_seeded(given, seed)))
    if "rows" in settings:
        drawn = np.random.default_rng(5).uniform(-0.5, 1.5, size=(settings["rows"], PLAYERS)).astype(np.float32)
        settings = {name: value for name, value in settings.items() if name != "rows"}
        settings["baseline"] = xaionnx.Baseline.background(drawn)
    seeded = {"seed": seed} if "seed" in parameters.declared(kind) else {}
    return xaionnx.explain(model, X, kind(**seeded, **settings))


def _seeded(text: str, seed: int) -> xaionnx.FiniteDifferences:
    return xaionnx.FiniteDifferences(directions=int(text.rsplit(":", 1)[1]), seed=seed)


def rates(case: Case) -> dict[str, float | str | None]:
    """The mean coverage of a case on each model, over the players whose values vary; ``exact`` if none does."""
    found = {name: coverage(case, model) for name, model in models().items()}
    return {
        name: None if rate is None else "exact" if np.isnan(rate).all() else round(float(np.nanmean(rate)), 4)
        for name, rate in found.items()
    }


def markdown() -> str:
    """The kept results as a table."""
    kept, names = json.loads(RESULTS.read_text()), list(models())
    lines = [f"| method | {' | '.join(names)} | |", f"| --- |{' ---: |' * len(names)} --- |"]
    for case in CASES:
        note = case.above if case.has_errors else "no errors given"
        lines.append(f"| `{case.name}` | {' | '.join(map(_cell, kept[case.name].values()))} | {note} |")
    return "\n".join(lines)


def _cell(rate: float | str | None) -> str:
    if rate is None or isinstance(rate, str):
        return rate or "–"
    return f"{100 * rate:.1f}"


def main() -> None:
    """Measure and keep."""
    warnings.simplefilter("ignore")
    kept = {}
    for case in CASES:
        kept[case.name] = rates(case)
        sys.stdout.write(f"{case.name} {kept[case.name]}\n")
    RESULTS.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
