"""Base of PatternNet and PatternAttribution: the patterns and their source."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self, final

from xaionnx.errors import DataError
from xaionnx.explainers._gradients.propagation import Propagation
from xaionnx.gradients.choice import validate_source
from xaionnx.parameters import free
from xaionnx.typing import Document, PatternsLike

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xaionnx.autodiff.rule import Table
    from xaionnx.layers.dry_run import DryRun
    from xaionnx.runtime.model import Model


@dataclass(frozen=True, kw_only=True)
class ByPatterns(Propagation):
    """A method that propagates patterns; ``provenance`` records their hash, estimator, samples and counts of units."""

    weighted: ClassVar[bool]

    patterns: PatternsLike = free(
        None,
        "Patterns, a .npz file of them, or inputs: a folder or an array",
        "FILE.npz that xaionnx patterns wrote, or a folder of inputs to estimate patterns from",
    )

    @final
    def check_parameters(self) -> None:
        from xaionnx.patterns import Patterns

        # Unreadable files are refused here, so that the error is not mistaken for one about an input.
        if isinstance(self.patterns, str | os.PathLike):
            if Path(self.patterns).suffix.lower() == ".npz":
                object.__setattr__(self, "patterns", Patterns.load(self.patterns))
            elif not Path(self.patterns).exists():
                raise DataError(f"There is no '{self.patterns}' to estimate patterns from. Give a folder of inputs.")

    @final
    def resolved_parameters(self) -> Document:
        # Recorded only if the patterns are already estimated.
        from xaionnx.patterns import Patterns

        patterns = self.patterns
        if not isinstance(patterns, Patterns):
            return {}
        fields = ("sha256", "estimator", "samples", "units", "zero", "within")
        return {"patterns": {name: getattr(patterns, name) for name in fields}}

    @final
    def bind(self, model: Model) -> Self:
        from xaionnx.patterns import Patterns

        return replace(self, patterns=Patterns.of(self.patterns, model))

    @final
    def check_gradients(self, dry_run: DryRun, names: Sequence[str]) -> dict[str, str | None]:
        if self.patterns is not None:
            return validate_source(dry_run, names, self.rules(dry_run.model))
        from xaionnx.autodiff.patterns import statistics
        from xaionnx.patterns import layers_among

        # Without patterns there are no rules, but they can be estimated if their statistics can be collected.
        rules = statistics(regimes=True)
        remarks = validate_source(dry_run, names, rules)
        if dry_run.rows is not None:
            layers_among(dry_run.outputs(names, rules), dry_run.model)
        return remarks

    @final
    def rules(self, model: Model) -> Table:
        from xaionnx.autodiff.patterns import table
        from xaionnx.patterns import Patterns

        patterns = Patterns.of(self.patterns, model)
        return table(patterns.sha256, patterns.layers, patterns.gains, weighted=self.weighted)
