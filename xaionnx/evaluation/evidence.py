"""Evidence: the attributions that a metric judges, with the model and the samples."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar, cast, final

import numpy as np

from xaionnx.data.inputs import Inputs
from xaionnx.data.sample import Sample
from xaionnx.errors import ParameterError
from xaionnx.evaluation.input_values import InputValues, sums_by_player
from xaionnx.explainer import Explainer
from xaionnx.explanation import Explanation
from xaionnx.perturb.players import Players
from xaionnx.request import Request
from xaionnx.runtime import progress
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.resolve import FixedTerms, ResolvedTargets
from xaionnx.typing import Array, Feeds

MadeT = TypeVar("MadeT")


@final
@dataclass(frozen=True, eq=False)
class Evidence:
    """The attributions of N samples to one target each, and what is needed to judge them.

    Attributes
    ----------
    request : Request
        The model, the samples and the target.
    explanation : Explanation
        The record of the attributions, samples first.
    explainer : Explainer or None
        The method, bound to the model; None if only its record was given.
    masks : array of bool (N, ...) or None
        Ground truth: True where the evidence is. Broadcasts to the positions of the explained input.
    judged : Explanation or None
        The record of the method that is judged, if the attributions are those of its control.
    """

    request: Request
    explanation: Explanation
    explainer: Explainer | None = None
    masks: Array | None = None
    judged: Explanation | None = None
    _made: dict[Hashable, object] = field(default_factory=dict, init=False)

    __repr__ = short_repr

    def once(self, key: Hashable, make: Callable[[], MadeT]) -> MadeT:
        """Return what several metrics need of these attributions: what ``make`` returns when first asked for ``key``.

        It is kept as long as the evidence is; ``dataclasses.replace`` returns one without it.
        """
        if key not in self._made:
            self._made[key] = make()
        return cast(MadeT, self._made[key])

    @property
    def model(self) -> Model:
        """The model."""
        return self.request.model

    @property
    def samples(self) -> Sequence[Sample]:
        """The N samples."""
        return self.request.samples

    @property
    def resolved(self) -> ResolvedTargets:
        """The target at the samples."""
        return self.request.resolved

    @property
    def baseline_prediction(self) -> Array | None:
        """The target at the baseline of the method, (N,), which its control is judged by too; None if it has none."""
        return (self.explanation if self.judged is None else self.judged).baseline_prediction

    def targets(self, quantity: str) -> ResolvedTargets:
        """The target at the samples, or the probability of its class if ``quantity`` is ``probability``."""
        return self.resolved.as_probabilities() if quantity == "probability" else self.resolved

    @cached_property
    def _values(self) -> InputValues:
        return InputValues(self.request, self.explanation)

    @property
    def attributions(self) -> dict[str, Array]:
        """The values by input name, float64 (N, ...), turned so that positive ones raise the target.

        Raises
        ------
        ParameterError
            The values are those of another layer, or have other shapes than the inputs.
        """
        return self._values.attributions

    @property
    def relevance(self) -> dict[str, Array]:
        """The values by input name, float64 (N, ...), the highest for the most relevant elements."""
        return self._values.relevance

    def check_of_inputs(self) -> None:
        """Check that the values are those of inputs, which metrics judge.

        Raises
        ------
        ParameterError
            They are those of a layer, or have other shapes than the inputs.
        """
        _ = self.attributions

    @cached_property
    def row_inputs(self) -> tuple[str, ...]:
        """The inputs, in the order of the model, if they are parts of one row; empty if not.

        A model of a table may have an input for each column.
        """
        sample = self.samples[0]
        names = tuple(one.name for one in self.model.inputs if one.name in sample.data)
        if len(names) < 2 or any(sample.x[name].ndim > 1 or sample.positions(name) is not None for name in names):
            return ()
        return names

    def position_values(self, n: int) -> Array:
        """The values of sample ``n`` at the positions of the explained input, summed over all other axes.

        Of several explained inputs the positions of all are in one line, (P,). A row of a table has a position for each
        column, whether the columns are one input or several. Columns that the method leaves as they are have the
        value 0.
        """
        if self.row_inputs:
            return self._of_row(n, self.attributions)
        each = [self._of_positions(n, name, array) for name, array in self.attributions.items()]
        return each[0] if len(each) == 1 else np.concatenate([values.reshape(-1) for values in each])

    def position_relevance(self, n: int) -> Array:
        """The relevance of sample ``n`` at the positions of the main input or its row, summed over all other axes."""
        if self.row_inputs:
            return self._of_row(n, self.relevance)
        main = self.samples[n].main
        return self._of_positions(n, main, self.relevance[main])

    def _of_row(self, n: int, values: Mapping[str, Array]) -> Array:
        x = self.samples[n].x
        each = [values[name][n] if name in values else np.zeros(x[name].shape) for name in self.row_inputs]
        return np.concatenate([np.reshape(array, -1) for array in each])

    def _of_positions(self, n: int, name: str, values: Array) -> Array:
        array, found = np.asarray(values[n]), self.samples[n].positions(name)
        if found is None:
            return array
        others = tuple(axis for axis in range(array.ndim) if axis not in found.axes)
        return np.asarray(array.sum(axis=others))

    def player_means(self, n: int, players: Players) -> Array:
        """The mean relevance of the elements of each player of sample ``n``, (P,): an order of the players."""
        values = {name: array[n] for name, array in self.relevance.items()}
        ones = {name: np.ones_like(array) for name, array in values.items()}
        return sums_by_player(players.maps, values) / np.maximum(sums_by_player(players.maps, ones), 1)

    def player_sums(self, n: int, players: Players) -> Array:
        """The sum of the values of each player of sample ``n``, (P,)."""
        return sums_by_player(players.maps, self._values.shares(n))

    def total(self, n: int) -> float:
        """The sum of the values of sample ``n``."""
        return float(sum(array.sum() for array in self._values.shares(n).values()))

    def explain(
        self, feeds: Feeds, rows: Array, model: Model | None = None, target: FixedTerms | None = None
    ) -> Evidence:
        """The attributions of other inputs by the same method, for the targets of the samples ``rows``.

        Parameters
        ----------
        feeds : dict of arrays (M, ...) by input name
        rows : array of int (M,)
            The sample that each input belongs to: its target is that of the sample.
        model : Model, optional
            Another model with the same inputs and outputs.
        target : FixedTerms, optional
            Another target of the M inputs.

        Raises
        ------
        ParameterError
            There is a record, but no method.
        """
        if self.explainer is None:
            raise ParameterError(
                "The metric explains the samples again, with changed inputs, weights or targets, and of "
                f"{self.explanation.method} there is only a record. Give the method in place of its Explanation."
            )
        explained = FixedTerms.of_rows(self.resolved, rows)[0] if target is None else target
        request = Request(self.model if model is None else model, Inputs(dict(feeds)), explained)
        explanation = self.explainer.explain(request).samples_first()
        np.add.at(self.request.evaluations.rows, rows, request.evaluations.rows)
        return Evidence(request, explanation, self.explainer)

    def targets_of(self, changed: Feeds, rows: Array, quantity: str) -> Array:
        """The target (M,) of inputs that belong to the samples ``rows``, of which some are changed.

        Parameters
        ----------
        changed : dict of arrays (M, ...) by input name
            The other inputs are those of the samples.
        rows : array of int (M,)
        quantity : str
            As for :meth:`targets`.
        """
        resolved, shared = self.targets(quantity), self.model.shared
        own = {name: array if name in shared else array[rows] for name, array in self.request.feeds.items()}
        progress.expect(len(rows))
        outputs = resolved.model.run({**own, **changed}, resolved.selection.tensors)
        self.request.evaluations.add(rows)
        progress.advance(len(rows))
        return np.asarray(resolved.selection.select(outputs, rows)[:, 0])

    @property
    def flat(self) -> Array:
        """The values of each sample over all inputs in one line, float64 (N, F)."""
        return np.concatenate([array.reshape(len(array), -1) for array in self.attributions.values()], axis=1)
