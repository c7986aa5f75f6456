"""What a spec is where none is written: guessed from the shape of an input, its type, and the metadata of the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import DTypeLike

from xaionnx.typing import Document

# Mean and scale of pixels by the range of numbers that the metadata of ONNX name.
_RANGES: Final = {
    "nominalrange_0_255": (0.0, 1.0),
    "normalized_0_1": (0.0, 255.0),
    "normalized_1_1": (127.5, 127.5),
    "nominalrange_16_235": (-16 * 255 / 219, 255 / 219),
}


def guessed_fields(shape: Sequence[int | str | None], dtype: DTypeLike, metadata: Mapping[str, str]) -> Document:
    """Return the fields of a spec that is guessed; see :meth:`xaionnx.data.spec.InputSpec.guess`."""
    floating = np.issubdtype(np.dtype(dtype), np.floating)
    axes = picture_axes(shape)
    if axes is None:
        return {"kind": "table" if len(shape) == 2 and floating else "array"}
    channel, (h_axis, w_axis) = axes
    height, width = shape[h_axis], shape[w_axis]
    # Keys and values may be written in any case.
    known = {key.lower(): value.lower() for key, value in metadata.items()}
    is_bgr = known.get("image.bitmappixelformat") == "bgr8"
    mean, scale = _RANGES.get(known.get("image.nominalpixelrange", ""), (0.0, 255.0 if floating else 1.0))
    return {
        "layout": "NCHW" if channel == 1 else "NHWC",
        "size": (height, width) if isinstance(height, int) and isinstance(width, int) else None,
        "color": "L" if shape[channel] == 1 else "BGR" if is_bgr else "RGB",
        "mean": mean,
        "scale": scale,
    }


def picture_axes(shape: Sequence[int | str | None]) -> tuple[int, tuple[int, int]] | None:
    """Return the axes of a picture in the shape of a batch-first array.

    Four axes are a picture if axis 1 or axis 3 has 1 or 3 entries: the channels. If both do, as in (N, 3, 224, 3) or
    (N, 1, 28, 1), the channels are assumed to come first, the layout of most exporters.

    Parameters
    ----------
    shape : sequence of int, str or None
        Sizes of the axes; a str or None is a free axis.

    Returns
    -------
    (int, (int, int)) or None
        Channel axis and the axes of H and W; None if this is not a picture.

    Examples
    --------
    >>> picture_axes((8, 3, 224, 224))
    (1, (2, 3))
    >>> picture_axes((8, 28, 28, 1))
    (3, (1, 2))
    >>> picture_axes((8, 20)) is None
    True
    """
    if len(shape) != 4:
        return None
    for channel, spatial in ((1, (2, 3)), (3, (1, 2))):
        if shape[channel] in (1, 3):
            return channel, spatial
    return None
