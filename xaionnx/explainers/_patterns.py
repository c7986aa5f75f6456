"""What PatternNet and PatternAttribution share: patterns, and where they come from."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from xaionnx.explainers._propagation import PropagationExplainer
from xaionnx.explainers._route import explained
from xaionnx.explainers._sources.choice import foreseen
from xaionnx.parameters import free

if TYPE_CHECKING:
    from xaionnx.autodiff.rule import Table
    from xaionnx.explainers._prospect import Prospect
    from xaionnx.explanation import Explanation
    from xaionnx.model import Model


@dataclass(frozen=True, kw_only=True)
class PatternExplainer(PropagationExplainer):
    """A method that walks back by patterns. ``provenance`` tells their hash, estimator and number of samples."""

    weighted: ClassVar[bool]

    patterns: Any = free(
        None,
        "Patterns, a .npz file of them, or inputs: a folder or an array",
        "FILE.npz that xaionnx patterns wrote, or a folder of inputs to estimate patterns from",
    )

    def resolved(self) -> dict[str, Any]:
        """What the patterns were estimated from, where they are there already."""
        from xaionnx.patterns import Patterns

        found = self.patterns
        if isinstance(found, str | os.PathLike) and Path(found).suffix.lower() == ".npz":
            found = Patterns.load(found)
        if not isinstance(found, Patterns):
            return {}
        return {"patterns": {"sha256": found.sha256, "estimator": found.estimator, "samples": found.samples}}

    def attribute(self, model: Model, x: Any, target: Any = None) -> Explanation:
        from xaionnx.patterns import Patterns

        ready = replace(self, patterns=Patterns.of(self.patterns, model))
        return super(PatternExplainer, ready).attribute(model, x, target)

    def foresee(self, prospect: Prospect) -> dict[str, str | None]:
        if self.patterns is not None:
            return super().foresee(prospect)
        from xaionnx.autodiff.patterns import statistics
        from xaionnx.patterns import layers_among

        # There are no rules without patterns, which can be estimated where their statistics can be collected.
        names, rules = explained(prospect.model), statistics(regimes=True)
        told = foreseen(prospect, names, rules)
        if prospect.rows is not None:
            layers_among(prospect.outputs(names, rules), prospect.model)
        return told

    def rules(self, model: Model) -> Table:
        from xaionnx.autodiff.patterns import table
        from xaionnx.patterns import Patterns

        found = Patterns.of(self.patterns, model)
        return table(found.sha256, found.layers, weighted=self.weighted)
