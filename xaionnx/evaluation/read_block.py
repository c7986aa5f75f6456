"""ReadBlock: samples that were read, with what is found out about them while they are scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from xaionnx.data.block import Block, Refused
from xaionnx.evaluation.judging import KnownControls
from xaionnx.evaluation.label_matches import LabelMatches
from xaionnx.evaluation.method_scoring import Kept
from xaionnx.request import Request
from xaionnx.short_repr import short_repr


@final
@dataclass(frozen=True, eq=False)
class ReadPart:
    """Samples that are scored together.

    Attributes
    ----------
    names : tuple of str
        Those of the samples.
    block : Block
        The samples, as units from 0 on.
    asked : Request
        The samples and their target.
    controls : KnownControls
    labels : LabelMatches
        How their labels compare with the top classes.
    kept : dict of Kept by method, or None
        Explanations for metrics that are asked for later; None if all are asked for at once.
    """

    names: tuple[str, ...]
    block: Block
    asked: Request
    controls: KnownControls
    labels: LabelMatches
    kept: dict[str, Kept] | None = None

    __repr__ = short_repr


@final
@dataclass(frozen=True, eq=False)
class ReadBlock:
    """The samples of a block that can be scored, in parts, and those that cannot.

    Attributes
    ----------
    parts : sequence of ReadPart
    left_out : tuple of Refused
    """

    parts: Sequence[ReadPart]
    left_out: tuple[Refused, ...]

    __repr__ = short_repr

    @property
    def names(self) -> tuple[str, ...]:
        """Those of the samples that can be scored."""
        return tuple(name for part in self.parts for name in part.names)

    @property
    def labels(self) -> LabelMatches:
        """How the labels of the samples that can be scored compare with the top classes."""
        return sum((part.labels for part in self.parts), LabelMatches())
