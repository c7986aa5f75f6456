"""TreeSHAP: exact Shapley values of tree ensembles, from the nodes in the file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final, final

from xaionnx import parameters
from xaionnx.attribution import Attribution
from xaionnx.errors import ParameterError
from xaionnx.explainer import Explainer
from xaionnx.explainers._closed_forms.graph_values import GraphValues
from xaionnx.explainers._trees.compute import TreeGame
from xaionnx.explainers._trees.raw_score import RawScore
from xaionnx.explainers._trees.source import tree_source
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

PERTURBATIONS: Final = ("interventional", "path_dependent")


@final
@dataclass(frozen=True, kw_only=True)
class TreeShap(Explainer):
    """Exact Shapley values of the sum of the trees, read from the file's tree nodes::

        v(S) = mean over background rows b of f(x with the features outside S taken from b)      interventional
        v(S) = sum over leaves of value * product over splits of [x goes on] or the share of
               training rows that go on, for features in S or outside                            path_dependent

    The cost grows with the number of rows plus that of background rows, not with their product. Thresholds, comparisons
    and missing values are those of onnxruntime, and what stands ahead of the trees (scalers, encoders, imputers) is
    run: a column whose encoding is many features of the trees is one player.

    What is explained is the sum ahead of a softmax or sigmoid, a logit; for forests whose leaves hold probabilities the
    sum is the probability. The sums are compared with the model's own output for each row.

    Parameters
    ----------
    background : rows of data, optional
        Absent features take their values from them, all of the rows together. By default the explained rows themselves.
        For ``path_dependent`` only if the file has no covers (``nodes_hitrates``): the rows that reach each node are
        counted.
    perturbation : {"interventional", "path_dependent"}
    interactions : bool
        Compute ``maps["interactions"]`` (N, P, P), too: half of each Shapley interaction value on either side of the
        diagonal, and the rest of a feature's value on it, so that each row sums to the value of its feature. These are
        the k-SII of order 2, in the form of ``shapley_interactions``.

    Notes
    -----
    When to use: Forests, boosting and single trees, for any number of rows: thousands of rows take about a second.

    When not to use: Probabilities behind a sigmoid or softmax, which are no sums: use ``kernel_shap`` or
    ``exact_shapley``. Models whose trees read projections of several columns.

    References
    ----------
    Lundberg et al., From local explanations to global understanding with explainable AI for trees, Nature Machine
    Intelligence 2, 2020, doi:10.1038/s42256-019-0138-9; Wettenstein, Nadel and Boker, From decision trees to Boolean
    logic: a fast and unified SHAP algorithm, arXiv:2511.09376.

    Raises
    ------
    UnsupportedModelError
        The target is no sum of trees, or a tree feature mixes several columns.
    ParameterError
        There is no background to compare with.

    Examples
    --------
    >>> import xaionnx
    >>> rows = "models/data/german_credit_sample.csv"
    >>> result = xaionnx.explain("models/german_credit_forest.onnx", rows, TreeShap(), target="good")
    >>> bool(abs(result.values.sum(1) - (result.prediction - result.baseline_prediction)).max() < 1e-6)
    True
    """

    needs: ClassVar[str] = "output"
    value_kind: ClassVar[ValueKind] = "contribution"
    axioms: ClassVar[tuple[str, ...]] = ("efficiency", "linearity", "null player", "symmetry")
    reference: ClassVar[str] = "Lundberg et al. 2020, doi:10.1038/s42256-019-0138-9"

    background: BackgroundLike = backgrounds.parameter()
    background_size: int | None = parameters.integer(
        None, "maximum number of background rows that are used; all if not given", low=1, optional=True
    )
    perturbation: str = parameters.choice(
        "interventional", PERTURBATIONS, "absent features take values of background rows, or follow the training rows"
    )
    interactions: bool = parameters.flag(False, "compute interaction values of all pairs of features too")
    features: FeaturesLike = partitions.parameter("who the players are", "columns")

    @property
    def compares_samples(self) -> bool:
        # The covers of the file say all that the other rows would.
        return self.background is None and self.perturbation == "interventional"

    @property
    def rows_parameter(self) -> str | None:
        return "background" if self.compares_samples else None

    def against(self, request: Request) -> TreeShap | None:
        own = backgrounds.own_background(request.feeds, request.model.shared)
        changes: Document = {"background": own}
        return None if own is None else replace(self, **changes)

    def check_model(self, dry_run: DryRun) -> dict[str, str | None]:
        tree_source(dry_run.model, default_output(dry_run.model), {})
        return {}

    def explained(self, target: Target) -> Target:
        return RawScore(target, tree_source)

    def compute(self, request: Request) -> Attribution:
        game = TreeGame.of(request, self.features)
        background = game.background(self.background, request)
        covers = None
        if self.perturbation == "path_dependent":
            covers = game.covers(background)
        elif background is None:
            background = game.own_rows()
        return game.attribution(background, covers, interactions=self.interactions)

    def every_target(self, model: Model, output: str | None, feeds: Feeds) -> list[Target]:
        tensor = output or default_output(model)
        count = tree_source(model, tensor, feeds).scores.outer.shape[1]
        return [Target.index(k, output=output) for k in range(count)]

    def in_graph(self, request: Request, prefix: str, limit: float) -> GraphValues:
        from xaionnx.explainers._trees.in_graph import tree_values

        if self.interactions:
            raise ParameterError("A compiled file holds no interactions. Leave 'interactions' out.")
        game = TreeGame.of(request, self.features)
        background = game.background(self.background, request)
        covers = game.covers(background) if self.perturbation == "path_dependent" else None
        if covers is None and background is None:
            raise ParameterError(
                "A compiled tree_shap compares each row with background rows, which become part of the file. Give "
                "some, as in background='rows.csv', or use perturbation='path_dependent'."
            )
        return tree_values(game, background, covers, prefix, limit)
