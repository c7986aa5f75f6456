"""Infidelity: the mean squared error of the values as predictions of drops."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, final

import numpy as np

from xaionnx.errors import ParameterError
from xaionnx.evaluation.metric import SampleMeasure
from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._removal import ByRemoval, Coalitions
from xaionnx.metrics._subsets import BySums, mean_squared_error, read_only
from xaionnx.parameters import choice, flag, integer
from xaionnx.typing import Array

# Every subset is evaluated for at most so many players.
_ALL = 10


@final
@dataclass(frozen=True, kw_only=True)
class Infidelity(BySums, ByRemoval):
    """The mean squared difference between the sum of removed values and the drop of the target::

        infidelity = mean over I of ( sum over i in I of phi_i - (f(x) - f(x with I removed)) )^2

    The perturbation of the paper is x minus the input with I removed, so that with contributions phi, such as
    x times gradient, the sum of the removed ones is its inner product with their values per unit. Subsets I are
    ``single`` features, ``all`` subsets of at most 10 features but the empty one, or ``random``, each feature with
    probability one half.

    ``scaled`` (default) first multiplies phi by the factor that fits best, ``beta = E[s d] / E[s^2]`` of sums s and
    drops d, so that values in other units, such as those of CAMs, can be compared. Where all values are 0, the score is
    the mean squared drop.

    References
    ----------
    Yeh, Hsieh, Suggala, Inouye and Ravikumar, On the (in)fidelity and sensitivity of explanations, NeurIPS 2019,
    arXiv:1901.09392, definition 2.1 and, for the factor, appendix A.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> xaionnx.evaluate(model, np.ones((1, 4), np.float32), "input_x_gradient", "infidelity").values
    array([0.])
    """

    direction: ClassVar[Direction] = "lower"
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    reference: ClassVar[str] = "Yeh et al. 2019, arXiv:1901.09392"

    subsets: str = choice("random", ("random", "single", "all"), "which features are removed together")
    draws: int = integer(200, "number of random subsets", low=1)
    scaled: bool = flag(True, "multiply the values by the factor that fits best")

    def plan(self, values: Array) -> Coalitions:
        players = len(values)
        return (
            Coalitions.without_one(players) if self.subsets == "single" else Coalitions.without(self._removed(players))
        )

    def score(self, values: Array, targets: Array, full: float) -> SampleMeasure:
        sums = values if self.subsets == "single" else self._removed(len(values)) @ values
        return SampleMeasure(mean_squared_error(sums, full - targets, scaled=self.scaled))

    def _removed(self, players: int) -> Array:
        if self.subsets == "random":
            return random_subsets(players, self.draws, self.seed)
        if players > _ALL:
            raise ParameterError(
                f"The 'subsets' parameter of Infidelity can be 'all' for at most {_ALL} features, and there are "
                f"{players}. Use 'random', or fewer features, such as features='grid:3'."
            )
        return (np.arange(1, 2**players)[:, None] >> np.arange(players) & 1).astype(bool)


@lru_cache(maxsize=2)
def random_subsets(players: int, draws: int, seed: int) -> Array:
    """Return subsets of players, bool (draws, players), each with probability one half, not to be written to.

    Subset i depends on (seed, i) alone.
    """
    return read_only(np.stack([np.random.default_rng([seed, i]).random(players) < 1 / 2 for i in range(draws)]))
