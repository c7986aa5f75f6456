"""Sample: one sample of a batch, with its spec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from xaionnx.data.spec import InputSpec, picture_axes
from xaionnx.errors import InputMismatchError
from xaionnx.graph.input_purposes import InputPurpose, is_data
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array


@final
@dataclass(frozen=True, eq=False)
class Sample:
    """One sample of a batch.

    Attributes
    ----------
    x : dict of arrays by input name
        Without the batch axis.
    main : str
        The input that is explained.
    spec : InputSpec or None
        Describes the explained input.
    number : int
        Index in the batch; ``count`` is the size of the batch.
    shared : frozenset of str
        Inputs without a batch axis, the same for all samples.
    purposes : dict of InputPurpose by input name
        What the inputs are for; those that are not named are data.

    Examples
    --------
    >>> import numpy as np
    >>> Sample({"x": np.zeros((28, 28, 1))}, "x").picture_axes
    (2, (0, 1))
    """

    x: Mapping[str, Array]
    main: str
    spec: InputSpec | None = None
    number: int = 0
    count: int = 1
    shared: frozenset[str] = frozenset()
    purposes: Mapping[str, InputPurpose] = field(default_factory=dict)

    __repr__ = short_repr

    @property
    def array(self) -> Array:
        """The explained input."""
        return self.x[self.main]

    @property
    def own(self) -> dict[str, Array]:
        """The inputs with a batch axis, which belong to this sample alone."""
        return {name: array for name, array in self.x.items() if name not in self.shared}

    @property
    def data(self) -> dict[str, Array]:
        """The inputs that are data of this sample: those whose parts are removed by default."""
        return {n: array for n, array in self.own.items() if n == self.main or is_data(self.purposes, n)}

    @property
    def picture_axes(self) -> tuple[int, tuple[int, int]] | None:
        """Axes of the channels and of height and width in :attr:`array`; None if it is not a picture."""
        return self.axes(self.main)

    def axes(self, name: str) -> tuple[int, tuple[int, int]] | None:
        """Return the axes of the channels and of height and width of an input; None if it is not a picture.

        They come from the spec for the explained input, from the shape for any other.
        """
        array = self.x[name]
        if name == self.main and self.spec is not None:
            if self.spec.kind != "picture":
                return None
            if not self.spec.guessed and array.ndim == 3:
                channel, (height, width) = self.spec.channel_axis, self.spec.spatial_axes
                return channel - 1, (height - 1, width - 1)
        axes = picture_axes((1, *array.shape))
        return None if axes is None else (axes[0] - 1, (axes[1][0] - 1, axes[1][1] - 1))

    def pixels_of(self, name: str) -> InputSpec | None:
        """Return the spec that gives the scale of an input's pixels; None if unknown."""
        spec = self.spec
        known = name == self.main and spec is not None and spec.kind == "picture" and not spec.guessed
        return spec if known else None

    def spatial(self, what: str, name: str | None = None) -> tuple[int, int]:
        """Return height and width in pixels of an input, by default the explained one.

        Raises
        ------
        InputMismatchError
            The input is not a picture, and ``what`` needs one.
        """
        name = self.main if name is None else name
        axes = self.axes(name)
        if axes is None:
            raise InputMismatchError(
                f"{what} needs a picture, but input '{name}' has the shape {('N', *self.x[name].shape)}. "
                "Use features='elements', or an integer label map over its axes."
            )
        shape = self.x[name].shape
        return shape[axes[1][0]], shape[axes[1][1]]


def split(
    feeds: Mapping[str, Array],
    main: str,
    spec: InputSpec | None,
    shared: frozenset[str],
    purposes: Mapping[str, InputPurpose] | None = None,
) -> list[Sample]:
    """Return the N samples of a batch whose explained input is ``main``; the arguments are those of `Sample`.

    Examples
    --------
    >>> import numpy as np
    >>> [sample.array for sample in split({"x": np.arange(2.0)}, "x", None, frozenset())]
    [array(0.), array(1.)]
    """
    count, known = len(feeds[main]), purposes or {}
    return [
        # a[n, ...] is an array; a[n] could be a scalar.
        Sample({k: a if k in shared else a[n, ...] for k, a in feeds.items()}, main, spec, n, count, shared, known)
        for n in range(count)
    ]
