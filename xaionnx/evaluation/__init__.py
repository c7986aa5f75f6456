"""Evaluation: is an explanation worth anything? Metrics judge methods, beside controls that explain nothing.

Each file of :mod:`xaionnx.metrics` is one metric, each file of :mod:`xaionnx.evaluation.controls` one control.
"""

from xaionnx.evaluation.metric import Measure, Metric, SampleMeasure, measured, undefined
from xaionnx.evaluation.scores import Scores
from xaionnx.evaluation.scoring import evaluate, metrics

__all__ = ["Measure", "Metric", "SampleMeasure", "Scores", "evaluate", "measured", "metrics", "undefined"]
