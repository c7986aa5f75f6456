"""The base of methods for sums of terms."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self, final

from xaionnx import parameters
from xaionnx.attribution import Attribution
from xaionnx.errors import ParameterError
from xaionnx.explainer import Explainer
from xaionnx.explainers._additive.compute import AdditiveGame
from xaionnx.explainers._additive.source import additive_source, check_terms, linear_source
from xaionnx.explainers._closed_forms.graph_values import GraphValues
from xaionnx.explainers._trees.raw_score import RawScore
from xaionnx.explanation import ValueKind
from xaionnx.perturb import background as backgrounds
from xaionnx.perturb import features as partitions
from xaionnx.request import Request
from xaionnx.runtime.model import Model
from xaionnx.targets.scores import default_output
from xaionnx.targets.target import Target
from xaionnx.typing import BackgroundLike, Document, FeaturesLike, Feeds

if TYPE_CHECKING:
    from xaionnx.layers.dry_run import DryRun


@dataclass(frozen=True, kw_only=True)
class SumExplainer(Explainer):
    """Shapley values in closed form of a sum of terms; ``linear`` if each term is an element of an input."""

    needs: ClassVar[str] = "output"
    value_kind: ClassVar[ValueKind] = "contribution"
    axioms: ClassVar[tuple[str, ...]] = ("efficiency", "linearity", "null player", "symmetry")
    linear: ClassVar[bool]

    background: BackgroundLike = backgrounds.parameter()
    background_size: int | None = parameters.integer(
        None, "maximum number of background rows that are used; all if not given", low=1, optional=True
    )
    features: FeaturesLike = partitions.parameter("who the players are", "columns")

    @final
    @property
    def compares_samples(self) -> bool:
        return self.background is None

    @final
    @property
    def rows_parameter(self) -> str | None:
        return "background" if self.compares_samples else None

    @final
    def against(self, request: Request) -> Self | None:
        own = backgrounds.own_background(request.feeds, request.model.shared)
        changes: Document = {"background": own}
        return None if own is None else replace(self, **changes)

    @final
    def check_model(self, dry_run: DryRun) -> dict[str, str | None]:
        check_terms(dry_run.model, default_output(dry_run.model), linear=self.linear)
        return {}

    @final
    def explained(self, target: Target) -> Target:
        return RawScore(target, linear_source if self.linear else additive_source)

    @final
    def compute(self, request: Request) -> Attribution:
        game = AdditiveGame.of(request, self.features)
        return game.attribution(game.background(self.background))

    @final
    def every_target(self, model: Model, output: str | None, feeds: Feeds) -> list[Target]:
        find = linear_source if self.linear else additive_source
        source = find(model, output or default_output(model), feeds)
        return [Target.index(k, output=output) for k in range(source.scores.outer.shape[1])]

    @final
    def in_graph(self, request: Request, prefix: str, limit: float) -> GraphValues:
        from xaionnx.explainers._additive.in_graph import sum_values

        game = AdditiveGame.of(request, self.features)
        if self.background is None:
            raise ParameterError(
                f"A compiled {self.name()} compares each row with background rows, whose means become part of the "
                "file. Give some, as in background='rows.csv'."
            )
        return sum_values(game, game.background(self.background), prefix, limit)
