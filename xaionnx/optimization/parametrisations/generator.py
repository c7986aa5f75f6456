"""Generator: the code from which another model draws pictures."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Final, final

import numpy as np

from xaionnx.autodiff import Gradient, gradient
from xaionnx.errors import ParameterError, UnsupportedModelError
from xaionnx.optimization.parametrisation import Canvas, Parametrisation
from xaionnx.parameters import free, real
from xaionnx.registry import Form
from xaionnx.runtime.model import Model
from xaionnx.typing import Array

if TYPE_CHECKING:
    from xaionnx.typing import ModelLike

# Codes that tell the range of a generator's pictures.
_DRAWN: Final = 16
# Ranges of pictures, each with how far numbers may lie below and above it.
_RANGES: Final = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))
_SLACK: Final = 0.05


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Generator(Parametrisation):
    """A code z, of which a generator draws the picture: whatever is found looks like what the generator has learned.

    The objective loses ``prior * |z|^2 / 2``, which keeps to codes that the generator was trained on. Numbers from 0 to
    1, -1 to 1 or 0 to 255 are recognised by a few drawings and fitted to what the explained model reads.

    References
    ----------
    Nguyen, Dosovitskiy, Yosinski, Brox and Clune, Synthesizing the preferred inputs for neurons in neural networks via
    deep generator networks, NeurIPS 2016, arXiv:1605.09304, equation 1.
    """

    forms: ClassVar[tuple[Form[Parametrisation], ...]] = (
        Form("generator", lambda path: Generator(model=path), ":FILE.onnx", "generator:decoder.onnx"),
    )

    model: ModelLike | None = free(None, "an ONNX file or a Model", "the generator", optional=False)
    prior: float = real(0.1, "weight of half the squared length of the code, which is subtracted", low=0)

    def canvas(self, canvas: Canvas) -> Canvas:
        shape = self._drawn.shape
        if len(shape) != 4 or (1 not in shape[1:] and 3 not in shape[1:]):
            raise UnsupportedModelError(
                f"Output '{self._output}' of {self._generator.name} is {shape}, not pictures of one or three channels."
            )
        channels, height, width = np.moveaxis(self._drawn, self._axis, 1).shape[1:]
        if channels != canvas.channels:
            raise UnsupportedModelError(
                f"{self._generator.name} draws {channels} channels, and the model reads {canvas.channels}."
            )
        return Canvas(canvas.count, channels, height, width)

    def start(self, canvas: Canvas, rng: np.random.Generator) -> Array:
        return rng.standard_normal((canvas.count, *self._code), dtype=np.float32)

    def from_pictures(self, canvas: Canvas, pictures: Array) -> Array:
        raise ParameterError(
            "A generator's code of a given picture is not known. Start from noise, or search by 'fourier' or 'pixels'."
        )

    def pictures(self, canvas: Canvas, parameters: Array) -> Array:
        low, high = self._range
        drawn = self._generator.run({self._generator.input().name: parameters}, [self._output])[self._output]
        planes = (np.moveaxis(drawn, self._axis, 1) - np.float32(low)) / np.float32(high - low)
        return np.ascontiguousarray(planes, dtype=np.float32)

    def back(self, canvas: Canvas, parameters: Array, pictures: Array, gradient: Array) -> Array:
        low, high = self._range
        name = self._generator.input().name
        cotangent = np.ascontiguousarray(np.moveaxis(gradient, 1, self._axis) / np.float32(high - low))
        return self._slope.run({name: parameters}, cotangent)[1][name]

    def penalty(self, parameters: Array) -> tuple[Array, Array | None]:
        flat = parameters.reshape(len(parameters), -1).astype(np.float64)
        return self.prior / 2 * (flat**2).sum(axis=1), np.float32(self.prior) * parameters

    @cached_property
    def _generator(self) -> Model:
        opened = self.model if isinstance(self.model, Model) else Model.load(os.fspath(self.model or ""))
        info = opened.input()
        if len(opened.inputs) > 1 or info.dtype.kind != "f" or not all(isinstance(n, int) for n in info.shape[1:]):
            raise UnsupportedModelError(
                f"{opened.name} reads {', '.join(map(str, opened.inputs))}. A generator reads one code of a known size."
            )
        return opened

    @cached_property
    def _code(self) -> tuple[int, ...]:
        return tuple(int(size) for size in self._generator.input().shape[1:] if isinstance(size, int))

    @property
    def _output(self) -> str:
        return self._generator.output().name

    @cached_property
    def _drawn(self) -> Array:
        """Pictures of random codes."""
        codes = np.random.default_rng(0).standard_normal((_DRAWN, *self._code), dtype=np.float32)
        return self._generator.run({self._generator.input().name: codes}, [self._output])[self._output]

    @property
    def _axis(self) -> int:
        """The axis of its channels."""
        return 1 if self._drawn.shape[1] in (1, 3) else -1

    @property
    def _range(self) -> tuple[float, float]:
        low, high = float(self._drawn.min()), float(self._drawn.max())
        for least, most in _RANGES:
            slack = _SLACK * (most - least)
            if low >= least - slack and high <= most + slack:
                return least, most
        raise UnsupportedModelError(
            f"{self._generator.name} draws numbers from {low:.3g} to {high:.3g}, not from 0 to 1, -1 to 1 or 0 to 255."
        )

    @cached_property
    def _slope(self) -> Gradient:
        name = self._generator.input().name
        return gradient(self._generator, self._output, [name], sample={name: np.zeros((1, *self._code), np.float32)})
