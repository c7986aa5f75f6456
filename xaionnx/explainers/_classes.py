"""Targets that are classes, and Grad-CAM asked what sets them apart from others."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xaionnx.errors import UnsupportedModelError
from xaionnx.explainers._algebra import NUMBERS
from xaionnx.explainers._cam import SlopeCamExplainer
from xaionnx.model import Model
from xaionnx.resolution import Resolution
from xaionnx.scores import class_scores
from xaionnx.selection import Pick, Selection

if TYPE_CHECKING:
    from xaionnx.explainers._prospect import Prospect

Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class ClassCamExplainer(SlopeCamExplainer):
    """Grad-CAM of another number than the target, made of the scores of all classes::

    map = max(0, sum_k A_k 1/Z sum_ij dJ/dA_k[i, j])
    """

    @abstractmethod
    def coefficients(self, model: Model, scores: Array, classes: Array) -> list[Array]:
        """How much each score (N, K) counts in the numbers J that are asked for the classes (N,): arrays (N, K)."""

    def small(self, planes: Array, slopes: Array) -> Array:
        found: Array = (NUMBERS.mean(slopes) * planes).sum(axis=-3)
        return found

    def foresee(self, prospect: Prospect) -> dict[str, str | None]:
        model, tensor = prospect.model, prospect.tensor
        self._refuse(model, tensor, model.output().shape[1:])
        return super().foresee(prospect)

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

    def questions(self, model: Model, resolution: Resolution) -> Resolution:
        picks = []
        for pick in resolution.selection.picks[: resolution.own]:
            answers = resolution.answers[pick.tensor]
            self._refuse(model, pick.tensor, answers.shape[1:])
            scores = class_scores(answers, pick.tensor).astype(np.float64)
            places = np.tile(np.arange(scores.shape[1], dtype=np.int64), (len(scores), 1))
            asked = self.coefficients(model, scores, classes_of(pick, type(self).__name__))
            picks += [Pick(pick.tensor, "identity", places, weights, pick.names) for weights in asked]
        selection = Selection(picks)
        values = selection.select(resolution.answers).T
        return replace(resolution, selection=selection, values=values, own=len(picks))


def one_hot(classes: Array, count: int) -> Array:
    """Rows (N, K) with 1 at the class of each sample."""
    return np.asarray(np.arange(count) == classes[:, None], dtype=np.float64)


def softmax(scores: Array) -> Array:
    """Probabilities (N, K)."""
    grown = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(grown / grown.sum(axis=1, keepdims=True))


def classes_of(pick: Pick, method: str) -> Array:
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
