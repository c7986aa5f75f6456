"""Integrated gradients: the gradient summed up along the straight path from a baseline to the input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from xaionnx.errors import ParameterError
from xaionnx.explainers._gradient import Found, Points
from xaionnx.explainers._graph import Emitted, GraphExplainer, Rows, Traced
from xaionnx.explainers._path_graph import PathGraph
from xaionnx.explainers._paths import Paths, add_up
from xaionnx.explainers._slopes import Slopes
from xaionnx.parameters import choice, free, integer, real
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.sample import Sample

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder

Array = npt.NDArray[Any]


@final
@dataclass(frozen=True, kw_only=True)
class IntegratedGradients(GraphExplainer):
    """What each element owes to the change of the target from the baseline b to the input x::

        value_i = (x_i - b_i) * integral over a from 0 to 1 of df/dx_i (b + a (x - b))

    The integral is a weighted sum over ``steps`` points of the path. Exactly integrated, the values add up to
    f(x) - f(b): completeness. ``diagnostics`` tell, for each target and sample,

    ``completeness_gap``
        the sum of the values less f(x) - f(b), in units of the target;
    ``relative_gap``
        the size of the gap as a share of the size of f(x) - f(b), infinity where the latter alone is 0;
    ``steps``
        the steps that it took: with ``tolerance`` they double until the relative gap is at most that, or until
        twice as many would exceed ``max_steps``, in which case ``relative_gap`` says how far it came.

    Where the baseline holds several draws, values are averaged over them and f(b) is their mean.

    A compiled file runs the sample, the points and the baselines in one batch of 1 + draws * (``steps`` + 1) rows a
    sample, and answers ``completeness_gap`` too.

    References
    ----------
    Sundararajan, Taly and Yan, Axiomatic attribution for deep networks, ICML 2017, arXiv:1703.01365.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.five_x1_x2sq_sinx3())
    >>> found = xaionnx.explain(model, np.float32([[1, 2, 3]]), IntegratedGradients(steps=16))
    >>> found.values.round(4)
    array([[5.    , 4.    , 0.1411]], dtype=float32)
    """

    axioms: ClassVar[tuple[str, ...]] = ("linearity", "null player", "symmetry")
    reference: ClassVar[str] = "Sundararajan, Taly and Yan 2017, arXiv:1703.01365"

    steps: int = integer(32, "points of the path", low=1, high=2**20)
    rule: str = choice(
        "gauss_legendre", ("gauss_legendre", "trapezoid", "left", "middle", "right"), "how points are set and weighted"
    )
    tolerance: float | None = real(
        None,
        "double the steps until the completeness gap is at most this share of the change",
        low=0,
        low_open=True,
        optional=True,
    )
    max_steps: int = integer(1024, "the most steps that tolerance may take", low=1, high=2**20)
    baseline: Any = free(
        None,
        "a number, a name such as 'blur', an array or a Baseline",
        "where the path starts: a number, zero, black, white, mean, blur[:sigma], uniform[:draws], gaussian[:share], "
        "max_distance, shuffle[:tile]",
    )
    seed: int = integer(0, "seed of a baseline that is drawn", low=0, high=2**63 - 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rule == "trapezoid" and self.steps < 2:
            raise ParameterError(
                "The 'steps' parameter of IntegratedGradients must be at least 2 for the trapezoid, which takes both "
                f"ends. Got {self.steps} instead."
            )
        if self.tolerance is not None and self.max_steps < self.steps:
            raise ParameterError(
                f"The 'max_steps' parameter of IntegratedGradients must be at least 'steps', {self.steps}. "
                f"Got {self.max_steps} instead."
            )

    def resolved(self) -> dict[str, Any]:
        return {"baseline": Baseline.of(self.baseline)}

    def trace(self, slopes: Slopes, points: Points) -> Found:
        paths = Paths.of(slopes, points, self.baseline, self.seed)
        count, targets, draws = len(points.sample), slopes.targets, paths.draws
        baseline = paths.begin(np.arange(draws))
        known = points.values
        full = paths.end() if known is None else known
        forwards = np.full(count, draws + (known is None))
        change = full - baseline

        values = {name: np.zeros((targets, *x.shape)) for name, x in points.x.items()}
        steps = np.zeros((targets, count), dtype=np.int64)
        gap, relative = np.zeros(change.shape), np.full(change.shape, np.inf)
        gradients = np.zeros(count, dtype=np.int64)
        taken = self.steps
        # Pairs of a target and a point, those of a target together.
        pending = np.ones(change.shape, dtype=bool)
        while True:
            target, which = np.nonzero(pending)
            found = self._integrated(paths, target, which, taken)
            np.add.at(gradients, which, draws * taken)
            total = np.zeros(len(which))
            for name, array in found.items():
                values[name][target, which] = array
                total += array.reshape(len(which), -1).sum(axis=1)
            steps[target, which] = taken
            gap[target, which] = total - change[target, which]
            # No change and no gap is a gap of 0.
            size = np.abs(change)
            relative = np.divide(np.abs(gap), size, out=np.where(gap == 0, 0.0, np.inf), where=size > 0)
            pending = pending & (relative > self.tolerance) if self.tolerance is not None else np.zeros_like(pending)
            taken *= 2
            if not pending.any() or taken > self.max_steps:
                break
        diagnostics = {"completeness_gap": gap, "relative_gap": relative, "steps": steps}
        return Found(values, gradients, forwards, baseline, diagnostics=diagnostics)

    def _integrated(self, paths: Paths, target: Array, which: Array, steps: int) -> dict[str, Array]:
        """The values of pairs of a target and a point, averaged over the draws: (pairs, ...) by input name."""
        shares, weights = path(self.rule, steps)
        draw, step = np.divmod(np.arange(paths.draws * steps), steps)
        sums = {name: np.zeros((len(which), *x.shape[1:])) for name, x in paths.points.x.items()}
        for pair, place, owed in paths.walk(target, which, draw, shares[step]):
            for name, parts in owed.items():
                weight = weights[step[place]].reshape(-1, *(1,) * (parts.ndim - 1)) / paths.draws
                add_up(sums[name], pair, parts * weight)
        return sums

    def rows(self, g: Builder, x: Mapping[str, ir.Value], sample: Sample) -> Rows:
        if self.tolerance is not None:
            raise ParameterError(
                "The 'tolerance' parameter of IntegratedGradients cannot be compiled: a graph takes the same steps for "
                "every sample. Set 'steps' instead, and read the completeness gap."
            )
        return self._path(sample, tuple(x)).rows(g, x)

    def emit(self, g: Builder, traced: Traced) -> Emitted:
        return self._path(traced.sample, tuple(traced.x)).emit(g, traced)

    def _path(self, sample: Sample, names: tuple[str, ...]) -> PathGraph:
        return PathGraph.of(self.baseline, self.seed, sample, names, *path(self.rule, self.steps))


def path(rule: str, steps: int) -> tuple[Array, Array]:
    """Points in [0, 1] and their weights, (S,) each, which add up to 1.

    Examples
    --------
    >>> path("trapezoid", 3)
    (array([0. , 0.5, 1. ]), array([0.25, 0.5 , 0.25]))
    """
    if rule == "gauss_legendre":
        nodes, weights = np.polynomial.legendre.leggauss(steps)
        return (nodes + 1) / 2, weights / 2
    if rule == "trapezoid":
        weights = np.full(steps, 1 / (steps - 1))
        weights[[0, -1]] /= 2
        return np.linspace(0, 1, steps), weights
    offset = {"left": 0.0, "middle": 0.5, "right": 1.0}[rule]
    return (np.arange(steps) + offset) / steps, np.full(steps, 1 / steps)
