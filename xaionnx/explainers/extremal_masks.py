"""Extremal perturbations: the mask of a given area that keeps, or destroys, most of the target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.errors import ParameterError
from xaionnx.explainers._gradients.gradient import GradientExplainer
from xaionnx.explainers._masks.search import MaskSearch
from xaionnx.explainers._masks.upsampling import SmoothMaximum, Upsampling
from xaionnx.parameters import choice, free, real
from xaionnx.typing import Array

# The share of the weight of the area at the first step: what keeps the target then decides where the mask is.
_FIRST: Final = 1 / 256
# The share of the steps in which equal positions get the same target: only the model tells them apart then.
_SHARED: Final = 0.5
# How far the values of equal positions lie apart, which are added up in another order.
_EQUAL: Final = 1e-6


def _read_areas(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _check_areas(given: float | tuple[float, ...]) -> None:
    """Raise ParameterError unless these are shares of a picture."""
    areas = np.atleast_1d(np.asarray(given))
    if areas.ndim != 1 or areas.dtype.kind not in "fi" or not len(areas) or not ((areas > 0) & (areas < 1)).all():
        raise ParameterError(
            f"The 'areas' parameter of ExtremalMasks must be a number in (0, 1), or several. Got {given!r} instead."
        )


def _wanted(mask: Array, empty: int, apart: float) -> Array:
    """The values (P,) that a mask is to have: 0 for its ``empty`` smallest ones, 1 for the others.

    Neighbouring values that differ by at most ``apart`` all get the mean of their targets.

    Examples
    --------
    >>> _wanted(np.array([0.5, 0.1, 0.5, 0.9]), 2, 0.0), _wanted(np.array([0.5, 0.1, 0.5, 0.9]), 2, -1.0)
    (array([0.5, 0. , 0.5, 1. ], dtype=float32), array([0., 0., 1., 1.], dtype=float32))
    """
    order = np.argsort(mask, kind="stable")
    starts = np.flatnonzero(~(np.diff(mask[order], prepend=np.nan) <= apart))
    sizes = np.diff(starts, append=len(mask))
    ones = np.add.reduceat((np.arange(len(mask)) >= empty).astype(np.float32), starts)
    found = np.empty(len(mask), dtype=np.float32)
    found[order] = np.repeat(ones / sizes, sizes)
    return found


@final
@dataclass(frozen=True, kw_only=True)
class ExtremalMasks(MaskSearch, GradientExplainer):
    """The mean over areas a of the masks m_a of that area that keep most of the target::

        m_a = argmax over masks m of  share(m) - weight mean((sort(m) - r_a)^2)
        share(m) = (f(z) - f(b)) / (f(x) - f(b))

        preserve    z = b + m (x - b)            the mask is what is shown
        delete      z = x - m (x - b)            the mask is what is removed; -share in place of share

    r_a is 0 for a share 1 - a of the positions and 1 for the rest, so that the mask has the area a and is 0 or 1 nearly
    everywhere. Its sorted values are compared, which leaves open where it is. The weight grows during the search, as in
    the paper, from 1/256 of it. A mask is the smooth maximum of a coarse one of ``grid`` cells along each axis under a
    kernel of ``sigma`` times the side, so it can be 1 over a region and 0 around it, with smooth borders. The input is
    moved a little under the mask in each step.

    The paper's objective is a logit, which is compared with a weight of 300; here it is divided by its whole change,
    whatever the target. All areas are searched at once.

    ``maps["masks"]`` are the masks (N, A, ...), ``maps["left"]`` the targets (N, A) that they leave; with the smallest
    area that keeps most of the target, as the paper defines extremal masks. Diagnostics: ``area_error``, the largest
    distance of the mean of a mask from its area.

    Parameters
    ----------
    areas : float or tuple of float
        Shares of the positions that masks cover.

    Notes
    -----
    When to use: Pictures and series, for what suffices for the class: a region whose size is chosen, not traded against
    the score by a weight.

    When not to use: For parts that speak against the class, since masks show none. Tables and text, which have no
    neighbours.

    References
    ----------
    Fong, Patrick and Vedaldi, Understanding deep networks via extremal perturbations and smooth masks, ICCV 2019,
    arXiv:1910.08485, equations 2 to 7.

    Raises
    ------
    InputMismatchError
        The input is a table or text, or nothing says which axes are positions.

    Examples
    --------
    The sum of the last two of eight steps of a series:

    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[0.0, 0, 0, 0, 0, 0, 1, 1]]), axes="N T")
    >>> found = ExtremalMasks(areas=0.25, baseline=0, sigma=0)
    >>> found.attribute(model, np.ones((1, 8), np.float32)).values.round(1)
    array([[0., 0., 0., 0., 0., 0., 1., 1.]], dtype=float32)
    """

    reference: ClassVar[str] = "Fong, Patrick and Vedaldi 2019, arXiv:1910.08485"

    areas: float | tuple[float, ...] = free(
        (0.05, 0.1, 0.2),
        "a number in (0, 1), or several",
        "shares of the positions that masks cover, such as 0.1,0.2",
        reader=_read_areas,
        resolver=_check_areas,
        optional=False,
    )
    variant: str = choice("preserve", ("preserve", "delete"), "whether masks show what they cover, or remove it")
    weight: float = real(300.0, "weight of the distance from the area at the last step", low=0, low_open=True)
    sigma: float = real(
        0.094, "standard deviation of the kernel of the smooth maximum, as a share of the side", low=0, high=1
    )

    @property
    def removes(self) -> bool:
        return self.variant == "delete"

    @property
    def masks(self) -> int:
        return len(self._areas)

    @property
    def _areas(self) -> Array:
        return np.atleast_1d(np.asarray(self.areas, dtype=np.float64))

    def start(self) -> float:
        return 0.5

    def upsampling(self, extent: tuple[int, ...], cells: tuple[int, ...]) -> Upsampling:
        return SmoothMaximum(extent, cells, self.sigma)

    def ascent(self, upsampling: Upsampling, coarse: Array, mask: Array, slope: Array, done: float) -> Array:
        flat = mask.reshape(len(mask), -1)
        empty = np.rint((1 - self._areas) * flat.shape[1]).astype(np.int64)
        # Later, where a mask has to cover what the target does not depend on, equal positions must be told apart.
        apart = _EQUAL if done < _SHARED else -1.0
        wanted = np.stack([_wanted(one, empty[n % len(empty)], apart) for n, one in enumerate(flat)])
        weight = np.float32(self.weight * _FIRST ** (1 - done) * 2 / flat.shape[1])
        return upsampling.back(coarse, slope - weight * (flat - wanted).reshape(mask.shape))

    def attribution(self, masks: Mapping[str, Array], left: Array) -> Attribution:
        means = [mask.reshape(*mask.shape[:3], -1).mean(axis=3, dtype=np.float64) for mask in masks.values()]
        error = np.abs(np.array(means) - self._areas).max(axis=(0, 3))
        several = len(masks) > 1
        return Attribution(
            {name: mask.mean(axis=2) for name, mask in masks.items()},
            maps={**{f"masks_{name}" if several else "masks": mask for name, mask in masks.items()}, "left": left},
            diagnostics={"area_error": error},
        )
