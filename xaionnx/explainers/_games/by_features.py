"""Features as the players of a method: parts of the input, or of a layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self, final

from xaionnx import parameters
from xaionnx.data.sample import Sample
from xaionnx.explainers._games.layer_units import LayerUnits
from xaionnx.perturb import features as partitions
from xaionnx.perturb.features import Features
from xaionnx.perturb.players import Players
from xaionnx.typing import FeaturesLike

if TYPE_CHECKING:
    from xaionnx.layers.path import LayerPath


@dataclass(frozen=True, kw_only=True)
class ByFeatures:
    """Makes features the players of a :class:`GameExplainer`; each is present or absent.

    With ``layer`` the players are parts of that tensor, any float tensor with the batch axis first between the input
    and the target. The part of the model after it runs, with its other inputs, such as skip connections, as they are at
    x. The values are those of the layer, and the baseline replaces units of the layer: zero switches them off.
    """

    features: FeaturesLike = partitions.parameter(
        "who the players are", "superpixels of pictures, segments of series and elements of other inputs,"
    )
    layer: str | None = parameters.name(
        "remove parts of this tensor instead: the channels of a map, tokens, else units, unless features are given"
    )

    @final
    @property
    def removed_layer(self) -> str | None:
        return self.layer

    @final
    def at_layer(self, path: LayerPath) -> Self:
        return self if self.features is not None else replace(self, features=LayerUnits(path.axes.letters))

    @final
    def players(self, sample: Sample) -> Players:
        return Features.of(self.features).players(sample)

    @final
    def shares_players(self, sample: Sample) -> bool:
        return Features.of(self.features).are_shared(sample)
