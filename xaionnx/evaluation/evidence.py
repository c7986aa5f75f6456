"""Evidence: the attributions that a metric judges, with the model and the samples."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, TypeVar, cast, final

import numpy as np

from xaionnx.data.inputs import Inputs
from xaionnx.data.sample import Sample
from xaionnx.errors import ParameterError
from xaionnx.explainer import Explainer
from xaionnx.explanation import Explanation
from xaionnx.layers.embeddings import made_floats
from xaionnx.perturb.players import Players
from xaionnx.request import Request
from xaionnx.runtime import progress
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.resolve import FixedTerms, ResolvedTargets
from xaionnx.typing import Array, Feeds

MadeT = TypeVar("MadeT")

# Kinds of values of which positive ones lower the target.
_TURNED: Final = ("hindrance",)
# Kinds of values whose sign is a direction in the input: a negative one does not speak against the target.
_OF_INPUT: Final = ("slope", "signal")


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
    """

    request: Request
    explanation: Explanation
    explainer: Explainer | None = None
    masks: Array | None = None
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

    def targets(self, quantity: str) -> ResolvedTargets:
        """The target at the samples, or the probability of its class if ``quantity`` is ``probability``."""
        return self.resolved.as_probabilities() if quantity == "probability" else self.resolved

    @cached_property
    def attributions(self) -> dict[str, Array]:
        """The values by input name, float64 (N, ...), turned so that positive ones raise the target.

        A token has the sum of the values of the floats that are made of it, such as its embedding.

        Raises
        ------
        ParameterError
            The values are those of another layer, or have other shapes than the inputs.
        """
        sign = -1.0 if self.explanation.value_kind in _TURNED else 1.0
        return self._of_inputs(lambda array: sign * array)

    @cached_property
    def relevance(self) -> dict[str, Array]:
        """The values by input name, float64 (N, ...), the highest for the most relevant elements.

        They are the attributions; for slopes and signals, such as those of smooth_grad and guided_backprop, they are
        made of absolute values, because the sign then says in which direction the input has to change, and not whether
        an element speaks for or against the target.
        """
        return self._of_inputs(np.abs) if self.explanation.value_kind in _OF_INPUT else self.attributions

    def _of_inputs(self, each: Callable[[Array], Array]) -> dict[str, Array]:
        """A number for each element of the inputs: what ``each`` makes of the values."""
        return dict(self._of_input(name, each(array.astype(np.float64))) for name, array in self._named.items())

    @property
    def _named(self) -> dict[str, Array]:
        """The values by the name of their tensor."""
        values, layer = self.explanation.values, self.explanation.provenance.get("layer")
        if isinstance(values, dict):
            return values
        return {layer["name"] if layer else self.request.main: values}

    def _of_input(self, name: str, values: Array) -> tuple[str, Array]:
        """The name of an input, and its values: of a tensor of floats that is made of it, summed for each element."""
        main, feeds = self.request.main, self.request.feeds
        shape = feeds[main].shape
        if name in made_floats(self.model) and values.shape[: len(shape)] == shape:
            return main, np.asarray(values.sum(axis=tuple(range(len(shape), values.ndim))))
        known = feeds.get(name)
        if known is None or values.shape != known.shape:
            raise ParameterError(self._why_not_of_input(name, values.shape))
        return name, values

    def _why_not_of_input(self, name: str, shape: tuple[int, ...]) -> str:
        """Why values called ``name`` are not those of an input."""
        method, feeds = self.explanation.method, self.request.feeds
        if self.explanation.provenance.get("layer"):
            return (
                f"The values of {method} are those of a tensor inside the model, and metrics judge values of its "
                "inputs. Explain the inputs."
            )
        if name not in feeds:
            return (
                f"The Explanation by {method} has values of '{name}', and {self.model.name} has the inputs "
                f"{', '.join(feeds)}. Name them by input."
            )
        return (
            f"The values of {method} for input '{name}' must have its shape, {feeds[name].shape}. Got {shape} instead."
        )

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

        A row of a table has a position for each column, whether the columns are one input or several. Columns that the
        method leaves as they are have the value 0.
        """
        return self._of_positions(n, self.attributions)

    def position_relevance(self, n: int) -> Array:
        """The relevance of sample ``n`` at the positions of the explained input, summed over all other axes."""
        return self._of_positions(n, self.relevance)

    def _of_positions(self, n: int, values: Mapping[str, Array]) -> Array:
        if self.row_inputs:
            x = self.samples[n].x
            each = [values[name][n] if name in values else np.zeros(x[name].shape) for name in self.row_inputs]
            return np.concatenate([np.reshape(array, -1) for array in each])
        sample = self.samples[n]
        array, found = np.asarray(values[sample.main][n]), sample.positions()
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
        return sums_by_player(players.maps, self._shares(n))

    def total(self, n: int) -> float:
        """The sum of the values of sample ``n``."""
        return float(sum(array.sum() for array in self._shares(n).values()))

    def _shares(self, n: int) -> dict[str, Array]:
        """The values of the elements of sample ``n``, which add up to those of their groups.

        Where each element of a group of the method has the value of the whole group, it is divided evenly among them.
        """
        values, groups = {name: array[n] for name, array in self.attributions.items()}, self._groups(n)
        if groups and self._have_whole_values(n, groups):
            sizes = sums_by_player(groups, {name: np.ones_like(values[name]) for name in groups})
            for name, labels in groups.items():
                values[name] = values[name] / np.where(labels >= 0, sizes[labels], 1)
        return values

    def _groups(self, n: int) -> dict[str, Array]:
        """The group of the method that each element of the inputs of sample ``n`` is in; empty if there are none."""
        labels = self.explanation.features
        if labels is None or self.explanation.feature_values is None:
            return {}
        named = labels if isinstance(labels, dict) else dict.fromkeys([*self._named][:1], labels)
        shapes = {name: array.shape[1:] for name, array in self.attributions.items()}
        groups = {}
        for name, array in named.items():
            own = self.request.main if name in made_floats(self.model) else name
            if own in shapes:
                # The floats of a token are in one group.
                each = array[min(n, len(array) - 1)]
                groups[own] = np.broadcast_to(each.reshape(each.shape[: len(shapes[own])]), shapes[own])
        return groups

    def _have_whole_values(self, n: int, groups: Feeds) -> bool:
        """Whether each element has the value of its group, and not a part of it."""
        of_groups = np.asarray(self.explanation.feature_values)[n]
        return all(
            np.allclose(np.abs(self.attributions[name][n][labels >= 0]), np.abs(of_groups[labels[labels >= 0]]), 1e-4)
            for name, labels in groups.items()
        )

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


def sums_by_player(labels: Feeds, values: Feeds) -> Array:
    """Return the sum of the values with each label 0 to P - 1, over all inputs, (P,).

    Parameters
    ----------
    labels : dict of arrays of int by input name
        Broadcast to the values; -1 belongs to no player.
    values : dict of arrays by input name

    Examples
    --------
    >>> sums_by_player({"x": np.array([1, 0, -1, 1])}, {"x": np.array([1.0, 2, 3, 4])})
    array([2., 5.])
    """
    count = 1 + max(int(array.max(initial=-1)) for array in labels.values())
    sums = np.zeros(count)
    for name, array in labels.items():
        if name in values:
            each = np.broadcast_to(array, values[name].shape)
            inside = each >= 0
            sums += np.bincount(each[inside], weights=values[name][inside], minlength=count)
    return sums
