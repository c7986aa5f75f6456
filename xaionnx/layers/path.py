"""From the inputs of a model to the tensors at which it is explained."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from xaionnx.data.sample import Sample, split
from xaionnx.errors import UnsupportedModelError
from xaionnx.layers.axes import Axes
from xaionnx.layers.default_layer import default_layer
from xaionnx.layers.embeddings import differentiable, embeddings, explained
from xaionnx.layers.layer import Layer
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
    """The tensors that are explained, what they hold, and the part of the model behind them.

    It starts at the inputs (:meth:`of`), and each layer (:meth:`at`) adds a step: the model is cut there, and what
    belongs to its inputs, a baseline or noise, is lifted through the part before. Inputs that the part behind the layer
    reads besides stay as they are.

    Attributes
    ----------
    names : tuple of str
        The tensors that are explained.
    model : Model
        The part that starts at them.
    feeds : dict of arrays (N, ...)
        The inputs of that part, at the samples.
    resolved : ResolvedTargets
        The targets, read from that part.
    samples : list of N Sample
        The same, one by one.
    evaluations : Evaluations
        The counter of the request.
    layer : Layer or None
        The last step.
    before : LayerPath or None
        The path up to there.
    """

    names: tuple[str, ...]
    model: Model
    feeds: dict[str, Array]
    resolved: ResolvedTargets
    samples: list[Sample]
    evaluations: Evaluations
    layer: Layer | None = None
    before: LayerPath | None = None

    __repr__ = short_repr

    @classmethod
    def of(
        cls, model: Model, feeds: dict[str, Array], resolved: ResolvedTargets, evaluations: Evaluations
    ) -> LayerPath:
        """The inputs themselves: those of floats, or the one that is explained, where it holds no floats."""
        main = model.input()
        names = differentiable(resolved.model, resolved.tensors) if main.dtype.kind == "f" else (main.name,)
        samples = split(feeds, main.name, model.spec, model.shared)
        return cls(names, model, feeds, resolved, samples, evaluations)

    @property
    def tensors(self) -> tuple[str, ...]:
        """The tensors that the targets are read from."""
        return self.resolved.tensors

    @property
    def smooth(self) -> bool:
        """Whether the tensors hold floats, so that a path can run in them."""
        return all(self.feeds[name].dtype.kind == "f" for name in self.names)

    def to(self, layer: str) -> LayerPath:
        """On to a layer for what it holds, whatever reads it; it costs a run unless the targets came with it."""
        if layer in self.names:
            return dataclasses.replace(self, names=(layer,))
        held = self.resolved.answers.get(layer)
        found = Layer.of(self.model, layer, self.feeds, held)
        if held is None:
            self.evaluations.add(np.arange(len(self.samples)))
        feeds = {layer: found.x}
        samples = split(feeds, layer, None, frozenset())
        return LayerPath((layer,), self.model, feeds, self.resolved, samples, self.evaluations, found, self)

    def at(self, layer: str) -> LayerPath:
        """On to a layer, where the model is cut; to an input alone where it is the name of one that is explained."""
        there = self.to(layer)
        if there.layer is self.layer or there.layer is None:
            return there
        behind = there.layer.behind(self.tensors)
        taken = {info.name for info in behind.inputs}
        return dataclasses.replace(
            there,
            model=behind,
            feeds={**{name: array for name, array in self.feeds.items() if name in taken}, **there.feeds},
            resolved=dataclasses.replace(self.resolved, model=behind),
        )

    def to_floats(self, layer: str | None = None) -> LayerPath:
        """On to the embedding where the explained input holds tokens, and to ``layer`` where one is named.

        Raises
        ------
        UnsupportedModelError
            The input holds no floats, and has no embedding.
        """
        if self.smooth:
            return self if layer is None else self.at(layer)
        if layer is None:
            (first,) = explained(self.model)
            return self.at(first)
        if layer in self.names:
            differentiable(self.model)  # refuses it
        # A layer behind the embedding is reached through it, so that a path can run there.
        found = embeddings(self.model)
        through = len(found) == 1 and layer in self.model.view.descendants(found)
        return self.at(found[0]).at(layer) if through else self.at(layer)

    @property
    def start(self) -> LayerPath:
        """The first step of floats: the inputs, or the embedding of tokens, where paths start and noise is added.

        Raises
        ------
        UnsupportedModelError
            The layer lies before or beside the embedding.
        """
        path = self
        while path.before is not None and path.before.smooth:
            path = path.before
        if path is not self or path.before is None or path.names[0] in embeddings(path.before.model):
            return path
        raise UnsupportedModelError(
            f"Layer '{self.names[0]}' of {self.model.name} is not made from floats of the input or an embedding, so no "
            "path leads to it. Use saliency, input_x_gradient or integrated_gradients there."
        )

    def usual(self) -> str:
        """The layer that is explained where none is named."""
        return default_layer(self.model, self.names, self.tensors, self.samples[0])

    def draws(self, baseline: Baseline, seed: int) -> dict[str, Array]:
        """What the explained tensors hold at the B baselines of each sample, (N, B, ...) by name.

        The baseline is one of the inputs: at a layer it is what the layer holds there.
        """
        if self.before is None:
            drawn = [baseline.draws(sample, self.names, seed) for sample in self.samples]
            return {name: np.stack([one[name] for one in drawn]) for name in self.names}
        below = self.before.draws(baseline, seed)
        count, each = next(iter(below.values())).shape[:2]
        rows = {name: array.reshape(count * each, *array.shape[2:]) for name, array in below.items()}
        lifted = self.lifted(self.before, np.repeat(np.arange(count), each), rows)
        return {name: lifted[name].reshape(count, each, *lifted[name].shape[1:]) for name in self.names}

    def lifted(self, start: LayerPath, sample: Array, points: Mapping[str, Array]) -> dict[str, Array]:
        """Inputs of this part at M points of ``start``, an earlier step: the layer, and what goes around it."""
        if start is self or self.before is None or self.layer is None:
            return dict(points)
        below = self.before.lifted(start, sample, points)
        others = {n: a if n in self.model.shared else a[sample] for n, a in self.before.feeds.items() if n not in below}
        progress.expect(len(sample))
        held = self.layer.lifted({**others, **below})
        progress.advance(len(sample))
        self.evaluations.add(sample)
        taken = {info.name for info in self.model.inputs}
        return {**{name: array for name, array in below.items() if name in taken}, self.layer.name: held}

    @property
    def axes(self) -> Axes:
        """How the axes of the last layer read: as a map over the picture, as tokens, as units."""
        first = self
        while first.before is not None:
            first = first.before
        (name,) = self.names
        return Axes.at(first.model, name, self.feeds[name].shape[1:], first.samples[0])

    def facts(self) -> Document | None:
        """What a record tells of the layer: its name, and how its axes read; None at the inputs."""
        if self.layer is None:
            return None
        axes = self.axes
        grid = None if axes.grid is None else list(axes.grid)
        told = {"name": self.layer.name, "axes": axes.letters, "grid": grid, "before": axes.before}
        return {**told, "after": axes.after}
