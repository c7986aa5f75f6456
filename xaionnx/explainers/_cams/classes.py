"""Targets that are classes, and Grad-CAM asked what sets them apart from others."""

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
from xaionnx.targets.resolve import ResolvedTargets
from xaionnx.targets.scores import class_name, class_scores, logits_of, to_probability
from xaionnx.targets.selection import TargetSet, TargetTerm
from xaionnx.typing import Array, Document

if TYPE_CHECKING:
    from xaionnx.layers.dry_run import DryRun


class ClassQuestions(ABC):
    """Lets a :class:`CamExplainer` ask about another number than the target, made of all classes' scores::

        map = max(0, sum_k A_k 1/Z sum_ij dJ/dA_k[i, j])

    The scores are the logits: where the target is read from probabilities, those that the softmax or sigmoid at the
    end of the graph reads. ``diagnostics["against"]`` tells the classes that the target is compared with, by sample,
    where they were chosen among the others.
    """

    @abstractmethod
    def coefficients(self, scores: Array, classes: Array, others: Array) -> list[Array]:
        """How much each score (N, K) counts in the numbers J that are asked for the classes (N,): arrays (N, K)."""

    @hook
    def others(self, model: Model, scores: Array, classes: Array) -> Array:
        """The classes (N, S) that each is compared with; none where that is all of them."""
        del model, scores
        return np.empty((len(classes), 0), dtype=np.int64)

    @hook
    def named(self, model: Model, tensor: str, scores: Array, others: Array) -> tuple[str, ...]:
        """The classes that each of N samples is compared with, in words."""
        return class_names(model, tensor, scores.shape[1], others)

    @hook
    def joined(self, maps: Array) -> Array:
        """The maps (T, N, h, w) of the targets, of those of all questions."""
        return maps

    @final
    def small(self, planes: Array, slopes: Array) -> Array:
        return self.joined(NUMBERS.channels(NUMBERS.mean(slopes) * planes))

    @final
    def scores_of(self, model: Model, tensor: str) -> str:
        return logits_of(model, tensor)

    @final
    def check_questions(self, dry_run: DryRun) -> None:
        model, tensor = dry_run.model, dry_run.tensor
        self._refuse(model, tensor, model.output().shape[1:])
        if dry_run.rows is not None:
            fetched = list(dict.fromkeys([tensor, logits_of(model, tensor)]))
            _logits(model, tensor, model.with_outputs(fetched).run(dry_run.rows, fetched), type(self).__name__)

    def _refuse(self, model: Model, tensor: str, shape: Sequence[int | str | None]) -> None:
        """Refuse an answer of ``shape`` behind the batch that holds no classes to compare."""
        if len(shape) > 1 and sum(size != 1 for size in shape) > 1:
            raise UnsupportedModelError(
                f"'{tensor}' of {model.name} has the shape {('N', *shape)}, not one axis of classes, and "
                f"{type(self).__name__} compares classes."
            )
        if all(size == 1 for size in shape):
            raise UnsupportedModelError(
                f"'{tensor}' of {model.name} scores one class, and {type(self).__name__} compares classes."
            )

    @final
    def questions(self, model: Model, resolved: ResolvedTargets) -> ResolvedTargets:
        method, terms = type(self).__name__, list[TargetTerm]()
        for term in resolved.terms:
            self._refuse(model, term.tensor, resolved.answers[term.tensor].shape[1:])
            tensor, scores = _logits(model, term.tensor, resolved.answers, method)
            places = np.tile(np.arange(scores.shape[1], dtype=np.int64), (len(scores), 1))
            classes = classes_of(term, method)
            others = self.others(model, scores, classes)
            # A question is called after the classes that it compares with.
            names = self.named(model, term.tensor, scores, others)
            asked = self.coefficients(scores, classes, others)
            terms += [TargetTerm(tensor, "identity", places, weights, names) for weights in asked]
        selection = TargetSet(terms)
        values = selection.select(resolved.answers).T
        return dataclasses.replace(resolved, selection=selection, values=values, count=len(terms))

    @final
    def diagnostics(self, asked: ResolvedTargets) -> Document:
        return {"against": asked.names} if asked.names.astype(bool).any() else {}


def class_names(model: Model, tensor: str, count: int, classes: Array) -> tuple[str, ...]:
    """Classes (N, S) in words, those of each sample joined by commas."""
    return tuple(", ".join(class_name(int(k), count, tensor, model) for k in row) for row in classes)


def one_hot(classes: Array, count: int) -> Array:
    """Rows (N, K) with 1 at the class of each sample."""
    return np.asarray(np.arange(count) == classes[:, None], dtype=np.float64)


def softmax(scores: Array) -> Array:
    """Probabilities (N, K)."""
    grown = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(grown / grown.sum(axis=1, keepdims=True))


def classes_of(term: TargetTerm, method: str) -> Array:
    """The class of each sample that a target scores, (N,).

    Raises
    ------
    UnsupportedModelError
        It is no score of a class.
    """
    if term.activation == "identity" and term.indices.shape[1] == 1 and (term.coefficients == 1).all():
        found: Array = term.indices[:, 0]
        return found
    raise UnsupportedModelError(
        f"{method} compares classes, and the target '{term.names[0]}' is not the score of one. "
        "Give a class as the target."
    )


def _logits(model: Model, tensor: str, answers: Mapping[str, Array], method: str) -> tuple[str, Array]:
    """The tensor that holds the logits of the classes, and these (N, K), for classes of ``tensor``."""
    scores = class_scores(answers[tensor], tensor)
    logits = logits_of(model, tensor)
    known = answers[logits]
    probable = logits == tensor and to_probability(known, tensor, model) == "identity"
    if probable or known[0].size != scores.shape[1]:
        raise UnsupportedModelError(
            f"'{tensor}' of {model.name} holds probabilities, {method} compares logits, and the graph does not show "
            f"which they are made of. Read the target from the tensor in front of them: output='LOGITS', --output "
            "LOGITS. If these are logits, say activation = 'logits' in the spec."
        )
    return logits, class_scores(known, logits).astype(np.float64)
