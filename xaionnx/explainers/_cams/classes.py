"""Targets that are classes, and Grad-CAM asked what sets them apart from others."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import UnsupportedModelError
from xaionnx.explainers._cams.cam import Seen, SlopeCamExplainer
from xaionnx.explainers._cams.cam_ops import NUMBERS
from xaionnx.explainers._gradients.gradient import Found
from xaionnx.gradients.target_gradients import TargetGradients
from xaionnx.runtime.model import Model
from xaionnx.targets.resolve import ResolvedTargets
from xaionnx.targets.scores import class_name, class_scores, logits_of, to_probability
from xaionnx.targets.selection import TargetSet, TargetTerm
from xaionnx.typing import Array

if TYPE_CHECKING:
    from xaionnx.layers.dry_run import DryRun


@dataclass(frozen=True, kw_only=True)
class ClassCamExplainer(SlopeCamExplainer):
    """Grad-CAM of another number than the target, made of the scores of all classes::

        map = max(0, sum_k A_k 1/Z sum_ij dJ/dA_k[i, j])

    The scores are the logits: where the target is read from probabilities, those that the softmax or sigmoid at the
    end of the graph reads. ``diagnostics["against"]`` tells the classes that the target is compared with, by sample,
    where they were chosen among the others.
    """

    @abstractmethod
    def coefficients(self, scores: Array, classes: Array, others: Array) -> list[Array]:
        """How much each score (N, K) counts in the numbers J that are asked for the classes (N,): arrays (N, K)."""

    def others(self, model: Model, scores: Array, classes: Array) -> Array:
        """The classes (N, S) that each is compared with; none where that is all of them."""
        del model, scores
        return np.empty((len(classes), 0), dtype=np.int64)

    def named(self, model: Model, tensor: str, scores: Array, others: Array) -> tuple[str, ...]:
        """The classes that each of N samples is compared with, in words."""
        return tuple(", ".join(class_name(int(k), scores.shape[1], tensor, model) for k in row) for row in others)

    def small(self, planes: Array, slopes: Array) -> Array:
        found: Array = (NUMBERS.mean(slopes) * planes).sum(axis=-3)
        return found

    def chosen(self, model: Model, sample: Sample, tensors: list[str]) -> str:
        return super().chosen(model, sample, [logits_of(model, tensor) for tensor in tensors])

    def watched(self, model: Model, tensors: list[str]) -> list[str]:
        return [logits_of(model, tensor) for tensor in tensors]

    def validate_questions(self, dry_run: DryRun) -> None:
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

    def questions(self, model: Model, resolution: ResolvedTargets) -> ResolvedTargets:
        method, picks = type(self).__name__, []
        for pick in resolution.selection.picks[: resolution.own]:
            self._refuse(model, pick.tensor, resolution.answers[pick.tensor].shape[1:])
            tensor, scores = _logits(model, pick.tensor, resolution.answers, method)
            places = np.tile(np.arange(scores.shape[1], dtype=np.int64), (len(scores), 1))
            classes = classes_of(pick, method)
            others = self.others(model, scores, classes)
            # A question is called after the classes that it compares with.
            names = self.named(model, pick.tensor, scores, others)
            asked = self.coefficients(scores, classes, others)
            picks += [TargetTerm(tensor, "identity", places, weights, names) for weights in asked]
        selection = TargetSet(picks)
        values = selection.select(resolution.answers).T
        return dataclasses.replace(resolution, selection=selection, values=values, own=len(picks))

    def look(self, model: Model, seen: Seen) -> tuple[Found, TargetGradients | None]:
        found, slopes = super().look(model, seen)
        names = seen.whole.resolution.selection.names
        told = {"against": names} if names.astype(bool).any() else {}
        return dataclasses.replace(found, diagnostics={**found.diagnostics, **told}), slopes


def one_hot(classes: Array, count: int) -> Array:
    """Rows (N, K) with 1 at the class of each sample."""
    return np.asarray(np.arange(count) == classes[:, None], dtype=np.float64)


def softmax(scores: Array) -> Array:
    """Probabilities (N, K)."""
    grown = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(grown / grown.sum(axis=1, keepdims=True))


def classes_of(pick: TargetTerm, method: str) -> Array:
    """The class of each sample that a target scores, (N,).

    Raises
    ------
    UnsupportedModelError
        It is no score of a class.
    """
    if pick.activation == "identity" and pick.indices.shape[1] == 1 and (pick.coefficients == 1).all():
        found: Array = pick.indices[:, 0]
        return found
    raise UnsupportedModelError(
        f"{method} compares classes, and the target '{pick.names[0]}' is not the score of one. "
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
