"""What methods share that take gradients: from a request to the points at which they are taken, and back."""

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
from xaionnx.gradients import choice
from xaionnx.gradients.one_run import OneRun, PlannedRun
from xaionnx.gradients.target_gradients import TargetGradients
from xaionnx.hooks import hook
from xaionnx.layers.embeddings import gradient_tensors
from xaionnx.layers.path import LayerPath
from xaionnx.request import Request
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, GradientLike

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx_ir as ir

    from xaionnx.autodiff.rule import Table
    from xaionnx.explainers._gradients.compilable import Rows
    from xaionnx.graph.builder import Builder
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

    @classmethod
    def of(cls, path: LayerPath) -> Points:
        """The samples themselves, as the end of a path holds them."""
        held = {name: path.feeds[name] for name in path.names}
        return cls(np.arange(len(path.samples)), held, path.resolved.prediction)

    __repr__ = short_repr


@dataclass(frozen=True, kw_only=True)
class ByGradient:
    """The parameter of methods that take gradients: where these come from."""

    gradient: GradientLike = choice.parameter("auto", "where gradients come from")

    @hook
    def check_parameters(self) -> None:
        choice.check_source(type(self).__name__, self.gradient)


@dataclass(frozen=True, kw_only=True)
class GradientExplainer(ByGradient, Explainer):
    """A method that takes gradients of the target with respect to the float inputs.

    Tokens have no gradient: the values of a model of tokens are those of the tensor into which they are embedded,
    (N, T, D), which ``provenance["layer"]`` names. The value of a token is ``values.sum(axis=-1)``.

    ``diagnostics`` tell ``evaluations``, every row that ran through the model or a part of it, with its gradient or
    without, ``gradients``, how many were taken, and ``gradient``, their source: ``graph``, ``finite_differences`` or
    the file of a gradient model. A gradient is of one target, so T targets cost T gradients; built ones and finite
    differences take those at one point in one evaluation, in which the model runs once. ``provenance`` lists under
    ``approximations`` what in the gradients is no derivative of what the model computes, as where it was quantised.
    """

    needs: ClassVar[str] = "gradient"
    # Whether gradients are taken at the samples themselves, so that the prediction comes out of the same run.
    at_samples: ClassVar[bool] = False

    @hook
    def wrt(self, model: Model, sample: Sample, tensor: str) -> tuple[str, ...]:
        """Tensors at which the gradient of the target, read from ``tensor``, is taken: the float inputs by default."""
        del sample, tensor
        return gradient_tensors(model)

    @hook
    def check_model(self, dry_run: DryRun) -> dict[str, str | None]:
        if dry_run.sample is None:
            return {"gradient": "graph", "remark": None}
        return self.check_gradients(dry_run, self.wrt(dry_run.model, dry_run.sample, dry_run.tensor))

    @hook
    def check_gradients(self, dry_run: DryRun, names: Sequence[str]) -> dict[str, str | None]:
        """Refuse a model that has no gradients at the tensors ``names``; what :meth:`validate` returns of it."""
        return choice.validate_source(dry_run, names, self.rules(dry_run.model))

    @hook
    def place(self, inputs: LayerPath) -> LayerPath:
        """Where the gradients are taken: at the float inputs, or at the embedding of tokens."""
        return inputs.to_floats()

    @hook
    def rules(self, model: Model) -> Table | None:
        """The rules that take the place of derivatives; None for the derivatives themselves."""
        del model
        return None

    @hook
    def rows(self, g: Builder, x: Mapping[str, ir.Value], sample: Sample) -> Rows:
        """Points at which a compiled file runs the model; see :class:`xaionnx.explainers.Compilable`."""
        from xaionnx.explainers._gradients.compilable import Rows

        del g, sample
        return Rows(1, x)

    @abstractmethod
    def trace(self, slopes: TargetGradients, points: Points) -> Attribution:
        """Explain points, for each of the targets."""

    @hook
    def run(self, planned: PlannedRun) -> OneRun | None:
        """The run that gives the prediction beside the gradients, a row a sample; see :attr:`at_samples`.

        None where gradients are taken elsewhere after all.
        """
        return planned.run(np.arange(len(planned.request.samples)), lambda _: {})

    @final
    def compute(self, request: Request) -> Attribution:
        rules = self.rules(request.model)
        run = self._run(request, rules)
        path = self.place(inputs_of(request))
        slopes = TargetGradients(path, self.gradient, rules, run)
        return located(path, self.trace(slopes, Points.of(path)), slopes)

    def _run(self, request: Request, rules: Table | None) -> OneRun | None:
        """Prediction and gradients of the samples from one run, where the targets can be planned."""
        built = isinstance(self.gradient, str) and self.gradient in ("auto", "graph")
        layer = getattr(self, "layer", None)
        if not (self.at_samples and built and request.is_pending and layer in (None, request.main)):
            return None
        model, feeds, spent = request.model, request.feeds, request.evaluations
        planned = PlannedRun.of(model, feeds, request.target, request.samples, spent, rules)
        if planned is None or (layer is not None and planned.request.names != (layer,)):
            return None
        run = self.run(planned)
        if run is None:
            return None
        request.take(run.outputs)
        return run if planned.matches(request.resolved) else None


@dataclass(frozen=True, kw_only=True)
class AtLayer:
    """Lets a :class:`GradientExplainer` work at any layer as it does at the input.

    The model is cut at ``layer``, any float tensor with the batch axis first between the input and the target, and
    what is explained is what the tensor holds at x. A baseline stays one of the input: the path at the layer starts at
    what it holds there. Other inputs of the part behind the layer, as where a connection goes around it, stay as they
    are at x, so that values add up to the change of that part, which is f(x) - f(b) where every way leads through the
    layer. Tokens have baselines of tokens: a number is that token everywhere, and zero is token 0.
    """

    layer: str | None = parameters.name(
        "explain at this tensor of the model; at the input, or the embedding of tokens, if not given"
    )

    @hook
    def place(self, inputs: LayerPath) -> LayerPath:
        return inputs.to_floats(self.layer)

    @hook
    def wrt(self, model: Model, sample: Sample, tensor: str) -> tuple[str, ...]:
        del sample, tensor
        return gradient_tensors(model) if self.layer is None else (self.layer,)


def inputs_of(request: Request) -> LayerPath:
    """The inputs of the model, from which layers are reached."""
    return LayerPath.of(request.model, request.feeds, request.resolved, request.evaluations)


def located(path: LayerPath, found: Attribution, slopes: TargetGradients | None = None) -> Attribution:
    """What was found at the end of a path, in its precision, with the facts of where it was and whence gradients came.

    Parameters
    ----------
    path : LayerPath
    found : Attribution
        Of the tensors at its end, or of what was seen there and has another's shape.
    slopes : TargetGradients, optional
        Where gradients were taken.
    """
    names = path.names if found.values.keys() == set(path.names) else tuple(found.values)
    kind = path.feeds[path.names[0]].dtype
    values = {
        # Row by row: a map that every channel shares would else be written with the channels last, ten times slower.
        name: found.values[name].astype(path.feeds[name].dtype if name in path.names else kind, order="C")
        for name in names
    }
    facts, parameters, diagnostics = dict(found.facts), dict(found.parameters), dict(found.diagnostics)
    if slopes is not None:
        facts["approximations"] = list(slopes.source.approximations)
        parameters["gradient"] = slopes.source.facts()
        diagnostics = {"gradient": slopes.source.name, **diagnostics}
    layer = path.facts()
    if layer is not None:
        facts["layer" if names == path.names else "seen_at"] = layer
        parameters["layer"] = layer["name"]
    return dataclasses.replace(found, values=values, diagnostics=diagnostics, parameters=parameters, facts=facts)


def gradients(slopes: TargetGradients, points: Points) -> Attribution:
    """The gradient of each target at each point, with standard errors where directions were drawn."""
    if slopes.run is not None:
        slopes.count_and_check(slopes.run.gradients, points.sample)
        return Attribution(slopes.run.gradients)
    count, targets = len(points.sample), slopes.targets
    values = {name: np.empty((targets, *x.shape), dtype=x.dtype) for name, x in points.x.items()}
    errors: dict[str, Array] = {}
    target = np.repeat(np.arange(targets)[:, None], count, axis=1)
    for piece in slopes.pieces(points.sample, target, lambda rows: {name: x[rows] for name, x in points.x.items()}):
        place = np.ix_(piece.which, piece.rows)
        for name, array in piece.gradients.items():
            values[name][place] = array
        for name, array in (piece.errors or {}).items():
            errors.setdefault(name, np.empty_like(values[name]))[place] = array
    return Attribution(values, standard_error=errors or None)
