"""ROAD: the change of the target when features are replaced by noisy linear imputation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np

from xaionnx.data.sample import Positions, Sample
from xaionnx.errors import InputMismatchError
from xaionnx.evaluation.evidence import Evidence
from xaionnx.evaluation.metric import Measure, Metric, SampleMeasure, measured, undefined
from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._curves import NO_ORDER, most_relevant_first
from xaionnx.metrics._removal import quantity_parameter
from xaionnx.parameters import integer, random_seed, real
from xaionnx.perturb.element_types import nearest_of_type
from xaionnx.typing import Array

# The weight of each neighbour of a pixel, before those outside the picture are left out.
_SIDES, _CORNERS = 1 / 6, 1 / 12
_NEIGHBOURS: Final = tuple(
    (down, right, _CORNERS if down and right else _SIDES)
    for down in (-1, 0, 1)
    for right in (-1, 0, 1)
    if down or right
)

# Numbers of imputed inputs that are held at once.
_NUMBERS: Final = 2**24


@final
@dataclass(frozen=True, kw_only=True)
class Road(Metric):
    """Remove and debias: half the difference between removing the least and the most relevant pixels, averaged::

        mean over shares s of  ( f(x without the least relevant s) - f(x without the most relevant s) ) / 2

    for ``steps`` shares evenly spaced from 10 to 90 percent. Removed pixels are imputed: each is the weighted mean of
    its neighbours inside the picture, 1/6 for the four at its sides and 1/12 for those at its corners, which is one
    sparse system of linear equations for all removed pixels of a channel, and noise of the standard deviation ``noise``
    is added. So the form of the removed region tells little, as it does where pixels become black. Curves have the
    target in both orders. Pixels with equal values are removed in their order. Where pixels are integers, imputed ones
    are rounded, which leaves nothing of the default noise.

    References
    ----------
    Rong, Leemann, Borisov, Kasneci and Kasneci, A consistent and efficient evaluation strategy for attribution methods,
    ICML 2022, arXiv:2202.00449.

    Raises
    ------
    InputMismatchError
        The input is no picture.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> x = np.random.default_rng(0).uniform(size=(1, 1, 8, 8)).astype(np.float32)
    >>> model = planted.load(planted.mean_picture(8, 8))
    >>> bool(xaionnx.evaluate(model, x, "input_x_gradient", "road").values[0] > 0)
    True
    """

    direction: ClassVar[Direction] = "higher"
    bounds: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    reference: ClassVar[str] = "Rong et al. 2022, arXiv:2202.00449"

    steps: int = integer(9, "number of shares of removed pixels, from 10 to 90 percent", low=1)
    noise: float = real(0.01, "standard deviation of the noise of imputed pixels, in units of the input", low=0)
    quantity: str = quantity_parameter("probability")
    seed: int = random_seed("seed of the noise")

    def measure(self, evidence: Evidence) -> Measure:
        count = len(evidence.samples)
        size = max(1, _NUMBERS // (2 * self.steps * evidence.samples[0].array.size))
        each = list[SampleMeasure]()
        for start in range(0, count, size):
            each += self._scores(evidence, range(start, min(start + size, count)))
        return measured(each)

    def _scores(self, evidence: Evidence, rows: range) -> list[SampleMeasure]:
        """The scores of samples that are run together."""
        inputs = {n: self._inputs(evidence, n) for n in rows}
        ordered = {n: array for n, array in inputs.items() if array is not None}
        if not ordered:
            return [undefined(NO_ORDER) for _ in rows]
        changed = {evidence.request.main: np.concatenate([*ordered.values()])}
        found = evidence.targets_of(changed, np.repeat([*ordered], 2 * self.steps), self.quantity)
        halves = dict(zip(ordered, found.reshape(len(ordered), 2, self.steps), strict=True))
        return [self._score(*halves[n]) if n in halves else undefined(NO_ORDER) for n in rows]

    def _score(self, most: Array, least: Array) -> SampleMeasure:
        """The score of the targets without the most and without the least relevant pixels, for each share."""
        curves = {"share": self._shares, "most relevant removed": most, "least relevant removed": least}
        return SampleMeasure(float((least - most).mean() / 2), "", curves)

    @property
    def _shares(self) -> Array:
        return np.linspace(0.1, 0.9, self.steps)

    def _inputs(self, evidence: Evidence, n: int) -> Array | None:
        """A sample without the most and then without the least relevant pixels; None if its values give no order."""
        sample, values = evidence.samples[n], evidence.position_relevance(n)
        # A row has no positions; those of other arrays may be unknown, and can be stated.
        positions = sample.placed("The metric 'road'") if sample.array.ndim > 1 else None
        if positions is None or not sample.is_picture:
            raise InputMismatchError(
                f"The metric 'road' imputes pixels, and input '{sample.main}' is no picture. Use 'deletion' or "
                "'insertion'."
            )
        if values.min() == values.max():
            return None
        rank = np.empty(values.size, dtype=np.int64)
        rank[most_relevant_first(values.reshape(-1))] = np.arange(values.size)
        # Something has to be left to impute from.
        counts = np.minimum(np.round(self._shares * values.size).astype(int), values.size - 1)[:, None]
        removed = np.concatenate([rank < counts, rank >= values.size - counts])
        return np.stack(
            [self._imputed(sample, positions, row.reshape(values.shape), k) for k, row in enumerate(removed)]
        )

    def _imputed(self, sample: Sample, positions: Positions, removed: Array, number: int) -> Array:
        """The input with the removed pixels of all channels imputed."""
        axes = positions.axes
        planes = np.moveaxis(sample.array.astype(np.float64), axes, (-2, -1))
        filled = impute(planes.reshape(-1, *removed.shape), removed).reshape(planes.shape)
        rng = np.random.default_rng([self.seed, number])
        filled += self.noise * rng.standard_normal(filled.shape) * removed
        return nearest_of_type(np.moveaxis(filled, (-2, -1), axes), sample.array.dtype)


def impute(planes: Array, removed: Array) -> Array:
    """Return planes (C, H, W) in which each removed pixel, bool (H, W), is the weighted mean of its neighbours.

    Raises
    ------
    ValueError
        All pixels are removed, so that nothing determines them.

    Examples
    --------
    >>> squares = np.arange(9.0).reshape(1, 3, 3) ** 2
    >>> float(impute(squares, np.eye(3, dtype=bool) & (np.arange(3) == 0))[0, 0, 0].round(6))
    7.2
    """
    from scipy.sparse import csc_array
    from scipy.sparse.linalg import splu

    if removed.all():
        raise ValueError("all pixels are removed")
    places = np.argwhere(removed)
    number = np.full(removed.shape, -1)
    number[removed] = np.arange(len(places))
    height, width = removed.shape
    rows, columns, weights = [], [], []
    right = np.zeros((len(places), len(planes)))
    total = np.zeros(len(places))
    for down, across, weight in _NEIGHBOURS:
        y, x = places[:, 0] + down, places[:, 1] + across
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        own, y, x = np.flatnonzero(inside), y[inside], x[inside]
        total[own] += weight
        other = number[y, x]
        known = other < 0
        right[own[known]] += weight * planes[:, y[known], x[known]].T
        rows.append(own[~known])
        columns.append(other[~known])
        weights.append(np.full(int((~known).sum()), -weight))
    everything = [np.arange(len(places)), *rows], [np.arange(len(places)), *columns], [total, *weights]
    i, j, values = (np.concatenate(each) for each in everything)
    # The system is symmetric with a dominant diagonal, so that an order for little fill needs no pivots.
    system = csc_array((values, (i, j)), shape=(len(places),) * 2)
    solved = splu(system, "MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}).solve(right)
    filled = planes.copy()
    filled[:, removed] = solved.T
    return filled
