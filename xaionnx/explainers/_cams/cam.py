"""What class activation maps share: the layer at which they look, and the map over the input."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from xaionnx import parameters
from xaionnx.attribution import Attribution
from xaionnx.data.sample import Sample
from xaionnx.explainer import Explainer
from xaionnx.explainers._gradients.gradient import located
from xaionnx.explanation import ValueKind
from xaionnx.hooks import hook
from xaionnx.layers.default_layer import default_layer, normalised_tokens
from xaionnx.layers.layer import check_layer
from xaionnx.layers.path import LayerPath
from xaionnx.layers.spatial_map import UPSAMPLING, SpatialMap
from xaionnx.request import Request
from xaionnx.runtime.model import Model
from xaionnx.targets.resolve import ResolvedTargets
from xaionnx.typing import Array

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx_ir as ir

    from xaionnx.explainers._gradients.compilable import Rows
    from xaionnx.graph.builder import Builder
    from xaionnx.layers.dry_run import DryRun


@final
@dataclass(frozen=True, eq=False)
class Seen:
    """A layer as the samples of a batch show it.

    Attributes
    ----------
    path : LayerPath
        To the layer.
    field : SpatialMap
        How it lies over the input.
    whole : LayerPath
        At the inputs of the model itself.
    """

    path: LayerPath
    field: SpatialMap
    whole: LayerPath

    @property
    def planes(self) -> Array:
        """What the layer holds, (N, D, h, w), in float64."""
        (layer,) = self.path.names
        return self.field.planes(self.path.feeds[layer]).astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class CamExplainer(Explainer):
    """A method that draws a map from the channels of a layer::

        map[i, j] = max(0, sum_k w_k A_k[i, j])        (relu=True)

    A_k[i, j] is channel k of the layer at the place i, j, and each method has weights w_k of its own.

    ``values`` have the shape of the input: the map is enlarged to it, each of its places a square about its centre,
    and given to every channel. ``maps["cam"]``, (N, h, w), is the map at the layer's own size. The time of a series,
    which convolutions run along, is a row of places: a map has one line, (N, 1, t), and is enlarged linearly. Tokens
    that cut a picture into patches are channels over the grid of the patches, and tokens in front of them, such as the
    class token, are left out; for tokens of a row there is one number a token. ``provenance["seen_at"]`` names the
    layer.
    """

    layer: str | None = parameters.name(
        "tensor to look at; the last map over the picture or series, else the tokens that the last attention reads, if "
        "not given"
    )
    relu: bool = parameters.flag(True, "draw only what speaks for the target; False gives the signed map")
    upsampling: str = parameters.choice("bilinear", UPSAMPLING, "how the map is enlarged to the input")

    @property
    @hook
    def value_kind(self) -> ValueKind:
        return "contribution"

    @final
    def check_model(self, dry_run: DryRun) -> dict[str, str | None]:
        layer = None
        if dry_run.sample is not None:
            layer = self.chosen(dry_run.model, dry_run.sample, [dry_run.tensor])
            shape = dry_run.shape(layer)
            if shape is not None:
                SpatialMap.of(dry_run.model, layer, shape, dry_run.sample)
        self.check_questions(dry_run)
        return {} if layer is None else self.check_layer(dry_run, layer)

    @hook
    def check_questions(self, dry_run: DryRun) -> None:
        """Refuse what :meth:`questions` will; see :meth:`validate`."""
        del dry_run

    @hook
    def check_layer(self, dry_run: DryRun, layer: str) -> dict[str, str | None]:
        """Refuse a layer at which the method cannot look; what :meth:`validate` returns of it."""
        del dry_run, layer
        return {}

    @abstractmethod
    def look(self, request: Request, seen: Seen) -> Attribution:
        """The maps (T, N, h, w), as ``maps["cam"]`` without a ReLU, and no values."""

    @hook
    def scores_of(self, model: Model, tensor: str) -> str:
        """The tensor that the maps are asked about, where the target is read from ``tensor``: that one, by default."""
        del model
        return tensor

    @hook
    def questions(self, model: Model, resolved: ResolvedTargets) -> ResolvedTargets:
        """What the maps are asked about: the targets themselves, by default."""
        del model
        return resolved

    @final
    def compute(self, request: Request) -> Attribution:
        model, tensors = request.model, request.tensors
        layer = self.chosen(model, request.samples[0], tensors)
        # One run answers the targets and what the layer holds.
        keep = [] if layer in {info.name for info in model.inputs} else [layer]
        resolved = request.resolve(keep=[*keep, *(self.scores_of(model, tensor) for tensor in tensors)])
        whole = LayerPath.of(model, request.feeds, resolved, request.evaluations)
        held = whole.to(layer).feeds[layer]
        # Where there are no places, no other target helps.
        field = SpatialMap.of(model, layer, held.shape[1:], request.samples[0])
        asked = self.questions(model, resolved)
        whole = whole if asked is resolved else LayerPath.of(model, request.feeds, asked, request.evaluations)
        path = whole.at(layer)
        found = self.look(request, Seen(path, field, whole))
        small = self.rectified(found.maps["cam"]).astype(held.dtype)
        values = {request.main: field.spread(small, self.upsampling)}
        return located(path, dataclasses.replace(found, values=values, maps={**found.maps, "cam": small}))

    @hook
    def rectified(self, small: Array) -> Array:
        """The map without what speaks against the target, if that is wanted."""
        return np.maximum(small, 0) if self.relu else small

    @hook
    def chosen(self, model: Model, sample: Sample, tensors: list[str]) -> str:
        """The layer that is looked at by the targets that are read from ``tensors``."""
        if self.layer is None:
            scores = [self.scores_of(model, tensor) for tensor in tensors]
            return normalised_tokens(model, default_layer(model, (model.input().name,), scores, sample), scores)
        check_layer(model, self.layer)
        return self.layer

    @final
    def wrt(self, model: Model, sample: Sample, tensor: str) -> tuple[str, ...]:
        """The layer; see :class:`xaionnx.explainers.Compilable`."""
        return (self.chosen(model, sample, [tensor]),)

    @final
    def rules(self, model: Model) -> None:
        """None, for the derivatives themselves."""
        del model

    @final
    def rows(self, g: Builder, x: Mapping[str, ir.Value], sample: Sample) -> Rows:
        """The samples alone."""
        from xaionnx.explainers._gradients.compilable import Rows

        del g, sample
        return Rows(1, x)
