"""XRAI: the regions of a picture, ranked by the attribution that they hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from xaionnx.attribution import Attribution, PlayerValues
from xaionnx.data.sample import Sample
from xaionnx.errors import InputMismatchError, ParameterError
from xaionnx.explainer import Explainer
from xaionnx.explainers._games.game import padded
from xaionnx.explainers._gradients.nested import inner_method, resolved_method
from xaionnx.explainers._gradients.regions import ranking
from xaionnx.explainers.integrated_gradients import IntegratedGradients
from xaionnx.explanation import ValueKind
from xaionnx.gradients import choice as sources
from xaionnx.parameters import choice, free, integer
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.element_types import value_range
from xaionnx.perturb.features import shown
from xaionnx.perturb.players import Players
from xaionnx.request import Request
from xaionnx.runtime.model import Model
from xaionnx.targets.target import Target
from xaionnx.typing import Array, GradientLike, MethodLike

if TYPE_CHECKING:
    from xaionnx.layers.dry_run import DryRun


@final
@dataclass(frozen=True, kw_only=True)
class XRAI(Explainer):
    """The mean attribution of the region with which a pixel enters, the densest regions first::

        gain(s) = sum of A_i over i in s and not in M / number of those i
        M grows by the region s of the largest gain, until it is the picture;  value_i = gain with which i came in

    A is the map of ``method``, of the colour channels the largest (or their sum): integrated gradients if not given,
    averaged over a black and a white baseline (the input's lowest and highest value, where no InputSpec tells of
    colours). The largest is the authors' implementation's. It adds up to more than the change of the target, and is
    the same in spirit as the size: where gradients are noisy the sum cancels, and the regions scatter. Regions are the
    segments of six over-segmentations by Felzenszwalb and Huttenlocher, of scales 50, 100, 150, 250, 500 and 1200,
    each grown by 5 pixels to reach over its edges, of the picture brought to 224 x 224 pixels. They overlap; when
    one has entered, the others lose its pixels, and are left out below ``smallest``, as rims would be. What
    no region is left for comes in last, as one.

    ``features`` number the pixels by the rank of their region, 0 the first, and ``feature_values`` hold the gains:
    attribution a pixel, in units of the target. They are not sorted wholly, as a region may gain by losing pixels.
    Regions of several targets are divided where those of another end, and ranked as those of the first.
    Diagnostics are those of ``method``, and ``regions``, how many came in.

    Notes
    -----
    When to use: Pictures, when regions are easier to judge than pixels; it ranks them by any attribution map.

    When not to use: Anything but pictures. Objects that the segmentation does not follow, and questions about evidence
    against the target.

    References
    ----------
    Kapishnikov, Bolukbasi, Viegas and Terry, XRAI: better attributions through regions, ICCV 2019, arXiv:1906.02825.
    Felzenszwalb and Huttenlocher, IJCV 2004, doi:10.1023/B:VISI.0000022288.19776.77.

    Raises
    ------
    InputMismatchError
        The input is no picture.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> weights, picture = np.zeros((1, 1, 32, 32)), np.zeros((1, 1, 32, 32), np.float32)
    >>> weights[..., 8:24, 8:24], picture[..., 8:24, 8:24] = 1, 1
    >>> found = xaionnx.explain(planted.load(planted.linear(weights)), picture, XRAI())
    >>> bool(found.values[0, 0, 16, 16] > 10 * found.values[0, 0, 0, 0])
    True
    """

    needs: ClassVar[str] = "gradient"
    reference: ClassVar[str] = "Kapishnikov et al. 2019, arXiv:1906.02825"

    inner: MethodLike | None = free(
        None,
        "the name of a method, or the method itself",
        "method whose map is summed over regions; integrated_gradients from black and from white if not given",
    )
    gradient: GradientLike | None = sources.parameter(
        None, "where the inner method's gradients come from, if it takes any"
    )
    channels: str = choice("max", ("max", "sum"), "how the channels of a pixel are joined")
    smallest: int = integer(50, "pixels, of 224 x 224, that a region must add to come in", low=1)

    def check_parameters(self) -> None:
        self._inner()

    def _inner(self) -> Explainer:
        return inner_method(self, self.inner, IntegratedGradients(baseline=BlackAndWhite()), ("gradient",))

    @property
    def value_kind(self) -> ValueKind:
        inner = self._inner().value_kind
        # The largest of the channels ranks regions; it is no part of the change that a method handed out.
        return "importance" if inner == "contribution" and self.channels == "max" else inner

    @staticmethod
    def _axes(model: Model, sample: Sample) -> tuple[int, tuple[int, int]]:
        """Axes of channels, height and width."""
        if sample.picture_axes is None:
            raise InputMismatchError(
                f"XRAI divides pictures into regions, but input '{sample.main}' of {model.name} is "
                f"{model.input()}. Use integrated_gradients, or lime with features of your own."
            )
        return sample.picture_axes

    def default_target(self, model: Model) -> Target | None:
        return self._inner().default_target(model)

    def check_model(self, dry_run: DryRun) -> dict[str, str | None]:
        if dry_run.sample is not None:
            self._axes(dry_run.model, dry_run.sample)
        return self._inner().validate(dry_run)

    def compute(self, request: Request) -> Attribution:
        main, samples = request.main, request.samples
        channel, _ = self._axes(request.model, samples[0])
        inner = self._inner()
        found = inner.compute(request)
        values, shape = found.values.get(main, next(iter(found.values.values()))), request.feeds[main].shape
        if values.shape[1:] != shape:
            raise ParameterError(
                f"The 'inner' parameter of XRAI must explain the picture, {shape}. "
                f"Got {self.inner!r} instead, whose values have the shape {values.shape[1:]}."
            )
        players, gains = [], []
        for n, sample in enumerate(samples):
            joined = (np.max if self.channels == "max" else np.sum)(values[:, n], axis=1 + channel)
            labels, gain = ranking(shown(sample), joined, self.smallest)
            players.append(Players({main: np.expand_dims(labels, channel)}, np.arange(gain.shape[1])))
            gains.append(gain)
        spread = [p.spread(g, {main: sample.array})[main] for p, g, sample in zip(players, gains, samples, strict=True)]
        return Attribution(
            values={main: np.stack(spread, axis=1)},
            baseline=found.baseline,
            players=PlayerValues(padded(gains), {main: np.stack([p.maps[main] for p in players])}),
            diagnostics={**found.diagnostics, "regions": [p.count for p in players]},
            parameters={"inner": resolved_method(inner, samples[0])},
            facts={key: told for key, told in found.facts.items() if key == "approximations"},
        )


@final
@dataclass(frozen=True)
class BlackAndWhite(Baseline):
    """Black and white; the lowest and the highest value where no spec tells of colours."""

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        return np.stack([np.broadcast_to(end, sample.x[name].shape) for end in value_range(sample, name)])
