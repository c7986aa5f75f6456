"""Meaningful perturbation: the smallest smooth mask whose removal takes the target away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.explainers._gradients.gradient import GradientExplainer
from xaionnx.explainers._masks.search import MaskSearch
from xaionnx.explainers._masks.upsampling import Linear, Upsampling
from xaionnx.parameters import integer, real
from xaionnx.perturb.variation import total_variation
from xaionnx.runtime.model import Model
from xaionnx.targets.target import Target
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class MeaningfulPerturbation(MaskSearch, GradientExplainer):
    """The share of each position that the smallest smooth mask removes to take the target away::

        value = up(r),   r = argmin over [0, 1]^cells of
                E_shift[(f(x - up(r) (x - b)) - f(b)) / (f(x) - f(b))] + area mean(r) + total_variation mean |dr|^power

    where b is what removal puts in, by default the blurred input, and r a coarse mask of ``grid`` cells along each axis
    of the positions, which ``up`` interpolates linearly and blurs by ``sigma`` times the side; dr are the differences
    of neighbouring cells. The search begins with everything removed, because a probability of nearly 1 has no slope at
    the sample. In each step the input is moved a little under the mask, so that it cannot rely on single pixels.

    The objective of the paper is the probability of the class, which is the default target; the division by the
    target's whole change makes the weights mean the same for any other target. The paper's weights are 1e-4 and 1e-2
    for sums over 28 by 28 cells: 0.08 and 8 for means. The former is larger here, since 0.08 removed 80 % of a photo
    whose cat fills it, and 0.6 removed 29 %.

    Diagnostics: ``area``, the mean of the mask; ``left``, the target with the mask removed.

    Notes
    -----
    When to use: Pictures and series, for one compact region without which the class is gone.

    When not to use: To compare parts with each other, as all of the region has a value near 1. Tables and text, which
    have no neighbours.

    References
    ----------
    Fong and Vedaldi, Interpretable explanations of black boxes by meaningful perturbation, ICCV 2017, arXiv:1704.03296,
    equations 4 and 5.

    Raises
    ------
    InputMismatchError
        The input is a table or text, or nothing says which axes are positions.

    Examples
    --------
    The sum of the last four of eight steps of a series:

    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[0.0, 0, 0, 0, 1, 1, 1, 1]]), axes="N T")
    >>> found = MeaningfulPerturbation(baseline=0, sigma=0, area=0.5, total_variation=0)
    >>> found.attribute(model, np.ones((1, 8), np.float32)).values.round(2)
    array([[0., 0., 0., 0., 1., 1., 1., 1.]], dtype=float32)
    """

    reference: ClassVar[str] = "Fong and Vedaldi 2017, arXiv:1704.03296"

    area: float = real(0.6, "weight of the mean of the mask", low=0)
    total_variation: float = real(8.0, "weight of the mean power of the differences of neighbouring cells", low=0)
    power: int = integer(3, "power of these differences", low=1, high=8)
    sigma: float = real(0.022, "standard deviation of the blur of the mask, as a share of the side", low=0, high=1)

    @property
    def removes(self) -> bool:
        return True

    def default_target(self, model: Model) -> Target | None:
        # As in the paper; an unbounded score falls on even if the class is already gone.
        known = model.spec is not None and model.spec.activation != "none"
        return Target.probability() if known else None

    def start(self) -> float:
        return 1.0

    def upsampling(self, extent: tuple[int, ...], cells: tuple[int, ...]) -> Upsampling:
        return Linear(extent, cells, self.sigma)

    def ascent(self, upsampling: Upsampling, coarse: Array, mask: Array, slope: Array, done: float) -> Array:
        del mask, done
        _, rough = total_variation(coarse, range(1, coarse.ndim), self.power)
        penalty = self.area + self.total_variation * rough
        return np.asarray(upsampling.back(coarse, slope) - penalty / np.float32(coarse[0].size))

    def attribution(self, masks: Mapping[str, Array], left: Array) -> Attribution:
        values = {name: mask[:, :, 0] for name, mask in masks.items()}
        means = [value.reshape(*value.shape[:2], -1).mean(axis=2, dtype=np.float64) for value in values.values()]
        return Attribution(values, diagnostics={"area": np.mean(means, axis=0), "left": left[:, :, 0]})
