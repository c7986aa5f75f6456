"""Sample: one sample of a batch, and what is known of its meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from xaionnx.errors import InputMismatchError
from xaionnx.inputs import InputSpec, picture_axes

Array = npt.NDArray[Any]


@final
@dataclass(frozen=True, eq=False)
class Sample:
    """One sample, and what is known of its meaning.

    Attributes
    ----------
    x : dict of arrays by input name
        Without the batch axis.
    main : str
        The input that is explained.
    spec : InputSpec or None
    number : int
        Its place in the batch, and ``count`` the size of the batch.
    """

    x: Mapping[str, Array]
    main: str
    spec: InputSpec | None = None
    number: int = 0
    count: int = 1

    @property
    def array(self) -> Array:
        """The explained input."""
        return self.x[self.main]

    @property
    def picture_axes(self) -> tuple[int, tuple[int, int]] | None:
        """Axes of the channels and of height and width in :attr:`array`; None if it is no picture."""
        if self.spec is not None and self.spec.kind != "picture":
            return None
        if self.spec is not None and not self.spec.guessed and self.array.ndim == 3:
            channel, (height, width) = self.spec.channel_axis, self.spec.spatial_axes
            return channel - 1, (height - 1, width - 1)
        found = picture_axes((1, *self.array.shape))
        return None if found is None else (found[0] - 1, (found[1][0] - 1, found[1][1] - 1))

    def spatial(self, what: str) -> tuple[int, int]:
        """Height and width in pixels.

        Raises
        ------
        InputMismatchError
            The input is no picture, and ``what`` needs one.
        """
        axes = self.picture_axes
        if axes is None:
            raise InputMismatchError(
                f"{what} needs a picture, but input '{self.main}' has the shape {('N', *self.array.shape)}. "
                "Use features='elements', or an integer label map over its axes."
            )
        return self.array.shape[axes[1][0]], self.array.shape[axes[1][1]]

    def over_pixels(self, labels: Array) -> Array:
        """A map (H, W) of labels, with an axis of length 1 where the channels are."""
        axes = self.picture_axes
        return labels if axes is None else np.expand_dims(labels, axes[0])

    def picture(self) -> Array:
        """The input as a uint8 picture (H, W, 3); without a spec its range is stretched to 0..255."""
        channel, _ = self.picture_axes or (0, (1, 2))
        self.spatial("A picture of the input")
        if self.spec is not None and not self.spec.guessed:
            shown: Array = self.spec.to_pictures(self.array[None])[0]
            return shown
        values = np.moveaxis(self.array, channel, -1).astype(np.float64)
        low, high = values.min(), values.max()
        scaled = (values - low) * (255 / (high - low) if high > low else 0)
        return np.broadcast_to(np.rint(scaled), (*scaled.shape[:2], 3)).astype(np.uint8)
