"""Expected gradients: integrated gradients averaged over random baselines, at random positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.explainers._gradients.gradient import AtLayer, GradientExplainer, Points
from xaionnx.explainers._gradients.path_draws import PathDraws
from xaionnx.explainers._gradients.paths import ByDifference, FromBaseline, Paths, add_up, completeness
from xaionnx.explainers._gradients.stratified_errors import stratified_error, why_no_error
from xaionnx.gradients.target_gradients import TargetGradients
from xaionnx.parameters import integer, random_seed
from xaionnx.typing import Document


@final
@dataclass(frozen=True, kw_only=True)
class ExpectedGradients(FromBaseline, ByDifference, AtLayer, GradientExplainer):
    """The contribution of each element to the change of the target from random baselines b to the input x::

        value_i = E over b and a of (x_i - b_i) * df/dx_i (b + a (x - b)),      a uniform in [0, 1]

    Sampling is stratified: each of the ``draws`` takes one baseline and one a from its own stratum of [0, 1]. All B
    baselines are taken equally often, or once more; they weigh equally. Fewer draws than baselines take as many of
    them at random. The paper's baselines are rows of the training data: ``Baseline.background(rows)``. Values sum to
    f(x) - E[f(b)] up to sampling error.

    ``standard_error`` takes into account how evenly the draws are spread: from second differences along the path for
    one baseline, and from sums over all baselines for B of them; the derivation is in
    `xaionnx.explainers._gradients.stratified_errors`. It takes 8 draws of each baseline; for fewer there is none. For a
    single baseline it is too large where gradients jump, as those of rectifiers. Diagnostics, for each target and
    sample: ``completeness_gap``, the sum of the values minus that change, with E[f(b)] the mean over the baselines
    used; ``relative_gap``, its size relative to the change. For each sample: ``no_standard_error``, why there is none.

    With ``factor="none"`` the values are the mean gradients without the difference x - b: slopes, which do not sum to a
    change, so neither f(b) nor a gap is reported.

    Notes
    -----
    When to use: Differentiable models, when a set of typical inputs is a better baseline than any single one.

    When not to use: When one baseline is enough: ``integrated_gradients`` has no sampling error. Trees, which have no
    gradient.

    References
    ----------
    Erion, Janizek, Sturmfels, Lundberg and Lee, Improving performance of deep learning models with axiomatic
    attribution priors and expected gradients, Nature Machine Intelligence 2021, doi:10.1038/s42256-021-00343-w.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[1.0, 2.0, -3.0]]))
    >>> rows = xaionnx.Baseline.background(np.float32([[0, 0, 0], [2, 2, 2]]))
    >>> xaionnx.explain(model, np.float32([[3, 2, 1]]), ExpectedGradients(baseline=rows, draws=4)).values
    array([[2., 2., 0.]], dtype=float32)
    """

    axioms: ClassVar[tuple[str, ...]] = ("linearity", "null player")
    reference: ClassVar[str] = "Erion et al. 2021, doi:10.1038/s42256-021-00343-w"

    draws: int = integer(200, "number of random draws", low=2, high=2**20)
    seed: int = random_seed("seed of the draws, and of a random baseline")

    def explain_points(self, target_gradients: TargetGradients, points: Points) -> Attribution:
        paths = Paths.of(target_gradients, points, self.replacement, self.seed)
        draws = PathDraws.of(self.draws, paths.draws, np.random.default_rng(self.seed))
        count, targets = len(points.sample), target_gradients.targets
        sums = {name: np.zeros((targets, *x.shape)) for name, x in points.x.items()}
        why_none = why_no_error(self.draws, paths.draws)
        spread = {} if why_none else {name: stratified_error(total.shape, draws) for name, total in sums.items()}
        batches = paths.contributions(np.arange(targets), np.arange(count), draws.baseline, draws.position, self.factor)
        for some, number, place, contributions in batches:
            for name, parts in contributions.items():
                wide = parts.astype(np.float64)
                if spread:
                    spread[name].add(some, number, place, wide)
                wide *= draws.weight[place].reshape(1, -1, *(1,) * (wide.ndim - 2))
                add_up(sums[name], some, number, wide)
        errors = {name: spread.pop(name).result() for name in [*spread]} or None
        diagnostics: Document = {"no_standard_error": [why_none] * count} if why_none else {}
        if self.factor == "none":
            return Attribution(sums, standard_error=errors, diagnostics=diagnostics)
        total = np.zeros((targets, count))
        for summed in sums.values():
            total += summed.reshape(targets, count, -1).sum(axis=2)
        baseline = paths.baseline_targets(np.unique(draws.baseline))
        diagnostics |= completeness(total, points.values - baseline)
        return Attribution(sums, baseline, errors, diagnostics=diagnostics)
