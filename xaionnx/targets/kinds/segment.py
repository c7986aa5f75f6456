"""The scores of a class over its pixels in a segmentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np

from xaionnx.data.labels import class_word, find_label
from xaionnx.errors import AbsentTargetError, ParameterError
from xaionnx.registry import Form
from xaionnx.runtime.model import Model
from xaionnx.targets.layout import class_labels
from xaionnx.targets.scores import (
    channel_axis,
    flat,
    is_int,
    refuse_rows,
    shape_words,
)
from xaionnx.targets.selection import TargetTerm, padded_elements
from xaionnx.targets.target import Target
from xaionnx.typing import Array

# Labels of a class for everything else.
_BACKGROUND: Final = ("background", "__background__", "bg", "unlabeled", "unlabelled", "void", "none")


@final
@dataclass(frozen=True)
class Segment(Target):
    """The sum of the scores of class ``k`` over the pixels where it is the highest; the largest region if None.

    The sum over the pixels of a class at the input is the target of Seg-Grad-CAM (Vinogradova et al. 2020,
    arXiv:2002.11434).
    """

    forms: ClassVar[tuple[Form[Target], ...]] = (
        Form(
            "segment",
            lambda k, output, model: Segment(None if k is None else class_word(k, class_labels(model)), output),
            "[:CLASS]",
            "segment:cat",
        ),
    )

    k: int | str | None = None
    output: str | None = None

    @property
    def follows(self) -> bool:
        return True

    def terms(self, output: Array, model: Model) -> list[TargetTerm]:
        tensor = self.tensor(model)
        axis = channel_axis(output, tensor, model)
        if output.ndim not in (3, 4) or (output.ndim == 4 and axis is None):
            raise ParameterError(
                f"Tensor '{tensor}' of shape {shape_words(output)} is no segmentation: it has no axis of classes "
                "beside height and width. Use Target.region or Target.index."
            )
        maps = output[:, None] if axis is None or output.ndim == 3 else np.moveaxis(output, axis, 1)
        places = np.arange(flat(output).shape[1]).reshape(output.shape[1:])
        places = places[None] if maps.ndim > places.ndim + 1 else np.moveaxis(places, (axis or 1) - 1, 0)
        refuse_rows(np.isnan(flat(output)).any(axis=1), model)
        count = maps.shape[1]
        chosen = [self._region(maps[n], output, tensor, model) for n in range(len(maps))]
        what = [self._name(k, count, model) if count > 1 else "the mask" for k, _ in chosen]
        names = [
            f"{one} over its {inside.sum()} of {inside.size} pixels"
            for one, (_, inside) in zip(what, chosen, strict=True)
        ]
        elements = np.zeros(flat(output).shape, dtype=bool)
        for row, (k, inside) in zip(elements, chosen, strict=True):
            row[places[k][inside]] = True
        indices, weights = padded_elements(elements)
        return [TargetTerm(tensor, "identity", indices, weights, tuple(names), quantity="sum")]

    def _region(self, maps: Array, output: Array, tensor: str, model: Model) -> tuple[int, Array]:
        """The class of one sample, and where it is the highest, (H, W)."""
        count = len(maps)
        if count == 1:
            self._class(1, model)
            # Of a map that is not a probability, logits above 0.
            probable = maps.min() >= 0 and maps.max() <= 1
            inside = maps[0] > (0.5 if probable else 0)
            if not inside.any():
                raise AbsentTargetError(f"The mask '{tensor}' is empty. Use Target.region with a lower threshold.")
            return 0, inside
        highest = maps.argmax(axis=0)
        k = self._class(count, model)
        if k is None:
            sizes = np.bincount(highest.ravel(), minlength=count)
            named = class_labels(model) if len(class_labels(model)) == count else ()
            objects = [i for i in range(count) if not named or named[i].lower() not in _BACKGROUND]
            k = int(max(objects, key=lambda i: sizes[i])) if sizes[objects].any() else int(sizes.argmax())
        if not (highest == k).any():
            raise AbsentTargetError(
                f"{self._name(k, count, model)} is the highest class of no pixel of '{tensor}'. Use Target.region "
                "with a mask, or Target.channel."
            )
        return k, highest == k

    def _class(self, count: int, model: Model) -> int | None:
        if self.k is None:
            return None
        labels = class_labels(model)
        k = find_label(labels, self.k) if isinstance(self.k, str) and labels else self.k
        if not is_int(k) or not 0 <= k < count:
            raise ParameterError(
                f"The class of Target.segment must be an int in [0, {count - 1}] for {model.name}. "
                f"Got {self.k!r} instead."
            )
        return k

    @staticmethod
    def _name(k: int, count: int, model: Model) -> str:
        labels = class_labels(model)
        return f"{labels[k]} ({k})" if len(labels) == count else f"class {k}"
