"""Class activation maps from the gradient at a layer."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.explainers._cams.cam import LayerView
from xaionnx.explainers._cams.cam_ops import NUMBERS, CamOps, Node, OnnxOps, PlanesT
from xaionnx.explainers._gradients.compilable import Emitted, Traced
from xaionnx.explainers._gradients.gradient import ByGradient, Points, gradients
from xaionnx.gradients import choice
from xaionnx.gradients.arithmetic import path_in_floats
from xaionnx.gradients.target_gradients import TargetGradients
from xaionnx.hooks import hook
from xaionnx.layers.path import LayerPath
from xaionnx.layers.spatial_map import SpatialMap
from xaionnx.request import Request
from xaionnx.targets.resolve import ResolvedTargets
from xaionnx.typing import Array, Document

if TYPE_CHECKING:
    from xaionnx.graph.builder import Builder
    from xaionnx.layers.dry_run import DryRun


@dataclass(frozen=True, kw_only=True)
class ByLayerGradient(ByGradient):
    """Makes a :class:`CamExplainer` combine the activations of a layer with the gradient of the target."""

    needs: ClassVar[str] = "gradient"

    @abstractmethod
    def map_at_layer(self, planes: Array, gradient: Array) -> Array:
        """Maps (..., h, w) before a ReLU, from activations and gradients, both (..., D, h, w)."""

    @final
    def layer_maps(self, request: Request, view: LayerView) -> Attribution:
        path = view.path
        target_gradients = TargetGradients(path, self.gradient)
        result = gradients(target_gradients, Points.of(path))
        (layer,) = path.names
        activations, slopes = view.field.planes(path.feeds[layer]), view.field.planes(result.values[layer])
        # Each sample by itself: its float64 stay in the cache of the processor.
        each = [
            self.map_at_layer(*(array[..., n : n + 1, :, :, :].astype(np.float64) for array in (activations, slopes)))
            for n in range(len(activations))
        ]
        cam = np.concatenate(each, axis=-3)
        return dataclasses.replace(
            result,
            values={},
            standard_error=None,
            maps={"cam": cam},
            diagnostics={"gradient": target_gradients.source.name, **self.diagnostics(view.whole.resolved)},
            parameters={"gradient": target_gradients.source.facts()},
            facts={"approximations": list(target_gradients.source.approximations)},
        )

    @final
    def path_of_activations(self, whole: LayerPath, layer: str) -> LayerPath:
        graph = isinstance(self.gradient, str) and self.gradient in ("auto", "graph")
        return path_in_floats(whole, layer) if graph else whole

    @final
    def influence(self, request: Request, whole: LayerPath, layer: str) -> Array | None:
        path = self.path_of_activations(whole, layer).cut_at(layer)
        gradient = gradients(TargetGradients(path, self.gradient), Points.of(path)).values[path.names[0]]
        return np.asarray(gradient.reshape(*gradient.shape[:2], -1).any(axis=2))

    @hook
    def diagnostics(self, targets: ResolvedTargets) -> Document:
        """Diagnostics about the explained scalars."""
        del targets
        return {}

    @final
    def check_layer(self, dry_run: DryRun, layer: str) -> dict[str, str | None]:
        return choice.validate_source(dry_run, (layer,), None)


class CamFormula(ABC):
    """A formula for the map of a :class:`CamExplainer`, for both arrays and nodes of a graph."""

    relu: bool
    upsampling: str

    @abstractmethod
    def map(self, ops: CamOps[PlanesT], activation: PlanesT, gradient: PlanesT) -> PlanesT:
        """The map (..., h, w) before a ReLU, from the activation and its gradient, both (..., D, h, w)."""

    def map_at_layer(self, planes: Array, gradient: Array) -> Array:
        return self.map(NUMBERS, planes, gradient)

    def emit(self, g: Builder, traced: Traced) -> Emitted:
        """The nodes that compute the map, upsampled to the input."""
        ((layer, gradient_value),) = traced.gradients.items()
        activation = traced.tensors[layer]
        shape = tuple(size for size in (gradient_value.shape or ())[1:] if isinstance(size, int))
        field = SpatialMap.of(traced.model, layer, shape, traced.sample)
        planes, gradient = (Node(g, field.emit_planes(g, value)) for value in (activation, gradient_value))
        cam = self.map(OnnxOps(g), planes, gradient).value
        if self.relu:
            cam = g.op("Relu", cam)
        return Emitted({traced.sample.main: field.emit_spread(g, cam, self.upsampling)})
