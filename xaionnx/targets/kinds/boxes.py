"""The best distinct boxes of a detector, as several targets."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, final

from xaionnx.registry import Form
from xaionnx.runtime.model import Model
from xaionnx.targets.kinds.box import Box, refuse_output
from xaionnx.targets.layout import BoxLayout
from xaionnx.targets.selection import TargetTerm
from xaionnx.targets.target import Target
from xaionnx.typing import Array, Feeds


def _read_boxes(count: str, output: str | None) -> Target:
    refuse_output(output)
    return Target.boxes(int(count))


@final
@dataclass(frozen=True)
class _Boxes(Target):
    """The best distinct boxes of a detector, as several targets: their scores, or the similarities to them."""

    forms: ClassVar[tuple[Form[Target], ...]] = (
        Form("boxes", lambda count, output, model: _read_boxes(count, output), ":COUNT", "boxes:3"),
    )
    several: ClassVar[bool] = True

    count: int
    k: int | str | None = None
    similar: bool = False
    layout: BoxLayout | None = field(default=None, repr=False)
    output: str | None = field(default=None, init=False, repr=False)

    @property
    def follows(self) -> bool:
        return True

    def bind(self, model: Model, feeds: Feeds) -> _Boxes:
        return dataclasses.replace(
            self, layout=Box(self.k, rank=self.count - 1, layout=self.layout).bind(model, feeds).layout
        )

    def as_similarity(self) -> Target:
        return dataclasses.replace(self, similar=True)

    def extended(self, model: Model) -> Model:
        return self._single(0).extended(model)

    def tensor(self, model: Model) -> str:
        return self._single(0).tensor(model)

    def reads(self, model: Model) -> tuple[str, ...]:
        return self._single(0).reads(model)

    def terms(self, output: Array, model: Model) -> list[TargetTerm]:
        return self._single(0).terms(output, model)

    def resolved(self, outputs: Mapping[str, Array], model: Model) -> list[TargetTerm]:
        return [term for rank in range(self.count) for term in self._single(rank).resolved(outputs, model)]

    def _single(self, rank: int) -> Target:
        box = Box(self.k, rank=rank, layout=self.layout)
        return box.as_similarity() if self.similar else box
