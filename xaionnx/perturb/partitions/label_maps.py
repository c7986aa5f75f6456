"""Label maps given by the user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from xaionnx.data.sample import Sample
from xaionnx.errors import InputMismatchError, UnknownNameError
from xaionnx.perturb.features import Features
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array


@final
@dataclass(frozen=True, eq=False)
class LabelMaps(Features):
    """Label maps of the user: for the explained input, or by input name; for all samples, or one per sample.

    A map has the input's axes without the batch; leading axes and the channels of a picture may be omitted. With the
    batch axis there is one map per sample.
    """

    given: Array | Mapping[str, Array]

    __repr__ = short_repr

    def are_shared(self, sample: Sample) -> bool:
        # A map for each sample has one more axis, or that of the samples before those of the places of a picture.
        maps = self.given if isinstance(self.given, Mapping) else {sample.main: self.given}
        return all(name in sample.x and array.ndim <= sample.x[name].ndim == 1 for name, array in maps.items())

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        maps = self.given if isinstance(self.given, Mapping) else {sample.main: self.given}
        for name in maps:
            if name not in sample.x:
                raise UnknownNameError.among("input", name, sample.x)
            if name in sample.shared:
                raise InputMismatchError(
                    f"Input '{name}' has no batch axis: it is the same for all samples and cannot be removed. "
                    "Leave it out of the features."
                )
        return {name: self._expand_labels(sample, name, labels) for name, labels in maps.items()}

    @staticmethod
    def _expand_labels(sample: Sample, name: str, labels: Array) -> Array:
        shape, found = sample.x[name].shape, sample.positions(name)
        # The axis of channels may be left out in front of or behind the places of a picture or volume.
        places = found if found is not None and (found.is_picture or found.is_volume) else None
        extent = None if places is None else places.extent
        each = labels.shape[:1] == (sample.count,) and labels.shape[1:] == extent
        if each and labels.shape == shape and sample.count > 1:
            raise InputMismatchError(
                f"The label map of features, {shape}, may be one map for each of {sample.count} samples, or one for "
                "each channel. Include both the batch and the channel axis, which may have length 1."
            )
        if each or (labels.ndim == len(shape) + 1 and labels.shape[0] in (1, sample.count)):
            labels = labels[sample.number if labels.shape[0] > 1 else 0]
        if places is not None and labels.shape == extent:
            return places.over(labels)
        padded = labels.reshape((1,) * (len(shape) - labels.ndim) + labels.shape)
        if padded.ndim == len(shape) and all(a in (1, b) for a, b in zip(padded.shape, shape, strict=True)):
            return padded
        raise InputMismatchError(
            f"The label map of features has the shape {labels.shape}, which does not fit input '{name}' of shape "
            f"{('N', *shape)}. Give one label for each element, or omit axes such as the channel."
        )
