"""Parametrisation: the numbers that a search changes, and the pictures that they make."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np

from xaionnx.hooks import hook
from xaionnx.part import Part
from xaionnx.registry import Form, Registry, Shorthand
from xaionnx.typing import Array

# Principal axes of the colours of photographs (of those in models/photos, each with the same weight), scaled by their
# deviations: columns are lightness, then blue against yellow, then green against red.
COLOURS: Final = np.array(
    [[0.6549, -0.3083, 0.0274], [0.5571, 0.0978, -0.0856], [0.5107, 0.2886, 0.0583]], dtype=np.float32
)


@final
@dataclass(frozen=True)
class Canvas:
    """The pictures of a search.

    Attributes
    ----------
    count : int
        B pictures, which are searched for together.
    channels : int
        3 for colours, 1 for gray.
    height, width : int
        In pixels.
    """

    count: int
    channels: int
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(B, C, H, W)."""
        return self.count, self.channels, self.height, self.width


class Parametrisation(Part, ABC):
    """Makes pictures (B, C, H, W) from 0 to 1 of parameters, float32 arrays with the pictures first.

    Attributes
    ----------
    forms : tuple of Form
        How it is written as a text.
    """

    forms: ClassVar[tuple[Form[Parametrisation], ...]]

    @hook
    def canvas(self, canvas: Canvas) -> Canvas:
        """The pictures that it makes, where a search would have those of ``canvas``."""
        return canvas

    @abstractmethod
    def start(self, canvas: Canvas, rng: np.random.Generator) -> Array:
        """The parameters to start from: small noise around gray."""

    @abstractmethod
    def from_pictures(self, canvas: Canvas, pictures: Array) -> Array:
        """The parameters of pictures."""

    @abstractmethod
    def pictures(self, canvas: Canvas, parameters: Array) -> Array:
        """The pictures of parameters."""

    @abstractmethod
    def back(self, canvas: Canvas, parameters: Array, pictures: Array, gradient: Array) -> Array:
        """The gradient with respect to the parameters, of one with respect to the pictures that they make."""

    @hook
    def penalty(self, parameters: Array) -> tuple[Array, Array | None]:
        """What is subtracted for unlikely parameters, (B,), and its gradient; none by default."""
        return np.zeros(len(parameters)), None


def decorrelated(x: Array) -> Array:
    """Return pictures (B, 3, H, W) of the principal axes of colours; gray ones stay as they are."""
    return _mixed(COLOURS, x)


def decorrelated_back(gradient: Array) -> Array:
    """Return the transpose of :func:`decorrelated`."""
    return _mixed(COLOURS.T, gradient)


def correlated(x: Array) -> Array:
    """Return the inverse of :func:`decorrelated`."""
    return _mixed(np.linalg.inv(COLOURS.astype(np.float64)).astype(np.float32), x)


def _mixed(matrix: Array, x: Array) -> Array:
    """Pictures of three channels with their channels multiplied by a matrix (3, 3)."""
    return x if x.shape[1] == 1 else np.matmul(matrix, x.reshape(*x.shape[:2], -1)).reshape(x.shape)


def logistic(z: Array, out: Array | None = None) -> Array:
    """Return 1 / (1 + exp(-z)), without overflow, written to ``out`` if it is given."""
    half = np.float32(0.5)
    found: Array = np.multiply(z, half, out=out)
    np.tanh(found, out=found)
    found += 1
    found *= half
    return found


def logistic_back(s: Array, gradient: Array) -> Array:
    """Return the gradient with respect to z, of one with respect to s = logistic(z), float32."""
    slope = 1 - s
    slope *= s
    slope *= gradient
    return np.asarray(slope, dtype=np.float32)


def logit(s: Array, margin: float = 0.01) -> Array:
    """Return the inverse of :func:`logistic` of pictures, which are moved by a margin into the open interval."""
    inside = np.clip(s, margin, 1 - margin)
    return np.asarray(np.log(inside / (1 - inside)), dtype=np.float32)


PARAMETRISATIONS: Final[Registry[Parametrisation]] = Registry(
    "parametrisation", "xaionnx.optimization.parametrisations", Parametrisation
)
SHORT_PARAMETRISATIONS: Final = Shorthand(PARAMETRISATIONS)
