"""Game: the values of coalitions of players, at the speed of the bare session."""

from __future__ import annotations

from typing import final

import numpy as np

from xaionnx.errors import BudgetError, OutputError
from xaionnx.perturb.appliers import applier
from xaionnx.perturb.removal import Removal
from xaionnx.runtime import progress
from xaionnx.runtime.batch_runner import Feed
from xaionnx.runtime.evaluations import Evaluations
from xaionnx.runtime.model import Model
from xaionnx.targets.selection import TargetSet
from xaionnx.typing import Array


@final
class Game:
    """Evaluates coalitions of players for one sample and T targets.

    Parameters
    ----------
    model : Model
    selection : TargetSet
        The targets of this one sample.
    removal : Removal
        The players, and the values that replace absent ones.
    full : array (T + W,)
        The targets at the input, which have cost one evaluation before the game begins.
    explained : int, optional
        The number T of targets that are explained; the other W are watched. All by default.
    budget : int, optional
        Maximum number of model evaluations, including the one at the input.
    applier : str
        ``host``, ``graph``, ``auto`` or ``incremental``; see `xaionnx.perturb.appliers.applier`.
    evaluations : Evaluations, optional
        The counter of the batch, which includes the evaluation at the input.
    """

    def __init__(  # noqa: PLR0913 - options of a public class, by keyword
        self,
        model: Model,
        selection: TargetSet,
        removal: Removal,
        full: Array,
        *,
        explained: int | None = None,
        budget: int | None = None,
        applier_kind: str = "auto",
        evaluations: Evaluations | None = None,
    ) -> None:
        self.removal = removal
        self.selection = selection
        self._all = len(full)
        self._explained = self._all if explained is None else explained
        self.full = full[: self._explained]
        self.budget = budget
        self._number = removal.sample.number
        if evaluations is None:
            evaluations = Evaluations(removal.sample.count)
            evaluations.add(self._number)
        self._spent = evaluations
        self._model = model
        self._name = model.name
        self._applier = applier(model, removal, selection, applier_kind)
        self._empty: Array | None = None

    @property
    def evaluations(self) -> int:
        """Model evaluations spent: one per coalition and baseline, for any number of targets."""
        return int(self._spent.rows[self._number])

    @property
    def players(self) -> int:
        """The number P of players."""
        return self.removal.players.count

    @property
    def targets(self) -> int:
        """The number T of targets."""
        return self._explained

    @property
    def cuts(self) -> tuple[str, ...]:
        """Internal tensors of which only changed parts were computed again for the last coalitions."""
        return self._applier.cuts

    @property
    def affordable(self) -> int | None:
        """Number of further coalitions that the budget allows; None without a budget."""
        return None if self.budget is None else max(0, (self.budget - self.evaluations) // self.removal.draws)

    @property
    def empty(self) -> Array:
        """The targets with everything removed, (T,); evaluated once.

        Raises
        ------
        BudgetError
            The budget is spent.
        """
        if self._empty is None:
            codes = self.removal.empty
            if codes is None:
                raise TypeError(f"{type(self.removal).__name__} has no code that removes everything")
            self._empty = self.values(codes)[0]
        return self._empty

    @property
    def known_empty(self) -> Array | None:
        """:attr:`empty` if it was evaluated, else None."""
        return self._empty

    def values(self, codes: Array) -> Array:
        """Return the T targets for each coalition, (M, T); see :meth:`watch`."""
        return self.watch(codes)[0]

    def apart(self, count: int, feed: Feed) -> Array:
        """Return the T targets for inputs that no removal writes, such as a part of the sample: (M, T).

        Parameters
        ----------
        count : int
            The number M of inputs.
        feed : function
            Returns the inputs that have a batch axis, from ``start`` to ``stop``.

        Raises
        ------
        OutputError
            The model returns NaN or infinity.
        """
        values = np.zeros((count, self._all))
        shared = {name: array for name, array in self.removal.sample.x.items() if name in self._model.shared}
        for start, stop, outputs in self._model.batches(count, feed, self.selection.tensors, shared):
            values[start:stop] = self.selection.select(outputs)
            self._spent.add(self._number, stop - start)
            progress.advance(stop - start)
        if not np.isfinite(values).all():
            raise OutputError(
                f"{self._name} returns NaN or infinity for a part of sample {self.removal.sample.number} by itself."
            )
        return values[:, : self._explained]

    def watch(self, codes: Array) -> tuple[Array, Array]:
        """Return the targets and the watched numbers for each coalition.

        Parameters
        ----------
        codes : array (M, ...)
            Coalitions (M, P), or other codes of the removal.

        Returns
        -------
        arrays of float64, (M, T) and (M, W)
            Averaged over the baselines.

        Raises
        ------
        BudgetError
            The coalitions cost more than the remaining budget; nothing is evaluated.
        OutputError
            The model returns NaN or infinity.
        """
        draws, count = self.removal.draws, len(codes)
        if count == 0:
            return np.zeros((0, self._explained)), np.zeros((0, self._all - self._explained))
        cost = count * draws
        if self.budget is not None and self.evaluations + cost > self.budget:
            raise BudgetError(
                f"{cost} model evaluations are needed, but {self.budget - self.evaluations} of the budget of "
                f"{self.budget} are left. Raise the budget, or use fewer features."
            )
        total, weights = np.zeros((count, self._all)), self.removal.weights
        for rows, draw, values in self._applier.evaluate(codes):
            if not np.isfinite(values).all():
                row = rows[int(np.argmin(np.isfinite(values).all(axis=1)))]
                raise OutputError(
                    f"{self._name} returns NaN or infinity where features are removed (coalition {row} of "
                    f"sample {self.removal.sample.number}). Choose another baseline."
                )
            if draws == 1:
                total[rows] = values
            else:
                if weights is not None:
                    values = values * weights[draw, None]
                # Row by row, so that each coalition's sum has the same order for any batch size.
                for t in range(self._all):
                    np.add.at(total[:, t], rows, values[:, t])
            self._spent.add(self._number, len(rows))
            progress.advance(len(rows))
        if weights is None:
            total /= draws
        return total[:, : self._explained], total[:, self._explained :]
