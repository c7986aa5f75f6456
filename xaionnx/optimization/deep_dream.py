"""Dream: a photograph in which a model sees more of what it sees there, at several sizes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias, final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xaionnx import parameters
from xaionnx.data.images import picture_of, read_picture
from xaionnx.errors import DataError, OutputError, ParameterError, ZeroGradientError
from xaionnx.optimization.objective import OBJECTIVES, Objective
from xaionnx.optimization.scene import SIZE, Scene, sized
from xaionnx.optimization.search import blurred
from xaionnx.optimization.views import View
from xaionnx.optimization.visualization import Visualization, high_frequencies
from xaionnx.parameters import integer, random_seed, real, size
from xaionnx.record import recorded_value
from xaionnx.runtime import progress
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, ModelLike

if TYPE_CHECKING:
    from collections.abc import Iterator

Photo: TypeAlias = "str | Path | Image.Image | NDArray[np.uint8]"

# Tiles move by up to this share of their side from step to step, so that none leaves a seam.
_MOVE: Final = 0.25
# What random places are for: steps, and the judgement.
_STEPS, _JUDGEMENT = 1, 2
_UNSEEN: Final = 4
# Sides of the smallest octave, in pixels.
_SMALLEST: Final = 16


@final
@dataclass(frozen=True, kw_only=True)
class Dream:
    """How a photograph is changed: octave by octave, from small to large.

    The photograph is shrunk to ``scale^-k`` of its size for k from ``octaves - 1`` to 0. At each size, ``steps`` steps
    follow the gradient of the objective, divided by the mean of its size::

        picture = picture + rate * g / mean |g|

    and what they added is enlarged and added to the photograph in the next size. The model sees the picture in tiles of
    the size that it reads, at other places in each step, so that photographs of any size become dreams of their size.

    Parameters
    ----------
    octaves : int
    scale : float
    steps : int
    rate : float
    size : int or (int, int), optional
        Height and width of a tile, for a model that reads pictures of any size; those of its spec if None.
    blur : float
        Deviation of a blur of the gradient, in pixels, which leaves less grain.
    seed : int
        Of the places of the tiles.

    References
    ----------
    Mordvintsev, Olah and Tyka, Inceptionism: going deeper into neural networks, 2015.
    """

    octaves: int = integer(4, "number of sizes", low=1, high=20)
    scale: float = real(1.4, "how much larger each size is", low=1, high=4, low_open=True)
    steps: int = integer(10, "number of steps in each size", low=1)
    rate: float = real(
        0.01, "mean change of a pixel in a step, as a share of the range of colours", low=0, low_open=True
    )
    size: int | tuple[int, ...] | None = size(None, SIZE, optional=True)
    blur: float = real(1.0, "deviation of a blur of the gradient, in pixels: less grain", low=0, high=100)
    seed: int = random_seed("seed of the places of the tiles")

    def __post_init__(self) -> None:
        parameters.check_all(self)

    def run(self, model: Model, objective: Objective, photo: Photo) -> Visualization:
        """Return the dream of a photograph, in the size of the photograph.

        Parameters
        ----------
        model : Model
        objective : Objective
            Usually a whole ``layer``, or a ``channel``.
        photo : path, PIL image or uint8 array (H, W, 3)

        Raises
        ------
        UnsupportedModelError
            The model does not read pictures as floats, or has other inputs.
        DataError
            The photograph cannot be read.
        ParameterError
            The smallest size is less than 16 pixels wide or high, or the model reads pictures of another size.
        OutputError
            The gradient is not finite.
        ZeroGradientError
            The gradient is 0 in all sizes.
        """
        began = time.perf_counter()
        scene = Scene.of(sized(model, self.size), objective, 1)
        whole = _read(photo, scene.canvas.channels)
        sizes = self._sizes(whole.shape[2:])
        tiles = [_Tiles.over(size, scene.size) for size in sizes]
        runs = self.steps * sum(one.count for one in tiles) + (_UNSEEN + 1) * tiles[-1].count
        progress.expect(runs)
        added = np.zeros((1, whole.shape[1], *sizes[0]), dtype=np.float32)
        trace, has_slope = [], False
        for octave, (shape, over) in enumerate(zip(sizes, tiles, strict=True)):
            base = _resized(whole, shape)
            picture = np.clip(base + _resized(added, shape), 0, 1)
            for step in range(self.steps):
                rng = np.random.default_rng([self.seed, _STEPS, octave, step])
                value, slope = over.gradient(scene, picture, rng)
                trace.append([value])
                if not np.isfinite(slope).all():
                    raise OutputError(
                        f"The gradient of {objective} is NaN or infinity at the photograph. Give another."
                    )
                has_slope = has_slope or bool(slope.any())
                slope = blurred(slope, self.blur) if self.blur else slope
                picture = np.clip(picture + np.float32(self.rate / max(np.abs(slope).mean(), 1e-30)) * slope, 0, 1)
            added = picture - base
        if not has_slope:
            raise ZeroGradientError(
                f"The gradient of {objective} is 0 at the photograph, where it is silent. Name another layer or unit."
            )
        other = [np.random.default_rng([self.seed, _JUDGEMENT, number]) for number in range(_UNSEEN)]
        shown = np.round(255 * np.moveaxis(picture, 1, -1)).astype(np.uint8)
        shown = np.repeat(shown, 3, axis=-1) if shown.shape[-1] == 1 else shown
        return Visualization(
            shown,
            np.array([tiles[-1].value(scene, picture)]),
            np.array([np.mean([tiles[-1].value(scene, picture, rng) for rng in other])]),
            high_frequencies(shown),
            np.array(trace),
            search={name: recorded_value(getattr(self, name)) for name in parameters.declared(Dream)},
            diagnostics={"evaluations": runs, "seconds": round(time.perf_counter() - began, 3)},
            provenance={"model": model.name, "model_sha256": model.sha256, "objective": repr(objective)},
        )

    def _sizes(self, size: tuple[int, ...]) -> list[tuple[int, int]]:
        """From the smallest to that of the photograph."""
        factors = [self.scale**-k for k in reversed(range(self.octaves))]
        height, width = size
        sizes = [(round(height * factor), round(width * factor)) for factor in factors]
        if min(sizes[0]) < _SMALLEST:
            raise ParameterError(
                f"The smallest of {self.octaves} sizes has {sizes[0][0]} x {sizes[0][1]} pixels. Give fewer 'octaves', "
                "a smaller 'scale' or a larger photograph."
            )
        return sizes


def dream(model: ModelLike, photo: Photo, objective: str | Objective = "layer", **settings: object) -> Visualization:
    """Show a photograph in which a model sees more of what it sees there.

    Parameters
    ----------
    model : Model or path
        It reads pictures, as floats.
    photo : path, PIL image or uint8 array (H, W, 3)
        Of any size.
    objective : str or Objective
        What becomes more.
    **settings
        Parameters of the objective, if it is given by name (``layer``), and of the :class:`Dream` (``octaves``,
        ``steps``, ...).

    Returns
    -------
    Visualization
        With ``image``, in the size of the photograph.

    Raises
    ------
    XaionnxError
        See :meth:`Dream.run`.

    References
    ----------
    Mordvintsev, Olah and Tyka, Inceptionism: going deeper into neural networks, 2015.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> photo = np.full((40, 60, 3), 127, np.uint8)
    >>> photo[10:30, 20:40] = 255
    >>> layer = "/6/Relu_output_0"
    >>> found = xaionnx.dream("models/mnist_cnn.onnx", photo, layer=layer, octaves=2, steps=3)
    >>> found.image.size
    (60, 40)
    """
    own = parameters.declared(Dream).keys()
    how = Dream(**{name: value for name, value in settings.items() if name in own})  # type: ignore[arg-type]  # checked there
    chosen = OBJECTIVES.configured(objective, {name: v for name, v in settings.items() if name not in own})
    opened = model if isinstance(model, Model) else Model.load(model)
    with progress.bar():
        return how.run(opened, chosen, photo)


@final
@dataclass(frozen=True, eq=False)
class _Tiles:
    """Tiles of the size that a model reads over a picture of another size.

    Attributes
    ----------
    places : array (K, 2)
        How far the middle of each tile lies from that of the picture, in pixels (down, right).
    canvas, size : (int, int)
        Of the picture and of a tile.
    """

    places: Array
    canvas: tuple[int, int]
    size: tuple[int, int]

    __repr__ = short_repr

    @classmethod
    def over(cls, canvas: tuple[int, int], size: tuple[int, int]) -> _Tiles:
        """Return as few tiles as cover a picture, evenly spread; beyond its border it is reflected."""
        each = []
        for whole, part in zip(canvas, size, strict=True):
            count, room = -(-whole // part), whole - part
            first = np.linspace(0, room, count).round() if count > 1 else np.array([room // 2])
            # On whole pixels, so that nothing is blurred.
            each.append(first - room / 2)
        return cls(np.stack(np.meshgrid(*each, indexing="ij"), axis=-1).reshape(-1, 2), canvas, size)

    @property
    def count(self) -> int:
        """K."""
        return len(self.places)

    def gradient(self, scene: Scene, picture: Array, rng: np.random.Generator) -> tuple[float, Array]:
        """The mean of the objective over tiles at random places, and its gradient, averaged where tiles overlap."""
        total, covered, values = np.zeros_like(picture), np.zeros_like(picture[:, :1]), []
        for view in self._views(rng):
            value, slope = scene.gradient(view, picture)
            total += slope
            covered += view.back(np.ones((1, 1, *self.size), dtype=np.float32))
            values.append(float(value[0]))
            progress.advance(1)
        return float(np.mean(values)), total / np.maximum(covered, 1)

    def value(self, scene: Scene, picture: Array, rng: np.random.Generator | None = None) -> float:
        """The mean of the objective over the tiles, at random places if there is a generator."""
        return float(np.mean([scene.value(view, picture)[0] for view in self._views(rng)]))

    def _views(self, rng: np.random.Generator | None) -> Iterator[View]:
        moved = np.zeros(2) if rng is None else np.round(rng.uniform(-_MOVE, _MOVE, 2) * self.size)
        for place in self.places:
            yield View.at(self.canvas, self.size, shift=place + moved)


def _read(photo: Photo, channels: int) -> Array:
    """The picture (1, C, H, W) from 0 to 1."""
    if isinstance(photo, np.ndarray):
        if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
            raise DataError(f"A photograph is a uint8 array (H, W, 3). Got {photo.dtype} {photo.shape}.")
        pixels = photo
    else:
        read = picture_of(photo) if isinstance(photo, Image.Image) else read_picture(photo)
        pixels = read.array
    image = Image.fromarray(pixels).convert("L" if channels == 1 else "RGB")
    array = np.asarray(image, dtype=np.float32) / 255
    return array[None, None] if channels == 1 else np.ascontiguousarray(np.moveaxis(array, -1, 0)[None])


def _resized(x: Array, size: tuple[int, int]) -> Array:
    """Planes (1, C, H, W) in another size."""
    if x.shape[2:] == size:
        return x
    height, width = size
    planes = [Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC) for plane in x[0]]
    return np.stack([np.asarray(plane, dtype=np.float32) for plane in planes])[None]
