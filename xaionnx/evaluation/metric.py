"""Metric: the interface of all scores of explanations."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, final

import numpy as np

from xaionnx import parameters
from xaionnx.evaluation.evidence import Evidence
from xaionnx.evaluation.scores import Direction
from xaionnx.hooks import hook
from xaionnx.registry import Registry
from xaionnx.short_repr import short_repr, shortened_repr
from xaionnx.typing import Array, Facts

ANY_TARGET: Final = ("random", "edges")
"""The controls of a metric that does not look at the target."""


@final
@dataclass(frozen=True, eq=False)
class Measure:
    """What a metric measured for N samples.

    Attributes
    ----------
    values : array of float64 (N,)
        NaN where the metric is undefined.
    reasons : dict of str by sample
        Why a value is NaN.
    curves : dict of arrays (N, K)
    facts : dict
        Facts for the record.
    maps : dict of arrays (H, W)
        The maps that the metric compares, of the first sample if it is a picture, by what each shows.
    parameters : dict
        Parameters as they were resolved for the samples, such as what is removed by default.
    """

    values: Array
    reasons: Mapping[int, str] = field(default_factory=dict)
    curves: Mapping[str, Array] = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)
    maps: Mapping[str, Array] = field(default_factory=dict)
    parameters: Facts = field(default_factory=dict)

    __repr__ = short_repr


@final
@dataclass(frozen=True, eq=False)
class SampleMeasure:
    """What a metric measured for one sample: a value, or why there is none, and curves (K,)."""

    value: float
    reason: str = ""
    curves: Mapping[str, Array] = field(default_factory=dict)

    __repr__ = short_repr


def undefined(reason: str) -> SampleMeasure:
    """Return the measure of a sample for which a metric is not defined."""
    return SampleMeasure(float("nan"), reason)


def measured(each: Sequence[SampleMeasure]) -> Measure:
    """Return the measures of N samples as one; shorter curves are filled up with NaN."""
    names = dict.fromkeys(name for one in each for name in one.curves)
    curves = {}
    for name in names:
        points = [np.asarray(one.curves.get(name, ()), dtype=np.float64) for one in each]
        longest = max(map(len, points))
        curves[name] = np.stack([np.pad(p, (0, longest - len(p)), constant_values=np.nan) for p in points])
    return Measure(
        np.array([one.value for one in each], dtype=np.float64),
        {n: one.reason for n, one in enumerate(each) if one.reason},
        curves,
    )


class Metric(ABC):
    """A score of explanations: a frozen dataclass whose fields are its parameters, without further state.

    Attributes
    ----------
    direction : str
        Whether ``higher`` or ``lower`` is better; ``none`` if neither is.
    bounds : tuple of float
        The lowest and the highest possible score.
    reference : str
        The publication that the metric follows.
    needs : tuple of str
        What it needs besides model, inputs and attributions: ``method``, to explain changed inputs; ``masks``, the
        ground truth; ``baseline``, the target at the baseline of the method.
    compares_samples : bool
        Whether the score of a sample depends on the other samples.
    controls : tuple of str
        The names of the controls that say something of its scores, all by default. The map of another class says
        nothing of a metric that does not look at the target.
    """

    direction: ClassVar[Direction]
    bounds: ClassVar[tuple[float, float]]
    reference: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    compares_samples: ClassVar[bool] = False
    controls: ClassVar[tuple[str, ...]] = ("random", "edges", "other_class")

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        shortened_repr(cls)

    @final
    def __post_init__(self) -> None:
        parameters.check_all(self)
        self.check_parameters()

    @classmethod
    @final
    def name(cls) -> str:
        """The name of the metric, which is that of its file."""
        return cls.__module__.rpartition(".")[2]

    @classmethod
    @final
    def category(cls) -> str:
        """What the metric judges, which is the name of its folder, such as ``faithfulness``; ``other`` without one."""
        return ("other." + cls.__module__).split(".")[-2]

    @classmethod
    @final
    def says(cls) -> str:
        """What the metric says, in a line: what follows its name at the top of its file; empty without it."""
        # A class that was made by exec is in no module.
        first, _, _ = (getattr(sys.modules.get(cls.__module__), "__doc__", None) or "").partition("\n")
        return first.partition(": ")[2].rstrip(".")

    @hook  # noqa: B027 - by default there is nothing to refuse
    def check_parameters(self) -> None:
        """Check the parameters against each other; each has been checked on its own.

        Raises
        ------
        ParameterError
        """

    @property
    @hook
    def shared_work(self) -> str:
        """Names work that other metrics do too, and that is done once for all of them; empty, the default, if none."""
        return ""

    @hook  # noqa: B027 - by default nothing is shared
    def prepare(self, evidence: Evidence) -> None:
        """Do the ``shared_work`` for N samples, and keep it by :meth:`Evidence.once`."""

    @property
    @hook
    def explanations(self) -> int:
        """About how many times each sample is explained again, which tells what a score costs; once by default."""
        return 1 if "method" in self.needs else 0

    @abstractmethod
    def measure(self, evidence: Evidence) -> Measure:
        """The scores of the attributions of N samples."""


METRICS: Final[Registry[Metric]] = Registry("metric", "xaionnx.metrics", Metric, group="xaionnx.metrics")
