"""DryRun: what can be checked about a model before there is a sample."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, final

from xaionnx.autodiff.gradient import CanonicalModel, first_rows
from xaionnx.data.sample import Sample
from xaionnx.errors import InputMismatchError, ModelError
from xaionnx.layers.branches import at_sample
from xaionnx.layers.layer import Layer
from xaionnx.runtime.graph_facts import graph_fact
from xaionnx.runtime.model import Model
from xaionnx.runtime.tensors import TensorInfo
from xaionnx.short_repr import short_repr
from xaionnx.targets.scores import default_output
from xaionnx.typing import Array

if TYPE_CHECKING:
    from xaionnx.autodiff.rule import Table


# Stands for a free size when only shapes are needed; large enough for the convolutions of usual models.
_FREE = 64


@final
@dataclass(frozen=True, eq=False)
class DryRun:
    """A model with an artificial sample, for checks before any data are given.

    Attributes
    ----------
    model : Model
        With the branches of If that the sample takes.
    rows : dict of arrays (1, ...) by input name, or None
        The sample as fed to the model; None if neither the model nor its InputSpec fixes the sizes.
    """

    model: Model
    rows: dict[str, Array] | None
    _built: dict[Hashable, tuple[str, ...] | ModelError] = field(default_factory=dict, repr=False)
    _forms: list[CanonicalModel] = field(default_factory=list, repr=False)
    _formless: dict[tuple[str, ...], ModelError] = field(default_factory=dict, repr=False)

    __repr__ = short_repr

    @classmethod
    def of(cls, model: Model) -> DryRun:
        """Return the dry run of a model."""
        try:
            rows = first_rows(model, shapes=_sizes(model))
        except InputMismatchError:
            return cls(model, None)
        return cls(at_sample(model, rows), rows)

    @cached_property
    def tensor(self) -> str:
        """The tensor from which the default target is read; raises UnsupportedModelError if there is none."""
        return default_output(self.model)

    @cached_property
    def assumed(self) -> dict[str, Array] | None:
        """:attr:`rows`, or rows in which free sizes are assumed; None if too few sizes are known."""
        model = self.model
        if self.rows is not None:
            return self.rows
        main = model.input()
        if len(main.shape) == 4 and not any(isinstance(main.shape[axis], int) for axis in (1, 3)):
            return None
        shapes = {
            info.name: tuple(size if isinstance(size, int) else _FREE for size in info.shape[1:])
            for info in model.inputs
            if info.name not in model.shared
        }
        try:
            return first_rows(model, shapes=shapes)
        except InputMismatchError:
            return None

    @cached_property
    def sample(self) -> Sample | None:
        """A sample for its axes and sizes only, some of which may be assumed; None if too few are known.

        Raises
        ------
        InputMismatchError
            The explained input has an axis of size 0.
        """
        rows = self.assumed
        if rows is None:
            return None
        main = rows[self.model.input().name]
        if not main.size:
            raise InputMismatchError(f"There is nothing to explain: a sample of {self.model.name} is {main.shape[1:]}.")
        return self.model.samples(rows)[0]

    def shape(self, name: str) -> tuple[int, ...] | None:
        """The shape of a tensor without the batch, inferred from the graph or else from a run; None if unknown."""
        if self.sample is None:
            return None
        sizes = {n: (1, *x.shape) for n, x in self.sample.own.items()}
        known = self.model.view.shapes(sizes)
        if None not in (found := known.get(name, (None, None))[1:]):
            return tuple(size for size in found if size is not None)
        rows = self.rows
        if rows is None:
            return None
        return graph_fact(self.model, ("shape", name), lambda _: Layer.of(self.model, name, rows).x.shape[1:])

    def outputs(self, names: Sequence[str], rules: Table | None = None) -> tuple[str, ...]:
        """Return the outputs of the graph that walks from the default output back to ``names`` by ``rules``.

        ``rules`` are those of the gradient if not given.

        Raises
        ------
        ModelError
            The graph cannot be built.
        """
        from xaionnx.autodiff.table import STANDARD

        table = STANDARD if rules is None else rules
        key = (tuple(names), frozenset(table.items()))
        if key not in self._built:
            try:
                made = self._form(names).gradient(self.tensor, names, table)
                self._built[key] = tuple(value.name for value in made.graph.output)
            except ModelError as refusal:
                self._built[key] = refusal
        found = self._built[key]
        if isinstance(found, ModelError):
            raise found
        return found

    def _form(self, names: Sequence[str]) -> CanonicalModel:
        """A canonical form that keeps ``names``. Making it takes a run of the model, so forms are reused."""
        assert self.rows is not None  # checked by the caller
        for form in self._forms:
            if form.facts.shapes.keys() >= {self.tensor, *names}:
                return form
        key = tuple(names)
        if key in self._formless:
            raise self._formless[key]
        try:
            self._forms.append(CanonicalModel.of(self.model, (self.tensor, *names), self.rows))
        except ModelError as refusal:
            self._formless[key] = refusal
            raise
        return self._forms[-1]


def size_by_spec(model: Model, info: TensorInfo) -> tuple[int, ...]:
    """The shape of a picture (without batch) according to the InputSpec; empty if it fixes none."""
    spec = model.spec
    if spec is None or spec.size is None or info.name != model.input().name or len(info.shape) != 4:
        return ()
    sizes = dict(zip(spec.spatial_axes, spec.size, strict=True))
    return tuple(sizes.get(axis, spec.channels) for axis in range(1, 4))


def _sizes(model: Model) -> Mapping[str, Sequence[int]]:
    main = model.input()
    size = size_by_spec(model, main)
    # A spec that contradicts the model raises an error with the first sample.
    fits = size and all(size[axis] == own for axis, own in enumerate(main.shape[1:]) if isinstance(own, int))
    return {main.name: size} if fits else {}
