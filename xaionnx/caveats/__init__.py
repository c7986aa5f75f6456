"""Warnings about a result and what to do, derived from its diagnostics and provenance."""

from xaionnx.caveats.caveat import Caveat
from xaionnx.caveats.cells import diagnostic, number, percent
from xaionnx.caveats.findings import Findings, caveats, warnings_of, warnings_of_each, warnings_of_inputs
from xaionnx.caveats.sums import GAP

__all__ = [
    "GAP",
    "Caveat",
    "Findings",
    "caveats",
    "diagnostic",
    "number",
    "percent",
    "warnings_of",
    "warnings_of_each",
    "warnings_of_inputs",
]
