"""What all class activation maps share: from a layer at which they look, by weights, to a map over the input."""

from __future__ import annotations

import dataclasses
import time
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np

from xaionnx import parameters
from xaionnx.data.sample import Sample, split
from xaionnx.explainer import Explainer, provenance
from xaionnx.explainers._gradients.compilable import Compilable, Emitted, Traced
from xaionnx.explainers._gradients.gradient import Found, GradientExplainer, Points, gradients, recorded
from xaionnx.explanation import Explanation, ValueKind
from xaionnx.gradients.target_gradients import TargetGradients
from xaionnx.layers.default_layer import default_layer, normalised
from xaionnx.layers.layer import check_layer
from xaionnx.layers.path import LayerPath
from xaionnx.layers.spatial_map import UPSAMPLING, Field
from xaionnx.runtime.model import Model
from xaionnx.targets.resolve import ResolvedTargets, resolve
from xaionnx.targets.target import Target
from xaionnx.typing import Array

if TYPE_CHECKING:
    from xaionnx.explainers._cams.cam_ops import CamOps
    from xaionnx.graph.builder import Builder
    from xaionnx.layers.dry_run import DryRun


@final
@dataclass(frozen=True, eq=False)
class Seen:
    """A layer as the samples of a batch show it.

    Attributes
    ----------
    route : LayerPath
        To the layer.
    field : Field
        How it lies over the input.
    whole : LayerPath
        At the inputs of the model itself.
    """

    route: LayerPath
    field: Field
    whole: LayerPath

    @property
    def planes(self) -> Array:
        """What the layer holds, (N, D, h, w), in float64."""
        (layer,) = self.route.names
        return self.field.planes(self.route.feeds[layer]).astype(np.float64)


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

    value_kind: ClassVar[ValueKind] = "contribution"

    layer: str | None = parameters.name(
        "tensor to look at; the last map over the picture or series, else the tokens that the last attention reads, if "
        "not given"
    )
    relu: bool = parameters.flag(True, "draw only what speaks for the target; False gives the signed map")
    upsampling: str = parameters.choice("bilinear", UPSAMPLING, "how the map is enlarged to the input")

    def validate(self, dry_run: DryRun) -> dict[str, str | None]:
        if dry_run.sample is not None:
            layer = self.chosen(dry_run.model, dry_run.sample, [dry_run.tensor])
            shape = dry_run.shape(layer)
            if shape is not None:
                Field.of(dry_run.model, layer, shape, dry_run.sample)
        self.validate_questions(dry_run)
        return super().validate(dry_run)

    def validate_questions(self, dry_run: DryRun) -> None:
        """Refuse what :meth:`questions` will; see :meth:`validate`."""
        del dry_run

    @abstractmethod
    def look(self, model: Model, seen: Seen) -> tuple[Found, TargetGradients | None]:
        """The maps (T, N, h, w), as ``Found.maps["cam"]`` without a ReLU, and where gradients came from."""

    def watched(self, model: Model, tensors: list[str]) -> list[str]:
        """Further tensors that the questions are made from, where the targets are read from ``tensors``."""
        del model, tensors
        return []

    def questions(self, model: Model, resolution: ResolvedTargets) -> ResolvedTargets:
        """What the maps are asked about: the targets themselves, if not told otherwise."""
        del model
        return resolution

    def attribute(self, model: Model, x: Array | Mapping[str, Array], target: Any = None) -> Explanation:
        began = time.perf_counter()
        feeds = model.check(x)
        target = self.default_target(model) if target is None else target
        tensors = [one.tensor(model) for one in Target.of(target)[0]]
        sample = split(feeds, model.input().name, model.spec, model.shared)[0]
        layer = self.chosen(model, sample, tensors)
        # One run answers the targets and what the layer holds.
        keep = [] if layer in {info.name for info in model.inputs} else [layer]
        resolution = resolve(target, model, feeds, keep=[*keep, *self.watched(model, tensors)])
        held = LayerPath.of(model, feeds, resolution).to(layer).feeds[layer]
        # Where there are no places, no other target helps.
        field = Field.of(model, layer, held.shape[1:], sample)
        whole = LayerPath.of(model, feeds, self.questions(model, resolution))
        route = whole.at(layer)
        found, slopes = self.look(model, Seen(route, field, whole))
        small = self.rectified(found.maps["cam"]).astype(held.dtype)
        main = model.input().name
        shown = dataclasses.replace(
            found, values={main: field.spread(small, self.upsampling)}, maps={**found.maps, "cam": small}
        )
        resolved = {} if slopes is None else {"gradient": slopes.source.facts()}
        told = provenance(self, model, feeds, Target.of(target)[0], {**resolved, **self.resolved()})
        if slopes is not None:
            told["approximations"] = list(slopes.source.approximations)
        return recorded(self.name(), dataclasses.replace(route, resolution=resolution), shown, told, began, slopes)

    def resolved(self) -> dict[str, Any]:
        """What stands behind a parameter's shorthand."""
        return {}

    def rectified(self, small: Array) -> Array:
        """The map without what speaks against the target, if that is wanted."""
        return np.maximum(small, 0) if self.relu else small

    def chosen(self, model: Model, sample: Sample, tensors: list[str]) -> str:
        """The layer that is looked at by the targets that are read from ``tensors``."""
        if self.layer is None:
            return normalised(model, default_layer(model, (model.input().name,), tensors, sample), tensors)
        check_layer(model, self.layer)
        return self.layer


@dataclass(frozen=True, kw_only=True)
class SlopeCamExplainer(CamExplainer, GradientExplainer):
    """A class activation map whose weights rest on the gradient at the layer."""

    needs: ClassVar[str] = "gradient"

    def wrt(self, model: Model, sample: Sample, tensor: str) -> tuple[str, ...]:
        return (self.chosen(model, sample, [tensor]),)

    @abstractmethod
    def small(self, planes: Array, slopes: Array) -> Array:
        """Maps (..., h, w) without a ReLU, of what the layer holds and its gradients, (..., D, h, w) both."""

    def joined(self, maps: Array) -> Array:
        """The maps (T, N, h, w) of the targets, of those of all questions."""
        return maps

    def look(self, model: Model, seen: Seen) -> tuple[Found, TargetGradients | None]:
        route = seen.route
        slopes = TargetGradients(route, self.gradient)
        points = Points(
            np.arange(len(route.samples)), {name: route.feeds[name] for name in route.names}, route.resolution.values
        )
        found = self.trace(slopes, points)
        (layer,) = route.names
        small = self.small(seen.planes, seen.field.planes(found.values[layer]).astype(np.float64))
        return dataclasses.replace(found, standard_error=None, maps={"cam": self.joined(small)}), slopes

    def trace(self, slopes: TargetGradients, points: Points) -> Found:
        return gradients(slopes, points)


@dataclass(frozen=True, kw_only=True)
class WeightedCamExplainer(SlopeCamExplainer, Compilable):
    """A class activation map whose weights are a formula of what the layer holds and its gradient."""

    @abstractmethod
    def weights(self, of: CamOps, a: Any, slope: Any) -> Any:
        """The weights (..., D, h or 1, w or 1), of what the layer holds and its gradient, (..., D, h, w) both.

        The formula is written once, for numbers and for nodes of a graph.
        """

    def small(self, planes: Array, slopes: Array) -> Array:
        from xaionnx.explainers._cams.cam_ops import NUMBERS

        found: Array = (self.weights(NUMBERS, planes, slopes) * planes).sum(axis=-3)
        return found

    def emit(self, g: Builder, traced: Traced) -> Emitted:
        from xaionnx.explainers._cams.cam_ops import Node, Nodes

        ((layer, slope),) = traced.gradients.items()
        held, shape = traced.tensors[layer], tuple(size for size in (slope.shape or ())[1:] if isinstance(size, int))
        field = Field.of(traced.model, layer, shape, traced.sample)
        planes, slopes = (Node(g, field.emit_planes(g, value)) for value in (held, slope))
        small = (self.weights(Nodes(g), planes, slopes) * planes).channels()
        if self.relu:
            small = g.op("Relu", small)
        return Emitted({traced.sample.main: field.emit_spread(g, small, self.upsampling)})
