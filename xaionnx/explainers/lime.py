"""LIME: a weighted linear model of the target around the input, over which features are present."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from xaionnx_kernels.coalitions import all_coalitions, bernoulli

from xaionnx.errors import ParameterError
from xaionnx.explainers._games.game import ByFeatures, GameExplainer, GameResult
from xaionnx.explainers._games.local_surrogate import Fit, fit
from xaionnx.explainers._games.sampling import WithinBudget, evaluate
from xaionnx.parameters import choice, integer, real
from xaionnx.perturb.game import Game
from xaionnx.typing import Array

# More players than this have more coalitions than any budget.
_MOST_ENUMERATED = 30


@final
@dataclass(frozen=True, kw_only=True)
class Lime(WithinBudget, ByFeatures, GameExplainer):
    """The coefficients b of a linear model of the target, fitted where few features are removed::

        minimise  sum over z of w(z) (f(z) - b0 - b . z)^2 + alpha |b|^2
        w(z) = exp(-d(z)^2 / (2 width^2)),   d = 1 - cos(z, 1) = 1 - sqrt(present / P)     kernel="cosine"
                                             d = |1 - z| / sqrt(P) = sqrt(absent / P)      kernel="l2"
        w(z) = 1                                                                           kernel="uniform"

    The first coalition z is the input itself, as in the authors' implementation; it costs nothing. In the others each
    player is present with the probability 1/2. Where the budget pays for all 2^P coalitions, each is taken once. The
    kernel is that of the implementation too; the paper's has no 2, so that its width is ``kernel_width`` times the
    root of 2. ``surrogate="lasso"`` is scikit-learn's: half the weighted mean of the squares, plus alpha |b|_1.
    ``select`` keeps the players with the largest coefficients and fits them again; it is not on unless asked for.

    With uniform weights and alpha 0 the values estimate the Banzhaf values. A ridge of 1 beside the small weights of a
    narrow kernel shrinks all coefficients; compare their order, or set ``alpha=0``.

    ``standard_error``: how far other random coalitions would move a coefficient, by the sandwich with residuals over
    1 less their leverage (HC3); 0 where all coalitions were taken. Diagnostics, one number a target: ``r2``, the
    weighted share of the answers' variance that the surrogate explains (distrust the values where it is
    low); ``intercept`` b0; ``local_prediction``, the surrogate at the input. And ``coalitions``; ``stopped_by``
    ``tolerance``, ``budget`` or ``enumeration``.

    Notes
    -----
    When to use: Any model, when a local linear model is the explanation that is asked for; ``r2`` says how well it
    fits.

    When not to use: When the values must sum to the change of the target or must not depend on a kernel width; use
    ``kernel_shap``. When ``r2`` is low.

    References
    ----------
    Ribeiro, Singh and Guestrin, "Why should I trust you?": explaining the predictions of any classifier, KDD 2016,
    doi:10.1145/2939672.2939778, arXiv:1602.04938.

    Raises
    ------
    ParameterError
        The surrogate is the Lasso, and alpha 0.
    BudgetError
        The budget allows fewer than P + 2 coalitions, and not all of them.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[1.0, 2.0, -3.0]]))
    >>> result = xaionnx.explain(model, np.ones((1, 3), np.float32), Lime(alpha=0))
    >>> result.values.round(3)
    array([[ 1.,  2., -3.]], dtype=float32)
    """

    axioms: ClassVar[tuple[str, ...]] = ("linearity",)
    reference: ClassVar[str] = "Ribeiro et al. 2016, arXiv:1602.04938"

    budget: int = integer(1000, "the most model evaluations a sample may cost", low=2)
    kernel: str = choice("cosine", ("cosine", "l2", "uniform"), "distance by which coalitions are weighed")
    kernel_width: float = real(0.25, "width of the kernel", low=0, low_open=True)
    surrogate: str = choice("ridge", ("ridge", "lasso"), "penalty of the linear model")
    alpha: float = real(1.0, "strength of the penalty", low=0)
    select: int | None = integer(None, "keep this many features", low=1, optional=True)

    def check_parameters(self) -> None:
        if self.surrogate == "lasso" and self.alpha == 0:
            raise ParameterError(
                "The 'alpha' parameter of Lime must be a float in (0, inf) for surrogate='lasso'. Got 0 instead; "
                "surrogate='ridge' with alpha=0 is least squares."
            )

    def estimate(self, game: Game) -> GameResult:
        players = game.players
        if players <= _MOST_ENUMERATED and 2**players - 2 <= (self.budget - 1) // game.removal.draws - 1:

            def every(start: int, stop: int) -> Array:
                return all_coalitions(players, start, stop)

            between = evaluate(game, every, 1, 2**players - 1)
            answers = np.concatenate([game.empty[None], between, game.full[None]])
            return self._answer(game, every, answers, "enumeration")
        room = self.room(game, players + 2)

        def rows(start: int, stop: int) -> Array:
            drawn = bernoulli(self.seed, start, stop, players)
            drawn[: 1 if start == 0 else 0] = True
            return drawn

        answers = game.full[None]
        for count in self.stages(min(room, 4 * players + 100), room):
            answers = np.concatenate([answers, evaluate(game, rows, len(answers), count + 1)])
            answer = self._answer(game, rows, answers, "budget")
            assert answer.standard_error is not None  # every surrogate has one
            if self.sure(game, answer.standard_error):
                answer.diagnostics["stopped_by"] = "tolerance"
                break
        return answer

    def _answer(self, game: Game, rows: Callable[[int, int], Array], answers: Array, ended: str) -> GameResult:
        found = fit(
            rows,
            self._weights(rows, len(answers), game.players),
            answers,
            surrogate=self.surrogate,
            alpha=self.alpha,
            most=self.select,
            drawn=ended != "enumeration",
        )
        diagnostics = {**_quality(found), "coalitions": len(answers), "stopped_by": ended}
        return GameResult(found.values, found.standard_error, diagnostics)

    def _weights(self, rows: Callable[[int, int], Array], count: int, players: int) -> Array:
        if self.kernel == "uniform":
            return np.ones(count)
        pieces = [rows(start, min(count, start + 4096)).mean(axis=1) for start in range(0, count, 4096)]
        present = np.concatenate(pieces)
        distance = 1 - np.sqrt(present) if self.kernel == "cosine" else np.sqrt(1 - present)
        weights: Array = np.exp(-np.square(distance / self.kernel_width) / 2)
        return weights


def _quality(found: Fit) -> dict[str, list[float]]:
    local = found.intercept + found.values.sum(axis=1)
    return {"r2": found.r2.tolist(), "intercept": found.intercept.tolist(), "local_prediction": local.tolist()}
