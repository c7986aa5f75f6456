"""SmoothGrad: a gradient method averaged over noisy copies of the input."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from xaionnx import discovery, parameters
from xaionnx.errors import ParameterError
from xaionnx.explainers._gradient import Found, GradientExplainer, LayerExplainer, Points
from xaionnx.explainers._route import Route
from xaionnx.explainers._slopes import Slopes
from xaionnx.explainers.saliency import Saliency
from xaionnx.parameters import choice, free, integer, real
from xaionnx.perturb.element_types import value_range
from xaionnx.perturb.sample import Sample

Array = npt.NDArray[Any]
# Numbers that the maps of one piece of the noisy copies may hold.
_PIECE = 2**24


@final
@dataclass(frozen=True, kw_only=True)
class SmoothGrad(GradientExplainer):
    """A map of noisy copies x + e of the input, with e drawn from a normal distribution for each element::

        mean      value_i = E[g_i(x + e)]
        squared   value_i = E[g_i(x + e)^2]
        variance  value_i = Var[g_i(x + e)]

    where g is the map of ``method``, the signed gradient if not given. The deviation of e is ``noise`` times the
    range of the input's values: from black to white where an InputSpec tells, else from the sample's lowest to its
    highest. The same noise is drawn for every sample of the batch and every target. The baseline and the target of
    the clean sample hold for its noisy copies. At a ``layer``, and for tokens, the noise is added to the input or the
    embedding, and the map is that of the layer. ``standard_error`` of the result tells what ``draws`` leave open.

    References
    ----------
    Smilkov, Thorat, Kim, Viegas and Wattenberg, SmoothGrad: removing noise by adding noise, 2017, arXiv:1706.03825
    (mean). Hooker, Erhan, Kindermans and Kim, A benchmark for interpretability methods in deep neural networks,
    NeurIPS 2019, arXiv:1806.10758 (squared). Adebayo, Gilmer, Goodfellow and Kim, Local explanation methods for deep
    neural networks lack sensitivity to parameter values, 2018, arXiv:1810.03307 (variance).

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[1.0, 2.0, -3.0]]))
    >>> x = np.float32([[0, 1, 2]])
    >>> xaionnx.explain(model, x, SmoothGrad(statistic="squared", draws=4)).values
    array([[1., 4., 9.]], dtype=float32)
    """

    axioms: ClassVar[tuple[str, ...]] = ("null player",)
    reference: ClassVar[str] = "Smilkov et al. 2017, arXiv:1706.03825"

    method: Any = free(
        None,
        "the name of a gradient method, or the method itself",
        "method whose maps are joined, such as integrated_gradients; the signed gradient if not given",
    )
    statistic: str = choice("mean", ("mean", "squared", "variance"), "how the maps of noisy copies are joined")
    draws: int = integer(32, "noisy copies", low=2, high=2**20)
    layer: str | None = parameters.name("explain at this tensor of the model; the noise stays at the input")
    noise: float = real(0.15, "deviation of the noise, as a share of the input's range", low=0, low_open=True)
    seed: int = integer(0, "seed of the noise", low=0, high=2**63 - 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        inner = self._inner()
        if not isinstance(inner, GradientExplainer) or isinstance(inner, SmoothGrad):
            raise ParameterError(
                "The 'method' parameter of SmoothGrad must be the name of a gradient method other than smooth_grad, "
                f"or such a method itself. Got {self.method!r} instead."
            )
        if self.layer is not None and not isinstance(inner, LayerExplainer):
            raise ParameterError(
                f"The 'layer' parameter of SmoothGrad must be None for {inner.name()}, which has none. "
                f"Got {self.layer!r} instead."
            )

    def _inner(self) -> Any:
        if self.method is None:
            inner: Any = Saliency(absolute=False)
        else:
            inner = discovery.method(self.method)() if isinstance(self.method, str) else self.method
        return replace(inner, layer=self.layer) if self.layer and isinstance(inner, LayerExplainer) else inner

    def place(self, inputs: Route) -> Route:
        inner: GradientExplainer = self._inner()
        return inner.place(inputs)

    def resolved(self) -> dict[str, Any]:
        return {"method": self._inner()}

    def trace(self, slopes: Slopes, points: Points) -> Found:
        count, inner = len(points.sample), self._inner()
        origin = slopes.route.start
        clean = {name: origin.feeds[name][points.sample] for name in origin.names}
        deviation = {name: self._deviation(origin.samples, points, name) for name in origin.names}
        moments = {name: _Moments(self.statistic) for name in slopes.names}
        gradients, forwards = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
        held = slopes.targets * count * sum(x[0].size for x in points.x.values())
        at_once = max(1, _PIECE // held)
        for start in range(0, self.draws, at_once):
            some = range(start, min(start + at_once, self.draws))
            noisy = {
                name: np.concatenate([x + (deviation[name] * self._noise(name, d, x)).astype(x.dtype) for d in some])
                for name, x in clean.items()
            }
            sample = np.tile(points.sample, len(some))
            lifted = slopes.route.lifted(origin, sample, noisy)
            found = inner.trace(slopes, Points(sample, {name: lifted[name] for name in slopes.names}, start=noisy))
            gradients += found.gradients.reshape(len(some), count).sum(axis=0)
            forwards += found.forwards.reshape(len(some), count).sum(axis=0)
            for name, array in found.values.items():
                for copy in np.split(array, len(some), axis=1):
                    moments[name].add(copy.astype(np.float64))
        joined = {name: found.joined() for name, found in moments.items()}
        return Found(
            {name: value for name, (value, _) in joined.items()},
            gradients,
            forwards,
            standard_error={name: error for name, (_, error) in joined.items()},
        )

    def _deviation(self, samples: list[Sample], points: Points, name: str) -> Array:
        """Of the noise at each point, broadcasting to (J, ...)."""
        shape = samples[0].x[name].shape
        ends = [value_range(samples[n], name) for n in points.sample]
        return np.stack([np.broadcast_to(self.noise * (high - low), shape) for low, high in ends])

    def _noise(self, name: str, draw: int, x: Array) -> Array:
        rng = np.random.default_rng([self.seed, zlib.crc32(name.encode()), draw])
        return rng.standard_normal(x.shape[1:])


class _Moments:
    """A statistic of maps that come one by one, and its standard error.

    Sums are of differences to the first map, so that a spread much smaller than the mean is not lost.
    """

    def __init__(self, statistic: str) -> None:
        self._statistic = statistic
        self._count = 0
        self._first: Array = np.zeros(())
        self._sums: list[Array] = []

    def add(self, copy: Array) -> None:
        quantity = copy**2 if self._statistic == "squared" else copy
        if self._count == 0:
            self._first = quantity
            powers = 4 if self._statistic == "variance" else 2
            self._sums = [np.zeros(copy.shape) for _ in range(powers)]
        difference = quantity - self._first
        for power, total in enumerate(self._sums, start=1):
            total += difference**power
        self._count += 1

    def joined(self) -> tuple[Array, Array]:
        """The statistic and its standard error."""
        n, raw = self._count, [total / self._count for total in self._sums]
        mean = raw[0]
        second = np.maximum(raw[1] - mean**2, 0)
        variance = second * n / (n - 1)
        if self._statistic != "variance":
            return self._first + mean, np.sqrt(variance / n)
        fourth = raw[3] - 4 * mean * raw[2] + 6 * mean**2 * raw[1] - 3 * mean**4
        return variance, np.sqrt(np.maximum(fourth - second**2, 0) / n)
