"""LabelMatches: how often the label of an input is the top class of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from xaionnx.counting import counted
from xaionnx.data.block import Block
from xaionnx.errors import OutputError, ParameterError, UnknownNameError, UnsupportedModelError
from xaionnx.request import Request
from xaionnx.targets.kinds.labelled import check_from_zero, label_class, number_of
from xaionnx.targets.kinds.top import Top
from xaionnx.targets.resolve import resolve
from xaionnx.targets.scores import flat
from xaionnx.targets.target import labels_of_samples

# Labels less 1 that are the top class, above which they are likely to count from 1: so many, and so many times those
# labels that are the top class themselves.
_FEWEST: Final = 2
_TIMES: Final = 3


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
    one_less : int
        Inputs whose label is a number, of which the top class is one less.

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
    one_less: int = 0

    def __add__(self, other: LabelMatches) -> LabelMatches:
        return LabelMatches(
            self.top_class + other.top_class,
            self.another_class + other.another_class,
            self.no_class + other.no_class,
            self.one_less + other.one_less,
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
        if self.one_less > max(_FEWEST, _TIMES * self.top_class):
            said.append(
                f"The label less 1 is the top class of {self.one_less:,} of {counted(self.labelled, 'input')}: if the "
                "labels count from 1, take 1 from each, because classes count from 0."
            )
        if self.no_class:
            whose = "The label of 1 input is" if self.no_class == 1 else f"The labels of {self.no_class:,} inputs are"
            said.append(f"{whose} no class of the model.")
        if missing:
            said.append(f"{counted(missing, 'input has', 'inputs have')} no label.")
        return said


def label_matches(asked: Request, block: Block, given: Sequence[str | int | float | None] = ()) -> LabelMatches:
    """Return how the labels of a block compare with the top classes of its samples.

    Parameters
    ----------
    asked : Request
    block : Block
    given : sequence
        The labels of all samples, as far as they are known, of which the largest is no class if they count from 1.

    Raises
    ------
    ParameterError
        They do.
    """
    _, labels = labels_of_samples(block)
    known = sum(label is not None for label in labels)
    tops = _top_classes(asked) if known else None
    if tops is None:
        return LabelMatches(no_class=known)
    classes, count, tensor = tops
    check_from_zero(given, count, asked.model)
    matches = LabelMatches()
    for label, top in zip(labels, classes, strict=True):
        if label is None:
            continue
        one_less = int(number_of(label) == top + 1)
        try:
            same = label_class(label, count, tensor, asked.model) == top
        except (ParameterError, UnknownNameError):
            matches += LabelMatches(no_class=1, one_less=one_less)
        else:
            matches += LabelMatches(top_class=int(same), another_class=int(not same), one_less=one_less)
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
