"""Classifier: a model of pictures with inputs, and the probabilities of its classes with their gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np

from xaionnx.autodiff.gradient import gradient
from xaionnx.data.dataset import Dataset
from xaionnx.data.sample import Positions
from xaionnx.errors import UnsupportedModelError
from xaionnx.masker import picture_positions
from xaionnx.optimization.input_pool import InputPool
from xaionnx.perturb.baseline import Baseline
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.scores import default_output, flat
from xaionnx.typing import Array, BaselineLike, InputLike

# Inputs whose outputs tell logits from probabilities.
_SOME: Final = 32


@final
@dataclass(frozen=True, eq=False)
class Classifier:
    """What a masker is trained on: a model, its inputs, and its classes for them.

    Attributes
    ----------
    model : Model
    out : str
        The tensor of logits or probabilities.
    logits : bool
    inputs : InputPool
        Drawn as x (N, C, H, W), or (N, H, W, C).
    classes : int
    positions : Positions
        The rows and columns of the picture.
    """

    model: Model
    out: str
    logits: bool
    inputs: InputPool
    classes: int
    positions: Positions

    __repr__ = short_repr

    @classmethod
    def of(cls, model: Model, x: InputLike) -> Classifier:
        """Return the classifier of inputs, given as anything that the model reads.

        Raises
        ------
        UnsupportedModelError
            The model is not a classifier of one picture.
        DataError
            Inputs cannot be read, or do not fit the model.
        """
        inputs, out, name = InputPool.of(model, Dataset.of(x)), default_output(model), model.input().name
        some = {name: inputs.drawn(_SOME, np.random.default_rng(0))}
        positions = picture_positions(model, model.samples(some)[0])
        scores = flat(model.with_outputs([out]).run(some, [out])[out])
        if len(scores) != _SOME or scores.shape[1] < 2:
            returned = "one score" if len(scores) == _SOME else f"{len(scores)} rows for {_SOME} pictures"
            raise UnsupportedModelError(
                "Masks are learned for models of one picture that return a score for each class. "
                f"{model.name} returns {returned}."
            )
        activation = "none" if model.spec is None else model.spec.activation
        logits = activation == "logits" or not np.allclose(scores.sum(axis=1), 1, atol=0.05) or bool((scores < 0).any())
        return cls(model, out, logits, inputs, scores.shape[1], positions)

    def over(self, masks: Array) -> Array:
        """Return masks (N, H, W) with an axis of length 1 for the channels."""
        return np.expand_dims(masks, tuple(axis + 1 for axis in self.positions.values))

    def under(self, slopes: Array) -> Array:
        """Return gradients (N, H, W) of masks from those of inputs: their sum where :meth:`over` repeats."""
        return np.asarray(slopes.sum(axis=tuple(axis + 1 for axis in self.positions.values)))

    def baselines(self, given: Sequence[BaselineLike], x: Array, rng: np.random.Generator) -> Array:
        """Return a baseline (N, C, H, W) of each of some inputs, drawn from the given ones."""
        name, kinds = self.model.input().name, [Baseline.of(one) for one in given]
        samples = self.model.samples({name: x})
        drawn = [kinds[k].draws(sample, (name,), int(rng.integers(2**31)))[name]
                 for k, sample in zip(rng.integers(len(kinds), size=len(x)), samples, strict=True)]  # fmt: skip
        return np.stack([several[rng.integers(len(several))] for several in drawn])

    def top(self, x: Array) -> Array:
        """Return the class (N,) that the model sees in each of some inputs."""
        return np.asarray(flat(self.scores(x)).argmax(axis=1))

    def scores(self, z: Array) -> Array:
        """Return the logits or probabilities of inputs, (N, K), or with axes of length 1 as the model has them."""
        return self.model.with_outputs([self.out]).run({self.model.input().name: z}, [self.out])[self.out]

    def probabilities(self, scores: Array) -> Array:
        """Return the probabilities (N, K) that scores stand for, in float64."""
        wide = flat(scores).astype(np.float64)
        if not self.logits:
            return wide
        powers = np.exp(wide - wide.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def slope(self, z: Array, wanted: Array, outer: Callable[[Array], Array]) -> tuple[Array, Array]:
        """Return the probabilities (N,) of classes, and the gradient of a function of them, whose slope is given.

        The gradient has the shape of the inputs ``z``.
        """
        name, rows, scores = self.model.input().name, np.arange(len(z)), self.scores(z)
        p = self.probabilities(scores)
        own = p[rows, wanted]
        cotangent = np.zeros_like(p)
        if self.logits:
            cotangent -= (outer(own) * own)[:, None] * p
            cotangent[rows, wanted] += outer(own) * own
        else:
            cotangent[rows, wanted] = outer(own)
        found = gradient(self.model, self.out, [name], sample={name: z})
        return own, found.run({name: z}, cotangent.astype(np.float32).reshape(scores.shape))[1][name]
