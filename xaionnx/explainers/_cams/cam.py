"""Base class of class activation maps: the choice of the layer, and the map over the input."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from xaionnx import parameters
from xaionnx.attribution import Attribution
from xaionnx.data.sample import Sample
from xaionnx.explainer import Explainer
from xaionnx.explainers._cams.several import FUSIONS, LayerMap, by_target, fused, layers_by_target
from xaionnx.explainers._gradients.gradient import with_facts
from xaionnx.explanation import ValueKind
from xaionnx.hooks import hook
from xaionnx.layers.default_layer import default_map, normalised_tokens, structure_decides
from xaionnx.layers.layer import check_layer, layer_name
from xaionnx.layers.path import LayerPath
from xaionnx.layers.spatial_map import UPSAMPLING, SpatialMap
from xaionnx.layers.target_elements import TargetElements, elements_read
from xaionnx.parameters import as_names
from xaionnx.request import Request
from xaionnx.runtime.model import Model
from xaionnx.targets.resolve import ResolvedTargets
from xaionnx.typing import Array

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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

    The default layer is one on which the target itself depends: in a model of several heads, such as a detector, each
    target and sample has that of its own head. With several layers, each map is divided by its largest value and
    enlarged to the finest, and they are combined: a map of the heads of a detector.
    """

    layer: str | Sequence[str] | None = parameters.names(
        "tensor to use, or several whose maps are fused; the last map over the picture or series, else the tokens that "
        "the last attention reads, if not given"
    )
    fuse: str = parameters.choice(
        "mean", FUSIONS, "how maps of several layers, each scaled to its largest, are combined"
    )
    relu: bool = parameters.flag(True, "keep only what raises the target; False gives the signed map")
    upsampling: str = parameters.choice("bilinear", UPSAMPLING, "how the map is upsampled to the input")

    # Whether the maps depend on the target, so that a layer must influence it, and whether each target has its own map.
    explains_target: ClassVar[bool] = True
    one_map_a_target: ClassVar[bool] = True

    @property
    @hook
    def value_kind(self) -> ValueKind:
        # Maps of several layers are scaled before they are combined.
        return "importance" if len(as_names(self.layer)) > 1 else "contribution"

    @final
    def check_model(self, dry_run: DryRun) -> dict[str, str | None]:
        layers: tuple[str, ...] = ()
        if dry_run.sample is not None:
            layers = self.layers(dry_run.model, dry_run.sample, [dry_run.tensor])
            for layer in layers:
                shape = dry_run.shape(layer)
                if shape is not None:
                    SpatialMap.of(dry_run.model, layer, shape, dry_run.sample)
        self.check_map_targets(dry_run)
        found: dict[str, str | None] = {}
        for layer in layers:
            found |= self.check_layer(dry_run, layer)
        return found

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
        model, tensors, sample = request.model, request.tensors, request.samples[0]
        layers = self.layers(model, sample, tensors)
        # One run returns the targets and the activations of the layers.
        keep = [layer for layer in layers if layer not in {info.name for info in model.inputs}]
        resolved = request.resolve(keep=[*keep, *(self.score_tensor(model, tensor) for tensor in tensors)])
        whole = LayerPath.of(model, request.feeds, resolved, request.evaluations)
        # Checked first: a layer without spatial positions is refused whatever the target.
        for layer in layers:
            SpatialMap.of(model, layer, whole.to(layer).feeds[layer].shape[1:], sample)
        explained = self.map_targets(model, resolved)
        if explained is not resolved:
            whole = LayerPath.of(model, request.feeds, explained, request.evaluations)
        if self.layer is None and self.explains_target and self.one_map_a_target:
            return self._at_default_layers(request, whole, tensors)
        maps = [self._map_at(request, whole, layer) for layer in layers]
        return self._alone(maps[0]) if len(maps) == 1 else fused(maps, self.fuse, self.upsampling)

    def _at_default_layers(self, request: Request, whole: LayerPath, tensors: list[str]) -> Attribution:
        """The maps at the default layer, which may differ by target and sample."""
        used = self._default_layers(request, whole, tensors)
        if len(used) == 1:
            return self._alone(self._map_at(request, whole, next(iter(used))))
        maps = []
        for layer, where in used.items():
            some = np.flatnonzero(where.any(axis=1))
            one = dataclasses.replace(whole, resolved=whole.resolved.only(some))
            maps.append(dataclasses.replace(self._map_at(request, one, layer), used=where))
        return by_target(maps, self.upsampling)

    def _default_layers(self, request: Request, whole: LayerPath, tensors: list[str]) -> dict[str, Array]:
        """The default layers, and the targets and samples (T, N) that each is for."""
        model, sample, read = request.model, request.samples[0], elements_read(whole.resolved)

        def choose(one: TargetElements, without: frozenset[str]) -> str:
            return self._default_layer(model, sample, tensors, [one], without)

        def influence(layer: str, where: Array) -> Array | None:
            different = {id(read[t][n]): read[t][n] for t, n in zip(*np.nonzero(where), strict=True)}
            if all(structure_decides(model, sample, [one]) for one in different.values()):
                return None
            return self.influence(request, whole, layer)

        return layers_by_target(read, choose, influence)

    @hook
    def path_of_activations(self, whole: LayerPath, layer: str) -> LayerPath:
        """The path at the inputs along which a layer is evaluated."""
        del layer
        return whole

    @hook
    def influence(self, request: Request, whole: LayerPath, layer: str) -> Array | None:
        """Whether each target of each sample, (T, N), changes with a layer; None if the method cannot tell."""
        del request, whole, layer
        return None

    def _map_at(self, request: Request, whole: LayerPath, layer: str) -> LayerMap:
        """The maps of the targets at a layer, after a ReLU."""
        named = self.layer is not None and self.explains_target
        whole = self.path_of_activations(whole, layer)
        path = whole.at(layer) if named else whole.cut_at(layer)
        activation = path.feeds[layer]
        field = SpatialMap.of(request.model, layer, activation.shape[1:], request.samples[0])
        attribution = self.layer_maps(request, LayerView(path, field, whole))
        cam = self.apply_relu(attribution.maps["cam"]).astype(activation.dtype)
        mapped = dataclasses.replace(attribution, maps={**attribution.maps, "cam": cam})
        return LayerMap(mapped, field, path, np.ones(cam.shape[:2], dtype=bool))

    def _alone(self, one: LayerMap) -> Attribution:
        """The attribution of a single layer."""
        values = {one.field.sample.main: one.field.spread(one.cam, self.upsampling)}
        return with_facts(one.path, dataclasses.replace(one.attribution, values=values))

    @hook
    def apply_relu(self, cam: Array) -> Array:
        """The map without negative values, if ``relu`` is set."""
        return np.maximum(cam, 0) if self.relu else cam

    @final
    def layers(self, model: Model, sample: Sample, tensors: list[str]) -> tuple[str, ...]:
        """The layers to use for targets that are read from ``tensors``: those given, or the default layer."""
        names = tuple(layer_name(model, name, tensors[0]) for name in as_names(self.layer))
        for layer in names:
            check_layer(model, layer)
            self.check_use(model, layer, sample, tensors)
        return names or (self._default_layer(model, sample, tensors, ()),)

    def _default_layer(
        self,
        model: Model,
        sample: Sample,
        tensors: list[str],
        read: Sequence[TargetElements],
        without: frozenset[str] = frozenset(),
    ) -> str:
        scores = list(dict.fromkeys(one.tensor for one in read))
        scores = scores or [self.score_tensor(model, tensor) for tensor in tensors]
        chosen = default_map(model, sample, read or [TargetElements(tensor) for tensor in scores], without)
        layer = normalised_tokens(model, chosen, scores)
        self.check_use(model, layer, sample, tensors)
        return layer

    @final
    def layer_for(self, model: Model, sample: Sample, read: Sequence[TargetElements]) -> str:
        """The default layer for targets that read some elements."""
        return self._default_layer(model, sample, [one.tensor for one in read], read)

    @hook
    def check_use(self, model: Model, layer: str, sample: Sample, tensors: list[str]) -> None:
        """Raise an error if the method cannot use a layer for targets that are read from ``tensors``."""
        del model, layer, sample, tensors

    @final
    def wrt(self, model: Model, sample: Sample, tensor: str) -> tuple[str, ...]:
        """The layer; see :class:`xaionnx.explainers.Compilable`."""
        return self.layers(model, sample, [tensor])

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
