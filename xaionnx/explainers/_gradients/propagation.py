"""What methods share that propagate something else than derivatives: a table of rules is all that differs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from xaionnx.attribution import Attribution
from xaionnx.explainers._gradients.compilable import Emitted, Traced
from xaionnx.explainers._gradients.gradient import Points, gradients
from xaionnx.gradients.target_gradients import TargetGradients
from xaionnx.hooks import hook
from xaionnx.parameters import choice

if TYPE_CHECKING:
    from xaionnx.autodiff.rule import Table
    from xaionnx.graph.builder import Builder
    from xaionnx.runtime.model import Model


@dataclass(frozen=True, kw_only=True)
class Propagation(ABC):
    """Makes a gradient method return what its rules propagate back from the target.

    Rules belong to the ops of a graph, so the values come from the graph alone: neither finite differences nor a
    gradient model can take its place.
    """

    at_samples: ClassVar[bool] = True

    gradient: str = choice("auto", ("auto", "graph"), "where values come from: the graph alone, by its rules")

    @abstractmethod
    def rules(self, model: Model) -> Table:
        """The rules, op by op."""

    @hook
    def trace(self, slopes: TargetGradients, points: Points) -> Attribution:
        return gradients(slopes, points)

    @hook
    def emit(self, g: Builder, traced: Traced) -> Emitted:
        del g
        return Emitted(traced.gradients)
