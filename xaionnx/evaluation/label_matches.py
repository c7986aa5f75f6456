"""LabelMatches: how often the label of an input is the top class of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from xaionnx.counting import counted
from xaionnx.data.block import Block
from xaionnx.errors import OutputError, ParameterError, UnknownNameError, UnsupportedModelError
from xaionnx.request import Request
from xaionnx.targets.kinds.labelled import label_class
from xaionnx.targets.kinds.top import Top
from xaionnx.targets.resolve import resolve
from xaionnx.targets.scores import flat
from xaionnx.targets.target import labels_of_samples


@final
@dataclass(frozen=True)
class LabelMatches:
    """How many inputs have a label, and how many of these labels are the top class.

    Attributes
    ----------
    top_class : int
        Inputs whose label is the top class.
    another_class : int
        Inputs whose label is another class.
    no_class : int
        Inputs whose label is no class of the model.

    Examples
    --------
    >>> found = LabelMatches(top_class=3) + LabelMatches(another_class=1)
    >>> found.sentences(of=6)
    ['The label is the top class of 3 of 4 inputs.', '2 inputs have no label.']
    >>> LabelMatches().sentences(of=6)
    []
    """

    top_class: int = 0
    another_class: int = 0
    no_class: int = 0

    def __add__(self, other: LabelMatches) -> LabelMatches:
        return LabelMatches(
            self.top_class + other.top_class,
            self.another_class + other.another_class,
            self.no_class + other.no_class,
        )

    @property
    def labelled(self) -> int:
        """How many inputs have a label."""
        return self.top_class + self.another_class + self.no_class

    def sentences(self, of: int) -> list[str]:
        """Return what the labels of so many inputs say, in sentences; none if no input has one."""
        compared, missing = self.top_class + self.another_class, of - self.labelled
        if not self.labelled:
            return []
        said = []
        if compared:
            said.append(f"The label is the top class of {self.top_class:,} of {counted(compared, 'input')}.")
        if self.no_class:
            whose = "The label of 1 input is" if self.no_class == 1 else f"The labels of {self.no_class:,} inputs are"
            said.append(f"{whose} no class of the model.")
        if missing:
            said.append(f"{counted(missing, 'input has', 'inputs have')} no label.")
        return said


def label_matches(asked: Request, block: Block) -> LabelMatches:
    """Return how the labels of a block compare with the top classes of its samples."""
    _, labels = labels_of_samples(block)
    known = sum(label is not None for label in labels)
    tops = _top_classes(asked) if known else None
    if tops is None:
        return LabelMatches(no_class=known)
    classes, count, tensor = tops
    matches = LabelMatches()
    for label, top in zip(labels, classes, strict=True):
        if label is None:
            continue
        try:
            same = label_class(label, count, tensor, asked.model) == top
        except (ParameterError, UnknownNameError):
            matches += LabelMatches(no_class=1)
        else:
            matches += LabelMatches(top_class=int(same), another_class=int(not same))
    return matches


def _top_classes(asked: Request) -> tuple[Sequence[int], int, str] | None:
    """The top class of each sample, the number of classes and their tensor; None of a model without classes."""
    model, outputs = asked.model, asked.resolved.outputs
    try:
        top = Top().bind(model, asked.feeds)
        if not top.of_classes:
            return None
        known = outputs.keys() >= {*top.reads(model)}
        found = resolve(top, model, asked.feeds, outputs=outputs if known else None)
    except (OutputError, ParameterError, UnsupportedModelError):
        # What is explained is no class, and the model has none, or none that can be compared.
        return None
    [term] = found.terms
    count = flat(found.outputs[term.tensor]).shape[1]
    return None if count == 1 else (term.indices[:, 0].tolist(), count, term.tensor)
