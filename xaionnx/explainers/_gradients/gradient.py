"""What all methods share that ask for gradients: from a batch and a target to points, and back to a record."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from xaionnx import parameters
from xaionnx.data.sample import Sample
from xaionnx.explainer import Explainer, provenance
from xaionnx.explanation import Explanation
from xaionnx.gradients import choice
from xaionnx.gradients.target_gradients import TargetGradients
from xaionnx.layers.embeddings import explained
from xaionnx.layers.path import LayerPath
from xaionnx.parameters import free
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.resolve import resolve
from xaionnx.targets.target import Target
from xaionnx.typing import Array

if TYPE_CHECKING:
    from xaionnx.autodiff.rule import Table
    from xaionnx.layers.dry_run import DryRun


@dataclass(frozen=True, eq=False)
class Points:
    """J points to explain.

    Attributes
    ----------
    sample : array of int (J,)
        The sample whose targets are explained there.
    x : dict of arrays (J, ...) by input name
    values : array (T, J)
        The targets at the points.
    """

    sample: Array
    x: dict[str, Array]
    values: Array

    __repr__ = short_repr


@dataclass(frozen=True, eq=False)
class Found:
    """What a method found at J points.

    Attributes
    ----------
    values : dict of arrays (T, J, ...) by input name
    gradients : array of int (J,)
        Gradient evaluations that each point cost, for all targets together.
    forwards : array of int (J,)
        Evaluations of the model without a gradient.
    baseline : array (T, J) or None
        The targets at the baseline.
    standard_error : dict of arrays like ``values``, or None
    diagnostics : dict of arrays (T, J)
    maps : dict of arrays (T, J, ...)
        Further maps, which the method describes.
    """

    values: dict[str, Array]
    gradients: Array
    forwards: Array
    baseline: Array | None = None
    standard_error: dict[str, Array] | None = None
    diagnostics: dict[str, Array] = field(default_factory=dict)
    maps: dict[str, Array] = field(default_factory=dict)

    __repr__ = short_repr


@dataclass(frozen=True, kw_only=True)
class GradientExplainer(Explainer):
    """A method that asks for gradients of the target with respect to the float inputs.

    Tokens have no gradient: the values of a model of tokens are those of the tensor into which they are embedded,
    (N, T, D), which ``provenance["layer"]`` names. What a token owes is ``values.sum(axis=-1)``.

    ``diagnostics`` tell ``evaluations``, every row that ran through the model or a part of it, with its gradient or
    without, ``gradients``, how many were taken, and ``gradient``, their source: ``graph``, ``finite_differences`` or
    the file of a gradient model. A gradient is of one target, so T targets cost T gradients. ``provenance`` lists
    under ``approximations`` what in the gradients is no derivative of what the model computes, as where it was
    quantised.
    """

    needs: ClassVar[str] = "gradient"

    gradient: Any = free(
        "auto",
        choice.WORDS,
        "where gradients come from: graph; finite_differences[:FEATURES][:random:DIRECTIONS][:step=SHARE][:seed=INT]; "
        "a gradient model, FILE.onnx; auto takes the first of graph and finite_differences that can",
        optional=False,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        choice.checked(type(self).__name__, self.gradient)

    def wrt(self, model: Model, sample: Sample, tensor: str) -> tuple[str, ...]:
        """Tensors at which the gradient of the target, read from ``tensor``, is taken: the float inputs by default."""
        del sample, tensor
        return explained(model)

    def validate(self, dry_run: DryRun) -> dict[str, str | None]:
        told = super().validate(dry_run)
        if dry_run.sample is None:
            return {**told, "gradient": "graph", "remark": None}
        names = self.wrt(dry_run.model, dry_run.sample, dry_run.tensor)
        return told | choice.validated(dry_run, names, self.rules(dry_run.model))

    @abstractmethod
    def trace(self, slopes: TargetGradients, points: Points) -> Found:
        """Explain points, for each of the targets."""

    def place(self, inputs: LayerPath) -> LayerPath:
        """Where the gradients are taken: at the float inputs, or at the embedding of tokens."""
        return inputs.to_floats()

    def rules(self, model: Model) -> Table | None:
        """The rules that take the place of derivatives; None for the derivatives themselves."""
        del model
        return None

    def resolved(self) -> dict[str, Any]:
        """What stands behind a parameter's shorthand."""
        return {}

    def attribute(self, model: Model, x: Array | Mapping[str, Array], target: Any = None) -> Explanation:
        began = time.perf_counter()
        feeds = model.check(x)
        target = self.default_target(model) if target is None else target
        resolution = resolve(target, model, feeds)
        route = self.place(LayerPath.of(model, feeds, resolution))
        slopes = TargetGradients(route, self.gradient, self.rules(model))
        points = Points(
            np.arange(len(route.samples)), {name: route.feeds[name] for name in route.names}, resolution.values
        )
        found = self.trace(slopes, points)
        resolved = {"gradient": slopes.source.facts(), **self.resolved()}
        told = provenance(self, model, feeds, Target.of(target)[0], resolved)
        told["approximations"] = list(slopes.source.approximations)
        return recorded(self.name(), route, found, told, began, slopes)


@dataclass(frozen=True, kw_only=True)
class LayerExplainer(GradientExplainer):
    """A gradient method that works at any layer as it does at the input.

    The model is cut at ``layer``, any float tensor with the batch axis first between the input and the target, and
    what is explained is what the tensor holds at x. A baseline stays one of the input: the path at the layer starts at
    what it holds there. Other inputs of the part behind the layer, as where a connection goes around it, stay as they
    are at x, so that values add up to the change of that part, which is f(x) - f(b) where every way leads through the
    layer. Tokens have baselines of tokens: a number is that token everywhere, and zero is token 0.
    """

    layer: str | None = parameters.name(
        "explain at this tensor of the model; at the input, or the embedding of tokens, if not given"
    )

    def place(self, inputs: LayerPath) -> LayerPath:
        return inputs.to_floats(self.layer)

    def wrt(self, model: Model, sample: Sample, tensor: str) -> tuple[str, ...]:
        return super().wrt(model, sample, tensor) if self.layer is None else (self.layer,)


def recorded(
    method: str,
    route: LayerPath,
    found: Found,
    told: dict[str, Any],
    began: float,
    slopes: TargetGradients | None = None,
) -> Explanation:
    """The record of what was found at the explained tensors, or of what was seen there and has another's shape.

    Parameters
    ----------
    method : str
    route : LayerPath
    found : Found
    told : dict
        The provenance, to which the layer is added: under ``layer`` where the values have its shape, else under
        ``seen_at``.
    began : float
        In seconds of ``time.perf_counter``.
    slopes : TargetGradients, optional
        Where gradients were asked for.
    """
    resolution = route.resolution
    spent = route.spent if slopes is None else route.spent + slopes.spent

    def axis(array: Array) -> Array:
        return array if resolution.several else array[0]

    names = route.names if found.values.keys() == set(route.names) else tuple(found.values)
    kind = route.feeds[route.names[0]].dtype
    values = {
        # Row by row: a map that every channel shares would else be written with the channels last, ten times slower.
        name: axis(found.values[name].astype(route.feeds[name].dtype if name in route.names else kind, order="C"))
        for name in names
    }
    errors = found.standard_error or {}
    alone = names[0] if len(values) == 1 else None
    layer = route.facts()
    if layer is not None:
        told["layer" if names == route.names else "seen_at"] = layer
        told["parameters"]["layer"] = layer["name"]
    return Explanation(
        method=method,
        values=values[alone] if alone else values,
        target=axis(resolution.selection.names),
        prediction=axis(resolution.values),
        baseline_prediction=None if found.baseline is None else axis(found.baseline),
        standard_error=axis(errors[alone]) if errors and alone else None,
        maps={key: axis(array) for key, array in found.maps.items()}
        | ({} if alone else {f"standard_error_{name}": axis(array) for name, array in errors.items()}),
        diagnostics={
            # One more: the prediction.
            "evaluations": (1 + spent + found.forwards).tolist(),
            "gradients": found.gradients.tolist(),
            **({} if slopes is None else {"gradient": slopes.source.name}),
            "seconds": round(time.perf_counter() - began, 6),
            # Sample by sample, as every diagnostic is listed.
            **{key: axis(array).T.tolist() for key, array in found.diagnostics.items()},
        },
        provenance=told,
    )


def gradients(slopes: TargetGradients, points: Points) -> Found:
    """The gradient of each target at each point, with standard errors where directions were drawn."""
    count, targets = len(points.sample), slopes.targets
    values = {name: np.empty((targets, *x.shape), dtype=x.dtype) for name, x in points.x.items()}
    errors: dict[str, Array] = {}
    # Row j * T + t is target t at point j.
    which, target = np.divmod(np.arange(count * targets), targets)
    for piece in slopes.pieces(
        points.sample[which], target, lambda rows: {name: x[which[rows]] for name, x in points.x.items()}
    ):
        place = target[piece.rows], which[piece.rows]
        for name, array in piece.gradients.items():
            values[name][place] = array
        for name, array in (piece.errors or {}).items():
            errors.setdefault(name, np.empty_like(values[name]))[place] = array
    return Found(values, np.full(count, targets), np.zeros(count, dtype=np.int64), standard_error=errors or None)
