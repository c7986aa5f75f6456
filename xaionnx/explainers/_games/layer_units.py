"""Removal inside a model: the path to a layer, and its units as players."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.perturb.features import Features
from xaionnx.request import Request
from xaionnx.targets.target import Target
from xaionnx.typing import Array

if TYPE_CHECKING:
    from xaionnx.layers.path import LayerPath


@final
@dataclass(frozen=True)
class LayerUnits(Features):
    """The channels of a map, the tokens, or the elements of any other layer, by the letters of its axes."""

    letters: str

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        shape = sample.array.shape
        axis = next((self.letters.find(letter) for letter in "CT" if letter in self.letters), None)
        if axis is None:
            return {sample.main: np.arange(sample.array.size).reshape(shape)}
        return {sample.main: np.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(len(shape))])}


def layer_path(request: Request, layer: str, further: Sequence[Target] = ()) -> LayerPath:
    """The path to a layer, with the model cut there and all inputs of the part after it.

    ``further`` are targets that are read from the same runs.

    Raises
    ------
    UnknownNameError
        There is no such tensor.
    UnsupportedModelError
        It is not of floats, does not depend on the input, or the target does not depend on it.
    """
    from xaionnx.layers.layer import check_layer
    from xaionnx.layers.path import LayerPath

    check_layer(request.model, layer)
    resolved = request.resolve(further, keep=[layer])
    inputs = LayerPath((request.main,), request.model, request.feeds, resolved, request.samples, request.evaluations)
    return inputs.at(layer)
