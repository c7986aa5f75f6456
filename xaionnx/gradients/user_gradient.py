"""A gradient model of the user's own: an exported autograd graph beside the model that is explained."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Final, final

import numpy as np

from xaionnx.autodiff import Gradient
from xaionnx.data.sample import Sample
from xaionnx.errors import UnsupportedModelError
from xaionnx.gradients.finite_differences import FiniteDifferences
from xaionnx.gradients.source import At, GradientRequest, Piece, Source
from xaionnx.gradients.spans import spans
from xaionnx.runtime import progress
from xaionnx.runtime.model import Model
from xaionnx.runtime.session import SessionSettings
from xaionnx.runtime.tensors import TensorInfo
from xaionnx.targets.selection import TargetTerm, activate
from xaionnx.typing import Array, GradientLike

# Steps of the check, as shares of the value range: one of them lies between rounding and curvature.
_STEPS: Final = (1e-5, 1e-4, 1e-3)
# Rectifiers flip within a step, so that even the right slope is a few percent off.
_SLACK: Final = 0.05
# Units in the last place of float32 that the model's answers may be off.
_ROUNDING: Final = 8
# Where it disagrees at the point itself it is asked again beside it, as a share of the value range: a slope has two
# sides where many inputs lie, at zeros and at the codes of a category.
_AWAY: Final = (0.0, 0.01)


@final
class UserGradient(Source):
    """Gradients by another model, matched by name and shape.

    Its inputs are

    - inputs of the explained model, by name and shape (by type and shape where only one is alike); not all are needed;
    - at most one more: a cotangent, floats in the shape of the output that is explained, which says how much each of
      its numbers counts; or a class, (N,) int64. Neither is needed where that output holds one number.

    Its outputs are, for each explained input, ``gradient_<input>``, ``grad_<input>``, or the only one that has the
    input's name or its type and shape: the gradient of ``sum(cotangent * output)``, of the class's number, or of the
    one number. Other outputs are not read.

    Before it is used it is compared with central differences of the explained model at each point and target that is
    explained, in one random direction: half of the elements, drawn at random, move with the sign of the gradient, so
    that its slope is far above the rounding, the others up or down by chance.

    Raises
    ------
    UnsupportedModelError
        It does not match, or disagrees with the central differences.
    """

    words: ClassVar[str] = "FILE.onnx (a gradient model)"

    def __init__(self, given: GradientLike, question: GradientRequest) -> None:
        self._question = question
        self._model = _opened(given, question.model)
        # The explained model's input behind each of its own, and its gradient of each explained input.
        self._inputs, self._aim = self._matched_inputs()
        self._outputs = {name: self._matched_output(question.model.input(name)) for name in question.names}
        for term in question.terms:
            self._fit(term.tensor)
        self._check()

    @classmethod
    def takes(cls, given: object) -> bool:
        return given.endswith(".onnx") if isinstance(given, str) else isinstance(given, (os.PathLike, Model, Gradient))

    @classmethod
    def of(cls, given: GradientLike, question: GradientRequest) -> UserGradient:
        return cls(given, question)

    @property
    def name(self) -> str:
        return self._model.name

    def facts(self) -> object:
        return self._model

    def _matched_inputs(self) -> tuple[dict[str, str], TensorInfo | None]:
        asked = self._question.model
        named = {info.name: info for info in asked.inputs}
        found: dict[str, str] = {}
        rest: list[TensorInfo] = []
        for info in self._model.inputs:
            if info.name not in named:
                rest.append(info)
                continue
            if not _alike(info, named[info.name]):
                raise UnsupportedModelError(
                    f"Input '{info.name}' of the gradient model {self._model.name} is {info}, and that of {asked.name} "
                    f"is {named[info.name]}. Export both with the same shapes and types."
                )
            found[info.name] = info.name
        for info in list(rest):
            left = [name for name, known in named.items() if name not in found.values() and _alike(info, known)]
            if len(left) == 1:
                found[info.name] = left[0]
                rest.remove(info)
        aim = rest[0] if rest else None
        by_class = aim is not None and aim.dtype.kind in "iu" and len(aim.shape) == 1
        if len(rest) > 1 or not (aim is None or by_class or aim.dtype.kind == "f"):
            raise UnsupportedModelError(
                f"The gradient model {self._model.name} has the inputs {_listed(self._model.inputs)}, and {asked.name} "
                f"{_listed(asked.inputs)}. Give it inputs of these names, and at most one more: a cotangent in the "
                "shape of the output, or a class of shape (N,) int64."
            )
        return found, aim

    def _matched_output(self, wanted: TensorInfo) -> str:
        outputs = {info.name: info for info in self._model.outputs}
        for name in (f"gradient_{wanted.name}", f"grad_{wanted.name}", wanted.name):
            if name in outputs:
                if _alike(outputs[name], wanted):
                    return name
                raise UnsupportedModelError(
                    f"Output '{name}' of the gradient model {self._model.name} is {outputs[name]}, and input "
                    f"'{wanted.name}' of {self._question.model.name} is {wanted}. Export the gradient in the shape of "
                    "its input."
                )
        alike = [name for name, info in outputs.items() if _alike(info, wanted)]
        if len(alike) == 1:
            return alike[0]
        raise UnsupportedModelError(
            f"The gradient model {self._model.name} has the outputs {_listed(self._model.outputs)}, "
            f"{'none' if not alike else 'more than one'} of which fits input '{wanted.name}' {wanted}. "
            f"Name the gradient 'gradient_{wanted.name}'."
        )

    def _fit(self, tensor: str) -> None:
        """Refuse a model that cannot be told which number of the tensor is meant."""
        asked, aim = self._question, self._aim
        info = asked.resolved.model.output(tensor)
        sizes = [term.indices.max() for term in asked.terms if term.tensor == tensor]
        if aim is None and (max(sizes) > 0 or any(isinstance(size, int) and size > 1 for size in info.shape[1:])):
            raise UnsupportedModelError(
                f"The gradient model {self._model.name} has no input that says which number of '{tensor}' {info} it is "
                "the gradient of. Give it a cotangent in the shape of that output, or a class of shape (N,) int64."
            )
        if aim is not None and aim.dtype.kind == "f" and not _alike(aim, info):
            raise UnsupportedModelError(
                f"Input '{aim.name}' of the gradient model {self._model.name} is {aim}, which is neither an input of "
                f"{asked.model.name} nor a cotangent in the shape of '{tensor}', {info}."
            )

    def at(self, sample: Array, target: Array, points: At) -> Iterator[Piece]:
        progress.expect(target.size)
        asked = self._question
        for number, t in ((u, t) for u, targets in enumerate(target) for t in np.unique(targets)):
            # Targets may read tensors of different sizes.
            rows = np.flatnonzero(target[number] == t)
            each = 2 if self._takes_answers(asked.terms[t]) else 1

            # Asked once for a batch and once for its factors; an activation's slope has run the model then.
            @lru_cache(maxsize=2)
            def answered(start: int, stop: int, rows: Array = rows, t: int = t) -> tuple[dict[str, Array], Array]:
                some = rows[start:stop]
                return self._fed(sample[some], np.full(len(some), t), points(some))

            fetch = [*self._outputs.values()]
            for start, stop, outputs in self._model.batches(
                len(rows), lambda start, stop: answered(start, stop)[0], fetch, self._shared()
            ):
                progress.advance(stop - start)
                some = rows[start:stop]
                asked.evaluations.add(sample[some], each)
                factor = answered(start, stop)[1]
                gradients = {}
                for name, output in self._outputs.items():
                    info, shape = asked.model.input(name), (-1, *(1,) * (outputs[output].ndim - 1))
                    gradients[name] = (outputs[output] * factor.reshape(shape)).astype(info.dtype)[None]
                yield Piece(np.array([number]), some, gradients)

    def _shared(self) -> dict[str, Array]:
        theirs = {old: name for name, old in self._inputs.items()}
        return {theirs[name]: array for name, array in self._question.shared.items() if name in theirs}

    def _fed(self, sample: Array, target: Array, points: Mapping[str, Array]) -> tuple[dict[str, Array], Array]:
        """Its inputs, and what its answers are to be multiplied with, (m,)."""
        asked, aim = self._question, self._aim
        every = asked.fed(sample, points)
        fed = {name: every[old] for name, old in self._inputs.items() if old in every}
        slopes, shape = self._cotangent(sample, target, every)
        ones = np.ones(len(sample))
        if aim is None:
            return fed, slopes[:, 0]
        if aim.dtype.kind == "f":
            fed[aim.name] = slopes.reshape(shape).astype(aim.dtype)
            return fed, ones
        chosen = np.abs(slopes).argmax(axis=1)
        if (np.count_nonzero(slopes, axis=1) > 1).any():
            raise UnsupportedModelError(
                f"The gradient model {self._model.name} answers for one class, input '{aim.name}', and this target "
                "reads several numbers. Explain the score of a class, or give a model with a cotangent."
            )
        fed[aim.name] = chosen.astype(aim.dtype)
        return fed, slopes[np.arange(len(sample)), chosen]

    def _takes_answers(self, term: TargetTerm) -> bool:
        """Whether a target's slopes take the model's own answers: of an activation, or for a free size alone."""
        info = self._question.resolved.model.output(term.tensor)
        free = any(not isinstance(size, int) for size in info.shape[1:])
        return free or term.activation != "identity" or term.reference is not None

    def _cotangent(self, sample: Array, target: Array, fed: Mapping[str, Array]) -> tuple[Array, tuple[int, ...]]:
        """The slopes (m, S) of one target with respect to the tensor that it reads, and the tensor's shape."""
        asked = self._question
        term = asked.terms[target[0]]
        info = asked.resolved.model.output(term.tensor)
        if not self._takes_answers(term):
            shape = (len(sample), *(size for size in info.shape[1:] if isinstance(size, int)))
            return asked.weights(sample, target, int(np.prod(shape[1:])))[0], shape
        answers = asked.resolved.model.run({**fed, **asked.shared}, [term.tensor])[term.tensor]
        values = activate(term.activation, answers).astype(np.float64)
        slopes, reference = asked.weights(sample, target, values.shape[1])
        if term.reference is not None:
            slopes = slopes * 2 * (values - reference)
        if term.activation == "sigmoid":
            slopes = slopes * values * (1 - values)
        elif term.activation == "softmax":
            slopes = values * (slopes - (values * slopes).sum(axis=1, keepdims=True))
        elif term.activation == "log_softmax":
            slopes = slopes - np.exp(values) * slopes.sum(axis=1, keepdims=True)
        return slopes, answers.shape

    def _check(self) -> None:
        asked = self._question
        count, targets = len(asked.samples), len(asked.terms)
        which, target = np.divmod(np.arange(count * targets), targets)
        wrong: list[tuple[int, float, float]] = []
        for away in _AWAY:
            rng = np.random.default_rng(1)
            x = {name: np.stack([_beside(sample, name, away, rng) for sample in asked.samples]) for name in asked.names}
            left = np.array([row for row, _, _ in wrong] if wrong else range(len(which)))
            wrong = list(self._disagreeing(left, which[left], target[left], x))
            if not wrong:
                return
        row, claimed, seen = wrong[0]
        n, t = int(which[row]), int(target[row])
        raise UnsupportedModelError(
            f"The gradient model {self._model.name} is not the gradient of {asked.model.name}: in a random direction "
            f"from sample {n} it says that {asked.terms[t].names[n]} changes by {claimed:.6g}, and it changes by "
            f"{seen:.6g}."
        )

    def _disagreeing(
        self, rows: Array, which: Array, target: Array, x: Mapping[str, Array]
    ) -> Iterator[tuple[int, float, float]]:
        """Those of the rows whose gradients at ``x`` (N, ...) are wrong, each with the changes it claims and makes."""
        for piece in self.at(which, target[None], lambda some: {name: array[which[some]] for name, array in x.items()}):
            for place, row in enumerate(piece.rows.tolist()):
                n, t = int(which[row]), int(target[row])
                slopes = {name: array[0, place] for name, array in piece.gradients.items()}
                changes = self._compare(n, t, {name: array[n] for name, array in x.items()}, slopes)
                if changes is not None:
                    yield int(rows[row]), *changes

    def _compare(
        self, n: int, t: int, x: Mapping[str, Array], slopes: Mapping[str, Array]
    ) -> tuple[float, float] | None:
        """The change of a target that the gradient claims, and the one that is seen, where they disagree."""
        asked, sample = self._question, self._question.samples[n]
        rng = np.random.default_rng(0)
        ends: dict[str, Array] = {}
        claimed = np.zeros(len(_STEPS))
        for name, point in x.items():
            wide, slope = point.astype(np.float64), slopes[name].astype(np.float64)
            signs = rng.choice([-1.0, 1.0], size=wide.shape)
            along = np.where((rng.random(wide.shape) < 0.5) & (slope != 0), np.sign(slope), signs)
            ways = [share * spans(sample, name) * along for share in _STEPS]
            ends[name] = np.stack([wide + sign * way for way in ways for sign in (1, -1)]).astype(point.dtype)
            # The way that is really gone, in the input's precision.
            moved = ends[name].astype(np.float64)
            claimed += ((moved[::2] - moved[1::2]) * slope).reshape(len(_STEPS), -1).sum(axis=1)
        rows = np.full(2 * len(_STEPS), n)
        values = np.empty(len(rows))
        for start, stop, found in asked.values(
            len(rows), lambda a, b: rows[a:b], lambda a, b: {name: array[a:b] for name, array in ends.items()}
        ):
            values[start:stop] = found[:, t]
        seen = values[::2] - values[1::2]
        rounding = _ROUNDING * np.finfo(np.float32).eps * np.abs(values).max()
        off = np.abs(seen - claimed) - _SLACK * np.maximum(np.abs(seen), np.abs(claimed)) - rounding
        if (off <= 0).any():
            return None
        best = int(np.argmin(np.where(np.isnan(off), np.inf, off)))
        return float(claimed[best]), float(seen[best])


def _beside(sample: Sample, name: str, away: float, rng: np.random.Generator) -> Array:
    """An explained input, moved by at most ``away`` times its value range."""
    x = sample.x[name]
    moved: Array = (x + away * spans(sample, name) * rng.uniform(-1, 1, x.shape)).astype(x.dtype)
    return moved


def _alike(one: TensorInfo, other: TensorInfo) -> bool:
    """Whether tensors of one sample can have the same shape, and hold the same kind of numbers."""
    if one.dtype.kind != other.dtype.kind or len(one.shape) != len(other.shape):
        return False
    sizes = zip(one.shape[1:], other.shape[1:], strict=True)
    return all(a == b for a, b in sizes if isinstance(a, int) and isinstance(b, int))


def _listed(infos: tuple[TensorInfo, ...]) -> str:
    return ", ".join(f"'{info.name}' {info}" for info in infos)


def _opened(given: GradientLike, beside: Model) -> Model:
    if isinstance(given, Model):
        return given
    if isinstance(given, Gradient):
        return given.model
    assert not isinstance(given, FiniteDifferences)  # the source before this one takes them
    path = Path(given)
    facts = path.stat() if path.exists() else None
    stamp = None if facts is None else (facts.st_mtime_ns, facts.st_size)
    return _loaded(path, stamp, beside.settings, beside.batch_size, beside.timeout_s, beside.allow_random)


# One command explains many files with the same two models.
@lru_cache(maxsize=1)
def _loaded(
    path: Path,
    stamp: tuple[int, int] | None,
    settings: SessionSettings,
    batch_size: int | None,
    timeout_s: float | None,
    random: bool,
) -> Model:
    del stamp
    return Model.load(
        path, settings.device, batch_size, threads=settings.threads, timeout_s=timeout_s, allow_random=random
    )
