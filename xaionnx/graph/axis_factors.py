"""The axes of a tensor as products of factors: spatial positions of the input, channels, tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

# A border of up to this many positions shifts a map too little to matter.
_BORDER = 2

# A crop of up to this part of the positions shifts a map too little to matter.
_CROP = 64

# Stands for an unknown number of tokens.
_UNKNOWN = -1


@final
@dataclass(frozen=True)
class AxisFactor:
    """A factor of an axis: it counts spatial positions of the input, or something else.

    Attributes
    ----------
    kind : str
        The letter of an axis of the input: ``N`` or ``C``, others for spatial axes; ``?`` for mixed positions, and
        ``P`` for a grid of patches with other tokens before and after.
    size : int
        0 if unknown.
    stride : int
        Stride in positions: a split axis has a factor of large strides and one of small.
    whole : int
        Positions of the whole axis.
    covered : int
        Positions over the input; the others are border, which may be cropped.
    grid : tuple (h, w)
        Rows and columns of patches, for ``P``.
    before, after : int
        Numbers of other tokens, for ``P``.
    origin : str
        For mixed positions, the letter of the axis that they are from; empty if they are from several.
    """

    kind: str
    size: int
    stride: int = 1
    whole: int = 0
    covered: int = 0
    grid: tuple[int, int] = (0, 0)
    before: int = 0
    after: int = 0
    origin: str = ""

    @classmethod
    def spatial(cls, kind: str, size: int, covered: int) -> AxisFactor:
        return cls(kind, size, whole=size, covered=covered)

    @property
    def is_spatial(self) -> bool:
        """Whether it counts spatial positions."""
        return self.kind not in ("N", "C", "?")

    def split(self, size: int) -> tuple[AxisFactor, AxisFactor] | None:
        """Return a factor of ``size`` large strides and one of small strides; None if it cannot be split."""
        if self.kind == "P":
            return None
        small = self.size // size
        return replace(self, size=size, stride=self.stride * small), replace(self, size=small)

    def joined(self, small: AxisFactor) -> AxisFactor | None:
        """Return the product with a factor of smaller strides; None if the two are not of one axis."""
        if self.kind == "P" or replace(self, size=0, stride=0) != replace(small, size=0, stride=0):
            return None
        if self.is_spatial and self.stride != small.stride * small.size:
            return None
        return replace(small, size=self.size * small.size)


Axis = tuple[AxisFactor, ...]
Layout = tuple[Axis, ...]


def spatial_factor(axis: Axis) -> AxisFactor | None:
    """Return the only factor of an axis if it counts all positions, with any border; else None."""
    if len(axis) != 1 or not axis[0].is_spatial or axis[0].kind == "P":
        return None
    return axis[0] if axis[0].size * axis[0].stride == axis[0].whole else None


def covering_factor(axis: Axis) -> AxisFactor | None:
    """Return the only factor of an axis if its positions cover the input, with almost no border; else None."""
    factor = spatial_factor(axis)
    return factor if factor is not None and factor.whole <= factor.covered + _BORDER * factor.stride else None


def token_factor(axis: Axis) -> AxisFactor | None:
    """Return the factor of an axis of patches, row by row, with tokens before and after; None for other axes."""
    if len(axis) == 1 and axis[0].kind == "P":
        return axis[0]
    if "".join(factor.kind for factor in axis) != "HW" or not all(covering_factor((factor,)) for factor in axis):
        return None
    return AxisFactor("P", axis[0].size * axis[1].size, grid=(axis[0].size, axis[1].size))


def with_extra_tokens(
    tokens: AxisFactor, before: Sequence[int], after: Sequence[int], *, none: bool = False
) -> AxisFactor:
    """Return a token factor with further tokens; 0 stands for an unknown size, or with ``none`` for no token."""
    open_before = tokens.before == _UNKNOWN or (not none and 0 in before)
    open_after = tokens.after == _UNKNOWN or (not none and 0 in after)
    if open_before and open_after:
        return AxisFactor("?", 0)
    return replace(
        tokens,
        size=0 if open_before or open_after else tokens.size + sum(before) + sum(after),
        before=_UNKNOWN if open_before else tokens.before + sum(before),
        after=_UNKNOWN if open_after else tokens.after + sum(after),
    )


def with_size(axis: Axis, size: int) -> Axis:
    """Return an axis with its size filled in, and with it the unknown number of tokens before or after patches."""
    if len(axis) != 1 or axis[0].size or not size:
        return axis
    factor = replace(axis[0], size=size)
    rest = size - math.prod(factor.grid)
    if factor.before == _UNKNOWN:
        factor = replace(factor, before=rest - factor.after)
    elif factor.after == _UNKNOWN:
        factor = replace(factor, after=rest - factor.before)
    return (factor,)


def mixed_axis(axis: Axis, size: int) -> Axis:
    """Return an axis after an op that mixes the positions along it."""
    if size == 1:
        return ()
    if not any(factor.is_spatial or factor.kind == "?" for factor in axis):
        return (AxisFactor("C", size),)
    only = axis[0] if len(axis) == 1 else None
    origin = "" if only is None else only.origin or (only.kind if only.is_spatial else "")
    return (AxisFactor("?", size, origin=origin),)


def sliced_axis(axis: Axis, held: int, size: int, chosen: range | None, step: int) -> Axis:
    """Return an axis of ``held`` entries of which ``size`` are left: those ``chosen``, if known."""
    if size and size == held and step == 1:
        return axis
    tokens = token_factor(axis)
    if tokens is not None and chosen and step == 1:
        before, after = tokens.before - chosen.start, tokens.after - (held - chosen.stop)
        if min(before, after) >= 0:
            return (replace(tokens, size=size, before=before, after=after),)
    factor = spatial_factor(axis)
    if factor is not None:
        covered = factor.covered // factor.stride
        if step == 1 and size >= covered:
            return (AxisFactor.spatial(factor.kind, size, covered),)
        if step == 1 and covered - size <= covered // _CROP:
            # A waveform cut to a whole number of frames.
            return (AxisFactor.spatial(factor.kind, size, size),)
        # Every second position, as after a stride of 2.
        if step > 1 and chosen and chosen.start < step and size >= held // step:
            return (AxisFactor.spatial(factor.kind, size, min(-(-covered // step), size)),)
    return mixed_axis(axis, size)


def reshaped_layout(layout: Layout, sizes: Sequence[int]) -> Layout | None:
    """Return the layout after a reshape to ``sizes``; None if the factors do not fit them."""
    factors = [factor for axis in layout for factor in axis if factor.size != 1]
    result = list[Axis]()
    for size in sizes:
        axis = list[AxisFactor]()
        while size > 1:
            if not factors or not factors[0].size:
                return None
            factor = factors.pop(0)
            if size % factor.size:
                halves = factor.split(size) if factor.size % size == 0 else None
                if halves is None:
                    return None
                factor, rest = halves
                factors.insert(0, rest)
            size //= factor.size
            whole = axis[-1].joined(factor) if axis else None
            axis[-1:] = [whole] if whole is not None else [*axis[-1:], factor]
        result.append(tuple(axis))
    return None if factors else tuple(result)


def broadcast_layout(read: Sequence[Layout]) -> Layout | None:
    """Return the layout of the output of an element-wise op; spatial axes of any operand stay spatial."""
    if not read:
        return None
    result = list[Axis]()
    for at in range(-max(map(len, read)), 0):
        axes = [layout[at] for layout in read if len(layout) >= -at]
        spatial = [axis for axis in axes if any(factor.is_spatial for factor in axis)]
        kinds = {
            tuple((factor.kind, factor.stride * factor.size != factor.whole and factor.stride) for factor in axis)
            for axis in spatial
        }
        size = max(math.prod(factor.size for factor in axis) for axis in axes)
        if len(kinds) > 1:
            result.append((AxisFactor("?", size),))
        else:
            result.append(max(spatial or axes, key=lambda axis: math.prod(factor.size for factor in axis)))
    return tuple(result)
