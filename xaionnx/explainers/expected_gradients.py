"""Expected gradients: integrated gradients averaged over random baselines, at random positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.explainers._gradients.gradient import AtLayer, GradientExplainer, Points
from xaionnx.explainers._gradients.paths import ByDifference, FromBaseline, Paths, add_up, completeness
from xaionnx.explainers._gradients.stratified_errors import stratified_error
from xaionnx.gradients.target_gradients import TargetGradients
from xaionnx.parameters import integer, random_seed


@final
@dataclass(frozen=True, kw_only=True)
class ExpectedGradients(FromBaseline, ByDifference, AtLayer, GradientExplainer):
    """The contribution of each element to the change of the target from random baselines b to the input x::

        value_i = E over b and a of (x_i - b_i) * df/dx_i (b + a (x - b)),      a uniform in [0, 1]

    Sampling is stratified: each of the ``draws`` takes one baseline (balanced over all B) and one a from its own
    stratum of [0, 1]. The paper's baselines are rows of the training data: ``Baseline.background(rows)``. Values sum to
    f(x) - E[f(b)] up to sampling error.

    ``standard_error`` takes into account how evenly the draws are spread: from second differences along the path for
    one baseline, and from sums over all baselines for B of them and at least 8 B draws; the derivation is in
    `xaionnx.explainers._gradients.stratified_errors`. It is too large where gradients jump, as those of rectifiers, if
    there is one baseline, and for fewer than 8 B draws unless B is much larger than ``draws``. Diagnostics, for each
    target and sample: ``completeness_gap``, the sum of the values minus that change, with E[f(b)] the mean over the
    baselines used; ``relative_gap``, its size relative to the change.

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
        rng = np.random.default_rng(self.seed)
        # In a random order: no baseline is used twice before all are used once.
        draw = rng.permutation(paths.draws)[np.arange(self.draws) % paths.draws]
        share = (rng.permutation(self.draws) + rng.random(self.draws)) / self.draws
        if paths.draws == 1:
            # In order, as the standard error compares neighbours.
            share.sort()
        count, targets = len(points.sample), target_gradients.targets
        sums = {name: np.zeros((targets, *x.shape)) for name, x in points.x.items()}
        spread = {name: stratified_error(total.shape, draw, share, paths.draws) for name, total in sums.items()}
        batches = paths.contributions(np.arange(targets), np.arange(count), draw, share, self.factor)
        for some, number, place, contributions in batches:
            for name, parts in contributions.items():
                wide = parts.astype(np.float64)
                add_up(sums[name], some, number, wide)
                spread[name].add(some, number, place, wide)
        values, errors = {}, {}
        total = np.zeros((targets, count))
        for name, summed in sums.items():
            # In place, since each holds a number an element and target.
            summed /= self.draws
            values[name], errors[name] = summed, spread.pop(name).of_means(summed)
            total += summed.reshape(targets, count, -1).sum(axis=2)
        if self.factor == "none":
            return Attribution(values, standard_error=errors)
        used, counts = np.unique(draw, return_counts=True)
        baseline = paths.baseline_targets(np.repeat(used, counts) if np.ptp(counts) else used)
        return Attribution(values, baseline, errors, diagnostics=completeness(total, points.values - baseline))
