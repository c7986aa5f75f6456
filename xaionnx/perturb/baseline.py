"""Baseline: what removal puts in.

A baseline gives for each sample one array, or B of them (noise, background rows) over which the answers are
averaged; every coalition then costs B evaluations.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import InputMismatchError, ParameterError, UnknownNameError
from xaionnx.perturb.element_types import numbers, rounded, typed, value_range
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array


class Baseline(ABC):
    """What is put in place of a removed player. Use the constructors, a name, a number or an array.

    Names: ``zero``, ``black``, ``white``, ``mean``, ``blur``, ``uniform``, ``gaussian``, ``max_distance``,
    ``shuffle``.
    """

    @abstractmethod
    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        """B arrays for input ``name`` of a sample: a shape that broadcasts to (B, ...)."""

    def draws(self, sample: Sample, names: tuple[str, ...], seed: int) -> dict[str, Array]:
        """The fill of each named input, (B, ...) in the input's type.

        What is drawn depends on ``seed`` and the input's name alone, so that a batch equals its samples one by one.

        Raises
        ------
        InputMismatchError, ParameterError
            It does not fit the input's shape or type.
        """
        filled = {}
        for name in names:
            x = sample.x[name]
            values = np.asarray(self.fill(sample, name, np.random.default_rng([seed, zlib.crc32(name.encode())])))
            if values.ndim <= x.ndim:
                values = values[None]
            try:
                shaped = np.broadcast_to(values, (len(values), *x.shape))
            except ValueError as error:
                raise InputMismatchError(
                    f"The baseline has the shape {values.shape[1:]}, which does not fit input '{name}' of shape "
                    f"{('N', *x.shape)}. Give a number, a name, or an array that broadcasts to it."
                ) from error
            filled[name] = typed(shaped, x.dtype, name)
        counts = {name: len(values) for name, values in filled.items()}
        most = max(counts.values())
        if not set(counts.values()) <= {1, most}:
            each = ", ".join(f"{name} {count}" for name, count in counts.items())
            raise InputMismatchError(f"The baselines of several inputs differ in their number of rows: {each}.")
        return {n: np.repeat(v, most, axis=0) if len(v) == 1 < most else v for n, v in filled.items()}

    @classmethod
    def of(cls, given: Any) -> Baseline:
        """The baseline behind a shorthand: None (zero), a number, a name, an array, a dict of these, or a Baseline.

        A name may carry a number: ``blur:10``, ``constant:0.5``, ``gaussian:0.2``.

        Raises
        ------
        UnknownNameError, ParameterError
            There is no such name, or it is none of these.
        """
        if given is None:
            return Constant(0.0)
        if isinstance(given, Baseline):
            return given
        if isinstance(given, str):
            return _named(given)
        if isinstance(given, Mapping):
            return ByInput({name: cls.of(item) for name, item in given.items()})
        array = np.asarray(given)
        if array.dtype.kind in "fiub" and array.ndim == 0:
            return Constant(array.item())
        if array.dtype.kind in "fiubUTO":
            return Values(array)
        raise ParameterError(
            f"The 'baseline' parameter must be a number, a name, an array or a Baseline. Got {given!r} instead."
        )

    @staticmethod
    def zero() -> Baseline:
        """Zeros in the model's own tensor (the mean colour, where the mean was subtracted)."""
        return Constant(0.0)

    @staticmethod
    def constant(value: float) -> Baseline:
        """One number in the model's own tensor."""
        return Constant(value)

    @staticmethod
    def black() -> Baseline:
        """Black pixels, as the InputSpec scales them."""
        return Pixel(0.0)

    @staticmethod
    def white() -> Baseline:
        """White pixels, as the InputSpec scales them."""
        return Pixel(255.0)

    @staticmethod
    def mean() -> Baseline:
        """The mean of each channel of the picture itself; of all elements where the input is no picture."""
        return Mean()

    @staticmethod
    def blur(sigma: float = 10.0) -> Baseline:
        """The picture itself after a Gaussian blur of ``sigma`` pixels."""
        return Blur(sigma)

    @staticmethod
    def uniform(draws: int = 1) -> Baseline:
        """Uniform noise over the range of values, ``draws`` times."""
        return Uniform(draws)

    @staticmethod
    def gaussian(share: float = 0.2, draws: int = 1) -> Baseline:
        """The input plus Gaussian noise, whose deviation is ``share`` of the range of values."""
        return Gaussian(share, draws)

    @staticmethod
    def max_distance() -> Baseline:
        """For each element the end of the range that lies farther from it."""
        return MaxDistance()

    @staticmethod
    def picture(tensor: Array) -> Baseline:
        """Another picture, as a tensor in the model's form: for all samples, or one a sample."""
        return Values(np.asarray(tensor))

    @staticmethod
    def shuffle(tile: int = 16) -> Baseline:
        """The picture itself, its tiles of ``tile`` pixels in another order."""
        return Shuffle(tile)

    @staticmethod
    def background(rows: Array) -> Baseline:
        """B rows of data, (B, ...): the answers are averaged over them (the marginal expectation)."""
        return Background(np.asarray(rows))


# Name -> constructor, and the type of the number that may follow behind a colon.
_NAMED: dict[str, tuple[Callable[..., Baseline], type | None]] = {
    "zero": (Baseline.zero, None),
    "black": (Baseline.black, None),
    "white": (Baseline.white, None),
    "mean": (Baseline.mean, None),
    "max_distance": (Baseline.max_distance, None),
    "blur": (Baseline.blur, float),
    "gaussian": (Baseline.gaussian, float),
    "shuffle": (Baseline.shuffle, int),
    "uniform": (Baseline.uniform, int),
    "constant": (Baseline.constant, float),
}


def _named(text: str) -> Baseline:
    name, colon, argument = text.partition(":")
    if name not in _NAMED:
        try:
            return Constant(float(text))
        except ValueError as error:
            raise UnknownNameError.among("baseline", name, _NAMED) from error
    constructor, number = _NAMED[name]
    if colon and number is None:
        raise ParameterError(f"The baseline '{name}' takes no number. Got '{text}' instead.")
    if not colon and name != "constant":
        return constructor()
    assert number is not None  # only names without a number have none
    try:
        value = number(argument)
    except ValueError as error:
        example = {"blur": "10", "gaussian": "0.2", "shuffle": "16", "uniform": "4", "constant": "0.5"}[name]
        raise ParameterError(
            f"The baseline '{name}' takes {'a' if number is float else 'a whole'} number, as in '{name}:{example}'. "
            f"Got '{text}' instead."
        ) from error
    return constructor(value)


def _check(kind: str, name: str, value: Any, whole: bool) -> None:
    """A count must be 1 or more, a measure greater than 0."""
    types = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    if not isinstance(value, types) or isinstance(value, bool) or not 0 < value < np.inf:
        domain = "an int in [1, inf)" if whole else "a float in (0, inf)"
        raise ParameterError(f"The '{name}' parameter of Baseline.{kind} must be {domain}. Got {value!r} instead.")


@final
@dataclass(frozen=True)
class Constant(Baseline):
    """One number."""

    value: float

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        return np.asarray(self.value)


@final
@dataclass(frozen=True)
class Pixel(Baseline):
    """A gray pixel value in [0, 255], as the InputSpec scales it."""

    value: float

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        spec = sample.pixels_of(name)
        if spec is None:
            raise ParameterError(
                f"A black or white baseline of input '{name}' needs an InputSpec that says how pixels are scaled. "
                "Put a TOML beside the model, or use 'zero' or a number."
            )
        return spec.pixel(self.value)


@final
@dataclass(frozen=True)
class Mean(Baseline):
    """The mean of each channel."""

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        axes = sample.axes(name)
        mean = numbers(sample, name).mean(axis=None if axes is None else axes[1], keepdims=True)
        return rounded(mean, sample.x[name])


@final
@dataclass(frozen=True)
class Blur(Baseline):
    """A Gaussian blur over height and width."""

    sigma: float = 10.0

    def __post_init__(self) -> None:
        _check("blur", "sigma", self.sigma, whole=False)

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        from scipy.ndimage import gaussian_filter

        sample.spatial("baseline='blur'", name)
        axes = sample.axes(name)
        assert axes is not None  # sample.spatial refuses what is no picture
        x = sample.x[name]
        wide = x if x.dtype == np.float32 else x.astype(np.float64)
        return rounded(gaussian_filter(wide, self.sigma, axes=axes[1], mode="nearest"), x)


@final
@dataclass(frozen=True)
class Uniform(Baseline):
    """Uniform noise over the range of values."""

    count: int = 1

    def __post_init__(self) -> None:
        _check("uniform", "draws", self.count, whole=True)

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        low, high = value_range(sample, name)
        return rounded(rng.uniform(low, high, (self.count, *sample.x[name].shape)), sample.x[name])


@final
@dataclass(frozen=True)
class Gaussian(Baseline):
    """The input plus Gaussian noise, clipped to the range of values."""

    share: float = 0.2
    count: int = 1

    def __post_init__(self) -> None:
        _check("gaussian", "share", self.share, whole=False)
        _check("gaussian", "draws", self.count, whole=True)

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        low, high = value_range(sample, name)
        x = sample.x[name]
        noise = rng.standard_normal((self.count, *x.shape)) * (self.share * (high - low))
        return rounded(np.clip(x + noise, low, high), x)


@final
@dataclass(frozen=True)
class MaxDistance(Baseline):
    """The farther end of the range.

    References
    ----------
    Sturmfels, Lundberg and Lee, Visualizing the impact of feature attribution baselines, Distill 2020,
    doi:10.23915/distill.00022.
    """

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        low, high = value_range(sample, name)
        x = numbers(sample, name)
        return np.where(x - low > high - x, low, high)


@final
@dataclass(frozen=True)
class Shuffle(Baseline):
    """Tiles of the picture in a random order; tiles cut by the border stay where they are."""

    tile: int = 16

    def __post_init__(self) -> None:
        _check("shuffle", "tile", self.tile, whole=True)

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        height, width = sample.spatial("baseline='shuffle'", name)
        rows, columns = height // self.tile, width // self.tile
        if rows * columns < 2:
            raise ParameterError(f"Tiles of {self.tile} pixels leave nothing to shuffle in {height} by {width} pixels.")
        axes = sample.axes(name)
        assert axes is not None  # sample.spatial refuses what is no picture
        source = np.moveaxis(sample.x[name], axes[1], (0, 1))
        shuffled = source.copy()
        t = self.tile
        for place, other in enumerate(rng.permutation(rows * columns)):
            (r, c), (s, d) = divmod(place, columns), divmod(int(other), columns)
            shuffled[r * t : (r + 1) * t, c * t : (c + 1) * t] = source[s * t : (s + 1) * t, d * t : (d + 1) * t]
        return np.moveaxis(shuffled, (0, 1), axes[1])


@final
@dataclass(frozen=True, eq=False)
class Values(Baseline):
    """An array that broadcasts to the batch: for all samples, or one a sample."""

    array: Array

    __repr__ = short_repr

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        x = sample.x[name]
        if self.array.ndim == x.ndim + 1:
            if len(self.array) not in (1, sample.count):
                raise InputMismatchError(
                    f"The baseline holds {len(self.array)} samples for a batch of {sample.count}. Give one, or one a "
                    "sample; to average over background rows use Baseline.background."
                )
            own: Array = self.array[sample.number if len(self.array) > 1 else 0]
            return own
        return self.array


@final
@dataclass(frozen=True, eq=False)
class Background(Baseline):
    """Rows of data."""

    rows: Array

    __repr__ = short_repr

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        if self.rows.ndim != sample.x[name].ndim + 1:
            raise InputMismatchError(
                f"Background rows for input '{name}' must have the shape {('B', *sample.x[name].shape)}. "
                f"Got {self.rows.shape} instead."
            )
        return self.rows


@final
@dataclass(frozen=True, eq=False)
class ByInput(Baseline):
    """One baseline for each named input; zero for the others."""

    parts: Mapping[str, Baseline]

    __repr__ = short_repr

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        for known in self.parts:
            if known not in sample.x:
                raise UnknownNameError.among("input", known, sample.x)
        return self.parts.get(name, Constant(0.0)).fill(sample, name, rng)
