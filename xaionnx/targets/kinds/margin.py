"""The difference between the scores of two classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.data.labels import class_word
from xaionnx.errors import ParameterError, UnknownNameError
from xaionnx.registry import Form
from xaionnx.runtime.model import Model
from xaionnx.targets.scores import class_name, class_number, class_scores
from xaionnx.targets.selection import TargetTerm
from xaionnx.targets.target import Target
from xaionnx.typing import Array


def _read_margin(text: str, output: str | None, model: Model) -> Target:
    """Return the margin of two classes separated by a comma; labels may contain commas too."""
    parts = text.split(",")
    splits = [(",".join(parts[:i]).strip(), ",".join(parts[i:]).strip()) for i in range(1, len(parts))]
    if len(splits) > 1:
        splits = [(a, b) for a, b in splits if _is_class(a, model) and _is_class(b, model)]
    if len(splits) != 1 or not all(splits[0]):
        raise ValueError(text)
    p, q = splits[0]
    labels = model.labels or ()
    return Target.margin(class_word(p, labels), class_word(q, labels), output=output)


def _is_class(word: str, model: Model) -> bool:
    if isinstance(class_word(word), int):
        return True
    if model.spec is None or not model.spec.labels:
        return word in (model.labels or ())
    try:
        model.spec.index(word)
    except (UnknownNameError, ParameterError):
        return False
    return True


@final
@dataclass(frozen=True)
class Margin(Target):
    """The score of class ``p`` minus the score of class ``q``."""

    of_classes = True

    forms: ClassVar[tuple[Form[Target], ...]] = (
        Form("margin", _read_margin, ":A,B", "margin:281,207", "why A rather than B"),
    )

    p: int | str
    q: int | str
    output: str | None = None

    def terms(self, output: Array, model: Model) -> list[TargetTerm]:
        tensor = self.tensor(model)
        count = class_scores(output, tensor).shape[1]
        pair = [class_number(k, count, tensor, model) for k in (self.p, self.q)]
        words = " - ".join(class_name(k, count, tensor, model) for k in pair)
        indices = np.tile(np.array(pair, dtype=np.int64), (len(output), 1))
        signs = np.tile([1.0, -1.0], (len(output), 1))
        return [TargetTerm(tensor, "identity", indices, signs, (words,) * len(output))]
