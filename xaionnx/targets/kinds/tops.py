"""The highest classes of each sample, as several targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from xaionnx.registry import Form
from xaionnx.runtime.model import Model
from xaionnx.targets.kinds.top import Top
from xaionnx.targets.selection import TargetTerm
from xaionnx.targets.target import Target
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class _Tops(Target):
    """The highest classes of each sample, as several targets."""

    of_classes = True

    forms: ClassVar[tuple[Form[Target], ...]] = (
        Form("top", lambda k, output, _: Target.top(int(k), output=output), ":K", "top:3"),
    )

    k: int
    output: str | None = None
    several: ClassVar[bool] = True

    @property
    def follows(self) -> bool:
        return True

    def terms(self, output: Array, model: Model) -> list[TargetTerm]:
        return [term for top in self.parts() for term in top.terms(output, model)]

    def parts(self) -> list[Target]:
        return [Top(rank, output=self.output) for rank in range(self.k)]
