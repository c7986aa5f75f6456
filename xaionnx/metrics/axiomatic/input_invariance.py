"""Input invariance: how much the values change when the inputs and the model are shifted alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import reduce
from typing import ClassVar, final

import numpy as np
import onnx

from xaionnx.errors import InputMismatchError
from xaionnx.evaluation.evidence import Evidence
from xaionnx.evaluation.metric import ANY_TARGET, Measure, Metric, SampleMeasure, measured, undefined
from xaionnx.evaluation.scores import Direction
from xaionnx.graph.shift import with_shifted_input
from xaionnx.metrics._neighbours import norm
from xaionnx.parameters import real
from xaionnx.perturb.value_ranges import value_ranges
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class InputInvariance(Metric):
    """The relative change of the values when x becomes x + s and f(x) becomes f(x - s), so that the output stays::

        |phi of f(x - s) at x + s  -  phi of f at x| / |phi of f at x|

    The shift s is the same for all elements: ``shift`` times the smallest power of two that is no less than the range
    of the input, that of a row the largest of its columns, so that few models are made for many samples. A slope does
    not change; a product of slope and input does, and so does a method with a fixed baseline, such as zero: whether
    that is a fault depends on whether zero means something.

    References
    ----------
    Kindermans et al., The (un)reliability of saliency methods, 2017, arXiv:1711.00867.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> x = np.ones((1, 4), np.float32)
    >>> [xaionnx.evaluate(model, x, name, "input_invariance").mean for name in ("saliency", "input_x_gradient")]
    [0.0, 1.0]
    """

    direction: ClassVar[Direction] = "lower"
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    reference: ClassVar[str] = "Kindermans et al. 2017, arXiv:1711.00867"
    needs: ClassVar[tuple[str, ...]] = ("method",)
    controls: ClassVar[tuple[str, ...]] = ANY_TARGET

    shift: float = real(1.0, "size of the shift, as a share of the input's range, rounded up to a power of two")

    def measure(self, evidence: Evidence) -> Measure:
        feeds = evidence.request.feeds
        names = [name for name in evidence.row_inputs if name in evidence.attributions] or [evidence.request.main]
        for name in names:
            if feeds[name].dtype.kind != "f":
                raise InputMismatchError(f"Input '{name}' has type {feeds[name].dtype}, which cannot be shifted.")
        ranges = np.array([max(np.max(value_ranges(one, name)) for name in names) for one in evidence.samples])
        # Pictures of a file may share a range, and rows have one each: a shift does not depend on the other samples.
        ranges = 2.0 ** np.ceil(np.log2(ranges))
        each = [undefined("all values are 0")] * len(ranges)
        for size in np.unique(ranges):
            rows = np.flatnonzero(ranges == size)
            for n, after in zip(rows, self._shifted(evidence, names, rows, float(size)), strict=True):
                before = evidence.flat[n]
                if length := norm(before):
                    each[n] = SampleMeasure(float(norm(after - before) / length))
        return measured(each)

    def _shifted(self, evidence: Evidence, names: Sequence[str], rows: Array, size: float) -> Array:
        """The values (M, F) of some samples of which these inputs are shifted together with the model."""
        feeds = evidence.request.feeds
        steps = {name: np.asarray(self.shift * size, dtype=feeds[name].dtype) for name in names}

        def shifted(graph: onnx.ModelProto) -> onnx.ModelProto:
            return reduce(lambda made, name: with_shifted_input(made, name, steps[name]), names, graph)

        with closing(evidence.model.rewritten(shifted)) as model:
            some = {key: array if key in model.shared else array[rows] for key, array in feeds.items()}
            some |= {name: some[name] + step for name, step in steps.items()}
            return evidence.explain(some, rows, model).flat
