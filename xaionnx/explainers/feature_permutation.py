"""Feature permutation: the change of the target when a feature takes its value from another sample."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self, final

import numpy as np

from xaionnx.attribution import Attribution, PlayerValues
from xaionnx.data.sample import Sample
from xaionnx.errors import InputMismatchError, ParameterError
from xaionnx.explainer import Explainer
from xaionnx.explainers._games.game import ByFeatures
from xaionnx.explainers._games.importance import (
    check_labels,
    check_metric,
    metric_name,
    permutation_importance,
    read_label_file,
)
from xaionnx.explainers._games.layer_units import layer_path
from xaionnx.explainers._games.student import student
from xaionnx.explainers.feature_ablation import FeatureAblation
from xaionnx.explanation import Explanation, ValueKind
from xaionnx.parameters import free, integer, random_seed
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.baselines.by_input import ByInput
from xaionnx.perturb.features import Features
from xaionnx.request import Request
from xaionnx.runtime.model import Model
from xaionnx.typing import Array, LabelsLike, MetricLike, RowsLike


def _backgrounds(rows: RowsLike) -> Baseline:
    """The rows as a baseline; raises ParameterError for what has no rows."""
    if isinstance(rows, Mapping):
        return ByInput({name: _backgrounds(array) for name, array in rows.items()})
    array = np.asarray(rows)
    if array.dtype.kind not in "fiubUTO" or array.ndim < 2 or not len(array):
        raise ParameterError(
            "The 'donors' parameter of FeaturePermutation must be an array of rows (B, ...), or one by input name. "
            f"Got {array.dtype} of shape {array.shape} instead."
        )
    return Baseline.background(array)


@final
@dataclass(frozen=True, kw_only=True)
class FeaturePermutation(ByFeatures, Explainer):
    """The drop of the target when player i takes its values from another sample of the batch::

        value_i = f(x) - mean over draws of f(x with player i of sample p(n)),      p a random permutation

    Each player and draw has its own permutation p, a cycle through all samples, so that no sample keeps its value. The
    values are those of single samples. With a loss as the target, their mean over a batch with known labels is the
    negative of Breiman's permutation importance: a feature that matters raises the loss, so its value is negative. It
    costs one evaluation per player and draw, and needs at least two samples.

    With ``donors``, rows of data, each player and draw takes one of them at random, the same for all samples, whatever
    the batch.

    With ``metric`` and ``labels`` it is Breiman's importance for the data set as a whole, one record with N = 1::

        value_i = metric(f(X)) - mean over draws of metric(f(X with feature i permuted))

    with the permutations of scikit-learn's ``permutation_importance`` for ``random_state=seed`` and
    ``n_repeats=draws``. ``prediction`` is the metric; ``standard_error`` that of the mean over draws, widened by
    Student's t as they are few, None for one;
    ``maps["deviation"]`` the standard deviation over draws (N, P), ``maps["importances"]`` each of them (N, P, draws).

    Parameters
    ----------
    metric : str or scorer
        The name of a scorer of scikit-learn, such as ``roc_auc``, ``accuracy`` or ``r2``, or a scorer. Outputs of
        classes are handed to it as probabilities, and as the most probable class; a single one as a regression, unless
        it is the probability of one of two classes.
    labels : array (N,), or file
        Numbers or names of classes, or values. As a file, .npy or a column of a CSV file: FILE.csv:COLUMN.

    Notes
    -----
    When to use: Tables, when the replacement of a feature should be a value that occurs, and no baseline is neutral.

    When not to use: One sample without rows of data. Features that depend on each other: permuted rows may be
    impossible ones, and copies of a feature each get about 0.

    References
    ----------
    Breiman, Random forests, Machine Learning 45, 2001, doi:10.1023/A:1010933404324, section 10.
    Fisher, Rudin and Dominici, All models are wrong, but many are useful, JMLR 20, 2019, arXiv:1801.01489.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[1.0, 2.0, -3.0]]))
    >>> xaionnx.explain(model, np.float32([[1, 1, 1], [0, 2, 3]]), FeaturePermutation(), 0).values
    array([[ 1., -2.,  6.],
           [-1.,  2., -6.]], dtype=float32)
    >>> x = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    >>> important = FeaturePermutation(metric="r2", labels=x @ [1.0, 2.0, -3.0], draws=5)
    >>> xaionnx.explain(model, x, important, 0).values.round(1)
    array([[0.1, 0.6, 1.2]], dtype=float32)
    """

    needs: ClassVar[str] = "output"
    value_kind: ClassVar[ValueKind] = "contribution"
    axioms: ClassVar[tuple[str, ...]] = ("linearity", "null player")
    reference: ClassVar[str] = "Breiman 2001, doi:10.1023/A:1010933404324"

    draws: int = integer(1, "number of permutations of each feature", low=1, high=2**20)
    donors: RowsLike = free(
        None,
        "an array of rows (B, ...), or one by input name",
        "rows of data (.npy) that values are taken from; the other samples of the batch if not given",
        resolver=_backgrounds,
    )
    metric: MetricLike = free(
        None,
        "the name of a scikit-learn scorer, or a scorer",
        "explain this metric of all samples together: the name of a scikit-learn scorer, such as roc_auc or r2",
        resolver=check_metric,
    )
    labels: LabelsLike = free(
        None,
        "an array (N,) or a file",
        "the labels that the metric compares with: a .npy file, or a column of a CSV file, FILE.csv:COLUMN",
        resolver=check_labels,
    )
    seed: int = random_seed("seed of the permutations")

    @property
    def compares_samples(self) -> bool:
        return self.donors is None

    def check_parameters(self) -> None:
        if (self.metric is None) != (self.labels is None):
            given, other = ("labels", "metric") if self.metric is None else ("metric", "labels")
            raise ParameterError(
                f"FeaturePermutation takes 'metric' and 'labels' together. Got '{given}' without '{other}'."
            )
        if self.metric is not None and (self.donors is not None or self.layer is not None):
            given = "donors" if self.donors is not None else "layer"
            raise ParameterError(f"The '{given}' parameter of FeaturePermutation must be None with a metric.")

    def bind(self, model: Model) -> Self:
        bound = super().bind(model)
        if isinstance(bound.labels, str | os.PathLike):
            bound = replace(bound, labels=read_label_file(os.fspath(bound.labels)))
        return bound

    def concluded(self, explanation: Explanation) -> Explanation:
        if self.metric is None:
            return explanation
        count, diagnostics = explanation.samples, explanation.diagnostics
        return replace(
            explanation.sample(0),
            target=np.array([f"{metric_name(self.metric)} over {count:,} samples"]),
            prediction=np.array([diagnostics["metric"]]),
            diagnostics={
                **explanation.sample(0).diagnostics,
                "evaluations": [sum(diagnostics["evaluations"])],
                "samples": count,
            },
            provenance={**explanation.provenance, "quantity": "metric", "feature_names": [*explanation.feature_names]},
            display={},
        )

    def compute(self, request: Request) -> Attribution:
        if self.metric is not None:
            return self._importance(request)
        if self.donors is None and len(request.samples) < 2:
            raise InputMismatchError(
                "feature_permutation takes the values of a feature from the other samples of the batch, but there is "
                "only one. Explain several samples at once, or give rows of data as 'donors'."
            )
        features, feeds = self.features, request.feeds
        if self.layer not in (None, request.main):
            path = layer_path(request, self.layer)
            features, feeds = self.at_layer(path).features, path.feeds
        baseline = _FromDonors(replace(self, features=features), feeds)
        method = FeatureAblation(features=features, baseline=baseline, seed=self.seed, layer=self.layer)
        attribution = method.compute(request)
        return replace(attribution, parameters={**attribution.parameters, "donors": self.donors})

    def _importance(self, request: Request) -> Attribution:
        """The importances for the whole batch, as the values of each sample; `concluded` keeps one."""
        if request.several:
            raise ParameterError(
                "A metric of FeaturePermutation is that of all outputs together. Give no list of targets."
            )
        each = [Features.of(self.features).players(sample) for sample in request.samples]
        players, count = each[0], len(each)
        if any(not np.array_equal(one.maps[name], players.maps[name]) for one in each for name in players.maps):
            raise ParameterError(
                "The samples have different features, which cannot be permuted over them. Give the same features to "
                "all, such as a grid or a label map."
            )
        labels = np.asarray(self.labels)
        found = permutation_importance(request, players, self.metric, labels, self.draws, self.seed)
        values, deviation = found.drops.mean(axis=1)[None], found.drops.std(axis=1)[None]
        spread = players.spread(values, request.samples[0].x)

        def repeated(array: Array) -> Array:
            return np.broadcast_to(array[:, None], (len(array), count, *array.shape[1:]))

        error = None if self.draws < 2 else repeated(student(self.draws - 1) * deviation / np.sqrt(self.draws - 1))
        return Attribution(
            {name: repeated(spread[name]) for name in players.maps},
            players=PlayerValues(
                repeated(values), {name: labels[None] for name, labels in players.maps.items()}, error
            ),
            maps={"deviation": repeated(deviation), "importances": repeated(found.drops[None])},
            diagnostics={"players": [players.count] * count, "metric": found.metric},
            parameters={"features": players.features, "metric": metric_name(self.metric)},
        )


@final
@dataclass(frozen=True, eq=False)
class _FromDonors(Baseline):
    """For each draw the values of another sample at each player, which :class:`FeatureAblation` removes one by one."""

    method: FeaturePermutation
    feeds: Mapping[str, Array]
    cycles: dict[tuple[int, int, int], Array] = field(default_factory=dict)

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        rows, labels = self._rows(sample, name), Features.of(self.method.features).players(sample).maps[name]
        places = np.indices(rows.shape[1:], sparse=True)
        donors = (self._donors(draw, sample, len(rows), labels) for draw in range(self.method.draws))
        return np.stack([rows[(np.broadcast_to(each, rows.shape[1:]), *places)] for each in donors])

    def _rows(self, sample: Sample, name: str) -> Array:
        """The values (B, ...) from which a player may be taken."""
        if self.method.donors is None:
            return self.feeds[name]
        return _backgrounds(self.method.donors).draws(sample, (name,), self.method.seed)[name]

    def _donors(self, draw: int, sample: Sample, count: int, labels: Array) -> Array:
        """The row from which each element is taken, in the shape of the labels of the players."""
        # With rows of data all samples take the same one.
        number = 0 if self.method.donors is not None else sample.number
        players = range(int(labels.max()) + 1)
        return np.asarray(np.array([self._cycle(draw, player, count)[number] for player in players])[labels])

    def _cycle(self, draw: int, player: int, count: int) -> Array:
        """A random cycle through all rows: the row that follows each. A player takes the same row of several inputs."""
        key = (draw, player, count)
        if key not in self.cycles:
            order = np.random.default_rng([self.method.seed, draw, player]).permutation(count)
            self.cycles[key] = np.empty_like(order)
            self.cycles[key][order] = np.roll(order, 1)
        return self.cycles[key]
