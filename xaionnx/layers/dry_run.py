"""DryRun: a model ahead of any sample, as far as it tells what methods will make of it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, final

from xaionnx.autodiff.gradient import Form, first_rows
from xaionnx.data.sample import Sample, split
from xaionnx.errors import InputMismatchError, ModelError
from xaionnx.layers.graph_facts import graph_fact
from xaionnx.layers.layer import Layer
from xaionnx.runtime.model import Model
from xaionnx.runtime.tensors import TensorInfo
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array

if TYPE_CHECKING:
    from xaionnx.autodiff.rule import Table


# Taken for a size that is left free where a shape is all that is asked: convolutions leave some of it.
_FREE = 64


@final
@dataclass(frozen=True, eq=False)
class DryRun:
    """A model, and a sample that is made up.

    Attributes
    ----------
    model : Model
    rows : dict of arrays (1, ...) by input name, or None
        The sample as it is fed; None where neither the model nor its InputSpec tells the sizes.
    """

    model: Model
    rows: dict[str, Array] | None
    _built: dict[Hashable, tuple[str, ...] | ModelError] = field(default_factory=dict, repr=False)
    _forms: list[Form] = field(default_factory=list, repr=False)

    __repr__ = short_repr

    @classmethod
    def of(cls, model: Model) -> DryRun:
        """Of a model alone."""
        try:
            return cls(model, first_rows(model, shapes=_sizes(model)))
        except InputMismatchError:
            return cls(model, None)

    @cached_property
    def tensor(self) -> str:
        """The tensor that the usual target is read from; UnsupportedModelError where there is none."""
        return self.model.output().name

    @cached_property
    def sample(self) -> Sample | None:
        """The sample for its axes and sizes alone, some of which may be assumed; None where these tell too little."""
        model, rows = self.model, self.rows
        if rows is None:
            main = model.input()
            if len(main.shape) == 4 and not any(isinstance(main.shape[axis], int) for axis in (1, 3)):
                return None
            assumed = {
                info.name: tuple(size if isinstance(size, int) else _FREE for size in info.shape[1:])
                for info in model.inputs
                if info.name not in model.shared
            }
            try:
                rows = first_rows(model, shapes=assumed)
            except InputMismatchError:
                return None
        return split(rows, model.input().name, model.spec, model.shared)[0]

    def shape(self, name: str) -> tuple[int, ...] | None:
        """The shape of a tensor behind the batch, as the graph tells, or else a run; None where neither can."""
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
        """What the gradient of the usual output at the tensors ``names`` answers, or what else ``rules`` make there.

        Raises
        ------
        ModelError
            It cannot be built.
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

    def _form(self, names: Sequence[str]) -> Form:
        """A form in which they are still there; making it takes a run of the model, so one serves many methods."""
        assert self.rows is not None  # asked by the caller
        for form in self._forms:
            if form.facts.shapes.keys() >= {self.tensor, *names}:
                return form
        self._forms.append(Form.of(self.model, (self.tensor, *names), self.rows))
        return self._forms[-1]


def size_by_spec(model: Model, info: TensorInfo) -> tuple[int, ...]:
    """The size that the InputSpec gives to pictures; empty where it gives none."""
    spec = model.spec
    if spec is None or spec.size is None or info.name != model.input().name or len(info.shape) != 4:
        return ()
    sizes = dict(zip(spec.spatial_axes, spec.size, strict=True))
    return tuple(sizes.get(axis, spec.channels) for axis in range(1, 4))


def _sizes(model: Model) -> Mapping[str, Sequence[int]]:
    main = model.input()
    size = size_by_spec(model, main)
    # A spec that contradicts the model is told of with the first sample.
    fits = size and all(size[axis] == own for axis, own in enumerate(main.shape[1:]) if isinstance(own, int))
    return {main.name: size} if fits else {}
