"""A key point of a pose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np

from xaionnx.data.labels import class_word
from xaionnx.errors import ParameterError
from xaionnx.registry import Form
from xaionnx.runtime.model import Model
from xaionnx.targets.kinds.channel import Channel
from xaionnx.targets.layout import class_labels
from xaionnx.targets.scores import axis_of_channels, class_number, shape_words
from xaionnx.targets.selection import TargetTerm
from xaionnx.targets.target import Target, single
from xaionnx.typing import Array

_PARTS: Final = ("x", "y", "score")


def _read_keypoint(text: str, output: str | None, model: Model) -> Target:
    labels, (k, comma, part) = class_labels(model), text.rpartition(",")
    return Keypoint(class_word(k if comma else text, labels), part.strip() if comma else None, output)


@final
@dataclass(frozen=True)
class Keypoint(Target):
    """The peak of the heat map of key point ``k`` in (N, K, H, W), or one of its numbers in (N, K, 2 or 3)."""

    forms: ClassVar[tuple[Form[Target], ...]] = (Form("keypoint", _read_keypoint, ":K[,PART]", "keypoint:5"),)

    k: int | str
    part: str | None = None
    output: str | None = None

    def __post_init__(self) -> None:
        if self.part not in (None, *_PARTS):
            raise ParameterError(
                f"The 'part' parameter of Target.keypoint must be one of 'x', 'y', 'score' or None. Got {self.part!r} "
                "instead."
            )

    @property
    def follows(self) -> bool:
        return True

    def terms(self, output: Array, model: Model) -> list[TargetTerm]:
        tensor = self.tensor(model)
        heat = output.ndim == 4
        if not heat and (output.ndim != 3 or output.shape[2] not in (2, 3)):
            raise ParameterError(
                f"Tensor '{tensor}' of shape {shape_words(output)} holds no key points: heat maps (N, K, H, W), or x "
                "and y, perhaps with a score, (N, K, 2 or 3). Name another output with output=, or one number with "
                "Target.index."
            )
        if self.part is None and not heat and output.shape[2] == 2:
            raise ParameterError(f"Tensor '{tensor}' holds x and y. Name the 'part' of Target.keypoint: 'x' or 'y'.")
        if (heat and self.part in ("x", "y")) or (not heat and self.part == "score" and output.shape[2] == 2):
            raise ParameterError(
                f"Tensor '{tensor}' of shape {shape_words(output)} has no '{self.part}' of a key point."
            )
        labels = class_labels(model)
        k = labels.index(self.k) if self.k in labels else self.k
        axis = axis_of_channels(output, tensor, model) if heat else 1
        count = output.shape[axis]
        k = class_number(k, count, tensor, model, "k")
        name = f"{labels[k]} ({k})" if len(labels) == count else f"key point {k}"
        if heat:
            [term] = Channel(k, tensor, peak=True).terms(output, model)
            places = list(np.unravel_index(term.indices[:, 0], output.shape[1:]))
            del places[axis - 1]
            rows, columns = places
            names = [f"{name} at row {row}, column {column}" for row, column in zip(rows, columns, strict=True)]
            return [single(tensor, "identity", term.indices[:, 0], names)]
        part = self.part or "score"
        element = k * output.shape[2] + _PARTS.index(part)
        return [single(tensor, "identity", [element] * len(output), [f"{part} of {name}"] * len(output))]
