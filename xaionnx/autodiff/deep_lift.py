"""Tables of DeepLIFT: they propagate multipliers of differences from a baseline.

A graph built with these tables has for each explained tensor an input for its baseline, in its shape, named by
:func:`~xaionnx.autodiff.reference.baseline_name`. Its output :data:`BASELINE_VALUE` is the differentiated tensor at the
baseline.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.reference import at_baseline
from xaionnx.autodiff.rescale import RESCALE
from xaionnx.autodiff.reveal_cancel import REVEAL_CANCEL
from xaionnx.autodiff.rule import START, Gradient, Table

# Name of the output with the differentiated tensor at the baseline.
BASELINE_VALUE = "baseline_value"


def _begin(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    # Every baseline is an input of the graph, whether or not a rule needs it.
    for source in g.sources:
        at_baseline(g, source)
    target = node.inputs[0]
    assert target is not None
    g.output(at_baseline(g, target), BASELINE_VALUE)
    return cotangents


TABLES: dict[str, Table] = {
    "rescale": {**RESCALE, START: _begin},
    "reveal_cancel": {**REVEAL_CANCEL, START: _begin},
}
