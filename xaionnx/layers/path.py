"""The path from a model's inputs to the tensors at which it is explained."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from xaionnx.data.repeats import stack_alike
from xaionnx.data.sample import Sample, split
from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.cut import with_copy
from xaionnx.layers.axes import Axes
from xaionnx.layers.default_layer import default_layer
from xaionnx.layers.embeddings import differentiable_inputs, floats_beside, gradient_tensors, has_tokens, made_floats
from xaionnx.layers.layer import Layer, layer_name
from xaionnx.layers.target_elements import check_depends, elements_read
from xaionnx.perturb.baseline import Baseline
from xaionnx.runtime import progress
from xaionnx.runtime.evaluations import Evaluations
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.resolve import ResolvedTargets
from xaionnx.typing import Array, Document


@final
@dataclass(frozen=True, eq=False)
class LayerPath:
    """The explained tensors, their values, and the part of the model downstream of them.

    A path starts at the inputs (:meth:`of`), and each layer (:meth:`at`) adds a step: the model is cut there, and
    baselines or noise at the inputs are run through the part before the layer. Other inputs that the downstream part
    reads stay as they are.

    Attributes
    ----------
    names : tuple of str
        The explained tensors.
    model : Model
        The part of the model that starts at them.
    feeds : dict of arrays (N, ...)
        The inputs of that part.
    resolved : ResolvedTargets
        The targets, read from that part.
    samples : list of N Sample
        The feeds, one sample each.
    evaluations : Evaluations
        The counter of the request.
    layer : Layer or None
        The layer of the last step.
    before : LayerPath or None
        The path without its last step.
    """

    names: tuple[str, ...]
    model: Model
    feeds: dict[str, Array]
    resolved: ResolvedTargets
    samples: Sequence[Sample]
    evaluations: Evaluations
    layer: Layer | None = None
    before: LayerPath | None = None

    __repr__ = short_repr

    @classmethod
    def of(
        cls, model: Model, feeds: dict[str, Array], resolved: ResolvedTargets, evaluations: Evaluations
    ) -> LayerPath:
        """Return the path that ends at the inputs: the float ones, or the explained input if it is not of floats."""
        main = model.input()
        is_float = main.dtype.kind == "f" and not has_tokens(model)
        names = differentiable_inputs(resolved.model, resolved.tensors) if is_float else (main.name,)
        samples = model.samples(feeds)
        return cls(names, model, feeds, resolved, samples, evaluations)

    @property
    def tensors(self) -> tuple[str, ...]:
        """The tensors that the targets are read from."""
        return self.resolved.tensors

    @property
    def is_float(self) -> bool:
        """Whether the explained tensors are of floats, so that a path can be interpolated in them."""
        if self.before is None and has_tokens(self.model):
            return False
        return all(self.feeds[name].dtype.kind == "f" for name in self.names)

    def to(self, layer: str) -> LayerPath:
        """Return the path to a layer without cutting the model there.

        It costs a run, unless the layer was fetched together with the targets.
        """
        layer = layer_name(self.model, layer, self.tensors[0])
        if layer in self.names:
            return dataclasses.replace(self, names=(layer,))
        values = self.resolved.outputs.get(layer)
        found = Layer.of(self.model, layer, self.feeds, values)
        if values is None:
            self.evaluations.add(np.arange(len(self.samples)))
        feeds = {layer: found.x}
        samples = split(feeds, layer, None, frozenset())
        return LayerPath((layer,), self.model, feeds, self.resolved, samples, self.evaluations, found, self)

    def at(self, layer: str) -> LayerPath:
        """Return the path to a layer, with the model cut there, or to a single one of the explained inputs.

        Raises
        ------
        UnsupportedModelError
            A target does not depend on the layer.
        """
        path = self.to(layer)
        if path.layer is not self.layer and path.layer is not None:
            sizes = {name: (1, *x.shape[1:]) for name, x in self.feeds.items() if name not in self.model.shared}
            check_depends(self.model, path.layer.name, sizes, elements_read(self.resolved))
        return self._cut(path)

    def cut_at(self, layer: str) -> LayerPath:
        """Return :meth:`at` of a layer on which some of the targets may not depend."""
        return self._cut(self.to(layer))

    def _cut(self, path: LayerPath) -> LayerPath:
        """A path to a layer with the model cut there."""
        if path.layer is self.layer or path.layer is None:
            return path
        resolved, held = self.resolved, path.layer
        if held.name in self.tensors:
            # The target is read from a copy of the layer.
            copy = f"{held.name}/target"
            form = held.model.derived(("copy", held.name), lambda graph: with_copy(graph, held.name, copy))
            held, resolved = dataclasses.replace(held, model=form), resolved.renamed(held.name, copy)
        downstream = held.downstream(resolved.tensors)
        taken = {info.name for info in downstream.inputs}
        return dataclasses.replace(
            path,
            model=downstream,
            feeds={**{name: array for name, array in self.feeds.items() if name in taken}, **path.feeds},
            resolved=dataclasses.replace(resolved, model=downstream),
        )

    def to_floats(self, layer: str | None = None) -> LayerPath:
        """Return the path to float tensors: to those made of an input of tokens or numbers, and to ``layer`` if given.

        Without a layer, other float inputs that are data are explained together with the floats made of tokens.

        Raises
        ------
        UnsupportedModelError
            The input is not of floats, and no floats are made of it.
        """
        if self.is_float:
            return self if layer is None else self.at(layer)
        if layer is None:
            (first,) = gradient_tensors(self.model)
            return self.at(first)._beside(floats_beside(self.model, self.tensors))
        layer = layer_name(self.model, layer, self.tensors[0])
        if layer in self.names:
            differentiable_inputs(self.model)  # raises
        # A layer downstream of these floats is reached through them, so that a path can be interpolated there.
        found = made_floats(self.model)
        through = len(found) == 1 and layer in self.model.view.descendants(found)
        return self.at(found[0]).at(layer) if through else self.at(layer)

    def _beside(self, others: tuple[str, ...]) -> LayerPath:
        """The path to its layer and to inputs that bypass it, explained together."""
        if self.before is None or not others:
            return self
        names = (*self.names, *others)
        feeds = {name: self.feeds[name] for name in names}
        return dataclasses.replace(
            self,
            names=names,
            samples=split(feeds, self.names[0], None, frozenset()),
            before=dataclasses.replace(self.before, names=(*self.before.names, *others)),
        )

    @property
    def start(self) -> LayerPath:
        """The first step whose tensors are of floats: the inputs, or the embedding of tokens.

        Interpolation paths start here, and noise is added here.

        Raises
        ------
        UnsupportedModelError
            The layer is not downstream of the embedding.
        """
        path = self
        while path.before is not None and path.before.is_float:
            path = path.before
        if path is not self or path.before is None or path.names[0] in made_floats(path.before.model):
            return path
        raise UnsupportedModelError(
            f"Layer '{self.names[0]}' of {self.model.name} is not made from floats of the input or an embedding, so no "
            "path leads to it. Use saliency, input_x_gradient or integrated_gradients there."
        )

    def default_layer(self) -> str:
        """Return the name of the default layer."""
        read = [one for of_target in elements_read(self.resolved) for one in of_target]
        sample = self.samples[0]
        # What bypasses a layer is no part of its sample, but the part of the model after it runs on it.
        others = {
            name: array if name in self.model.shared else array[:1]
            for name, array in self.feeds.items()
            if name not in sample.x
        }
        shared = sample.shared | others.keys()
        sample = dataclasses.replace(sample, x={**sample.x, **others}, shared=frozenset(shared))
        # Beside an embedding, other inputs are no place for a layer.
        names = self.names if self.before is None else self.names[:1]
        return default_layer(self.model, names, self.tensors, sample, read)

    def baseline_values(self, baseline: Baseline, seed: int) -> dict[str, Array]:
        """Return the values (N, B, ...) of the explained tensors at the B baselines of each sample, by name.

        The baseline is one of the inputs; at a layer, its value is that of the layer at this baseline.
        """
        if self.before is None:
            drawn = [baseline.draws(sample, self.names, seed) for sample in self.samples]
            return {name: stack_alike([one[name] for one in drawn]) for name in self.names}
        upstream = self.before.baseline_values(baseline, seed)
        count, each = next(iter(upstream.values())).shape[:2]
        rows = {name: array.reshape(count * each, *array.shape[2:]) for name, array in upstream.items()}
        values = self.inputs_at(self.before, np.repeat(np.arange(count), each), rows)
        return {name: values[name].reshape(count, each, *values[name].shape[1:]) for name in self.names}

    def inputs_at(self, start: LayerPath, sample: Array, points: Mapping[str, Array]) -> dict[str, Array]:
        """Return the inputs of this part of the model at M points of ``start``, an earlier step.

        These are the layer and the inputs that bypass it.
        """
        if start is self or self.before is None or self.layer is None:
            return dict(points)
        given = self.before.inputs_at(start, sample, points)
        others = {n: a if n in self.model.shared else a[sample] for n, a in self.before.feeds.items() if n not in given}
        progress.expect(len(sample))
        values = self.layer.values_at({**others, **given})
        progress.advance(len(sample))
        self.evaluations.add(sample)
        taken = {info.name for info in self.model.inputs}
        return {**{name: array for name, array in given.items() if name in taken}, self.layer.name: values}

    @property
    def axes(self) -> Axes:
        """The axes of the last layer, the first of the tensors: a map over the picture, tokens or units."""
        first = self
        while first.before is not None:
            first = first.before
        name = self.names[0]
        return Axes.over_inputs(first.model, name, self.feeds[name].shape[1:], first.samples[0])

    def facts(self) -> Document | None:
        """Return the record's entry for the layer, its name and axes; None at the inputs."""
        if self.layer is None:
            return None
        axes = self.axes
        grid = None if axes.grid is None else list(axes.grid)
        position = {"grid": grid, "before": axes.before, "after": axes.after}
        return {"name": self.layer.name, "axes": axes.letters, **position}
