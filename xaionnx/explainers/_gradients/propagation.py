"""Base of methods that propagate by rules other than derivatives; they differ only in the table of rules."""

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
    """Makes a gradient method return the result of propagating the target back by its rules.

    Rules apply to the ops of a graph, so neither finite differences nor a gradient model can replace it.
    """

    at_samples: ClassVar[bool] = True

    gradient: str = choice("auto", ("auto", "graph"), "source of the values: only the graph, by its rules")

    @abstractmethod
    def rules(self, model: Model) -> Table:
        """The rules by op."""

    @hook
    def explain_points(self, target_gradients: TargetGradients, points: Points) -> Attribution:
        return gradients(target_gradients, points)

    @hook
    def emit(self, g: Builder, traced: Traced) -> Emitted:
        del g
        return Emitted(traced.gradients)
