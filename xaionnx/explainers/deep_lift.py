"""DeepLIFT: the difference of the target from a baseline, propagated back layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.data.sample import Sample
from xaionnx.errors import ParameterError
from xaionnx.explainers._gradients.compilable import Emitted, Rows, Traced, total
from xaionnx.explainers._gradients.gradient import AtLayer, GradientExplainer, Points
from xaionnx.explainers._gradients.path_graph import fixed_starts
from xaionnx.explainers._gradients.paths import ByDifference, Paths, add_up, completeness, target_blocks
from xaionnx.explainers._gradients.propagation import Propagation
from xaionnx.gradients.one_run import OneRun, PlannedRun
from xaionnx.gradients.target_gradients import TargetGradients
from xaionnx.parameters import choice, random_seed
from xaionnx.perturb import baseline as baselines
from xaionnx.perturb.background import FromBackground
from xaionnx.perturb.baseline import Baseline
from xaionnx.targets.selection import TargetSet
from xaionnx.typing import Array, BaselineLike

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.autodiff.rule import Table
    from xaionnx.graph.builder import Builder
    from xaionnx.runtime.model import Model


_FIRST = np.array([0], dtype=np.int64)


@final
@dataclass(frozen=True, kw_only=True)
class DeepLift(FromBackground, ByDifference, Propagation, AtLayer, GradientExplainer):
    """The contribution of each element's difference from a baseline b to that of the target, by multipliers m::

        value_i = m_i (x_i - b_i)        sum_i value_i = f(x) - f(b)

    Multipliers follow the chain rule. Those of a linear op are its weights. Those of an activation y = f(x) are

    - ``rescale``: ``(y - y_b) / (x - x_b)``;
    - ``reveal_cancel``: one for what raises x and one for what lowers it, each the mean of its effect before and
      after the other. It detects inputs whose effects cancel at b or at x, such as those of min and AND.

    Several baselines (rows of data, several draws) are averaged, as in DeepSHAP: values sum to f(x) - mean f(b).

    The paper has no rules for max pooling, products of two activations (gates, attention), softmax and layer
    normalisation; :mod:`xaionnx.autodiff.rescale` defines complete ones. LSTM, GRU and RNN are written out over time,
    so that these rules apply to them. ``provenance["approximations"]`` lists the ops that use them, those that keep
    their derivative, and the activations that use rescale instead of reveal-cancel: after such an op, or another
    activation, what raises x cannot be separated from what lowers it (:mod:`xaionnx.autodiff.reveal_cancel` lists the
    ops after which it can). The paper explains scores; for a probability, the softmax is one more layer.

    With ``factor="none"`` the values are the multipliers m, averaged over the baselines: slopes, which do not sum to a
    change, so neither f(b) nor a gap is reported.

    Diagnostics, for each target and sample:

    ``completeness_gap``
        the sum of the values over all inputs minus f(x) - f(b);
    ``relative_gap``
        the size of the gap relative to the size of that change; infinity if only the latter is 0.

    Notes
    -----
    When to use: Contributions that sum to the change from a baseline at the cost of about one gradient per baseline,
    even if gradients are saturated.

    When not to use: When there is no meaningful baseline. When the values must not depend on how a function is written:
    two graphs of one function may get different values.

    References
    ----------
    Shrikumar, Greenside and Kundaje, Learning important features through propagating activation differences, ICML
    2017, arXiv:1704.02685.
    Lundberg and Lee, A unified approach to interpreting model predictions, NeurIPS 2017, arXiv:1705.07874, section 4.2
    (several baselines).

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> x = np.float32([[1, 2]])
    >>> xaionnx.explain(planted.load(planted.net_f()), x, "deep_lift", 0).values
    array([[2., 1.]], dtype=float32)
    >>> lower = planted.load(planted.minimum())  # x1 - ReLU(x1 - x2)
    >>> xaionnx.explain(lower, x, "deep_lift", 0).values
    array([[1., 0.]], dtype=float32)
    >>> xaionnx.explain(lower, x, DeepLift(rule="reveal_cancel"), 0).values
    array([[0.5, 0.5]], dtype=float32)
    """

    axioms: ClassVar[tuple[str, ...]] = ("completeness", "null player")
    reference: ClassVar[str] = "Shrikumar et al. 2017, arXiv:1704.02685"

    rule: str = choice("rescale", ("rescale", "reveal_cancel"), "multipliers of activations")
    baseline: BaselineLike = baselines.parameter("reference from which differences are taken")
    seed: int = random_seed("seed of a random baseline")

    def rules(self, model: Model) -> Table:
        from xaionnx.autodiff.deep_lift import TABLES

        return TABLES[self.rule]

    def run(self, planned: PlannedRun) -> OneRun | None:
        from xaionnx.autodiff.deep_lift import BASELINE_VALUE
        from xaionnx.autodiff.reference import baseline_name

        expected, baseline = planned.request, Baseline.of(self.replacement)
        baselines_by_sample = [baseline.draws(sample, expected.names, self.seed) for sample in expected.samples]
        # With several baselines the multipliers are summed in batches: together they may not fit into memory.
        if any(len(start) > 1 for starts in baselines_by_sample for start in starts.values()):
            return None
        starts = {
            baseline_name(name): np.concatenate([each[name] for each in baselines_by_sample]) for name in expected.names
        }
        return planned.run(
            np.arange(len(baselines_by_sample)),
            lambda rows: {name: each[rows] for name, each in starts.items()},
            [BASELINE_VALUE],
        )

    def explain_points(self, target_gradients: TargetGradients, points: Points) -> Attribution:
        paths = Paths.of(target_gradients, points, self.replacement, self.seed)
        # Row j * B + b is point j, from baseline b.
        which, draw = np.divmod(np.arange(len(points.sample) * paths.draws), paths.draws)
        sums = {name: np.zeros((target_gradients.targets, *x.shape)) for name, x in points.x.items()}
        for some, rows, multipliers in self._multipliers(target_gradients, points, paths):
            for name, multiplier in multipliers.items():
                if self.factor == "none":
                    add_up(sums[name], some, which[rows], multiplier)
                    continue
                change = points.x[name][which[rows]].astype(np.float64) - paths.starts[name][which[rows], draw[rows]]
                for block in target_blocks(multiplier):
                    add_up(sums[name], some[block], which[rows], multiplier[block] * change)
        for summed in sums.values():
            summed /= paths.draws
        if self.factor == "none":
            return Attribution(sums)
        baseline = self._at_baseline(target_gradients, paths)
        total_values = sum(v.reshape(*v.shape[:2], -1).sum(axis=2) for v in sums.values())
        gaps = completeness(np.asarray(total_values), points.values - baseline)
        return Attribution(sums, baseline, diagnostics=gaps)

    def _multipliers(
        self, target_gradients: TargetGradients, points: Points, paths: Paths
    ) -> Iterator[tuple[Array, Array, dict[str, Array]]]:
        """Multipliers (u, m, ...) of targets (u,) at rows (m,), which are those of :meth:`explain_points`."""
        from xaionnx.autodiff.reference import baseline_name

        targets = np.arange(target_gradients.targets)
        which, draw = np.divmod(np.arange(len(points.sample) * paths.draws), paths.draws)

        def pairs(rows: Array) -> dict[str, Array]:
            feeds = {name: x[which[rows]] for name, x in points.x.items()}
            starts = {baseline_name(name): start[which[rows], draw[rows]] for name, start in paths.starts.items()}
            return {**feeds, **starts}

        if target_gradients.run is not None:
            target_gradients.count_and_check(target_gradients.run.gradients, points.sample, pairs)
            yield targets, np.arange(len(points.sample)), target_gradients.run.gradients
            return
        yield from target_gradients.at(points.sample[which], np.repeat(targets[:, None], len(which), axis=1), pairs)

    def _at_baseline(self, target_gradients: TargetGradients, paths: Paths) -> Array:
        """The targets at the baseline, (T, J)."""
        from xaionnx.autodiff.deep_lift import BASELINE_VALUE

        terms = target_gradients.path.resolved.terms
        is_linear = all(term.activation == "identity" and term.reference is None for term in terms)
        if target_gradients.run is not None and is_linear and len(tensors := target_gradients.path.tensors) == 1:
            values = TargetSet(terms).select({tensors[0]: target_gradients.run.outputs[BASELINE_VALUE]}).T
            if np.isfinite(values).all():
                return values
        return paths.baseline_targets(np.arange(paths.draws))

    def rows(self, g: Builder, x: Mapping[str, ir.Value], sample: Sample) -> Rows:
        if self.layer is not None or any(
            value.dtype is None or not value.dtype.is_floating_point() for value in x.values()
        ):
            raise ParameterError(
                "DeepLift can be compiled only at float inputs, not at a layer or an embedding. Compile saliency or "
                "lrp there."
            )
        starts = fixed_starts(self.replacement, self.seed, sample, tuple(x))
        draws = len(next(iter(starts.values())))
        return Rows(
            draws,
            {name: value if draws == 1 else _tile(g, value, draws, starts[name].ndim) for name, value in x.items()},
        )

    def emit(self, g: Builder, traced: Traced) -> Emitted:
        from xaionnx.autodiff.deep_lift import BASELINE_VALUE
        from xaionnx.autodiff.reference import baseline_name

        starts = fixed_starts(self.replacement, self.seed, traced.sample, tuple(traced.x))
        inputs = {str(value.name): value for value in g.graph.inputs}
        values = {}
        for name, multipliers in traced.gradients.items():
            start, shape = starts[name][:, None], starts[name].shape[1:]
            # Row b * N + n is sample n from baseline b.
            like = g.reshape(traced.tensors[name], np.array([traced.blocks, -1, *shape], dtype=np.int64))
            blocks = g.op("Expand", start, g.op("Shape", like))
            bound = inputs[baseline_name(name)]
            bound.replace_all_uses_with(g.reshape(blocks, np.array([-1, *shape], dtype=np.int64)))
            g.graph.inputs.remove(bound)
            slopes = g.reshape(multipliers, g.op("Shape", like))
            kept = slopes if self.factor == "none" else g.op("Mul", slopes, g.op("Sub", like, start))
            values[name] = g.op("ReduceMean", kept, _FIRST, keepdims=0)
        if self.factor == "none":
            return Emitted(values)
        (at_baseline,) = (value for value in g.graph.outputs if value.name == BASELINE_VALUE)
        change = g.op("Sub", traced.target, traced.read(at_baseline))
        mean = g.op("ReduceMean", g.reshape(change, np.array([traced.blocks, -1])), _FIRST, keepdims=0)
        return Emitted(values, {"completeness_gap": g.op("Sub", total(g, values, traced.target), mean)})


def _tile(g: Builder, value: ir.Value, blocks: int, rank: int) -> ir.Value:
    return g.op("Tile", value, np.array([blocks, *[1] * (rank - 1)], dtype=np.int64))
