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
    logistic_back,
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
        return _parts(fft.rfft2(correlated(logit(pictures)))) / _scales(canvas.height, canvas.width, self.decay)

    def pictures(self, canvas: Canvas, parameters: Array) -> Array:
        spectrum = (parameters * _scales(canvas.height, canvas.width, self.decay)).view(np.complex64)[..., 0]
        # Axis by axis, as irfft2 takes a copy of the spectrum.
        columns = fft.ifft(spectrum, axis=2, overwrite_x=True)
        planes = decorrelated(fft.irfft(columns, n=canvas.width, overwrite_x=True))
        return logistic(planes, out=planes)

    def back(self, canvas: Canvas, parameters: Array, pictures: Array, gradient: Array) -> Array:
        del parameters
        inner = decorrelated_back(logistic_back(pictures, gradient))
        found = _parts(fft.rfft2(inner))
        found *= _scales_back(canvas.height, canvas.width, self.decay)
        return found


def _parts(spectrum: Array) -> Array:
    """The real and the imaginary parts of complex numbers, along one more axis."""
    return np.ascontiguousarray(spectrum, dtype=np.complex64).view(np.float32).reshape(*spectrum.shape, 2)


@lru_cache(maxsize=8)
def _scales(height: int, width: int, decay: float) -> Array:
    """The factor of each coefficient, (H, W // 2 + 1, 2), the same for both parts."""
    rows, columns = fft.fftfreq(height)[:, None], fft.rfftfreq(width)[None]
    frequency = np.maximum(np.hypot(rows, columns), 1 / max(height, width))
    # Repeated: a product with an axis of length 1 at the end takes five times as long.
    return np.asarray(np.sqrt(height * width) / 8 / frequency**decay, dtype=np.float32)[..., None].repeat(2, axis=-1)


@lru_cache(maxsize=8)
def _scales_back(height: int, width: int, decay: float) -> Array:
    """Those of the transpose of irfft2: each column but the first (and, for an even width, the last) stands for two."""
    twice = np.full((width // 2 + 1, 1), 2.0, dtype=np.float32)
    twice[0] = 1
    if width % 2 == 0:
        twice[-1] = 1
    return np.asarray(_scales(height, width, decay) * (twice / np.float32(height * width)))
