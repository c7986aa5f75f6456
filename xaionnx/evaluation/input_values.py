"""The values of an explanation as numbers for the elements of the model's inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, final

import numpy as np

from xaionnx.errors import ParameterError
from xaionnx.explanation import Explanation
from xaionnx.layers.embeddings import made_floats
from xaionnx.request import Request
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, Feeds

# Kinds of values of which positive ones lower the target.
_TURNED: Final = ("hindrance",)
# Kinds of values whose sign is a direction in the input: a negative one does not speak against the target.
_OF_INPUT: Final = ("slope", "signal")


@final
@dataclass(frozen=True, eq=False)
class InputValues:
    """The values of N samples, one for each element of the inputs.

    A token has the sum of the values of the floats that are made of it, such as its embedding.

    Attributes
    ----------
    request : Request
        The model and the samples.
    explanation : Explanation
        The record of the values, samples first.
    """

    request: Request
    explanation: Explanation

    __repr__ = short_repr

    @cached_property
    def attributions(self) -> dict[str, Array]:
        """The values by input name, float64 (N, ...), turned so that positive ones raise the target.

        Raises
        ------
        ParameterError
            The values are those of another layer, or have other shapes than the inputs.
        """
        sign = -1.0 if self.explanation.value_kind in _TURNED else 1.0
        return self._by_input(lambda array: sign * array)

    @cached_property
    def relevance(self) -> dict[str, Array]:
        """The values by input name, float64 (N, ...), the highest for the most relevant elements.

        They are the attributions; for slopes and signals, such as those of smooth_grad and guided_backprop, they are
        made of absolute values, because the sign then says in which direction the input has to change, and not whether
        an element speaks for or against the target.
        """
        return self._by_input(np.abs) if self.explanation.value_kind in _OF_INPUT else self.attributions

    def shares(self, n: int) -> dict[str, Array]:
        """The attributions of the elements of sample ``n``, which add up to those of their groups.

        Where each element of a group of the method has the value of the whole group, it is divided evenly among them.
        """
        values, groups = {name: array[n] for name, array in self.attributions.items()}, self._groups(n)
        if groups and self._have_whole_values(n, groups):
            sizes = sums_by_player(groups, {name: np.ones_like(values[name]) for name in groups})
            for name, labels in groups.items():
                values[name] = values[name] / np.where(labels >= 0, sizes[labels], 1)
        return values

    def _by_input(self, each: Callable[[Array], Array]) -> dict[str, Array]:
        """A number for each element of the inputs: what ``each`` makes of the values."""
        found = {}
        for tensor, array in self._by_tensor(self.explanation.values).items():
            name, values = self._input_of(tensor), each(array.astype(np.float64))
            known = self.request.feeds.get(name)
            if name != tensor and known is not None and values.shape[: known.ndim] == known.shape:
                values = np.asarray(values.sum(axis=tuple(range(known.ndim, values.ndim))))
            if known is None or values.shape != known.shape:
                raise ParameterError(self._why_not_of_input(tensor, values.shape))
            found[name] = values
        return found

    def _by_tensor(self, arrays: Array | dict[str, Array]) -> dict[str, Array]:
        """Arrays of the record by the name of their tensor."""
        if isinstance(arrays, dict):
            return arrays
        layer = self.explanation.provenance.get("layer")
        return {layer["name"] if layer else self.request.main: arrays}

    def _input_of(self, tensor: str) -> str:
        """The input that a tensor of values stands for: floats that are made of the explained input stand for it."""
        return self.request.main if tensor in made_floats(self.request.model) else tensor

    def _why_not_of_input(self, tensor: str, shape: tuple[int, ...]) -> str:
        """Why the values of a tensor are not those of an input."""
        method, feeds = self.explanation.method, self.request.feeds
        if self.explanation.provenance.get("layer"):
            return (
                "Metrics judge values of inputs, and these are values of a tensor inside the model. Explain the "
                "inputs, or choose a method that does."
            )
        if tensor not in feeds:
            return (
                f"The Explanation by {method} has values of '{tensor}', and {self.request.model.name} has the inputs "
                f"{', '.join(feeds)}. Name them by input."
            )
        return (
            f"The values of {method} for input '{tensor}' must have its shape, {feeds[tensor].shape}. "
            f"Got {shape} instead."
        )

    def _groups(self, n: int) -> dict[str, Array]:
        """The group of the method that each element of the inputs of sample ``n`` is in; empty if there are none."""
        labels = self.explanation.features
        if labels is None or self.explanation.feature_values is None:
            return {}
        groups = {}
        for tensor, array in self._by_tensor(labels).items():
            name = self._input_of(tensor)
            if name in self.attributions:
                shape = self.attributions[name].shape[1:]
                # The floats of a token are in one group.
                each = array[min(n, len(array) - 1)]
                groups[name] = np.broadcast_to(each.reshape(each.shape[: len(shape)]), shape)
        return groups

    def _have_whole_values(self, n: int, groups: Feeds) -> bool:
        """Whether each element has the value of its group, and not a part of it."""
        of_groups = np.asarray(self.explanation.feature_values)[n]
        return all(
            np.allclose(np.abs(self.attributions[name][n][labels >= 0]), np.abs(of_groups[labels[labels >= 0]]), 1e-4)
            for name, labels in groups.items()
        )


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
