"""Tables of DeepLIFT: what walks back are multipliers of differences from a baseline.

A graph made of these tables takes for each explained tensor a further input of its name behind
:func:`~xaionnx.autodiff.reference.baseline_name`, in its shape, and answers under :data:`BASELINE_VALUE` what the
differentiated tensor is there.
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
    # Every baseline is an input of the graph, whether or not a rule asks for it.
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
