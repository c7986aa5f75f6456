"""Class activation maps that compare a class with others."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, final

import numpy as np

from xaionnx.errors import UnsupportedModelError
from xaionnx.explainers._cams.cam_ops import NUMBERS
from xaionnx.hooks import hook
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_sizes
from xaionnx.targets.resolve import ResolvedTargets
from xaionnx.targets.scores import class_name, class_scores, default_shape, logits_of, to_probability
from xaionnx.targets.selection import TargetSet, TargetTerm
from xaionnx.typing import Array, Document

if TYPE_CHECKING:
    from xaionnx.layers.dry_run import DryRun


class ByClassScores(ABC):
    """Makes a :class:`CamExplainer` explain a function J of all class scores instead of the target::

        map = max(0, sum_k A_k 1/Z sum_ij dJ/dA_k[i, j])

    The scores are logits: if the target is a probability, those before the softmax or sigmoid at the end of the graph.
    ``diagnostics["against"]`` names the classes that the target is compared with, by sample, if they were selected.
    """

    @abstractmethod
    def coefficients(self, scores: Array, classes: Array, others: Array) -> list[Array]:
        """The gradients dJ/dy, (N, K), of each J with respect to the scores (N, K), for the classes (N,)."""

    @hook
    def others(self, model: Model, scores: Array, classes: Array) -> Array:
        """The classes (N, S) that each class is compared with; empty if it is compared with all."""
        del model, scores
        return np.empty((len(classes), 0), dtype=np.int64)

    @hook
    def names_of_others(self, model: Model, tensor: str, scores: Array, others: Array) -> tuple[str, ...]:
        """The names of the classes that each of N samples is compared with."""
        return class_names(model, tensor, scores.shape[1], others)

    @hook
    def combine_maps(self, maps: Array) -> Array:
        """The maps (T, N, h, w) of the targets, combined from those of all J."""
        return maps

    @final
    def map_at_layer(self, planes: Array, gradient: Array) -> Array:
        return self.combine_maps(NUMBERS.weighted_sum(NUMBERS.mean(gradient), planes))

    @final
    def score_tensor(self, model: Model, tensor: str) -> str:
        return logits_of(model, tensor)

    @final
    def check_map_targets(self, dry_run: DryRun) -> None:
        model, tensor = dry_run.model, dry_run.tensor
        self._check_classes(model, tensor, default_shape(model)[1:])
        if dry_run.rows is not None:
            fetched = list(dict.fromkeys([tensor, logits_of(model, tensor)]))
            _logits(model, tensor, model.with_outputs(fetched).run(dry_run.rows, fetched), type(self).__name__)

    def _check_classes(self, model: Model, tensor: str, shape: Sequence[int | str | None]) -> None:
        """Raise UnsupportedModelError if an output with ``shape`` after the batch axis has no classes to compare."""
        if len(shape) > 1 and sum(size != 1 for size in shape) > 1:
            raise UnsupportedModelError(
                f"'{tensor}' of {model.name} has the shape {('N', *short_sizes(shape))}, not one axis of classes, and "
                f"{type(self).__name__} compares classes."
            )
        if all(size == 1 for size in shape):
            raise UnsupportedModelError(
                f"'{tensor}' of {model.name} scores one class, and {type(self).__name__} compares classes."
            )

    @final
    def map_targets(self, model: Model, resolved: ResolvedTargets) -> ResolvedTargets:
        method, terms = type(self).__name__, list[TargetTerm]()
        for term in resolved.terms:
            self._check_classes(model, term.tensor, resolved.outputs[term.tensor].shape[1:])
            tensor, scores = _logits(model, term.tensor, resolved.outputs, method)
            indices = np.tile(np.arange(scores.shape[1], dtype=np.int64), (len(scores), 1))
            classes = classes_of(term, method)
            others = self.others(model, scores, classes)
            # A term is named after the classes that it compares with.
            names = self.names_of_others(model, term.tensor, scores, others)
            targets = self.coefficients(scores, classes, others)
            terms += [TargetTerm(tensor, "identity", indices, weights, names) for weights in targets]
        selection = TargetSet(terms)
        values = selection.select(resolved.outputs).T
        return dataclasses.replace(resolved, selection=selection, values=values, count=len(terms))

    @final
    def diagnostics(self, targets: ResolvedTargets) -> Document:
        return {"against": targets.names} if targets.names.astype(bool).any() else {}


def class_names(model: Model, tensor: str, count: int, classes: Array) -> tuple[str, ...]:
    """The names of classes (N, S), joined by commas for each sample."""
    return tuple(", ".join(class_name(int(k), count, tensor, model) for k in row) for row in classes)


def one_hot(classes: Array, count: int) -> Array:
    """Rows (N, K) with 1 at the class of each sample."""
    return np.asarray(np.arange(count) == classes[:, None], dtype=np.float64)


def softmax(scores: Array) -> Array:
    """Probabilities (N, K)."""
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def classes_of(term: TargetTerm, method: str) -> Array:
    """The class of each sample that a target scores, (N,).

    Raises
    ------
    UnsupportedModelError
        The target is not the score of a class.
    """
    if term.activation == "identity" and term.indices.shape[1] == 1 and (term.coefficients == 1).all():
        classes: Array = term.indices[:, 0]
        return classes
    raise UnsupportedModelError(
        f"{method} compares classes, but the target '{term.names[0]}' is not the score of a class. "
        "Give a class as the target."
    )


def _logits(model: Model, tensor: str, outputs: Mapping[str, Array], method: str) -> tuple[str, Array]:
    """The name of the tensor of logits, and the logits (N, K), for classes of ``tensor``."""
    scores = class_scores(outputs[tensor], tensor)
    logits = logits_of(model, tensor)
    values = outputs[logits]
    probable = logits == tensor and to_probability(values, tensor, model) == "identity"
    if probable or values[0].size != scores.shape[1]:
        raise UnsupportedModelError(
            f"'{tensor}' of {model.name} holds probabilities, {method} compares logits, and they cannot be found in "
            f"the graph. Read the target from the tensor before the probabilities: output='LOGITS'. "
            "If these are logits, set activation = 'logits' in the spec."
        )
    return logits, class_scores(values, logits).astype(np.float64)
