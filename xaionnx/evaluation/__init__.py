"""Evaluation: is an explanation worth anything? Metrics judge methods, beside controls that explain nothing.

Each file of :mod:`xaionnx.metrics` is one metric, each file of :mod:`xaionnx.evaluation.controls` one control.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xaionnx.evaluation.metric import Measure, Metric, SampleMeasure, measured, undefined
    from xaionnx.evaluation.recommendation import Recommendation
    from xaionnx.evaluation.scores import Scores
    from xaionnx.evaluation.scoring import evaluate, metrics, score_table
    from xaionnx.evaluation.successive_halving import recommend
    from xaionnx.evaluation.table import ScoreTable

__all__ = [
    "Measure",
    "Metric",
    "Recommendation",
    "SampleMeasure",
    "ScoreTable",
    "Scores",
    "evaluate",
    "measured",
    "metrics",
    "recommend",
    "score_table",
    "undefined",
]

# Imported on first access: records of scores are read and drawn without a model.
_MODULES = {
    **dict.fromkeys(("Measure", "Metric", "SampleMeasure", "measured", "undefined"), "metric"),
    **dict.fromkeys(("evaluate", "metrics", "score_table"), "scoring"),
    "Recommendation": "recommendation",
    "recommend": "successive_halving",
    "ScoreTable": "table",
    "Scores": "scores",
}


def __getattr__(name: str) -> Any:  # a class or a function
    if name not in _MODULES:
        raise AttributeError(f"module 'xaionnx.evaluation' has no attribute '{name}'")
    return getattr(importlib.import_module(f"xaionnx.evaluation.{_MODULES[name]}"), name)
