"""Fourier: the coefficients of a picture's frequencies, in colours that are not correlated."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, final

import numpy as np
from scipy import fft

from xaionnx.optimization.parametrisation import (
    Canvas,
    Parametrisation,
    correlated,
    decorrelated,
    decorrelated_back,
    logistic,
    logit,
)
from xaionnx.parameters import real
from xaionnx.registry import Form
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class Fourier(Parametrisation):
    r"""Coefficients p of a real Fourier transform, scaled as the frequencies of photographs are::

        picture = logistic( C irfft2(p / max(|f|, 1 / max(H, W))^decay * sqrt(H W) / 8) )

    where C holds the principal axes of the colours of photographs. A step of the same size in every coefficient changes
    low frequencies the most, so that forms appear in place of noise.

    References
    ----------
    Olah, Mordvintsev and Schubert, Feature visualization, Distill 2017, doi:10.23915/distill.00007, on
    preconditioning.
    """

    forms: ClassVar[tuple[Form[Parametrisation], ...]] = (
        Form(
            "fourier",
            lambda decay: Fourier() if decay is None else Fourier(decay=float(decay)),
            "[:decay]",
            "fourier:1",
        ),
    )

    decay: float = real(1.5, "how much less high frequencies change", low=0, high=3)

    def start(self, canvas: Canvas, rng: np.random.Generator) -> Array:
        count, channels, height, width = canvas.shape
        shape = (count, channels, height, width // 2 + 1, 2)
        return rng.standard_normal(shape, dtype=np.float32) * np.float32(0.01)

    def from_pictures(self, canvas: Canvas, pictures: Array) -> Array:
        spectrum = fft.rfft2(correlated(logit(pictures))) / self._scale(canvas)
        return np.stack([spectrum.real, spectrum.imag], axis=-1).astype(np.float32)

    def pictures(self, canvas: Canvas, parameters: Array) -> Array:
        spectrum = parameters.view(np.complex64)[..., 0] * self._scale(canvas)
        return logistic(decorrelated(fft.irfft2(spectrum, s=(canvas.height, canvas.width))))

    def back(self, canvas: Canvas, parameters: Array, pictures: Array, gradient: Array) -> Array:
        del parameters
        inner = decorrelated_back(np.asarray(gradient * pictures * (1 - pictures), dtype=np.float32))
        # The transpose of irfft2: each column but the first (and, for an even width, the last) stands for two.
        twice = np.full(canvas.width // 2 + 1, 2.0, dtype=np.float32)
        twice[0] = 1
        if canvas.width % 2 == 0:
            twice[-1] = 1
        spectrum = fft.rfft2(inner) * (self._scale(canvas) * twice / (canvas.height * canvas.width))
        return np.stack([spectrum.real, spectrum.imag], axis=-1).astype(np.float32)

    def _scale(self, canvas: Canvas) -> Array:
        return _scale(canvas.height, canvas.width, self.decay)


@lru_cache(maxsize=8)
def _scale(height: int, width: int, decay: float) -> Array:
    rows, columns = fft.fftfreq(height)[:, None], fft.rfftfreq(width)[None]
    frequency = np.maximum(np.hypot(rows, columns), 1 / max(height, width))
    return np.asarray(np.sqrt(height * width) / 8 / frequency**decay, dtype=np.float32)
