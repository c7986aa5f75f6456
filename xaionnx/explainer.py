"""Explainer: the interface of all methods."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Self, final

from xaionnx import parameters
from xaionnx.attribution import Attribution, joined
from xaionnx.data.inputs import Given, Inputs
from xaionnx.explanation import Explanation, ValueKind
from xaionnx.hooks import hook
from xaionnx.layers.branches import branch_labels, taken_branches
from xaionnx.perturb.background import replacement
from xaionnx.perturb.baseline import Baseline
from xaionnx.record import record
from xaionnx.request import Request
from xaionnx.runtime.model import Model
from xaionnx.short_repr import shortened_repr
from xaionnx.targets.scores import default_output
from xaionnx.targets.target import Target
from xaionnx.typing import Document, TargetLike

if TYPE_CHECKING:
    from xaionnx.layers.dry_run import DryRun


class Explainer(ABC):
    """A method: a frozen dataclass whose fields are its parameters, without further state.

    A subclass implements :meth:`compute`, and overrides hooks if their defaults do not fit.

    Attributes
    ----------
    needs : str
        What the method needs from a model: ``output``, ``gradient`` or ``activation``.
    axioms : tuple of str
        The axioms that its attributions satisfy exactly, as tests check: ``completeness``, ``efficiency``,
        ``linearity``, ``null player``, ``symmetry``.
    reference : str
        The publication that the method follows.
    """

    needs: ClassVar[str]
    axioms: ClassVar[tuple[str, ...]] = ()
    reference: ClassVar[str]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        shortened_repr(cls)

    @final
    def __post_init__(self) -> None:
        parameters.check_all(self)
        replacement(self)
        self.check_parameters()

    @classmethod
    @final
    def name(cls) -> str:
        """The name of the method, which is that of its file and of its command."""
        return cls.__module__.rpartition(".")[2]

    @property
    @abstractmethod
    def value_kind(self) -> ValueKind:
        """What the values mean; a class attribute if no parameter changes it."""

    @property
    @hook
    def compares_samples(self) -> bool:
        """Whether the values of a sample depend on the other samples of its batch."""
        return self.explains_together

    @hook
    def against(self, request: Request) -> Self | None:
        """The method to explain the samples of a request by in smaller batches, with the same values.

        Of a method that :attr:`compares_samples`: it holds all of them. None if they must be explained at once.
        """
        del request
        return None

    @property
    @hook
    def explains_together(self) -> bool:
        """Whether all samples are explained together, in a record with N = 1."""
        return False

    @property
    @hook
    def rows_parameter(self) -> str | None:
        """The parameter that takes rows to compare each sample with, where it is compared with the others if not given.

        None if the method has no such parameter, or it is given.
        """
        return None

    @property
    @hook
    def own_columns(self) -> tuple[str, ...]:
        """Columns of a table that the method reads and the model does not, such as that of labels."""
        return ()

    @hook  # noqa: B027 - by default there is nothing to refuse
    def check_parameters(self) -> None:
        """Check the parameters against each other; each has been checked on its own.

        Raises
        ------
        ParameterError
        """

    @hook
    def default_target(self, model: Model) -> Target | None:
        """The target if none is given; None stands for the score of the top class."""
        del model
        return None

    @hook
    def resolved_parameters(self) -> Document:
        """Parameters given by shorthand, resolved as far as possible without a sample: the baseline."""
        given = {name: getattr(self, name) for name in parameters.declared(type(self))}
        if "baseline" not in given or given.get("background") is not None:
            return {}
        return {"baseline": Baseline.of(given["baseline"])}

    @hook
    def bind(self, model: Model) -> Self:
        """The method with resources for a model loaded, such as patterns and rows of data for a baseline.

        Errors are raised before any sample runs.

        Raises
        ------
        DataError, ParameterError
            A resource is missing, or does not match the model.
        """
        changes: Document = {}
        for name in parameters.declared(type(self)):
            given = getattr(self, name)
            if name == "baseline":
                baseline = Baseline.of(given)
                bound = baseline.bind(model)
                changes |= {} if bound is baseline else {name: bound}
            elif name == "background" and given is not None:
                changes[name] = Baseline.of(replacement(self)).bind(model)
            elif name == "inner" and isinstance(given, Explainer):
                changes[name] = given.bind(model)
        return dataclasses.replace(self, **changes) if changes else self  # type: ignore[type-var]  # each is a dataclass

    @final
    def validate(self, dry_run: DryRun) -> dict[str, str | None]:
        """Check whether this method can explain a model, without running a sample.

        The checks and messages are those of :meth:`attribute`. If the graph does not provide enough information, a
        check passes here and may fail later.

        Returns
        -------
        dict
            For a gradient method, ``gradient``, the source of the gradients, and ``remark``, a note about it.

        Raises
        ------
        UnsupportedModelError, InputMismatchError
            The model cannot be explained this way, whatever the sample.
        ParameterError
            The model can be explained with other parameters only.
        """
        default_output(dry_run.model)
        return self.check_model(dry_run)

    @hook
    def check_model(self, dry_run: DryRun) -> dict[str, str | None]:
        """The result of :meth:`validate`; raises an error if the model cannot be explained this way."""
        del dry_run
        return {}

    @hook
    def explained(self, target: Target) -> Target:
        """The target that is explained in place of a given one, bound to the model; by default the same."""
        return target

    @abstractmethod
    def compute(self, request: Request) -> Attribution:
        """The attribution of each target for each sample of a request."""

    @final
    def attribute(self, model: Model, x: Given, target: TargetLike = None) -> Explanation:
        """The explanation of a batch.

        Parameters
        ----------
        model : Model
        x : array (N, ...), mapping of arrays by input name, or files and pictures
            Arrays have the batch axis first. See :meth:`xaionnx.runtime.model.Model.read` for files and pictures.
        target : optional
            What is explained; see :meth:`xaionnx.targets.target.Target.of`. The top class of each sample if None.

        Returns
        -------
        Explanation
        """
        bound = self.bind(model)
        return bound.explain(bound.request(model, x, target))

    @final
    def request(
        self, model: Model, x: Given | Inputs, target: TargetLike = None, report: Sequence[Target] = ()
    ) -> Request:
        """The request for a batch, with the method's own default target; see :class:`xaionnx.request.Request`."""
        given = self.default_target(model) if target is None else target
        Target.check_samples(given, x, model)
        inputs = x if isinstance(x, Inputs) else model.read(x, ignore=self.own_columns)
        return Request(model, inputs, given, report, self.explained)

    @final
    def explain(self, request: Request) -> Explanation:
        """The explanation of a request. The method must be bound to the model, see :meth:`bind`."""
        return record(self, request, self.attribution_of(request))

    @property
    @hook
    def follows_branches(self) -> bool:
        """Whether the method explains, for each sample, the graph of the branches of If that the sample takes."""
        given = getattr(self, "gradient", None)
        return self.needs != "output" and (given is None or (isinstance(given, str) and given in ("auto", "graph")))

    @final
    def attribution_of(self, request: Request) -> Attribution:
        """The attribution of a request, of which :meth:`explain` makes the record."""
        parts = request.by_branches() if self.follows_branches else []
        if not parts:
            return self.compute(request)
        found = []
        for part in parts:
            found.append(self.compute(part.request))
            request.evaluations.add_part(part.request.evaluations, part.group.rows)
        groups = [part.group for part in parts]
        attribution = joined([group.rows for group in groups], found, request.feeds)
        labels = sorted([*attribution.facts.get("approximations", ()), *branch_labels(groups)])
        facts = {**attribution.facts, "approximations": labels}
        if any(group.taken for group in groups):
            facts["branches"] = taken_branches(groups)
        return replace(attribution, facts=facts)
