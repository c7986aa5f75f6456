"""Game: the value of any coalition of players, at the speed of the bare session."""

from __future__ import annotations

from typing import final

import numpy as np

from xaionnx.errors import BudgetError, OutputError
from xaionnx.perturb.appliers import applier
from xaionnx.perturb.removal import Removal
from xaionnx.runtime import progress
from xaionnx.runtime.evaluations import Evaluations
from xaionnx.runtime.model import Feed, Model
from xaionnx.targets.selection import TargetSet
from xaionnx.typing import Array


@final
class Game:
    """Explaining by removing, for one sample and T targets.

    Parameters
    ----------
    model : Model
    selection : TargetSet
        The targets of this one sample.
    removal : Removal
        Who the players are, and what takes an absent one's place.
    full : array (T + W,)
        The targets at the input itself; the one evaluation that is spent before the game begins.
    explained : int, optional
        The number T of targets that are explained; the other W are watched. All if not given.
    budget : int, optional
        The most model evaluations, that one included.
    applier : str
        ``host``, ``graph``, ``auto`` or ``incremental``; see `xaionnx.perturb.appliers.applier`.
    evaluations : Evaluations, optional
        The counter of the batch, which knows of the input's own evaluation.
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
        """Model evaluations spent: one a coalition and baseline averaged over, whatever the number of targets."""
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
        """Inner tensors of which only what changed was computed again, for the last coalitions."""
        return self._applier.cuts

    @property
    def affordable(self) -> int | None:
        """How many more coalitions the budget allows; None without a budget."""
        return None if self.budget is None else max(0, (self.budget - self.evaluations) // self.removal.draws)

    @property
    def empty(self) -> Array:
        """The targets where everything is removed, (T,); evaluated once.

        Raises
        ------
        BudgetError
            Nothing is left of the budget.
        """
        if self._empty is None:
            codes = self.removal.empty
            if codes is None:
                raise TypeError(f"{type(self.removal).__name__} has no code that removes everything")
            self._empty = self.values(codes)[0]
        return self._empty

    @property
    def known_empty(self) -> Array | None:
        """:attr:`empty` where it was evaluated, else None."""
        return self._empty

    def values(self, codes: Array) -> Array:
        """The T targets for each coalition, (M, T); see :meth:`watch`."""
        return self.watch(codes)[0]

    def apart(self, count: int, feed: Feed) -> Array:
        """The T targets for inputs that no removal writes, as where only a part of the sample is fed: (M, T).

        Parameters
        ----------
        count : int
            The number M of inputs.
        feed : function
            Makes the inputs that have a batch axis, for those numbered ``start`` to ``stop``.

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
        """The targets and the watched numbers for each coalition.

        Parameters
        ----------
        codes : array (M, ...)
            Coalitions (M, P), or what else the removal reads.

        Returns
        -------
        arrays of float64, (M, T) and (M, W)
            Averaged over the baselines.

        Raises
        ------
        BudgetError
            The coalitions cost more than is left; nothing is evaluated.
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
                f"{self.budget} are left. Raise the budget, or take fewer features."
            )
        total = np.zeros((count, self._all))
        for places, values in self._applier.answers(codes):
            if not np.isfinite(values).all():
                row = places[int(np.argmin(np.isfinite(values).all(axis=1)))]
                raise OutputError(
                    f"{self._name} returns NaN or infinity where features are removed (coalition {row} of "
                    f"sample {self.removal.sample.number}). Choose another baseline."
                )
            if draws == 1:
                total[places[0] : places[-1] + 1] = values
            else:
                # One row after another: each coalition's sum has the same order for any batch size.
                for t in range(self._all):
                    np.add.at(total[:, t], places, values[:, t])
            self._spent.add(self._number, len(places))
            progress.advance(len(places))
        total /= draws
        return total[:, : self._explained], total[:, self._explained :]
