"""Maps of one number per pixel from explanations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple, final

import numpy as np
import numpy.typing as npt

from xaionnx.counting import counted
from xaionnx.errors import DataError, ParameterError, UnknownNameError
from xaionnx.explanation import Arrays, Explanation
from xaionnx.render.layers import Layer, layer_of, over_picture
from xaionnx.typing import Array, Floats

ChannelReduction = Literal["single", "same", "players", "sum", "layer"]


# From this side on, a map of single pixels is not legible; below this correlation of neighbours it is speckled.
_LARGE: Final = 64
_ALIKE: Final = 0.8


@final
@dataclass(frozen=True, eq=False, repr=False)
class PixelMap:
    """A map with one number per pixel.

    Attributes
    ----------
    values : array (H, W)
    labels : int array (H, W) or None
        The number of each pixel's player, for methods that work on groups of pixels.
    players : array (P,) or None
        The value of each player.
    joined : str
        How channels were reduced: there is one (``single``), all are the ``same``, ``players`` at a pixel are counted
        once each, or their ``sum``; ``layer`` for a map of a layer.
    note : str
        How a layer was mapped to the picture.
    box : tuple of 4 floats, or None
        The explained box of a detector, x0, y0, x1, y1 as shares of the picture's width and height.
    smoothing : float
        The standard deviation of the Gaussian by which values were smoothed, in pixels of the map; 0 if they were not.
    """

    values: Floats
    labels: Array | None
    players: Floats | None
    joined: ChannelReduction
    note: str = ""
    box: tuple[float, ...] | None = None
    smoothing: float = 0.0

    @property
    def by_pixel(self) -> bool:
        """Whether each pixel has a value of its own, rather than that of a region or of a layer's position."""
        return self.labels is None and self.joined not in ("players", "layer")


def one_sample(explanation: Explanation, sample: int, target: int, function: str) -> Explanation:
    """The record of one sample and target.

    Raises
    ------
    ParameterError
        There is no such sample or target.
    """
    if not isinstance(explanation, Explanation):
        raise ParameterError(
            f"The 'explanation' parameter of {function} must be an Explanation. "
            f"Got {type(explanation).__name__} instead."
        )
    targets = len(explanation.target) if explanation.several_targets else 1
    for name, index, count in (("sample", sample, explanation.samples), ("target", target, targets)):
        whole = isinstance(index, int | np.integer) and not isinstance(index, bool)
        if not whole or not 0 <= index < count:
            raise ParameterError(
                f"The '{name}' parameter of {function} must be an int in [0, {count - 1}]. Got {index!r} instead."
            )
    return explanation.sample(int(sample), int(target))


def one_picture(picture: Array, sample: int, samples: int) -> npt.NDArray[np.uint8]:
    """The picture (H, W, 3) of one sample, given directly or in a batch (N, H, W, 3).

    Raises
    ------
    DataError
        It is not a uint8 picture, or the number of pictures does not match the samples.
    """
    array = np.asarray(picture)
    if array.dtype != np.uint8 or array.ndim not in (3, 4) or array.shape[-1] != 3 or not array.size:
        raise DataError(
            "The picture must be a uint8 array (H, W, 3), or (N, H, W, 3) for N samples. "
            f"Got {array.shape} {array.dtype} instead; InputSpec.to_pictures makes one from a model's tensor."
        )
    if array.ndim == 3:
        return array
    if len(array) != samples:
        raise DataError(
            f"There are {counted(len(array), 'picture')} for an explanation of {counted(samples, 'sample')}. "
            "Give one picture per sample."
        )
    one: npt.NDArray[np.uint8] = array[sample]
    return one


class Extent(NamedTuple):
    """The size of a picture in pixels; ``stretched`` if the model's input has another aspect ratio."""

    height: int
    width: int
    stretched: bool = False


def same_field(shape: tuple[int, ...], picture: Extent) -> bool:
    """Whether a map of ``shape`` (H, W) covers a picture: at its size, or smaller with the same aspect ratio."""
    if len(shape) != 2 or not all(0 < small <= large for small, large in zip(shape, picture[:2], strict=True)):
        return False
    if picture.stretched:
        return True
    # Rounding a resized side to whole pixels changes it by less than one.
    ratio = picture[0] / shape[0]
    return abs(shape[1] * ratio - picture[1]) < max(ratio, 1.0) if ratio > 1 else shape[1] == picture[1]


def explained_box(one: Explanation) -> tuple[float, ...] | None:
    """The corners of the explained box of one sample and target, as shares of width and height; None without one."""
    box = one.diagnostics.get("box")
    while isinstance(box, list) and len(box) == 1:
        box = box[0]
    size = next((display.size for display in one.display.values() if display.size is not None), None)
    if not isinstance(box, list) or len(box) != 4 or size is None:
        return None
    height, width = size
    return tuple(corner / side for corner, side in zip(box, (width, height, width, height), strict=True))


def pixel_map(one: Explanation, picture: Extent, input: str | None = None) -> PixelMap:
    """The values of one sample as one number per pixel of a picture with H, W pixels.

    Values that differ between channels are summed; the value of a player that covers all channels of a pixel counts
    once.

    Raises
    ------
    DataError
        The values are not a map over the picture, or are not finite. ParameterError, UnknownNameError ``input`` is
        required, or is not an input.
    """
    return replace(_map_of(one, picture, input), box=explained_box(one))


def _map_of(one: Explanation, picture: Extent, input: str | None) -> PixelMap:
    layer = layer_of(one)
    if layer is not None and layer.is_map:
        return _of_layer(one, layer, picture)
    values, labels = _of_input(one, picture, input)
    channel = _channel_axis(values.shape, picture)
    if channel is None:
        raise DataError(_mismatch(one.method, values.shape, picture))
    check_finite(one.method, values)
    planes, label_planes = values.astype(np.float64), labels
    if values.ndim == 2:
        planes, label_planes = planes[None], None if labels is None else labels[None]
    elif channel > 0:
        planes = np.moveaxis(planes, channel, 0)
        label_planes = None if labels is None else np.moveaxis(labels, channel, 0)
    joined: ChannelReduction = "single" if len(planes) == 1 else "sum"
    if joined == "sum" and label_planes is not None:
        joined = "same" if (label_planes == label_planes[:1]).all() else "players"
    elif joined == "sum" and (planes == planes[:1]).all():
        joined = "same"
    players = None
    if label_planes is not None and one.feature_values is not None:
        players = np.asarray(one.feature_values[0], dtype=np.float64)
    if joined == "players":
        assert label_planes is not None  # only labels lead here
        return PixelMap(_each_player_once(planes, label_planes), None, players, "players")
    total = planes.sum(axis=0) if joined == "sum" else planes[0]
    return PixelMap(total, None if label_planes is None else label_planes[0], players, joined)


def smoothed(found: PixelMap, smooth: float | None, sign: str, function: str) -> PixelMap:
    """The map with each value replaced by a weighted mean of its neighbours, by a Gaussian.

    Parameters
    ----------
    found : PixelMap
    smooth : float or None
        The standard deviation in pixels of the map. If None, a hundredth of the shorter side for large maps in which
        the sizes of neighbouring pixels have little in common, as gradients have them, and 0 for all others.
    sign : str
        With ``absolute``, the sizes of values are smoothed.

    Raises
    ------
    ParameterError
        ``smooth`` is not a finite number from 0 on, or the method worked on regions.
    """
    number = isinstance(smooth, int | float | np.number) and not isinstance(smooth, bool)
    if smooth is not None and (not number or not 0 <= smooth < np.inf):
        raise ParameterError(
            f"The 'smooth' parameter of {function} must be a float in [0, inf) or None. Got {smooth!r} instead."
        )
    if smooth and not found.by_pixel and found.joined != "layer":
        raise ParameterError(
            f"The 'smooth' parameter of {function} needs a value for each pixel, and this method worked on regions. "
            "Leave it out."
        )
    values = np.abs(found.values) if sign == "absolute" else found.values
    if smooth is None:
        smooth = min(values.shape) / 100 if found.by_pixel and _is_speckled(values) else 0.0
    if not smooth:
        return found
    from scipy import ndimage

    means: Floats = ndimage.gaussian_filter(values, float(smooth), mode="nearest")
    return replace(found, values=means, smoothing=float(smooth))


def _is_speckled(values: Floats) -> bool:
    """Whether the sizes of neighbouring pixels of a large map have little in common."""
    sizes = np.abs(values)
    if min(sizes.shape) < _LARGE or sizes.min() == sizes.max():
        return False
    pairs = ((sizes[:, 1:], sizes[:, :-1]), (sizes[1:], sizes[:-1]))
    return all(np.corrcoef(one.ravel(), other.ravel())[0, 1] < _ALIKE for one, other in pairs)


def check_finite(method: str, values: Array) -> None:
    """Raise DataError if a value is not finite."""
    bad = int(values.size - np.isfinite(values).sum())
    if bad:
        raise DataError(
            f"The {method} values hold NaN or infinity at {bad} of {values.size} elements and cannot be drawn. "
            "Explain the sample again, or drop it."
        )


def _of_layer(one: Explanation, layer: Layer, picture: Extent) -> PixelMap:
    values = np.asarray(one.values)[0]
    check_finite(one.method, values)
    enlarged, note = over_picture(values, layer, picture.height, picture.width)
    return PixelMap(enlarged, None, None, "layer", note)


def _of_input(one: Explanation, picture: Extent, input: str | None) -> tuple[Array, Array | None]:
    """Values and labels of one input, of the same shape and without the batch axis."""

    def of(arrays: Arrays | None, name: str | None) -> Array | None:
        return arrays.get(name or "") if isinstance(arrays, dict) else arrays

    name: str | None = None
    if isinstance(one.values, dict):
        if input is None:
            fitting = [n for n, a in one.values.items() if _channel_axis(a.shape[1:], picture) is not None]
            if len(fitting) != 1:
                raise ParameterError(
                    f"The explanation has values for {', '.join(one.values)}, and {len(fitting)} of them fit the "
                    "picture. Name the one to draw with 'input'."
                )
            name = fitting[0]
        elif input not in one.values:
            raise UnknownNameError.among("input", input, one.values)
        else:
            name = input
    values = of(one.values, name)
    assert values is not None  # the name was just looked up
    values = np.asarray(values)[0]
    labels = of(one.features, name)
    return values, None if labels is None else np.broadcast_to(np.asarray(labels)[0], values.shape)


# Tried in this order: most exporters write channels first.
_CHANNELS: Final = (0, 2)


def _channel_axis(shape: tuple[int, ...], picture: Extent) -> int | None:
    """The channel axis, -1 without channels; None if the shape is not a map over the picture."""
    if len(shape) == 2:
        return -1 if same_field(shape, picture) else None
    if len(shape) != 3:
        return None
    fields = {c: shape[:c] + shape[c + 1 :] for c in _CHANNELS}
    fitting = [c for c, field in fields.items() if same_field(field, picture)]
    exact = [c for c in fitting if fields[c] == picture[:2]]
    if picture.stretched:
        # Any aspect ratio covers such a picture; a side of the map must not be mistaken for channels.
        fitting = [c for c in fitting if shape[c] <= min(fields[c])]
    likely = [c for c in exact or fitting if shape[c] in (1, 3)]
    return next(iter(likely or exact or fitting), None)


def _mismatch(method: str, shape: tuple[int, ...], picture: Extent) -> str:
    if len(shape) not in (2, 3):
        return (
            f"The {method} values have the shape {('N', *shape)}, which is not a map over a picture. "
            "Use render.bars for columns, features and players."
        )
    return (
        f"The {method} values have the shape {('N', *shape)}, which does not fit a picture of {picture[0]} x "
        f"{picture[1]} pixels (H x W). Give the model's input picture, or a larger one of the same aspect ratio."
    )


def _each_player_once(planes: Floats, labels: Array) -> Floats:
    """The sum over channels (C, H, W), counting each player once per pixel."""
    total = np.zeros(planes.shape[1:])
    for c in range(len(planes)):
        counted = (labels[:c] == labels[c]).any(axis=0)
        total += np.where(counted, 0.0, planes[c])
    return total
