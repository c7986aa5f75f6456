"""Class activation maps from the gradient at a layer."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.explainers._cams.cam import Seen
from xaionnx.explainers._cams.cam_ops import NUMBERS, CamOps, Node, OnnxOps, PlanesT
from xaionnx.explainers._gradients.compilable import Emitted, Traced
from xaionnx.explainers._gradients.gradient import ByGradient, Points, gradients
from xaionnx.gradients import choice
from xaionnx.gradients.target_gradients import TargetGradients
from xaionnx.hooks import hook
from xaionnx.layers.spatial_map import SpatialMap
from xaionnx.request import Request
from xaionnx.targets.resolve import ResolvedTargets
from xaionnx.typing import Array, Document

if TYPE_CHECKING:
    from xaionnx.graph.builder import Builder
    from xaionnx.layers.dry_run import DryRun


@dataclass(frozen=True, kw_only=True)
class ByLayerGradient(ByGradient):
    """Makes a :class:`CamExplainer` draw what a layer holds and the gradient of the target there."""

    needs: ClassVar[str] = "gradient"

    @abstractmethod
    def small(self, planes: Array, slopes: Array) -> Array:
        """Maps (..., h, w) without a ReLU, of what the layer holds and its gradients, (..., D, h, w) both."""

    @final
    def look(self, request: Request, seen: Seen) -> Attribution:
        path = seen.path
        slopes = TargetGradients(path, self.gradient)
        found = gradients(slopes, Points.of(path))
        (layer,) = path.names
        cam = self.small(seen.planes, seen.field.planes(found.values[layer]).astype(np.float64))
        return dataclasses.replace(
            found,
            values={},
            standard_error=None,
            maps={"cam": cam},
            diagnostics={"gradient": slopes.source.name, **self.diagnostics(seen.whole.resolved)},
            parameters={"gradient": slopes.source.facts()},
            facts={"approximations": list(slopes.source.approximations)},
        )

    @hook
    def diagnostics(self, asked: ResolvedTargets) -> Document:
        """What the record tells of the questions."""
        del asked
        return {}

    @final
    def check_layer(self, dry_run: DryRun, layer: str) -> dict[str, str | None]:
        return choice.validated(dry_run, (layer,), None)


class CamFormula(ABC):
    """A formula for the map of a :class:`CamExplainer`, written once for numbers and for nodes of a graph."""

    relu: bool
    upsampling: str

    @abstractmethod
    def map(self, ops: CamOps[PlanesT], activation: PlanesT, gradient: PlanesT) -> PlanesT:
        """The map (..., h, w) without a ReLU, of what the layer holds and its gradient, (..., D, h, w) both."""

    def small(self, planes: Array, slopes: Array) -> Array:
        return self.map(NUMBERS, planes, slopes)

    def emit(self, g: Builder, traced: Traced) -> Emitted:
        """The map enlarged to the input, as nodes."""
        ((layer, slope),) = traced.gradients.items()
        held, shape = traced.tensors[layer], tuple(size for size in (slope.shape or ())[1:] if isinstance(size, int))
        field = SpatialMap.of(traced.model, layer, shape, traced.sample)
        planes, slopes = (Node(g, field.emit_planes(g, value)) for value in (held, slope))
        small = self.map(OnnxOps(g), planes, slopes).value
        if self.relu:
            small = g.op("Relu", small)
        return Emitted({traced.sample.main: field.emit_spread(g, small, self.upsampling)})
