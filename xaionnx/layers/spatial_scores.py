"""Spatial scores: a tensor inside a model whose mean over the spatial positions is the model's output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import UnknownNameError, UnsupportedModelError
from xaionnx.runtime.model import Model
from xaionnx.typing import Array

# Relative to the largest score: error of float32 means over some thousand positions.
_CLOSE = 1e-4


def score_tensors(model: Model, tensor: str, sample: Sample, layer: str | None = None) -> list[str]:
    """Return names of tensors (N, K, h, w) or (N, h, w, K) on the path to ``tensor``, (N, K); only ``layer`` if given.

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
    before = view.ancestors([tensor]) - {info.name for info in model.inputs}
    return [name for name in names if name in before and _fits(known.get(name, ()), classes[1])]


def _fits(shape: Sequence[int | None], classes: int) -> bool:
    if len(shape) != 4 or None in shape:
        return False
    _, first, middle, last = (int(size or 0) for size in shape)
    return (first == classes and middle * last > 1) or (last == classes and first * middle > 1)


def spatial_scores(tensor: str, outputs: Mapping[str, Array], names: list[str]) -> tuple[str, Array] | None:
    """Return the last of ``names`` whose spatial mean is ``tensor``, with its scores (N, h, w, K); None if none is."""
    scores = outputs[tensor].reshape(len(outputs[tensor]), -1)
    for name in reversed(names):
        values = outputs[name]
        for channels_last in (np.moveaxis(values, 1, -1), values) if values.ndim == 4 else ():
            mean = channels_last.mean(axis=(1, 2), dtype=np.float64)
            if mean.shape == scores.shape and np.abs(mean - scores).max() <= _CLOSE * np.abs(scores).max():
                return name, channels_last
    return None


def no_scores_error(model: Model, tensor: str, layer: str | None) -> UnsupportedModelError:
    """Return the error for a model without such scores."""
    subject = f"No tensor of {model.name} holds" if layer is None else f"Layer '{layer}' of {model.name} does not hold"
    return UnsupportedModelError(
        f"{subject} spatial scores whose mean over the positions is '{tensor}'. Use patches='covered', or cam, which "
        "combines the classes' weights with the last map."
    )
