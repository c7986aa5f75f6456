"""Pixels: each by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.optimization.parametrisation import Canvas, Parametrisation, logistic, logistic_back, logit
from xaionnx.registry import Form
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class Pixels(Parametrisation):
    """A number a pixel and channel, whose logistic function is the colour.

    Searches end in noise that excites the unit and shows nothing: compare with ``fourier``.
    """

    forms: ClassVar[tuple[Form[Parametrisation], ...]] = (Form("pixels", lambda _: Pixels()),)

    def start(self, canvas: Canvas, rng: np.random.Generator) -> Array:
        return rng.standard_normal(canvas.shape, dtype=np.float32) * np.float32(0.01)

    def from_pictures(self, canvas: Canvas, pictures: Array) -> Array:
        del canvas
        return logit(pictures)

    def pictures(self, canvas: Canvas, parameters: Array) -> Array:
        del canvas
        return logistic(parameters)

    def back(self, canvas: Canvas, parameters: Array, pictures: Array, gradient: Array) -> Array:
        del canvas, parameters
        return logistic_back(pictures, gradient)
