"""Label maps that the user gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import InputMismatchError, UnknownNameError
from xaionnx.perturb.features import Features
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array


@final
@dataclass(frozen=True, eq=False)
class LabelMaps(Features):
    """Label maps of the user: for the explained input, or by input name; shared by all samples or one a sample.

    A map has the input's axes without the batch, of which the first ones and the channels of a picture may be left
    out. With the batch axis it is one map a sample.
    """

    given: Array | Mapping[str, Array]

    __repr__ = short_repr

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        maps = self.given if isinstance(self.given, Mapping) else {sample.main: self.given}
        for name in maps:
            if name not in sample.x:
                raise UnknownNameError.among("input", name, sample.x)
            if name in sample.shared:
                raise InputMismatchError(
                    f"Input '{name}' has no batch axis: it is the same for all samples, and nothing of it is removed. "
                    "Leave it out of the features."
                )
        return {name: self._placed(sample, name, labels) for name, labels in maps.items()}

    @staticmethod
    def _placed(sample: Sample, name: str, labels: Array) -> Array:
        shape, axes = sample.x[name].shape, sample.axes(name)
        spatial = None if axes is None else tuple(shape[axis] for axis in axes[1])
        each = labels.shape[:1] == (sample.count,) and labels.shape[1:] == spatial
        if each and labels.shape == shape and sample.count > 1:
            raise InputMismatchError(
                f"The label map of features, {shape}, may hold one map for each of {sample.count} samples, or one for "
                "each channel. Give it with the batch axis and the channel's, both of which may have length 1."
            )
        if each or (labels.ndim == len(shape) + 1 and labels.shape[0] in (1, sample.count)):
            labels = labels[sample.number if labels.shape[0] > 1 else 0]
        if axes is not None and labels.shape == spatial:
            return np.expand_dims(labels, axes[0])
        padded = labels.reshape((1,) * (len(shape) - labels.ndim) + labels.shape)
        if padded.ndim == len(shape) and all(a in (1, b) for a, b in zip(padded.shape, shape, strict=True)):
            return padded
        raise InputMismatchError(
            f"The label map of features has the shape {labels.shape}, which does not fit input '{name}' of shape "
            f"{('N', *shape)}. Give one label for each element, or leave out axes such as the channel."
        )
