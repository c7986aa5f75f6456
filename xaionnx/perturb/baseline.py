"""Baseline: what removal puts in.

A baseline gives for each sample one array, or B of them (noise, background rows) over which the answers are
averaged; every coalition then costs B evaluations.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from xaionnx.errors import InputMismatchError, ParameterError, UnknownNameError
from xaionnx.perturb.sample import Sample

Array = npt.NDArray[Any]


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

        The numbers depend on ``seed`` and the sample's place in the batch alone.
        """
        filled = {}
        for place, name in enumerate(names):
            rng = np.random.default_rng([seed, sample.number, place])
            x = sample.x[name]
            values = self.fill(sample, name, rng)
            if values.ndim <= x.ndim:
                values = values[None]
            try:
                filled[name] = np.broadcast_to(values, (len(values), *x.shape)).astype(x.dtype)
            except ValueError as error:
                raise InputMismatchError(
                    f"The baseline has the shape {values.shape[1:]}, which does not fit input '{name}' of shape "
                    f"{('N', *x.shape)}. Give a number, a name, or an array that broadcasts to it."
                ) from error
        counts = {len(values) for values in filled.values()}
        most = max(counts)
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
        if array.dtype.kind in "fiub":
            return Constant(array.item()) if array.ndim == 0 else Values(array)
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


def value_range(sample: Sample, name: str) -> tuple[Array, Array]:
    """The lowest and highest value of an input: black and white where a spec tells, else its own extremes."""
    x = sample.x[name]
    spec = sample.spec
    if spec is not None and not spec.guessed and spec.kind == "picture" and name == sample.main:
        black, white = spec.pixel(0.0), spec.pixel(255.0)
        return np.minimum(black, white), np.maximum(black, white)
    return np.asarray(x.min()), np.asarray(x.max())


def _named(text: str) -> Baseline:
    name, _, argument = text.partition(":")
    plain: dict[str, Any] = {
        "zero": Baseline.zero,
        "black": Baseline.black,
        "white": Baseline.white,
        "mean": Baseline.mean,
        "uniform": Baseline.uniform,
        "max_distance": Baseline.max_distance,
    }
    numbered: dict[str, Any] = {
        "constant": lambda v: Baseline.constant(float(v)),
        "blur": lambda v: Baseline.blur(float(v)),
        "gaussian": lambda v: Baseline.gaussian(float(v)),
        "shuffle": lambda v: Baseline.shuffle(int(v)),
        "uniform": lambda v: Baseline.uniform(int(v)),
    }
    try:
        if argument and name in numbered:
            return numbered[name](argument)  # type: ignore[no-any-return]
        if not argument:
            constructors = {**plain, "blur": Baseline.blur, "gaussian": Baseline.gaussian, "shuffle": Baseline.shuffle}
            if name in constructors:
                return constructors[name]()  # type: ignore[no-any-return]
            return Constant(float(name))
    except ValueError as error:
        if argument:
            raise ParameterError(f"The baseline '{text}' must end in a number, as in 'blur:10'.") from error
    raise UnknownNameError.among("baseline", name, {*plain, *numbered})


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
        if sample.spec is None or sample.spec.guessed or sample.spec.kind != "picture":
            raise ParameterError(
                "A black or white baseline needs an InputSpec that says how pixels are scaled. Put a TOML beside the "
                "model, or use 'zero' or a number."
            )
        return sample.spec.pixel(self.value)


@final
@dataclass(frozen=True)
class Mean(Baseline):
    """The mean of each channel."""

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        x = sample.x[name]
        axes = sample.picture_axes if name == sample.main else None
        mean: Array = x.mean(axis=None if axes is None else axes[1], keepdims=True, dtype=np.float64)
        return mean


@final
@dataclass(frozen=True)
class Blur(Baseline):
    """A Gaussian blur over height and width."""

    sigma: float = 10.0

    def __post_init__(self) -> None:
        if not self.sigma > 0:
            raise ParameterError(
                f"The 'sigma' parameter of Baseline.blur must be a float in (0, inf). Got {self.sigma} instead."
            )

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        from scipy.ndimage import gaussian_filter

        sample.spatial("baseline='blur'")
        axes = sample.picture_axes
        assert axes is not None  # sample.spatial refuses what is no picture
        blurred: Array = gaussian_filter(sample.x[name], self.sigma, axes=axes[1], mode="nearest")
        return blurred


@final
@dataclass(frozen=True)
class Uniform(Baseline):
    """Uniform noise over the range of values."""

    count: int = 1

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        low, high = value_range(sample, name)
        return rng.uniform(low, high, (self.count, *sample.x[name].shape))


@final
@dataclass(frozen=True)
class Gaussian(Baseline):
    """The input plus Gaussian noise, clipped to the range of values."""

    share: float = 0.2
    count: int = 1

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        low, high = value_range(sample, name)
        x = sample.x[name]
        noise = rng.standard_normal((self.count, *x.shape)) * (self.share * (high - low))
        return np.clip(x + noise, low, high)


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
        x = sample.x[name]
        farther: Array = np.where(x - low > high - x, low, high)
        return farther


@final
@dataclass(frozen=True)
class Shuffle(Baseline):
    """Tiles of the picture in a random order; tiles cut by the border stay where they are."""

    tile: int = 16

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        height, width = sample.spatial("baseline='shuffle'")
        rows, columns = height // self.tile, width // self.tile
        if rows * columns < 2:
            raise ParameterError(f"Tiles of {self.tile} pixels leave nothing to shuffle in {height} by {width} pixels.")
        axes = sample.picture_axes
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

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        for known in self.parts:
            if known not in sample.x:
                raise UnknownNameError.among("input", known, sample.x)
        return self.parts.get(name, Constant(0.0)).fill(sample, name, rng)
