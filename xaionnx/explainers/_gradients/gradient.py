"""Base class of gradient methods: from a request to points, gradients and an attribution."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from xaionnx import parameters
from xaionnx.attribution import Attribution
from xaionnx.data.repeats import as_type
from xaionnx.data.sample import Sample
from xaionnx.explainer import Explainer
from xaionnx.explainers._gradients.several_layers import joined
from xaionnx.gradients import choice
from xaionnx.gradients.arithmetic import computes_in_half_precision, path_in_floats
from xaionnx.gradients.one_run import OneRun, PlannedRun
from xaionnx.gradients.target_gradients import TargetGradients
from xaionnx.hooks import hook
from xaionnx.layers.embeddings import gradient_tensors, looked_up
from xaionnx.layers.layer import layer_name
from xaionnx.layers.path import LayerPath
from xaionnx.perturb.background import replacement
from xaionnx.perturb.element_types import check_none_missing, has_nan
from xaionnx.perturb.text_removal import default_text_start
from xaionnx.request import Request
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, GradientLike

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx_ir as ir

    from xaionnx.autodiff.rule import Table
    from xaionnx.explainers._gradients.compilable import Rows
    from xaionnx.graph.builder import Builder
    from xaionnx.layers.dry_run import DryRun


@dataclass(frozen=True, eq=False)
class Points:
    """J points at which the targets are explained.

    Attributes
    ----------
    sample : array of int (J,)
        The sample of each point, whose targets are explained there.
    x : dict of arrays (J, ...) by input name
    values : array (T, J)
        The targets at the points.
    """

    sample: Array
    x: dict[str, Array]
    values: Array

    @classmethod
    def of(cls, path: LayerPath) -> Points:
        """The samples, as values of the tensors at the end of a path."""
        x = {name: path.feeds[name] for name in path.names}
        return cls(np.arange(len(path.samples)), x, path.resolved.prediction)

    __repr__ = short_repr


@dataclass(frozen=True, kw_only=True)
class ByGradient:
    """Adds the parameter ``gradient``: the source of the gradients."""

    gradient: GradientLike = choice.parameter("auto", "source of the gradients")

    @hook
    def check_parameters(self) -> None:
        choice.check_source(type(self).__name__, self.gradient)


@dataclass(frozen=True, kw_only=True)
class GradientExplainer(ByGradient, Explainer):
    """A method that takes gradients of the target with respect to the float inputs.

    Tokens have no gradient: for a model of tokens the values are those of the embedding, (N, T, D), which
    ``provenance["layer"]`` names. The value of a token is ``values.sum(axis=-1)``.

    Diagnostics: ``evaluations``, the rows that ran through the model or a part of it, with or without a gradient;
    ``gradients``, their number; ``gradient``, their source: ``graph``, ``finite_differences`` or the file of a gradient
    model. T targets cost T gradients, but with built gradients and finite differences all targets at one point take a
    single evaluation. ``provenance["approximations"]`` lists where a gradient is not the derivative of the model, as at
    quantised ops.

    If the branch of an If depends on values of the inputs, each sample is explained by the graph of the branches that
    it takes, also on paths and at baselines that would take others. ``provenance["branches"]`` names them for each
    sample; if they depend on the sample, and not only on inputs that all samples share, a label says so.
    """

    needs: ClassVar[str] = "gradient"
    # Whether gradients are taken at the samples, so that the same run returns the prediction.
    at_samples: ClassVar[bool] = False

    @hook
    def wrt(self, model: Model, sample: Sample, tensor: str) -> tuple[str, ...]:
        """Tensors to differentiate the target, read from ``tensor``, with respect to: by default the float inputs."""
        del sample, tensor
        return gradient_tensors(model)

    @hook
    def check_model(self, dry_run: DryRun) -> dict[str, str | None]:
        if dry_run.sample is None:
            return {"gradient": "graph", "remark": None}
        return self.check_gradients(dry_run, self.wrt(dry_run.model, dry_run.sample, dry_run.tensor))

    @hook
    def check_gradients(self, dry_run: DryRun, names: Sequence[str]) -> dict[str, str | None]:
        """The result of :meth:`validate`; raises an error if there are no gradients at the tensors ``names``."""
        return choice.validate_source(dry_run, names, self.rules(dry_run.model))

    @hook
    def gradient_path(self, inputs: LayerPath) -> LayerPath:
        """The path to the tensors of the gradients: the float inputs, or the embedding of tokens."""
        return inputs.to_floats()

    @hook
    def rules(self, model: Model) -> Table | None:
        """The rules that replace derivatives; None for the derivatives."""
        del model
        return None

    @hook
    def rows(self, g: Builder, x: Mapping[str, ir.Value], sample: Sample) -> Rows:
        """The points at which a compiled file runs the model; see :class:`xaionnx.explainers.Compilable`."""
        from xaionnx.explainers._gradients.compilable import Rows

        del g, sample
        return Rows(1, x)

    @abstractmethod
    def explain_points(self, target_gradients: TargetGradients, points: Points) -> Attribution:
        """The attribution of each target at each of the points."""

    @hook
    def run(self, planned: PlannedRun) -> OneRun | None:
        """One run that returns both the prediction and the gradients of each sample; see :attr:`at_samples`.

        None if gradients are needed at other points.
        """
        return planned.run(np.arange(len(planned.request.samples)), lambda _: {})

    @final
    def compute(self, request: Request) -> Attribution:
        started = self._started(request)
        if started is not self:
            found = started.compute(request)
            baseline = getattr(started, "baseline")  # noqa: B009 - a field of some methods
            return dataclasses.replace(found, parameters={**found.parameters, "baseline": baseline})
        layers = parameters.as_names(getattr(self, "layer", None))
        if len(layers) > 1:
            return joined({name: self._at(name).compute(request) for name in layers})
        rules = self.rules(request.model)
        run = self._run(request, rules)
        path = self.gradient_path(input_path(request))
        target_gradients = TargetGradients(path, self.gradient, rules, run)
        found = with_facts(path, self.explain_points(target_gradients, Points.of(path)), target_gradients)
        tables = looked_up(request.model) if path.layer is None else ()
        return dataclasses.replace(found, facts={**found.facts, "looked_up": list(tables)}) if tables else found

    def _started(self, request: Request) -> GradientExplainer:
        """The method with the start of its path if it is to begin at a token of the tokenizer, and none is given."""
        declared = parameters.declared(type(self))
        if "baseline" not in declared or replacement(self) is not None or request.samples[0].text is None:
            return self
        start = default_text_start(request.samples[0])
        return dataclasses.replace(self, baseline=start)  # type: ignore[call-arg]  # a field of some subclasses

    def _at(self, layer: str) -> GradientExplainer:
        """The method at one layer; only methods with the parameter ``layer`` have several."""
        return dataclasses.replace(self, layer=layer)  # type: ignore[call-arg]  # a field of some subclasses

    def _run(self, request: Request, rules: Table | None) -> OneRun | None:
        """One run for the prediction and the gradients, if the targets can be resolved before it."""
        built = isinstance(self.gradient, str) and self.gradient in ("auto", "graph")
        layer = getattr(self, "layer", None)
        if not (self.at_samples and built and request.is_pending and layer in (None, request.main)):
            return None
        model, feeds, evaluations = request.model, request.feeds, request.evaluations
        with request.naming_rows():
            planned = PlannedRun.of(model, feeds, request.target, request.samples, evaluations, rules)
        if planned is None or (layer is not None and planned.request.names != (layer,)):
            return None
        run = self.run(planned)
        if run is None:
            return None
        request.take(run.outputs)
        return run if planned.matches(request.resolved) else None


@dataclass(frozen=True, kw_only=True)
class AtLayer:
    """Lets a :class:`GradientExplainer` explain any layer in the same way as the input.

    The model is cut at ``layer``, any float tensor with the batch axis first between the input and the target; its
    values at x are explained. Baselines remain baselines of the input: the path at the layer starts at the layer's
    values for the baseline. Other inputs of the part after the layer, such as skip connections, keep their values at x.
    Values therefore sum to the change of that part, which is f(x) - f(b) if all connections pass through the layer. For
    tokens, baselines are tokens: a number stands for that token at every position, of a text at all but special
    tokens, and zero for token 0. By default the path of a text begins at the padding token of its tokenizer, else at
    its mask, unknown or start token, also where the text is given as the numbers of its tokens. Numbers of a model
    without a tokenizer begin at token 0, which need not be padding: state its number as the baseline.
    """

    layer: str | Sequence[str] | None = parameters.names(
        "tensor to explain, or several; the input, or the embedding of tokens, if not given"
    )

    @hook
    def gradient_path(self, inputs: LayerPath) -> LayerPath:
        layers = parameters.as_names(self.layer)
        if computes_in_half_precision(inputs.model) and (layers or not inputs.is_float):
            # Values at a layer have its type, and would be rounded to half precision.
            named = [layer_name(inputs.model, name, inputs.tensors[0]) for name in layers]
            inputs = path_in_floats(inputs, *(named or gradient_tensors(inputs.model)))
        return inputs.to_floats(*layers)

    @hook
    def wrt(self, model: Model, sample: Sample, tensor: str) -> tuple[str, ...]:
        del sample
        names = tuple(layer_name(model, name, tensor) for name in parameters.as_names(self.layer))
        return names or gradient_tensors(model)


def input_path(request: Request) -> LayerPath:
    """The path at the inputs of the model."""
    found = LayerPath.of(request.model, request.feeds, request.resolved, request.evaluations)
    # Those of the request know their texts, of which baselines may be made.
    return dataclasses.replace(found, samples=request.samples)


def with_facts(
    path: LayerPath, attribution: Attribution, target_gradients: TargetGradients | None = None
) -> Attribution:
    """An attribution in the precision of its tensors, with the facts about the layer and the gradients.

    Parameters
    ----------
    path : LayerPath
    attribution : Attribution
        Values of the tensors at the end of the path, or of tensors of another shape derived from them.
    target_gradients : TargetGradients, optional
        The gradients used.
    """
    names = path.names if attribution.values.keys() == set(path.names) else tuple(attribution.values)
    own = {name: path.feeds[name if name in path.names else path.names[0]].dtype for name in names}
    # Slopes are computed in float32 at least: small ones are zero in half precision, and many do not add up.
    values = {
        name: as_type(array, own[name] if array.dtype == own[name] else np.result_type(own[name], np.float32))
        for name, array in ((name, attribution.values[name]) for name in names)
    }
    for name, array in values.items():
        # A layer may be an input, which the caller may change.
        if any(np.may_share_memory(array, feed) for feed in path.feeds.values()):
            values[name] = array.copy()
    facts, parameters, diagnostics = (
        dict(attribution.facts),
        dict(attribution.parameters),
        dict(attribution.diagnostics),
    )
    if target_gradients is not None:
        facts["approximations"] = list(target_gradients.source.approximations)
        parameters["gradient"] = target_gradients.source.facts()
        diagnostics = {"gradient": target_gradients.source.name, **diagnostics}
    if any(has_nan(array) for array in values.values()):
        check_none_missing({name: path.feeds[name] for name in path.names})
    layer = path.facts()
    if layer is not None:
        facts["layer" if names == path.names else "seen_at"] = layer
        parameters["layer"] = layer["name"]
    return dataclasses.replace(attribution, values=values, diagnostics=diagnostics, parameters=parameters, facts=facts)


def gradients(target_gradients: TargetGradients, points: Points) -> Attribution:
    """The gradient of each target at each point, with standard errors if directions were sampled."""
    if target_gradients.run is not None:
        target_gradients.count_and_check(target_gradients.run.gradients, points.sample)
        return Attribution(target_gradients.run.gradients)
    count, targets = len(points.sample), target_gradients.targets
    values = {
        name: np.empty((targets, *x.shape), dtype=np.result_type(x.dtype, np.float32)) for name, x in points.x.items()
    }
    errors: dict[str, Array] = {}
    target = np.repeat(np.arange(targets)[:, None], count, axis=1)
    for piece in target_gradients.pieces(
        points.sample, target, lambda rows: {name: x[rows] for name, x in points.x.items()}
    ):
        index = np.ix_(piece.which, piece.rows)
        for name, array in piece.gradients.items():
            values[name][index] = array
        for name, array in (piece.errors or {}).items():
            errors.setdefault(name, np.empty_like(values[name]))[index] = array
    return Attribution(values, standard_error=errors or None)
