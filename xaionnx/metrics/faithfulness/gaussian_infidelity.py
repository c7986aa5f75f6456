"""Gaussian infidelity: the mean squared error of the values as predictions of changes by small noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import InputMismatchError
from xaionnx.evaluation.evidence import Evidence
from xaionnx.evaluation.metric import Measure, Metric, SampleMeasure, measured
from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._removal import quantity_parameter
from xaionnx.metrics._subsets import mean_squared_error
from xaionnx.parameters import flag, integer, random_seed, real
from xaionnx.perturb.element_types import mixable_elements, nearest_of_type
from xaionnx.perturb.value_ranges import value_ranges
from xaionnx.typing import Array

# Numbers of noisy inputs that are held at once.
_NUMBERS: Final = 2**24


@final
@dataclass(frozen=True, kw_only=True)
class GaussianInfidelity(Metric):
    """The mean squared difference between the noise times the values and the change of the target by the noise::

        gaussian infidelity = mean over I of ( sum over i of I_i phi_i - (f(x) - f(x - I)) )^2

    Values are taken per unit of the input, as slopes are. The noise I is independent and normal, with the standard
    deviation ``noise`` times the range of the input: from black to white, ``max(|x_j|, 1)`` for column j of a row, else
    from the lowest to the highest value. Columns of categories have none. For a linear target with weights w and noise
    of one deviation s it is ``s^2 |phi - w|^2`` in the mean over noise.

    ``scaled`` first multiplies phi by the factor that fits best, as in ``infidelity``, which removes features.

    References
    ----------
    Yeh, Hsieh, Suggala, Inouye and Ravikumar, On the (in)fidelity and sensitivity of explanations, NeurIPS 2019,
    arXiv:1901.09392, section 3.1.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> x = np.ones((1, 4), np.float32)
    >>> xaionnx.evaluate(model, x, np.float32([[4, 3, 2, 1]]), "gaussian_infidelity").values.round(6)
    array([0.])
    """

    direction: ClassVar[Direction] = "lower"
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    reference: ClassVar[str] = "Yeh et al. 2019, arXiv:1901.09392"

    noise: float = real(0.1, "standard deviation of the noise, as a share of the input's range", low=0, low_open=True)
    draws: int = integer(200, "number of noisy inputs of each sample", low=1)
    scaled: bool = flag(True, "multiply the values by the factor that fits best")
    quantity: str = quantity_parameter("target")
    seed: int = random_seed("seed of the noise")

    def measure(self, evidence: Evidence) -> Measure:
        names = [name for name in evidence.attributions if mixable_elements(evidence.samples[0], name).any()]
        if not names:
            raise InputMismatchError(
                "The metric 'gaussian_infidelity' adds noise, and the explained inputs hold categories or text. Use "
                "'infidelity', which removes features."
            )
        count = len(evidence.samples)
        size = max(1, _NUMBERS // (self.draws * sum(evidence.samples[0].x[name].size for name in names)))
        each = list[SampleMeasure]()
        for start in range(0, count, size):
            each += self._scores(evidence, names, np.arange(start, min(start + size, count)))
        return measured(each)

    def _scores(self, evidence: Evidence, names: list[str], rows: Array) -> list[SampleMeasure]:
        """The scores of samples whose noisy inputs are run together."""
        feeds, owners, noisy, sums = evidence.request.feeds, np.repeat(rows, self.draws), {}, 0.0
        for number, name in enumerate(names):
            noise = np.concatenate([self._noise(evidence.samples[n], name, number) for n in rows.tolist()])
            noisy[name] = nearest_of_type(feeds[name][owners] - noise, feeds[name].dtype)
            # What is left of the noise after rounding. A missing number does not move.
            moved = feeds[name][owners].astype(np.float64) - noisy[name]
            moved[np.isnan(moved)] = 0
            products = moved * evidence.attributions[name][owners]
            sums = sums + products.reshape(len(owners), -1).sum(axis=1)
        targets = evidence.targets_of(noisy, owners, self.quantity).reshape(len(rows), self.draws)
        changes = evidence.targets(self.quantity).prediction[0][rows][:, None] - targets
        each = zip(np.reshape(sums, targets.shape), changes, strict=True)
        return [SampleMeasure(mean_squared_error(own, change, scaled=self.scaled)) for own, change in each]

    def _noise(self, sample: Sample, name: str, number: int) -> Array:
        """The noise of one input of a sample, (draws, ...): draw i depends on (seed, i) alone."""
        shape = sample.x[name].shape
        drawn = [np.random.default_rng([self.seed, i, number]).standard_normal(shape) for i in range(self.draws)]
        ranges = value_ranges(sample, name) * mixable_elements(sample, name)
        return np.asarray(self.noise * ranges * np.stack(drawn))
