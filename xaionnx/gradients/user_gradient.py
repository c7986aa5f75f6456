"""Gradients from a gradient model of the user, such as an exported autograd graph."""

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
from xaionnx.gradients.source import GradientRequest, InputsAt, Piece, Source
from xaionnx.perturb.value_ranges import value_ranges
from xaionnx.runtime import progress
from xaionnx.runtime.model import Model
from xaionnx.runtime.session import SessionSettings
from xaionnx.runtime.tensors import TensorInfo
from xaionnx.targets.selection import TargetTerm, activate
from xaionnx.typing import Array, GradientLike

# Steps of the check, relative to the value range: for one of them both rounding and curvature are small.
_STEPS: Final = (1e-5, 1e-4, 1e-3)
# Rectifiers switch within a step, so that even a correct gradient is a few percent off.
_SLACK: Final = 0.05
# Rounding error of the model's outputs, in units in the last place of float32.
_ROUNDING: Final = 8
# After a disagreement the check is repeated at a nearby point, at this distance relative to the value range: common
# inputs, such as zeros and codes of categories, are often kinks with two one-sided derivatives.
_AWAY: Final = (0.0, 0.01)


@final
class UserGradient(Source):
    """Gradients from another model, matched by name and shape.

    Its inputs are

    - inputs of the explained model, by name and shape (by type and shape if only one matches); not all are needed;
    - at most one more: a cotangent, floats in the shape of the explained output, the weights of its entries; or a
      class, (N,) int64. Neither is needed if the output is a single number.

    Its outputs are, for each explained input, ``gradient_<input>``, ``grad_<input>``, or the only one with the input's
    name or with its type and shape: the gradient of ``sum(cotangent * output)``, of the score of the class, or of the
    single number. Other outputs are ignored.

    Before use it is compared with central differences of the explained model at each explained point and target, in one
    random direction: a random half of the elements moves along the sign of the gradient, so that the change is far
    above rounding, and the others move up or down at random.

    Raises
    ------
    UnsupportedModelError
        It does not match the explained model, or disagrees with the central differences.
    """

    words: ClassVar[str] = "FILE.onnx (a gradient model)"

    def __init__(self, given: GradientLike, request: GradientRequest) -> None:
        self._request = request
        self._model = _open_gradient(given, request.model)
        # The explained model's input for each of its inputs, and its output for each explained input.
        self._inputs, self._aim = self._match_inputs()
        self._outputs = {name: self._match_output(request.model.input(name)) for name in request.names}
        for term in request.terms:
            self._check_aim(term.tensor)
        self._check()

    @classmethod
    def accepts(cls, given: object) -> bool:
        return given.endswith(".onnx") if isinstance(given, str) else isinstance(given, (os.PathLike, Model, Gradient))

    @classmethod
    def of(cls, given: GradientLike, request: GradientRequest) -> UserGradient:
        return cls(given, request)

    @property
    def name(self) -> str:
        return self._model.name

    def facts(self) -> object:
        return self._model

    def _match_inputs(self) -> tuple[dict[str, str], TensorInfo | None]:
        explained = self._request.model
        named = {info.name: info for info in explained.inputs}
        found: dict[str, str] = {}
        rest: list[TensorInfo] = []
        for info in self._model.inputs:
            if info.name not in named:
                rest.append(info)
                continue
            if not _compatible(info, named[info.name]):
                raise UnsupportedModelError(
                    f"Input '{info.name}' of the gradient model {self._model.name} is {info}, and that of "
                    f"{explained.name} is {named[info.name]}. Export both with the same shapes and types."
                )
            found[info.name] = info.name
        for info in list(rest):
            left = [name for name, known in named.items() if name not in found.values() and _compatible(info, known)]
            if len(left) == 1:
                found[info.name] = left[0]
                rest.remove(info)
        aim = rest[0] if rest else None
        by_class = aim is not None and aim.dtype.kind in "iu" and len(aim.shape) == 1
        if len(rest) > 1 or not (aim is None or by_class or aim.dtype.kind == "f"):
            raise UnsupportedModelError(
                f"The gradient model {self._model.name} has the inputs {_names_and_shapes(self._model.inputs)}, and "
                f"{explained.name} {_names_and_shapes(explained.inputs)}. Give it inputs of these names, and at most "
                "one more: a cotangent in the shape of the output, or a class of shape (N,) int64."
            )
        return found, aim

    def _match_output(self, wanted: TensorInfo) -> str:
        outputs = {info.name: info for info in self._model.outputs}
        for name in (f"gradient_{wanted.name}", f"grad_{wanted.name}", wanted.name):
            if name in outputs:
                if _compatible(outputs[name], wanted):
                    return name
                raise UnsupportedModelError(
                    f"Output '{name}' of the gradient model {self._model.name} is {outputs[name]}, and input "
                    f"'{wanted.name}' of {self._request.model.name} is {wanted}. Export the gradient in the shape of "
                    "its input."
                )
        alike = [name for name, info in outputs.items() if _compatible(info, wanted)]
        if len(alike) == 1:
            return alike[0]
        raise UnsupportedModelError(
            f"The gradient model {self._model.name} has the outputs {_names_and_shapes(self._model.outputs)}, "
            f"{'none' if not alike else 'more than one'} of which fits input '{wanted.name}' {wanted}. "
            f"Name the gradient 'gradient_{wanted.name}'."
        )

    def _check_aim(self, tensor: str) -> None:
        """Check that the gradient model can select an entry of the tensor."""
        request, aim = self._request, self._aim
        info = request.resolved.model.output(tensor)
        sizes = [term.indices.max() for term in request.terms if term.tensor == tensor]
        if aim is None and (max(sizes) > 0 or any(isinstance(size, int) and size > 1 for size in info.shape[1:])):
            raise UnsupportedModelError(
                f"The gradient model {self._model.name} has no input that says which number of '{tensor}' {info} it is "
                "the gradient of. Give it a cotangent in the shape of that output, or a class of shape (N,) int64."
            )
        if aim is not None and aim.dtype.kind == "f" and not _compatible(aim, info):
            raise UnsupportedModelError(
                f"Input '{aim.name}' of the gradient model {self._model.name} is {aim}, which is neither an input of "
                f"{request.model.name} nor a cotangent in the shape of '{tensor}', {info}."
            )

    def at(self, sample: Array, target: Array, points: InputsAt) -> Iterator[Piece]:
        progress.expect(target.size)
        request = self._request
        for number, t in ((u, t) for u, targets in enumerate(target) for t in np.unique(targets)):
            # Targets may read tensors of different sizes.
            rows = np.flatnonzero(target[number] == t)
            each = 2 if self._needs_outputs(request.terms[t]) else 1

            # Called twice for a batch, for feeds and factors; the derivative of an activation runs the model.
            @lru_cache(maxsize=2)
            def prepared(start: int, stop: int, rows: Array = rows, t: int = t) -> tuple[dict[str, Array], Array]:
                some = rows[start:stop]
                return self._feeds_and_factor(sample[some], np.full(len(some), t), points(some))

            fetch = [*self._outputs.values()]
            for start, stop, outputs in self._model.batches(
                len(rows), lambda start, stop: prepared(start, stop)[0], fetch, self._shared()
            ):
                progress.advance(stop - start)
                some = rows[start:stop]
                request.evaluations.add(sample[some], each)
                factor = prepared(start, stop)[1]
                gradients = {}
                for name, output in self._outputs.items():
                    info, shape = request.model.input(name), (-1, *(1,) * (outputs[output].ndim - 1))
                    gradients[name] = (outputs[output] * factor.reshape(shape)).astype(info.dtype)[None]
                yield Piece(np.array([number]), some, gradients)

    def _shared(self) -> dict[str, Array]:
        theirs = {old: name for name, old in self._inputs.items()}
        return {theirs[name]: array for name, array in self._request.shared.items() if name in theirs}

    def _feeds_and_factor(
        self, sample: Array, target: Array, points: Mapping[str, Array]
    ) -> tuple[dict[str, Array], Array]:
        """The feeds of the gradient model, and the factors (m,) of its outputs."""
        request, aim = self._request, self._aim
        every = request.feeds_at(sample, points)
        fed = {name: every[old] for name, old in self._inputs.items() if old in every}
        cotangent, shape = self._cotangent(sample, target, every)
        ones = np.ones(len(sample))
        if aim is None:
            return fed, cotangent[:, 0]
        if aim.dtype.kind == "f":
            fed[aim.name] = cotangent.reshape(shape).astype(aim.dtype)
            return fed, ones
        chosen = np.abs(cotangent).argmax(axis=1)
        if (np.count_nonzero(cotangent, axis=1) > 1).any():
            raise UnsupportedModelError(
                f"The gradient model {self._model.name} is of one class, input '{aim.name}', and this target "
                "reads several numbers. Explain the score of a class, or give a model with a cotangent."
            )
        fed[aim.name] = chosen.astype(aim.dtype)
        return fed, cotangent[np.arange(len(sample)), chosen]

    def _needs_outputs(self, term: TargetTerm) -> bool:
        """Whether the cotangent of a target depends on the model's outputs: for an activation, or for a free size."""
        info = self._request.resolved.model.output(term.tensor)
        free = any(not isinstance(size, int) for size in info.shape[1:])
        return free or term.activation != "identity" or term.reference is not None

    def _cotangent(self, sample: Array, target: Array, fed: Mapping[str, Array]) -> tuple[Array, tuple[int, ...]]:
        """The gradient (m, S) of one target with respect to the tensor that it reads, and the tensor's shape."""
        request = self._request
        term = request.terms[target[0]]
        info = request.resolved.model.output(term.tensor)
        if not self._needs_outputs(term):
            shape = (len(sample), *(size for size in info.shape[1:] if isinstance(size, int)))
            return request.weights(sample, target, int(np.prod(shape[1:])))[0], shape
        output = request.resolved.model.run({**fed, **request.shared}, [term.tensor])[term.tensor]
        values = activate(term.activation, output).astype(np.float64)
        cotangent, reference = request.weights(sample, target, values.shape[1])
        if term.reference is not None:
            cotangent = cotangent * 2 * (values - reference)
        if term.activation == "sigmoid":
            cotangent = cotangent * values * (1 - values)
        elif term.activation == "exp":
            cotangent = cotangent * values
        elif term.activation == "softmax":
            cotangent = values * (cotangent - (values * cotangent).sum(axis=1, keepdims=True))
        elif term.activation == "log_softmax":
            cotangent = cotangent - np.exp(values) * cotangent.sum(axis=1, keepdims=True)
        return cotangent, output.shape

    def _check(self) -> None:
        request = self._request
        count, targets = len(request.samples), len(request.terms)
        which, target = np.divmod(np.arange(count * targets), targets)
        wrong: list[tuple[int, float, float]] = []
        for away in _AWAY:
            rng = np.random.default_rng(1)
            x = {
                name: np.stack([_nearby(sample, name, away, rng) for sample in request.samples])
                for name in request.names
            }
            left = np.array([row for row, _, _ in wrong] if wrong else range(len(which)))
            wrong = list(self._disagreements(left, which[left], target[left], x))
            if not wrong:
                return
        row, claimed, seen = wrong[0]
        n, t = int(which[row]), int(target[row])
        raise UnsupportedModelError(
            f"The gradient model {self._model.name} is not the gradient of {request.model.name}: in a random direction "
            f"from sample {n} it says that {request.terms[t].names[n]} changes by {claimed:.6g}, and it changes by "
            f"{seen:.6g}."
        )

    def _disagreements(
        self, rows: Array, which: Array, target: Array, x: Mapping[str, Array]
    ) -> Iterator[tuple[int, float, float]]:
        """The rows whose gradients at ``x`` (N, ...) are wrong, with the predicted and the observed change."""
        for piece in self.at(which, target[None], lambda some: {name: array[which[some]] for name, array in x.items()}):
            for position, row in enumerate(piece.rows.tolist()):
                n, t = int(which[row]), int(target[row])
                gradients = {name: array[0, position] for name, array in piece.gradients.items()}
                changes = self._compare(n, t, {name: array[n] for name, array in x.items()}, gradients)
                if changes is not None:
                    yield int(rows[row]), *changes

    def _compare(
        self, n: int, t: int, x: Mapping[str, Array], gradients: Mapping[str, Array]
    ) -> tuple[float, float] | None:
        """The change of a target predicted by the gradient and the observed one; None if they agree."""
        request, sample = self._request, self._request.samples[n]
        rng = np.random.default_rng(0)
        ends: dict[str, Array] = {}
        claimed = np.zeros(len(_STEPS))
        for name, point in x.items():
            wide, gradient = point.astype(np.float64), gradients[name].astype(np.float64)
            signs = rng.choice([-1.0, 1.0], size=wide.shape)
            along = np.where((rng.random(wide.shape) < 0.5) & (gradient != 0), np.sign(gradient), signs)
            ways = [share * value_ranges(sample, name) * along for share in _STEPS]
            ends[name] = np.stack([wide + sign * way for way in ways for sign in (1, -1)]).astype(point.dtype)
            # The actual change, in the input's precision.
            moved = ends[name].astype(np.float64)
            claimed += ((moved[::2] - moved[1::2]) * gradient).reshape(len(_STEPS), -1).sum(axis=1)
        rows = np.full(2 * len(_STEPS), n)
        values = np.empty(len(rows))
        for start, stop, found in request.values(
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


def _nearby(sample: Sample, name: str, away: float, rng: np.random.Generator) -> Array:
    """An explained input, moved at random by at most ``away`` times its value range."""
    x = sample.x[name]
    moved: Array = (x + away * value_ranges(sample, name) * rng.uniform(-1, 1, x.shape)).astype(x.dtype)
    return moved


def _compatible(one: TensorInfo, other: TensorInfo) -> bool:
    """Whether two tensors can have the same shape without the batch, and have the same kind of data type."""
    if one.dtype.kind != other.dtype.kind or len(one.shape) != len(other.shape):
        return False
    sizes = zip(one.shape[1:], other.shape[1:], strict=True)
    return all(a == b for a, b in sizes if isinstance(a, int) and isinstance(b, int))


def _names_and_shapes(infos: tuple[TensorInfo, ...]) -> str:
    return ", ".join(f"'{info.name}' {info}" for info in infos)


def _open_gradient(given: GradientLike, beside: Model) -> Model:
    if isinstance(given, Model):
        return given
    if isinstance(given, Gradient):
        return given.model
    assert not isinstance(given, FiniteDifferences)  # accepted by an earlier source
    path = Path(given)
    facts = path.stat() if path.exists() else None
    stamp = None if facts is None else (facts.st_mtime_ns, facts.st_size)
    return _load(path, stamp, beside.settings, beside.batch_size, beside.timeout_s, beside.allow_random)


# One command explains many files with the same gradient model.
@lru_cache(maxsize=1)
def _load(
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
