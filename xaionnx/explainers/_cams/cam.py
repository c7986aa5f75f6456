"""Base class of class activation maps: the choice of the layer, and the map over the input."""

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
from xaionnx.explainers._gradients.gradient import with_facts
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
class LayerView:
    """The activations of a layer for a batch of samples.

    Attributes
    ----------
    path : LayerPath
        The path to the layer.
    field : SpatialMap
        The mapping between the layer and the input.
    whole : LayerPath
        The path at the inputs of the model.
    """

    path: LayerPath
    field: SpatialMap
    whole: LayerPath

    @property
    def planes(self) -> Array:
        """The activations of the layer, (N, D, h, w), float64."""
        (layer,) = self.path.names
        return self.field.planes(self.path.feeds[layer]).astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class CamExplainer(Explainer):
    """A method that computes a map from the channels of a layer::

        map[i, j] = max(0, sum_k w_k A_k[i, j])        (relu=True)

    A_k[i, j] is channel k of the layer at position i, j; the methods differ in the weights w_k.

    ``values`` have the shape of the input: the map is upsampled to it, with each position centred in its cell, and
    repeated for every channel. ``maps["cam"]``, (N, h, w), is the map at the size of the layer. For a series that
    convolutions run along, the map has one row, (N, 1, t), and is upsampled linearly. Tokens of patches form a grid
    over the picture, without the tokens before them, such as the class token; for tokens of a sequence there is one
    number per token. ``provenance["seen_at"]`` names the layer.
    """

    layer: str | None = parameters.name(
        "tensor to use; the last map over the picture or series, else the tokens that the last attention reads, if "
        "not given"
    )
    relu: bool = parameters.flag(True, "keep only what raises the target; False gives the signed map")
    upsampling: str = parameters.choice("bilinear", UPSAMPLING, "how the map is upsampled to the input")

    @property
    @hook
    def value_kind(self) -> ValueKind:
        return "contribution"

    @final
    def check_model(self, dry_run: DryRun) -> dict[str, str | None]:
        layer = None
        if dry_run.sample is not None:
            layer = self.choose_layer(dry_run.model, dry_run.sample, [dry_run.tensor])
            shape = dry_run.shape(layer)
            if shape is not None:
                SpatialMap.of(dry_run.model, layer, shape, dry_run.sample)
        self.check_map_targets(dry_run)
        return {} if layer is None else self.check_layer(dry_run, layer)

    @hook
    def check_map_targets(self, dry_run: DryRun) -> None:
        """Raise the errors of :meth:`map_targets` before a run; see :meth:`validate`."""
        del dry_run

    @hook
    def check_layer(self, dry_run: DryRun, layer: str) -> dict[str, str | None]:
        """The result of :meth:`validate` for a layer; raises an error if the method cannot use it."""
        del dry_run, layer
        return {}

    @abstractmethod
    def layer_maps(self, request: Request, view: LayerView) -> Attribution:
        """An attribution without values, with the maps (T, N, h, w) before a ReLU as ``maps["cam"]``."""

    @hook
    def score_tensor(self, model: Model, tensor: str) -> str:
        """The tensor that the maps explain if the target is read from ``tensor``: ``tensor`` itself, by default."""
        del model
        return tensor

    @hook
    def map_targets(self, model: Model, resolved: ResolvedTargets) -> ResolvedTargets:
        """The scalars that the maps explain: the targets themselves, by default."""
        del model
        return resolved

    @final
    def compute(self, request: Request) -> Attribution:
        model, tensors = request.model, request.tensors
        layer = self.choose_layer(model, request.samples[0], tensors)
        # One run returns the targets and the activations of the layer.
        keep = [] if layer in {info.name for info in model.inputs} else [layer]
        resolved = request.resolve(keep=[*keep, *(self.score_tensor(model, tensor) for tensor in tensors)])
        whole = LayerPath.of(model, request.feeds, resolved, request.evaluations)
        activation = whole.to(layer).feeds[layer]
        # Checked first: a layer without spatial positions is refused whatever the target.
        field = SpatialMap.of(model, layer, activation.shape[1:], request.samples[0])
        explained = self.map_targets(model, resolved)
        if explained is not resolved:
            whole = LayerPath.of(model, request.feeds, explained, request.evaluations)
        path = whole.at(layer)
        attribution = self.layer_maps(request, LayerView(path, field, whole))
        cam = self.apply_relu(attribution.maps["cam"]).astype(activation.dtype)
        values = {request.main: field.spread(cam, self.upsampling)}
        return with_facts(path, dataclasses.replace(attribution, values=values, maps={**attribution.maps, "cam": cam}))

    @hook
    def apply_relu(self, cam: Array) -> Array:
        """The map without negative values, if ``relu`` is set."""
        return np.maximum(cam, 0) if self.relu else cam

    @hook
    def choose_layer(self, model: Model, sample: Sample, tensors: list[str]) -> str:
        """The layer to use for targets that are read from ``tensors``."""
        if self.layer is None:
            scores = [self.score_tensor(model, tensor) for tensor in tensors]
            return normalised_tokens(model, default_layer(model, (model.input().name,), scores, sample), scores)
        check_layer(model, self.layer)
        return self.layer

    @final
    def wrt(self, model: Model, sample: Sample, tensor: str) -> tuple[str, ...]:
        """The layer; see :class:`xaionnx.explainers.Compilable`."""
        return (self.choose_layer(model, sample, [tensor]),)

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
