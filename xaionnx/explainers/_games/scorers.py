"""Scorers of scikit-learn on the outputs of a model."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias, final

import numpy as np

from xaionnx.errors import InputMismatchError, ParameterError, UnknownNameError
from xaionnx.request import Request
from xaionnx.targets.scores import class_number, class_scores, to_probability
from xaionnx.targets.selection import activate
from xaionnx.typing import Array, MetricLike

# A scorer of scikit-learn: of an estimator, inputs and labels.
Scorer: TypeAlias = Callable[[Any, Any, Array], float]


def check_metric(given: MetricLike) -> object:
    """The scorer that a name of scikit-learn stands for, or the given scorer.

    Raises
    ------
    UnknownNameError
        scikit-learn has none of this name.
    """
    if given is None or callable(given):
        return given
    from sklearn import metrics

    if given not in metrics.get_scorer_names():
        raise UnknownNameError.among("scikit-learn scorer", str(given), metrics.get_scorer_names())
    return metrics.get_scorer(given)


def metric_name(given: MetricLike) -> str:
    """The metric in words."""
    if isinstance(given, str):
        return given
    function = getattr(given, "_score_func", given)
    return str(getattr(function, "__name__", type(given).__name__))


@final
class Scored:
    """A scorer of scikit-learn on outputs of a model.

    Raises
    ------
    InputMismatchError
        The numbers of labels and samples differ.
    ParameterError
        The metric does not fit the labels or the outputs.
    """

    def __init__(self, request: Request, metric: MetricLike, labels: Array) -> None:
        count = len(request.samples)
        if len(labels) != count:
            raise InputMismatchError(
                f"There are {len(labels):,} labels for {count:,} samples. Give one for each sample."
            )
        self._model, self.tensor = request.model, request.tensors[0]
        self._metric: Scorer = check_metric(metric)  # type: ignore[assignment]  # checked
        self._name = metric_name(metric)
        self._labels = labels

    def __call__(self, outputs: Array) -> float:
        estimator, labels = self._estimator(outputs)
        try:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                value = float(self._metric(estimator, np.empty((len(outputs), 0)), labels))
        except (ValueError, AttributeError) as error:
            raise ParameterError(
                f"The metric {self._name} cannot be computed here. scikit-learn says: {error}"
            ) from error
        if not np.isfinite(value):
            raise ParameterError(
                f"The metric {self._name} is {value} on this data. Give data with labels of every class, or another "
                "metric."
            )
        for one in said:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        return value

    def _estimator(self, outputs: Array) -> tuple[object, Array]:
        regressor, classifier = _estimators()
        scores = class_scores(outputs, self.tensor).astype(np.float64)
        activation = to_probability(outputs, self.tensor, self._model)
        binary = scores.shape[1] == 1 and self._labels.dtype.kind in "iub" and set(np.unique(self._labels)) <= {0, 1}

        if scores.shape[1] == 1 and not (binary and self._is_probable(activation, scores)):
            return regressor(scores[:, 0]), self._labels
        probabilities = activate(activation, scores)
        if scores.shape[1] == 1:
            probabilities = np.concatenate([1 - probabilities, probabilities], axis=1)
        return classifier(probabilities), self._class_numbers(probabilities.shape[1])

    def _is_probable(self, activation: str, scores: Array) -> bool:
        """Whether a single score is that of a class: a probability, or a logit as the spec says."""
        stated = self._model.spec is not None and self._model.spec.activation == "logits"
        return stated or (activation == "identity" and bool(((scores >= 0) & (scores <= 1)).all()))

    def _class_numbers(self, count: int) -> Array:
        labels = self._labels
        if labels.dtype.kind == "f" and np.array_equal(labels, np.round(labels)):
            labels = labels.astype(np.int64)
        each = {
            label: class_number(label, count, self.tensor, self._model, "labels")
            for label in np.unique(labels).tolist()
        }
        return np.array([each[label] for label in labels.tolist()])


@cache
def _estimators() -> tuple[Callable[[Array], object], Callable[[Array], object]]:
    """Estimators of scikit-learn whose answers are known, for values and for probabilities.

    Made once: making a class takes as long as most metrics.
    """
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

    class Regressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # without types
        """Values as an estimator's."""

        fitted_ = True

        def __init__(self, values: Array) -> None:
            self.values = values

        def predict(self, x: object) -> Array:
            del x
            return np.asarray(self.values)

    class Classifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # without types
        """Probabilities as an estimator's."""

        def __init__(self, probabilities: Array) -> None:
            self.probabilities = probabilities
            self.classes_ = np.arange(max(2, probabilities.shape[1]))

        def predict_proba(self, x: object) -> Array:
            del x
            return self.probabilities

        def predict(self, x: object) -> Array:
            del x
            return np.asarray(self.probabilities.argmax(axis=1))

    return Regressor, Classifier
