"""XRAI: the regions of a picture, ranked by their attribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from xaionnx.attribution import Attribution, PlayerValues
from xaionnx.data.display import as_picture, bands
from xaionnx.data.sample import Positions, Sample
from xaionnx.errors import InputMismatchError, ParameterError
from xaionnx.explainer import Explainer
from xaionnx.explainers._games.results import pad_players
from xaionnx.explainers._gradients.nested import inner_method, resolved_method
from xaionnx.explainers._gradients.regions import ranking
from xaionnx.explainers.integrated_gradients import IntegratedGradients
from xaionnx.explanation import ValueKind
from xaionnx.gradients import choice as sources
from xaionnx.parameters import choice, free, integer
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.element_types import value_range
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
    """The mean attribution of the region with which a pixel is added, the densest regions first::

        gain(s) = sum of A_i over i in s and not in M / number of those i
        M grows by the region s of the largest gain, until it is the picture;  value_i = gain with which i was added

    A is the map of the ``inner`` method, reduced to the largest of the colour channels (or their sum). The default is
    integrated gradients, averaged over a black and a white baseline (the input's lowest and highest value if the
    InputSpec declares no colours). The largest channel is that of the authors' implementation. Its sum exceeds the
    change of the target; with noisy gradients the sum over channels cancels and the regions scatter. Regions are the
    segments of six over-segmentations by Felzenszwalb and Huttenlocher, of scales 50, 100, 150, 250, 500 and 1200, each
    dilated by 5 pixels to include its edges, of the picture resized to 224 x 224 pixels. They overlap: after a region
    is added the others lose its pixels, and regions with fewer than ``smallest`` pixels left, such as rims, are
    dropped. Remaining pixels are added last, as one region. The regions of a volume are SLIC supervoxels: about 400,
    200, 130, 80, 40 and 16 of them, dilated by the same share of its longest side.

    ``features`` number the pixels by the rank of their region, from 0, and ``feature_values`` are the gains:
    attribution per pixel, in units of the target. They are not strictly sorted, because losing pixels may raise a
    region's gain. With several targets, regions are intersected and ranked as those of the first target. Diagnostics
    are those of ``inner``, and ``regions``, the number of regions.

    Notes
    -----
    When to use: Pictures and volumes, when regions are easier to judge than pixels; it ranks them by any map.

    When not to use: Series and tables. Objects that the segmentation misses, and evidence against the target.

    References
    ----------
    Kapishnikov, Bolukbasi, Viegas and Terry, XRAI: better attributions through regions, ICCV 2019, arXiv:1906.02825.
    Felzenszwalb and Huttenlocher, IJCV 2004, doi:10.1023/B:VISI.0000022288.19776.77.

    Raises
    ------
    InputMismatchError
        The input is neither a picture nor a volume.

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
    gradient: GradientLike | None = sources.parameter(None, "source of the inner method's gradients, if it takes any")
    channels: str = choice("max", ("max", "sum"), "how the channels of a pixel are combined")
    smallest: int = integer(50, "smallest number of new pixels, of 224 x 224, for a region to be added", low=1)

    def check_parameters(self) -> None:
        self._inner()

    def _inner(self) -> Explainer:
        return inner_method(self, self.inner, IntegratedGradients(baseline=BlackAndWhite()), ("gradient",))

    @property
    def follows_branches(self) -> bool:
        return self._inner().follows_branches

    @property
    def value_kind(self) -> ValueKind:
        inner = self._inner().value_kind
        # The largest channel ranks regions; it is no longer a share of the change of the target.
        return "importance" if inner == "contribution" and self.channels == "max" else inner

    @staticmethod
    def _positions(model: Model, sample: Sample) -> Positions:
        """The positions of the picture or volume."""
        found = sample.positions()
        if found is None or not (found.is_picture or found.is_volume):
            raise InputMismatchError(
                f"XRAI divides pictures and volumes into regions, but input '{sample.main}' of {model.name} is "
                f"{model.input()}. Use integrated_gradients, or lime with features of your own."
            )
        return found

    def default_target(self, model: Model) -> Target | None:
        return self._inner().default_target(model)

    def check_model(self, dry_run: DryRun) -> dict[str, str | None]:
        if dry_run.sample is not None:
            self._positions(dry_run.model, dry_run.sample)
        return self._inner().validate(dry_run)

    def compute(self, request: Request) -> Attribution:
        main, samples = request.main, request.samples
        found = self._positions(request.model, samples[0])
        channels = tuple(1 + axis for axis in found.values)
        inner = self._inner()
        inner_result = inner.compute(request)
        values = inner_result.values.get(main, next(iter(inner_result.values.values())))
        shape = request.feeds[main].shape
        if values.shape[1:] != shape:
            raise ParameterError(
                f"The 'inner' parameter of XRAI must explain the picture, {shape}. "
                f"Got {self.inner!r} instead, whose values have the shape {values.shape[1:]}."
            )
        players, gains = [], []
        for n, sample in enumerate(samples):
            merged = (np.max if self.channels == "max" else np.sum)(values[:, n], axis=channels)
            shown = as_picture(sample) if found.is_picture else bands(sample, "XRAI")
            labels, gain = ranking(shown, merged, self.smallest)
            players.append(Players({main: found.over(labels)}, np.arange(gain.shape[1])))
            gains.append(gain)
        spread = [p.spread(g, {main: sample.array})[main] for p, g, sample in zip(players, gains, samples, strict=True)]
        return Attribution(
            values={main: np.stack(spread, axis=1)},
            baseline=inner_result.baseline,
            players=PlayerValues(
                pad_players([gain[:, None] for gain in gains]), {main: np.stack([p.maps[main] for p in players])}
            ),
            diagnostics={**inner_result.diagnostics, "regions": [p.count for p in players]},
            parameters={"inner": resolved_method(inner, samples[0])},
            facts={key: value for key, value in inner_result.facts.items() if key == "approximations"},
        )


@final
@dataclass(frozen=True)
class BlackAndWhite(Baseline):
    """Black and white, or the lowest and the highest value if no spec declares colours."""

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        return np.stack([np.broadcast_to(end, sample.x[name].shape) for end in value_range(sample, name)])
