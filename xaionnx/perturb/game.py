"""Game: the value of any coalition of players, at the speed of the bare session."""

from __future__ import annotations

from typing import final

import numpy as np

from xaionnx.errors import BudgetError, OutputError
from xaionnx.perturb.appliers import applier
from xaionnx.perturb.removal import Removal
from xaionnx.runtime import progress
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
    own : int, optional
        The number T of targets that are explained; the other W are watched. All if not given.
    budget : int, optional
        The most model evaluations, that one included.
    applier : str
        ``host``, ``graph``, ``auto`` or ``incremental``; see `xaionnx.perturb.appliers.applier`.

    Attributes
    ----------
    evaluations : int
        Model evaluations spent. A coalition costs one for each baseline that is averaged over, whatever the
        number of targets.
    """

    def __init__(
        self,
        model: Model,
        selection: TargetSet,
        removal: Removal,
        full: Array,
        *,
        own: int | None = None,
        budget: int | None = None,
        applier_kind: str = "auto",
    ) -> None:
        self.removal = removal
        self.selection = selection
        self._all = len(full)
        self._own = self._all if own is None else own
        self.full = full[: self._own]
        self.budget = budget
        self.evaluations = 1
        self._model = model
        self._name = model.name
        self._applier = applier(model, removal, selection, applier_kind)
        self._empty: Array | None = None

    @property
    def players(self) -> int:
        """The number P of players."""
        return self.removal.players.count

    @property
    def targets(self) -> int:
        """The number T of targets."""
        return self._own

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
            The model answers NaN or infinity.
        """
        values = np.zeros((count, self._all))
        shared = {name: array for name, array in self.removal.sample.x.items() if name in self._model.shared}
        for start, stop, outputs in self._model.batches(count, feed, self.selection.tensors, shared):
            values[start:stop] = self.selection.select(outputs)
            self.evaluations += stop - start
            progress.advance(stop - start)
        if not np.isfinite(values).all():
            raise OutputError(
                f"{self._name} answers NaN or infinity for a part of sample {self.removal.sample.number} by itself."
            )
        return values[:, : self._own]

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
            The model answers NaN or infinity.
        """
        draws, count = self.removal.draws, len(codes)
        if count == 0:
            return np.zeros((0, self._own)), np.zeros((0, self._all - self._own))
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
                    f"{self._name} answers NaN or infinity where features are removed (coalition {row} of "
                    f"sample {self.removal.sample.number}). Choose another baseline."
                )
            if draws == 1:
                total[places[0] : places[-1] + 1] = values
            else:
                # One row after another: each coalition's sum has the same order for any batch size.
                for t in range(self._all):
                    np.add.at(total[:, t], places, values[:, t])
            self.evaluations += len(places)
            progress.advance(len(places))
        total /= draws
        return total[:, : self._own], total[:, self._own :]
