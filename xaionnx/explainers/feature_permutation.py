"""Feature permutation: the change of the target when a feature takes its value from another sample."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self, final

from xaionnx.attribution import Attribution
from xaionnx.errors import InputMismatchError, ParameterError
from xaionnx.explainer import Explainer
from xaionnx.explainers._games.by_features import ByFeatures
from xaionnx.explainers._games.donors import FromDonors, OwnRows, check_donors
from xaionnx.explainers._games.importance import DataSetImportance
from xaionnx.explainers._games.label_columns import check_labels, is_label_file, read_label_file
from xaionnx.explainers._games.layer_units import layer_path
from xaionnx.explainers._games.scorers import check_metric
from xaionnx.explainers.feature_ablation import FeatureAblation
from xaionnx.explanation import ValueKind
from xaionnx.parameters import flag, free, integer, random_seed, real
from xaionnx.request import Request
from xaionnx.runtime.model import Model
from xaionnx.typing import Document, LabelsLike, MetricLike, RowsLike


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

    With ``metric`` and ``labels`` it is Breiman's importance for all samples together, in a record with N = 1::

        value_i = metric(f(X)) - mean over draws of metric(f(X with feature i permuted))

    with the permutations of scikit-learn's ``permutation_importance`` for ``random_state=seed`` and
    ``n_repeats=draws``. ``prediction`` is the metric, ``diagnostics["samples"]`` the number of samples;
    ``standard_error`` that of the mean over draws, widened by Student's t as they are few, None for one;
    ``maps["deviation"]`` the standard deviation over draws (1, P), ``maps["importances"]`` each of them (1, P, draws).
    Of a target only its tensor counts, which has the outputs that the metric reads.

    Permuting a column that others predict makes impossible rows, and each of several copies seems unimportant. With
    ``correlated`` such columns are permuted together, as one feature. With ``conditional`` a column is permuted within
    subgroups of samples, the leaves of a tree that predicts it from the other columns: the value is then what it adds
    to them; ``diagnostics["subgroups"]`` counts them.

    Parameters
    ----------
    metric : str or scorer
        The name of a scorer of scikit-learn, such as ``roc_auc``, ``accuracy`` or ``r2``, or a scorer. Outputs of
        classes are handed to it as probabilities, and as the most probable class; a single one as a regression, unless
        it is the probability of one of two classes.
    labels : array (N,), or file
        Numbers or names of classes, or values. As a file, .npy or a column of a CSV file: FILE.csv:COLUMN. As a name, a
        column of the table that is explained, which the model does not read.
    correlated : float, optional
        Columns are grouped by average linkage of their association in pairs: the size of the rank correlation of
        numbers, Cramer's V of words, the correlation ratio of both.
    conditional : bool
        Whether to permute within subgroups.

    Notes
    -----
    When to use: Tables, when the replacement of a feature should be a value that occurs, and no baseline is neutral.

    When not to use: One sample without rows of data. Features that depend on each other: permuted rows may be
    impossible ones, and copies of a feature each get about 0.

    References
    ----------
    Breiman, Random forests, Machine Learning 45, 2001, doi:10.1023/A:1010933404324, section 10.
    Molnar, König, Bischl and Casalicchio, Model-agnostic feature importance and effects with dependent features: a
    conditional subgroup approach, Data Mining and Knowledge Discovery 38, 2024, arXiv:2006.04628, for ``conditional``.
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
        resolver=check_donors,
    )
    metric: MetricLike = free(
        None,
        "the name of a scikit-learn scorer, or a scorer",
        "explain this metric of all samples together: the name of a scikit-learn scorer, such as roc_auc or r2",
        resolver=check_metric,
    )
    labels: LabelsLike = free(
        None,
        "an array (N,), a file or the name of a column",
        "the labels that the metric compares with: a column of the table, a .npy file, or FILE.csv:COLUMN",
        resolver=check_labels,
    )
    correlated: float | None = real(
        None,
        "for a metric: permute columns together that are associated by at least this, as by a rank correlation",
        low=0.0,
        high=1.0,
        low_open=True,
        optional=True,
    )
    conditional: bool = flag(
        False, "for a metric: permute a column only among samples that are alike in the columns that predict it"
    )
    seed: int = random_seed("seed of the permutations")

    @property
    def compares_samples(self) -> bool:
        return self.donors is None

    def against(self, request: Request) -> Self | None:
        together = self.explains_together or self.layer not in (None, request.main) or len(request.samples) < 2
        changes: Document = {"donors": OwnRows.of(request.feeds, request.model.shared)}
        return None if together else replace(self, **changes)

    def check_parameters(self) -> None:
        if (self.metric is None) != (self.labels is None):
            given, other = ("labels", "metric") if self.metric is None else ("metric", "labels")
            raise ParameterError(
                f"FeaturePermutation takes 'metric' and 'labels' together. Got '{given}' without '{other}'."
            )
        if self.metric is not None and (self.donors is not None or self.layer is not None):
            given = "donors" if self.donors is not None else "layer"
            raise ParameterError(f"The '{given}' parameter of FeaturePermutation must be None with a metric.")
        if self.metric is None and (self.correlated is not None or self.conditional):
            given = "correlated" if self.correlated is not None else "conditional"
            raise ParameterError(f"The '{given}' parameter of FeaturePermutation needs a 'metric' and 'labels'.")

    def bind(self, model: Model) -> Self:
        bound = super().bind(model)
        if isinstance(bound.labels, str | Path) and is_label_file(bound.labels):
            bound = replace(bound, labels=read_label_file(bound.labels))
        return bound

    @property
    def explains_together(self) -> bool:
        return self.metric is not None

    @property
    def rows_parameter(self) -> str | None:
        return "donors" if self.donors is None and self.metric is None else None

    @property
    def own_columns(self) -> tuple[str, ...]:
        return (self.labels,) if isinstance(self.labels, str) and not is_label_file(self.labels) else ()

    def compute(self, request: Request) -> Attribution:
        if self.metric is not None:
            importance = DataSetImportance(
                self.metric, self.labels, self.features, self.draws, self.seed, self.correlated, self.conditional
            )
            return importance.attribution(request)
        if self.donors is None and len(request.samples) < 2:
            raise InputMismatchError(
                "feature_permutation takes the values of a feature from the other samples of the batch, but there is "
                "only one. Explain several samples at once, or give rows of data, as in donors='rows.npy'."
            )
        features, feeds, shared = self.features, request.feeds, request.model.shared
        if self.layer not in (None, request.main):
            path = layer_path(request, self.layer)
            features, feeds, shared = self.at_layer(path).features, path.feeds, path.resolved.model.shared
        donors = OwnRows.of(feeds, shared) if self.donors is None else self.donors
        baseline = FromDonors(donors, features, self.draws, self.seed)
        method = FeatureAblation(features=features, baseline=baseline, seed=self.seed, layer=self.layer)
        attribution = method.compute(request)
        given = None if isinstance(donors, OwnRows) else donors
        return replace(attribution, parameters={**attribution.parameters, "donors": given})
