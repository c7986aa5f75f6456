"""Evaluation: is an explanation worth anything? Metrics judge methods, beside controls that explain nothing.

Each file of :mod:`xaionnx.metrics` is one metric, each file of :mod:`xaionnx.evaluation.controls` one control.
"""

from xaionnx.evaluation.metric import Measure, Metric, SampleMeasure, measured, undefined
from xaionnx.evaluation.score_table import ScoreTable
from xaionnx.evaluation.scores import Scores
from xaionnx.evaluation.scoring import evaluate, metrics, score_table

__all__ = [
    "Measure",
    "Metric",
    "SampleMeasure",
    "ScoreTable",
    "Scores",
    "evaluate",
    "measured",
    "metrics",
    "score_table",
    "undefined",
]
