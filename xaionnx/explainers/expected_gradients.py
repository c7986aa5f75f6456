"""Expected gradients: integrated gradients averaged over random baselines, at random positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.explainers._gradients.gradient import AtLayer, GradientExplainer, Points
from xaionnx.explainers._gradients.paths import ByDifference, FromBaseline, Paths, add_up, completeness
from xaionnx.gradients.target_gradients import TargetGradients
from xaionnx.parameters import integer, random_seed


@final
@dataclass(frozen=True, kw_only=True)
class ExpectedGradients(FromBaseline, ByDifference, AtLayer, GradientExplainer):
    """The contribution of each element to the change of the target from random baselines b to the input x::

        value_i = E over b and a of (x_i - b_i) * df/dx_i (b + a (x - b)),      a uniform in [0, 1]

    Sampling is stratified: each of the ``draws`` takes one baseline (balanced over all B) and one a from its own
    stratum of [0, 1]. The paper's baselines are rows of the training data: ``Baseline.background(rows)``. Values sum to
    f(x) - E[f(b)] up to sampling error. ``standard_error`` is that of independent draws, which stratification can only
    lower. Diagnostics, for each target and sample: ``completeness_gap``, the sum of the values minus that change, with
    E[f(b)] the mean over the baselines used; ``relative_gap``, its size relative to the change.

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
        paths = Paths.of(target_gradients, points, self.baseline, self.seed)
        rng = np.random.default_rng(self.seed)
        # In a random order: no baseline is used twice before all are used once.
        draw = rng.permutation(paths.draws)[np.arange(self.draws) % paths.draws]
        share = (rng.permutation(self.draws) + rng.random(self.draws)) / self.draws
        count, targets = len(points.sample), target_gradients.targets
        sums = {name: np.zeros((targets, *x.shape)) for name, x in points.x.items()}
        squares = {name: np.zeros(total.shape) for name, total in sums.items()}
        batches = paths.contributions(np.arange(targets), np.arange(count), draw, share, self.factor)
        for some, number, _, contributions in batches:
            for name, parts in contributions.items():
                wide = parts.astype(np.float64)
                add_up(sums[name], some, number, wide)
                add_up(squares[name], some, number, wide**2)
        values, errors, n = {}, {}, self.draws
        total = np.zeros((targets, count))
        for name, summed in sums.items():
            # In place, since each holds a number an element and target.
            summed /= n
            variance = squares[name]
            variance /= n
            variance -= summed**2
            np.maximum(variance, 0, out=variance)
            variance *= n
            variance /= n - 1
            variance /= n
            values[name], errors[name] = summed, np.sqrt(variance, out=variance)
            total += summed.reshape(targets, count, -1).sum(axis=2)
        if self.factor == "none":
            return Attribution(values, standard_error=errors)
        used, counts = np.unique(draw, return_counts=True)
        baseline = paths.baseline_targets(np.repeat(used, counts) if np.ptp(counts) else used)
        return Attribution(values, baseline, errors, diagnostics=completeness(total, points.values - baseline))
