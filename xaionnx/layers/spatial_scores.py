"""Scores by place: a tensor inside a model whose mean over the places is what the model answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import UnknownNameError, UnsupportedModelError
from xaionnx.runtime.model import Model
from xaionnx.typing import Array

# Of the largest score: means in float32 over some thousand places.
_CLOSE = 1e-4


def candidates(model: Model, tensor: str, sample: Sample, layer: str | None = None) -> list[str]:
    """Names of tensors (N, K, h, w) or (N, h, w, K) on the way to ``tensor``, (N, K); ``layer`` alone where given.

    Raises
    ------
    UnknownNameError
        There is no such layer.
    """
    view = model.view
    names = list(view.tensor_names)
    if layer is not None:
        if layer not in names:
            raise UnknownNameError.among("layer", layer, names)
        return [layer]
    known = view.shapes({name: (1, *x.shape) for name, x in sample.own.items()})
    classes = known.get(tensor, ())
    if len(classes) != 2 or classes[1] is None:
        return []
    before = view.ancestors([tensor])
    inputs = {info.name for info in model.inputs}
    return [name for name in names if name in before - inputs and _fits(known.get(name, ()), classes[1])]


def _fits(shape: Sequence[int | None], classes: int) -> bool:
    if len(shape) != 4 or None in shape:
        return False
    _, first, middle, last = (int(size or 0) for size in shape)
    return (first == classes and middle * last > 1) or (last == classes and first * middle > 1)


def by_place(tensor: str, outputs: Mapping[str, Array], names: list[str]) -> tuple[str, Array] | None:
    """The last of ``names`` whose mean over the places is ``tensor``, and its scores (N, h, w, K); None if none is."""
    scores = outputs[tensor].reshape(len(outputs[tensor]), -1)
    for name in reversed(names):
        held = outputs[name]
        for placed in (np.moveaxis(held, 1, -1), held) if held.ndim == 4 else ():
            mean = placed.mean(axis=(1, 2), dtype=np.float64)
            if mean.shape == scores.shape and np.abs(mean - scores).max() <= _CLOSE * np.abs(scores).max():
                return name, placed
    return None


def refused(model: Model, tensor: str, layer: str | None) -> UnsupportedModelError:
    """What is raised where there are no such scores."""
    without = (
        f"No tensor of {model.name} holds scores by place whose mean over the places is '{tensor}'."
        if layer is None
        else f"Layer '{layer}' of {model.name} does not hold scores by place whose mean over the places is '{tensor}'."
    )
    return UnsupportedModelError(
        f"{without} Use patches='covered', or cam, which joins the classes' weights with the last map."
    )
