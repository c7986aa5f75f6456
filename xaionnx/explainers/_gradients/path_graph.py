"""Straight paths as nodes of a graph: all points run in one batch, and their gradients are summed after the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import ParameterError
from xaionnx.explainers._gradients.compilable import Emitted, Rows, Traced, total
from xaionnx.perturb.baseline import BASELINES, Baseline
from xaionnx.perturb.baselines.by_input import ByInput
from xaionnx.typing import Array, BaselineLike

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder


_FIRST = np.array([0], dtype=np.int64)


@final
@dataclass(frozen=True, eq=False)
class PathGraph:
    """Paths from D baselines, the same for every sample, through S points each.

    The blocks of rows are the samples, the D * S points, and the D baselines.

    Attributes
    ----------
    starts : dict of arrays (D, ...) by input name
    shares, weights : arrays (S,)
        The position of each point along the path, and its weight.
    """

    starts: dict[str, Array]
    shares: Array
    weights: Array

    @classmethod
    def of(
        cls, baseline: BaselineLike, seed: int, sample: Sample, names: tuple[str, ...], shares: Array, weights: Array
    ) -> PathGraph:
        """The paths from a baseline, or its shorthand.

        Raises
        ------
        ParameterError
            The baseline is computed from the sample.
        """
        return cls(fixed_starts(baseline, seed, sample, names), shares, weights)

    @property
    def draws(self) -> int:
        """The number D of baselines."""
        return len(next(iter(self.starts.values())))

    def rows(self, g: Builder, x: Mapping[str, ir.Value]) -> Rows:
        """The points of the paths for samples ``x``, (N, ...) each."""
        points_by_name = {}
        for name, value in x.items():
            start = self._start(name)[:, None]
            share = self.shares.astype(start.dtype).reshape(1, -1, *(1,) * (start.ndim - 2))
            points = g.op("Add", start, g.op("Mul", share, g.op("Sub", value, start)))
            ends = g.op("Expand", start[:, 0], g.op("Shape", value))
            parts = [value, *(g.reshape(part, self._sizes(name, -1)) for part in (points, ends))]
            points_by_name[name] = g.op("Concat", *parts, axis=0)
        return Rows(1 + self.draws * (len(self.shares) + 1), points_by_name)

    def emit(self, g: Builder, traced: Traced, factor: str = "difference") -> Emitted:
        """The weighted sum of the gradients along each path times its length, averaged over the baselines.

        With ``factor="none"`` it is not multiplied by the length, and has no completeness gap.
        """
        values = {}
        steps, last = len(self.shares), 1 + self.draws * len(self.shares)
        for name, gradients in traced.gradients.items():
            start = self._start(name)
            blocks = g.reshape(gradients, self._sizes(name, traced.blocks, -1))
            along_path = g.op("Slice", blocks, np.array([1]), np.array([last]), _FIRST)
            points = g.reshape(along_path, self._sizes(name, self.draws, steps, -1))
            weights = self.weights.astype(start.dtype).reshape(1, -1, *(1,) * (start.ndim - 1))
            summed = g.op("ReduceSum", g.op("Mul", points, weights), np.array([1]), keepdims=0)
            if factor == "difference":
                summed = g.op("Mul", summed, g.op("Sub", traced.x[name], start))
            values[name] = g.op("ReduceMean", summed, _FIRST, keepdims=0)
        if factor == "none":
            return Emitted(values)
        target = g.reshape(traced.target, np.array([traced.blocks, -1], dtype=np.int64))
        baseline = g.op("Slice", target, np.array([last]), np.array([traced.blocks]), _FIRST)
        change = g.op(
            "Sub", g.op("Gather", target, np.array(0), axis=0), g.op("ReduceMean", baseline, _FIRST, keepdims=0)
        )
        return Emitted(values, {"completeness_gap": g.op("Sub", total(g, values, traced.target), change)})

    def _start(self, name: str) -> Array:
        """The baselines (D, 1, ...), reduced to one number each if they are constant."""
        start = self.starts[name]
        flat = start.reshape(len(start), -1)
        if (flat == flat[:, :1]).all():
            start = flat[:, :1].reshape(-1, *(1,) * (start.ndim - 1))
        return start[:, None]

    def _sizes(self, name: str, *leading: int) -> Array:
        """The shape of an input with other leading axes, as the operand of Reshape or Expand."""
        return np.array([*leading, *self.starts[name].shape[1:]], dtype=np.int64)


def fixed_starts(baseline: BaselineLike, seed: int, sample: Sample, names: tuple[str, ...]) -> dict[str, Array]:
    """D baselines (D, ...) by input name, the same for every sample.

    Raises
    ------
    ParameterError
        The baseline is computed from the sample.
    """
    start = Baseline.of(baseline)
    if not _is_fixed(start):
        raise ParameterError(
            "A compiled file has the same baseline for every sample, but this one is computed from the sample. "
            f"Use a number, an array, rows of data, or one of {_fixed_names()}."
        )
    starts = start.draws(sample, names, seed)
    return {name: starts[name].astype(sample.x[name].dtype) for name in names}


def _is_fixed(baseline: Baseline) -> bool:
    if isinstance(baseline, ByInput):
        return all(_is_fixed(part) for part in baseline.parts.values())
    return baseline.fixed


def _fixed_names() -> str:
    kinds = [kind for kind in BASELINES.registry.kinds() if kind.fixed]
    return ", ".join(sorted(form.words for kind in kinds for form in kind.forms))
