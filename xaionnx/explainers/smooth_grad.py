"""SmoothGrad: a statistic of a method's maps over noisy copies of the input."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from xaionnx import parameters
from xaionnx.attribution import Attribution
from xaionnx.data.inputs import Inputs
from xaionnx.errors import ParameterError, UnknownNameError
from xaionnx.explainer import Explainer
from xaionnx.explainers._gradients.copy_statistics import CopyStatistics
from xaionnx.explainers._gradients.gradient import input_path
from xaionnx.explainers._gradients.nested import CleanTarget, inner_method, resolved_method, with_clean_samples
from xaionnx.explainers.saliency import Saliency
from xaionnx.explanation import ValueKind
from xaionnx.gradients import choice
from xaionnx.layers.embeddings import gradient_tensors
from xaionnx.layers.path import LayerPath
from xaionnx.parameters import free, integer, random_seed
from xaionnx.perturb import background
from xaionnx.perturb.baselines.background import Background
from xaionnx.perturb.element_types import mixable_elements, value_range
from xaionnx.perturb.value_ranges import holds_columns, ranges_over_rows, value_ranges
from xaionnx.request import Request
from xaionnx.runtime import progress
from xaionnx.runtime.model import Model
from xaionnx.targets.target import Target
from xaionnx.typing import Array, BackgroundLike, GradientLike, MethodLike, NoiseLike

if TYPE_CHECKING:
    from xaionnx.data.sample import Sample
    from xaionnx.layers.dry_run import DryRun

# Numbers of values of the copies that are explained at once: a few batches.
_PIECE = 2**22
# The meaning of squares of signed values.
_SQUARED: dict[ValueKind, ValueKind] = {
    "slope": "sensitivity",
    "contribution": "importance",
    "hindrance": "importance",
    "contrast": "importance",
    "core": "importance",
    "alone": "importance",
}


def _read_noise(text: str) -> NoiseLike:
    """The noise that a text stands for: ``0.1``, or ``image=0.1,depth=0.2`` by input name."""
    if "=" not in text:
        return float(text)
    pairs = [part.rpartition("=") for part in text.split(",")]
    return {name.strip(): float(share) for name, _, share in pairs}


def _check_noise(given: NoiseLike) -> None:
    shares = list(given.values()) if isinstance(given, Mapping) else [given]
    numbers = all(isinstance(share, (int, float, np.integer, np.floating)) for share in shares)
    if not numbers or any(isinstance(share, bool) or not 0 <= share < math.inf for share in shares) or not any(shares):
        raise ParameterError(
            "The 'noise' parameter of SmoothGrad must be a float in (0, inf), or a dict of floats in [0, inf) by input "
            f"name, not all 0. Got {given!r} instead."
        )


@final
@dataclass(frozen=True, kw_only=True)
class SmoothGrad(Explainer):
    """A statistic of maps of noisy copies x + e of the input, with normally distributed e::

        mean      value_i = E[g_i(x + e)]
        squared   value_i = E[g_i(x + e)^2]
        variance  value_i = Var[g_i(x + e)]

    where g is the map of the ``inner`` method, by default the signed gradient. The standard deviation of e is ``noise``
    times the range of the input: from black to white if the InputSpec declares them, otherwise from the sample's lowest
    to its highest value. Columns of a table, which have units of their own, have each its range over the ``background``
    rows; without these a range is not known, and ``max(|x_j|, 1)`` stands for it, as fits columns that are standardised
    or positive. Categories of a table get no noise. The noise is the same for every sample of the batch and every
    target, up to these ranges. For tokens, it is added to their embedding, and the map is that of the embedding.

    Every float input gets noise. If ``noise`` is a dict by input name, only the inputs that it names do, each with its
    own share; the others keep their values in all copies.

    The target, the baseline and the features of the noisy copies are those of the clean sample, so that all maps
    explain the same scalar and the same features; the statistic is taken over the values of players. Other random draws
    of a method, such as coalitions, are the same for all copies: ``standard_error``, of the mean alone, covers the
    ``draws`` of noise and not the method's own error. Further maps of the method are dropped.

    Diagnostics: ``evaluations`` and ``gradients`` of all copies; ``noisy_prediction``, the mean of the target over the
    copies, which shows how much the noise changes it; for path methods ``relative_gap``, the largest of the copies;
    ``no_standard_error``: those of squares and variances are too skewed for an error that holds.

    Notes
    -----
    When to use: Gradient maps that are too grainy to read; the statistic ``variance`` shows how much a map depends on
    small noise.

    When not to use: When the sample itself must be explained: the map is that of noisy copies. Compare
    ``noisy_prediction`` with the prediction, and lower the noise if they differ.

    References
    ----------
    Smilkov, Thorat, Kim, Viegas and Wattenberg, SmoothGrad: removing noise by adding noise, 2017, arXiv:1706.03825
    (mean). Hooker, Erhan, Kindermans and Kim, A benchmark for interpretability methods in deep neural networks,
    NeurIPS 2019, arXiv:1806.10758 (squared). Adebayo, Gilmer, Goodfellow and Kim, Local explanation methods for deep
    neural networks lack sensitivity to parameter values, 2018, arXiv:1810.03307 (variance).

    Raises
    ------
    UnsupportedModelError
        The explained input has no float type.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[1.0, 2.0, -3.0]]))
    >>> x = np.float32([[0, 1, 2]])
    >>> xaionnx.explain(model, x, SmoothGrad(statistic="squared", draws=4)).values
    array([[1., 4., 9.]], dtype=float32)
    """

    needs: ClassVar[str] = "gradient"
    axioms: ClassVar[tuple[str, ...]] = ("null player",)
    reference: ClassVar[str] = "Smilkov et al. 2017, arXiv:1706.03825"

    inner: MethodLike | None = free(
        None,
        "the name of a method, or the method itself",
        "method that explains the copies, such as integrated_gradients or lime; the signed gradient if not given",
    )
    statistic: str = parameters.choice(
        "mean", ("mean", "squared", "variance"), "statistic over the maps of noisy copies"
    )
    layer: str | None = parameters.name("tensor to explain, if the inner method supports layers")
    gradient: GradientLike | None = choice.parameter(None, "source of the inner method's gradients, if it takes any")
    draws: int = integer(32, "number of noisy copies", low=2, high=2**20)
    noise: NoiseLike = free(
        0.15,
        "a float in (0, inf), or one by input name, such as image=0.1,depth=0.2",
        "standard deviation of the noise, as a share of the input's range, or NAME=SHARE,... for some inputs only",
        reader=_read_noise,
        resolver=_check_noise,
        optional=False,
    )
    background: BackgroundLike = background.parameter(
        "whose columns have the ranges that noise is a share of: a file, read as samples"
    )
    seed: int = random_seed("seed of the noise")
    # All rows are used.
    background_size: ClassVar[int | None] = None

    def check_parameters(self) -> None:
        self._inner()

    def _inner(self) -> Explainer:
        return inner_method(self, self.inner, Saliency(absolute=False), ("layer", "gradient"))

    @property
    def value_kind(self) -> ValueKind:
        if self.statistic == "variance":
            return "spread"
        inner = self._inner().value_kind
        return _SQUARED.get(inner, inner) if self.statistic == "squared" else inner

    @property
    def follows_branches(self) -> bool:
        return self._inner().follows_branches

    def default_target(self, model: Model) -> Target | None:
        return self._inner().default_target(model)

    def check_model(self, dry_run: DryRun) -> dict[str, str | None]:
        gradient_tensors(dry_run.model)
        return self._inner().validate(dry_run)

    def compute(self, request: Request) -> Attribution:
        path = input_path(request).to_floats()
        inner = self._inner()
        known = parameters.declared(type(inner))
        if path.layer is not None and "baseline" in known:
            raise ParameterError(
                f"The 'inner' parameter of SmoothGrad must be a method without a baseline for {request.model.name}, "
                f"whose noise is added to the floats made of its whole numbers. Got {inner.name()} instead."
            )
        statistics = CopyStatistics(len(path.samples), self.statistic, "features" in known)
        method = with_clean_samples(inner, path.samples)
        for copies in self._copies(path):
            attribution = method.compute(copies)
            request.evaluations.add_all(copies.evaluations)
            statistics.add(attribution, copies.resolved.prediction)
        attribution = statistics.attribution()
        layer = path.facts()
        facts = dict(attribution.facts) if layer is None else {"layer": layer, **attribution.facts}
        facts["noise_range"] = {name: self._range_words(path.samples[0], name) for name in path.names}
        return replace(attribution, parameters={"inner": resolved_method(inner, path.samples[0])}, facts=facts)

    def _copies(self, path: LayerPath) -> Iterator[Request]:
        """Batches of noisy copies, with all samples of one draw before those of the next."""
        model, feeds = path.model, path.feeds
        deviations = self._deviations(path)
        targets: list[Target] = [CleanTarget(term) for term in path.resolved.terms]
        numbers = len(targets) * sum(feeds[name].size for name in deviations)
        pieces = -(-self.draws // max(1, _PIECE // numbers))
        at_once = -(-self.draws // pieces)  # of equal size, for full batches
        expected = 0
        for start in range(0, self.draws, at_once):
            draws = range(start, min(start + at_once, self.draws))
            copies = {n: a if n in model.shared else np.concatenate([a] * len(draws)) for n, a in feeds.items()}
            for name, deviation in deviations.items():
                noise = [deviation * self._noise(name, draw, deviation.shape[1:]) for draw in draws]
                copies[name] = copies[name] + np.concatenate(noise).astype(feeds[name].dtype)
            # The method reports its own progress; the first copies determine how much work the others will be.
            progress.expect(-expected * len(draws))
            request = Request(model, Inputs(copies), targets)
            yield request
            if start == 0:
                expected = int(request.evaluations.rows.sum()) // len(draws)
                progress.expect(expected * (self.draws - len(draws)))

    def _deviations(self, path: LayerPath) -> dict[str, Array]:
        """The standard deviation of the noise for each element, (N, ...) by name of the tensors that get noise.

        Raises
        ------
        UnknownNameError
            ``noise`` names something else than a float input.
        """
        noise = self.noise if isinstance(self.noise, Mapping) else dict.fromkeys(path.names, self.noise)
        deviations = {}
        for name, share in noise.items():
            if name not in path.names:
                raise UnknownNameError.among("float input", name, path.names)
            if share > 0:
                each = [self._ranges(one, name) * mixable_elements(one, name) for one in path.samples]
                deviations[name] = share * np.stack(each)
        return deviations

    def _range_words(self, sample: Sample, name: str) -> str:
        if self.background is not None:
            return "of each column over the background" if holds_columns(sample, name) else "over the background"
        if holds_columns(sample, name):
            return "max(|x|, 1) of each column"
        return "lowest to highest value" if sample.pixels_of(name) is None else "black to white"

    def _ranges(self, sample: Sample, name: str) -> Array:
        """The range of an input, as an array that broadcasts to it."""
        if isinstance(self.background, Background):
            return ranges_over_rows(self.background.rows, sample, name)
        if holds_columns(sample, name):
            return value_ranges(sample, name)
        low, high = value_range(sample, name)
        return np.asarray(high - low)

    def _noise(self, name: str, draw: int, shape: tuple[int, ...]) -> Array:
        rng = np.random.default_rng([self.seed, zlib.crc32(name.encode()), draw])
        return rng.standard_normal(shape)
