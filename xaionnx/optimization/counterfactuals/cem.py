"""CEM: what must be absent, and what suffices: pertinent negatives and positives."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Final, final

import numpy as np

from xaionnx.autodiff import gradient
from xaionnx.errors import ParameterError, UnsupportedModelError
from xaionnx.optimisers.fista import soft_threshold
from xaionnx.optimization.contrast import Contrast, InputSearch, Problem
from xaionnx.optimization.judge import Judge
from xaionnx.parameters import choice, free, integer, real
from xaionnx.runtime.model import Model
from xaionnx.typing import Array

if TYPE_CHECKING:
    from xaionnx.typing import ModelLike

_NEGATIVE: Final = "pertinent negative"
_POSITIVE: Final = "pertinent positive"
_GROWTH: Final = 10.0


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Cem(InputSearch):
    """The least that is to be added for another class, and the least that is to be kept for the same one::

        min over d of  c max(0, margin - s(z)) + beta |d|_1 + |d|_2^2 + gamma |z - A(z)|_2^2
        negative: z = x + d, d beyond x;     positive: z = d, d within x

    s is the output of the wanted class less the highest other one: of any other class for the negative, which only
    moves values away from ``nothing``, and of the predicted class for the positive, which keeps each value between
    ``nothing`` and that of x. Both stay within black and white of pictures. A is an autoencoder, the ``prior``, and
    draws them to inputs as it knows them.

    The weight c grows tenfold until the model itself gives the answer, and is then halved between the last that failed
    and the least that did not. At each c steps of falling length follow the gradient graph, with soft thresholds and
    momentum (FISTA); the valid input of the least penalty counts.

    References
    ----------
    Dhurandhar et al., Explanations based on the missing: towards contrastive explanations with pertinent negatives,
    NeurIPS 2018, arXiv:1802.07623, equations 1 to 5.
    """

    reference: ClassVar[str] = "Dhurandhar et al. 2018, arXiv:1802.07623"

    pertinent: str = choice("both", ("both", "negative", "positive"), "which of the two")
    beta: float = real(0.1, "weight of the sum of sizes", low=0)
    margin: float = real(0.0, "by how much the wanted class must lead", low=0)
    nothing: float | None = real(None, "the value that says nothing; black of pictures, else 0", optional=True)
    c: float = real(1.0, "first weight of the answer", low=0, low_open=True)
    searches: int = integer(6, "number of weights that are tried", low=1)
    steps: int = integer(200, "steps at each weight", low=1)
    rate: float = real(0.02, "length of the first step, as a share of black to white", low=0, low_open=True)
    prior: ModelLike | None = free(None, "an ONNX file or a Model", "an autoencoder of such inputs")
    gamma: float = real(0.1, "weight of the prior", low=0)

    def search(self, problem: Problem) -> list[Contrast]:
        if problem.to is not None:
            raise ParameterError("Cem takes no 'to': it looks for any other class, and for the predicted one.")
        kinds = (_NEGATIVE, _POSITIVE) if self.pertinent == "both" else (f"pertinent {self.pertinent}",)
        return [self._one(problem, kind) for kind in kinds]

    def _one(self, problem: Problem, kind: str) -> Contrast:
        judge = problem.judge(keep=kind == _POSITIVE)
        if judge.slope(problem.x) is None:
            raise UnsupportedModelError(f"{problem.model.name} has no gradient, which cem follows.")
        space = _Space.of(problem, self.nothing, kind)
        prior = None if self._autoencoder is None else _Prior(self._autoencoder, problem.x)
        best, least, c, failed, passed = None, np.inf, self.c, 0.0, np.inf
        for _ in range(self.searches):
            found = self.least(judge, space, c, prior)
            if found is None:
                failed, c = c, (c * _GROWTH if passed == np.inf else (c + passed) / 2)
                continue
            penalty = self._penalty(space, found, prior)
            if penalty < least:
                best, least = found, penalty
            passed, c = c, (failed + c) / 2
        return problem.contrast(
            kind,
            None if best is None else best.astype(problem.x.dtype),
            judge,
            np.inf if best is None else float(np.abs(best - space.start).sum()),
            "sum of what was added" if kind == _NEGATIVE else "sum of what is kept",
        )

    @cached_property
    def _autoencoder(self) -> Model | None:
        return self.prior if self.prior is None or isinstance(self.prior, Model) else Model.load(self.prior)

    def least(self, judge: Judge, space: _Space, c: float, prior: _Prior | None = None) -> Array | None:
        """Return the valid input with the least penalty on the way at one weight; None if no step is valid."""
        here = ahead = space.start
        best, least = None, np.inf
        # Where outputs are equal, as of nothing, no class leads yet.
        wanted = max(self.margin, judge.goal)
        for step in range(self.steps):
            length = self.rate * space.unit * (1 - step / self.steps) ** 0.5
            score = self._score(judge, ahead)
            uphill = 2 * (ahead - space.start)
            if score < wanted:
                slope = judge.slope(ahead)
                assert slope is not None  # it has been asked before
                uphill = uphill - c * np.nan_to_num(slope)
            if prior is not None and self.gamma:
                uphill = uphill + self.gamma * prior.slope(ahead)
            new = space.proximal(ahead - length * uphill, length * self.beta)
            if self._score(judge, new) >= wanted:
                penalty = self._penalty(space, new, prior)
                if penalty < least:
                    best, least = new, penalty
            ahead = space.inside(new + step / (step + 3) * (new - here))
            here = new
        return best

    @staticmethod
    def _score(judge: Judge, at: Array) -> float:
        return float(judge.scores(at[None])[0])

    def _penalty(self, space: _Space, at: Array, prior: _Prior | None) -> float:
        moved = at - space.start
        drawn = 0.0 if prior is None else self.gamma * prior.gap(at)
        return float(self.beta * np.abs(moved).sum() + np.square(moved).sum()) + drawn


@final
@dataclass(frozen=True, eq=False)
class _Space:
    """Inputs between two others, of which the sizes of changes from ``start`` count."""

    start: Array
    low: Array
    high: Array
    unit: float

    @classmethod
    def of(cls, problem: Problem, nothing: float | None, kind: str) -> _Space:
        x, (low, high) = problem.x.astype(np.float64), problem.bounds()
        zero = np.broadcast_to(np.where(np.isfinite(low), low, 0.0) if nothing is None else nothing, x.shape)
        unit = float(np.max(high - low)) if np.isfinite(high - low).all() else 1.0
        if kind == _POSITIVE:
            return cls(zero.astype(np.float64), np.minimum(x, zero), np.maximum(x, zero), unit)
        # Values move away from nothing, or either way where there is nothing.
        return cls(x, np.where(x > zero, x, low), np.where(x < zero, x, high), unit)

    def inside(self, at: Array) -> Array:
        return np.clip(at, self.low, self.high)

    def proximal(self, at: Array, threshold: float) -> Array:
        return self.inside(self.start + soft_threshold(at - self.start, threshold))


@final
class _Prior:
    """The squared distance of an input from what an autoencoder makes of it."""

    def __init__(self, model: Model, x: Array) -> None:
        self._model = model
        self._in, self._out = self._model.input().name, self._model.output().name
        self._dtype = self._model.input().dtype
        rebuilt = self._rebuilt(x)
        if rebuilt.shape != x.shape:
            raise UnsupportedModelError(
                f"{self._model.name} returns {rebuilt.shape} for an input of {x.shape}. Give an autoencoder as 'prior'."
            )
        self._graph = gradient(self._model, self._out, [self._in], sample={self._in: x[None].astype(self._dtype)})

    def _rebuilt(self, x: Array) -> Array:
        return np.asarray(self._model.run({self._in: x[None].astype(self._dtype)}, [self._out])[self._out][0])

    def gap(self, x: Array) -> float:
        return float(np.square(x - self._rebuilt(x)).sum())

    def slope(self, x: Array) -> Array:
        """The gradient of the gap: 2 (x - A(x)) less its product with the Jacobian of A."""
        away = 2 * (x - self._rebuilt(x))
        _, slopes = self._graph.run({self._in: x[None].astype(self._dtype)}, away[None].astype(self._dtype))
        return np.asarray(away - slopes[self._in][0], dtype=np.float64)
