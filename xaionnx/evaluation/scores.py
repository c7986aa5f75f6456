"""Scores: how a metric rates the explanations of N samples, beside its controls."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final, Literal, final

import numpy as np

from xaionnx.typing import Array, Document, Floats

Direction = Literal["higher", "lower", "none"]

_LEVEL: Final = 0.95
_RESAMPLES: Final = 9_999
_FEWEST: Final = 2
_MANY: Final = 500


@final
@dataclass(frozen=True, eq=False)
class Scores:
    """The scores of the explanations of N samples by one metric.

    Attributes
    ----------
    metric, method : str
        The names of the metric and of the method that it judges.
    values : array of float64 (N,)
        NaN where the metric is undefined.
    direction : str
        Whether ``higher`` or ``lower`` scores are better; ``none`` if neither is.
    bounds : tuple of float
        The lowest and the highest possible score.
    reasons : dict of str by sample
        Why the score of a sample is NaN.
    curves : dict of arrays (N, K)
        The curves whose summary the scores are, if any.
    controls : dict of Scores by name
        The same metric for maps that do not explain the target, such as random ones: a score that is not better than
        these says nothing about the method.
    diagnostics : dict
        The cost: evaluations of each sample, seconds.
    provenance : dict
        Parameters of the metric, and the record of the explanation.
    category : str
        What the metric judges, such as ``faithfulness``.
    says : str
        What the metric says, in a line.
    maps : dict of arrays (H, W)
        The maps that the metric compared, of the first sample if it is a picture, by what each shows.

    Examples
    --------
    >>> scores = Scores("deletion", "saliency", np.array([0.2, 0.3, np.nan]), "lower", (0, 1))
    >>> scores.mean, scores.count
    (0.25, 2)
    """

    metric: str
    method: str
    values: Array
    direction: Direction
    bounds: tuple[float, float]
    reasons: Mapping[int, str] = field(default_factory=dict)
    curves: Mapping[str, Array] = field(default_factory=dict)
    controls: Mapping[str, Scores] = field(default_factory=dict)
    diagnostics: Document = field(default_factory=dict)
    provenance: Document = field(default_factory=dict)
    category: str = ""
    says: str = ""
    maps: Mapping[str, Array] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """The number of samples with a score."""
        return int(np.isfinite(self.values).sum())

    @property
    def mean(self) -> float:
        """The mean over the samples with a score; NaN if there is none."""
        return float(np.nanmean(self.values)) if self.count else float("nan")

    @cached_property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the mean over samples, by the bias-corrected bootstrap; NaN for fewer than two."""
        return bootstrap_interval(self.values[np.isfinite(self.values)])

    @property
    def why_none(self) -> str:
        """Why samples have no score: the most frequent reason; empty if none is known."""
        return next((why for why, _ in Counter(self.reasons.values()).most_common(1)), "")

    @property
    def control(self) -> Scores | None:
        """The scores of the first control, by default random maps."""
        return next(iter(self.controls.values()), None)

    def gain(self, control: str | None = None) -> tuple[float, float, float]:
        """How much better the scores are than those of a control: mean difference over samples, and its 95 % interval.

        Positive is better, whatever the direction.

        Parameters
        ----------
        control : str, optional
            The name of the control; the first one if None.

        Raises
        ------
        KeyError
            There is no such control.
        """
        other = next(iter(self.controls.values())) if control is None else self.controls[control]
        sign = -1.0 if self.direction == "lower" else 1.0
        differences = sign * (self.values - other.values)
        differences = differences[np.isfinite(differences)]
        if not len(differences):
            return (float("nan"),) * 3
        return (float(differences.mean()), *bootstrap_interval(differences))

    def __repr__(self) -> str:
        """The mean with its interval, and the controls."""
        better = {"higher": "higher is better", "lower": "lower is better", "none": "no direction"}[self.direction]
        lines = [
            f"Scores of {self.method} by {self.metric}: {_mean_text(self.mean, self.interval)}, {better}, "
            f"{self.count} of {len(self.values)} samples"
        ]
        for name, control in self.controls.items():
            gain, *interval = self.gain(name)
            better = "" if math.isnan(gain) else f"; better by {_mean_text(gain, interval)}"
            lines.append(f"  {name} control  {_mean_text(control.mean)}{better}")
        lines += [f"  undefined  sample {n}: {reason}" for n, reason in list(self.reasons.items())[:3]]
        return "\n".join(lines)


def _mean_text(mean: float, interval: Sequence[float] = ()) -> str:
    """A mean, and its interval if there is one."""
    if math.isnan(mean):
        return "none"
    low_to_high = " to ".join(f"{end:.4g}" for end in interval if not math.isnan(end))
    return f"{mean:.4g}" + (f" ({low_to_high})" if low_to_high else "")


def bootstrap_interval(values: Floats) -> tuple[float, float]:
    """Return the 95 % interval of the mean of independent values (N,), by the bias-corrected accelerated bootstrap.

    Of more than 500 values it is the expansion of that interval in ``1 / sqrt(N)``, mean + s (z + g (2 z^2 + 1) / 6),
    with the standard error s, the skewness g of the mean and the normal quantiles z: they differ by less than the
    bootstrap does with other draws, and 10,000 values would take seconds.

    References
    ----------
    Efron, Better bootstrap confidence intervals, Journal of the American Statistical Association 82, 1987,
    doi:10.1080/01621459.1987.10478410. Hall, Theoretical comparison of bootstrap confidence intervals, Annals of
    Statistics 16, 1988, doi:10.1214/aos/1176350933.

    Examples
    --------
    >>> bootstrap_interval(np.full(5, 2.0)), bootstrap_interval(np.ones(1))
    ((2.0, 2.0), (nan, nan))
    """
    if len(values) < _FEWEST:
        return float("nan"), float("nan")
    if values.min() == values.max():
        return float(values[0]), float(values[0])
    from scipy.stats import bootstrap, norm, skew

    if len(values) > _MANY:
        z = norm.ppf([(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
        root = math.sqrt(len(values))
        low, high = values.mean() + values.std() / root * (z + skew(values) / root * (2 * z**2 + 1) / 6)
        return float(low), float(high)
    found = bootstrap(
        (values,), np.mean, n_resamples=_RESAMPLES, confidence_level=_LEVEL, rng=np.random.default_rng(0)
    ).confidence_interval
    return float(found.low), float(found.high)


def not_measured(like: Scores, count: int, why: str) -> Scores:
    """Return the scores, of the kind of others, of samples that have none."""
    return replace(
        like,
        values=np.full(count, np.nan),
        reasons=dict.fromkeys(range(count), why),
        curves={},
        controls={name: not_measured(one, count, why) for name, one in like.controls.items()},
        diagnostics={"evaluations": [0] * count, "seconds": 0.0},
        provenance={"target": [""] * count},
        maps={},
    )
