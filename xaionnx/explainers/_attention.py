"""What the methods share that follow attention: its layers, the tokens that are read, and the way back to the input."""

from __future__ import annotations

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.errors import UnsupportedModelError
from xaionnx.explainer import Explainer
from xaionnx.graph.expand import expand
from xaionnx.graph.heads import APART, heads_apart
from xaionnx.graph.landmarks import Attention, attentions, tokens_read
from xaionnx.graph.view import DEFAULT_DOMAINS
from xaionnx.hooks import hook
from xaionnx.layers.axes import Axes, picture_size
from xaionnx.layers.spatial_map import SpatialMap
from xaionnx.parameters import choice
from xaionnx.request import Request
from xaionnx.runtime import progress
from xaionnx.runtime.model import Model
from xaionnx.targets.resolve import ResolvedTargets
from xaionnx.targets.target import Target
from xaionnx.typing import Array, Shapes

if TYPE_CHECKING:
    from xaionnx.layers.dry_run import DryRun


_OTHERS = "Use another method: integrated_gradients, lrp, occlusion."


@final
@dataclass(frozen=True, eq=False)
class Layers:
    """The layers of attention between the input and the targets.

    Attributes
    ----------
    request : Request
    resolved : ResolvedTargets
        The targets, read from a model in which attention can be shown.
    found : list of Attention
        From the input on.
    names : tuple of str
        Their tensors (n, heads, T, T).
    row : str
        ``auto``, ``first`` or ``mean``.
    shapes : dict
        Of tensors at one sample, as far as they are known before a run.
    """

    request: Request
    resolved: ResolvedTargets
    found: list[Attention]
    names: tuple[str, ...]
    row: str
    shapes: Shapes

    @classmethod
    def of(cls, request: Request, row: str) -> Layers:
        """Find them.

        Raises
        ------
        UnsupportedModelError
            There are none on the way to the target.
        """
        plain = written_out(request.model)
        resolved = request.resolve(form=plain)
        found = _found(plain, {*resolved.tensors})
        known = plain.view.shapes({name: (1, *x.shape) for name, x in request.samples[0].own.items()})
        return cls(request, resolved, found, _shown(plain, found), row, known)

    @property
    def model(self) -> Model:
        """The model of the targets."""
        return self.resolved.model

    def held(self, first: int, last: int) -> Iterator[tuple[Array, list[Array]]]:
        """The attention at samples first to last: some of their numbers (n,), and each layer's (n, heads, T, T).

        Raises
        ------
        UnsupportedModelError
            It is not that of all tokens to all tokens.
        """
        model = self.model.with_outputs(self.names)
        shared = {name: array for name, array in self.request.feeds.items() if name in model.shared}

        def feed(start: int, stop: int) -> dict[str, Array]:
            return {n: a[first + start : first + stop] for n, a in self.request.feeds.items() if n not in shared}

        progress.expect(last - first)
        for start, stop, outputs in model.batches(last - first, feed, self.names, shared):
            progress.advance(stop - start)
            self.request.evaluations.add(np.arange(first + start, first + stop))
            layers = [outputs[name] for name in self.names]
            self._check(layers, stop - start)
            yield np.arange(first + start, first + stop), layers

    def _check(self, layers: list[Array], count: int) -> None:
        tokens = layers[0].shape[-1]
        for layer, array in zip(self.found, layers, strict=True):
            whole = array.ndim == 4 and len(array) == count
            if whole and array.shape[2:] != (tokens, tokens):
                raise UnsupportedModelError(
                    f"Attention '{layer.weights}' of {self.model.name} leads from {array.shape[2]} to {array.shape[3]} "
                    f"tokens, where the first layer leads to {tokens}; only attention of the same tokens to themselves "
                    f"can be followed through the layers. {_OTHERS}"
                )
            if not whole or _parted(layer, tokens, self.shapes):
                raise UnsupportedModelError(_within_windows(self.model, layer))

    def read(self, tokens: int) -> list[int]:
        """The tokens that attention is followed back from."""
        if self.row == "first":
            return [0]
        everyone = list(range(tokens))
        if self.row == "mean":
            return everyone
        seen = tokens_read(self.model.view, self.names[-1], tokens, self.shapes)
        return seen or ([0] if self.axes(tokens).before else everyone)

    def begun(self, tokens: int) -> Array:
        """The row (T,) that is followed back: the mean of the rows of the identity at the tokens that are read."""
        read = self.read(tokens)
        return np.asarray(np.bincount(read, minlength=tokens) / len(read))

    def axes(self, tokens: int) -> Axes:
        """The grid that the tokens of a picture make."""
        return Axes.of_keys(self.model, self.names[0], tokens, self.request.samples[0])

    def at_input(self, values: Array) -> tuple[Array, Array]:
        """Values (T targets, N, tokens) in the shape of the input, and as they lie on the grid of patches, if any.

        Raises
        ------
        UnsupportedModelError
            The tokens are no patches of the picture, and no tokens of the input.
        """
        first, tokens = self.request.samples[0], values.shape[-1]
        extent, shape = picture_size(first), first.array.shape
        if extent is not None:
            axes = self.axes(tokens)
            if axes.grid is not None:
                small = values[..., axes.before : tokens - axes.after].reshape(*values.shape[:-1], *axes.grid)
                return SpatialMap(axes, (tokens, 1), first, first.picture_axes).spread(small, "bilinear"), small
            where = f"no grid of patches over a picture of {extent[0]} x {extent[1]} pixels"
        elif shape and shape[0] == tokens:
            spread = values.reshape(*values.shape, *(1,) * (len(shape) - 1))
            return np.broadcast_to(spread, (*values.shape[:-1], *shape)), values
        else:
            where = f"not those of input '{first.main}', {('N', *shape)}"
        raise UnsupportedModelError(
            f"The {tokens} tokens of attention '{self.names[0]}' of {self.model.name} are {where}, so their values "
            f"have no place there. {_OTHERS}"
        )


@dataclass(frozen=True, kw_only=True)
class AttentionExplainer(Explainer):
    """A method that follows attention from the tokens that the head reads back through the layers to the input.

    Every softmax between two products, of queries and keys and of what it gives and the values, is a layer; the
    ``Attention`` op is one too. All layers must be of the same T tokens: encoders, such as ViT and BERT. Values have
    the shape of the input: the tokens of a picture are laid out as the grid of its patches, enlarged bilinearly, and
    given to each channel; a token in front of them, such as the class token, has no place. Where the input has an axis
    of T tokens a token's value is given to all that it holds.

    ``maps`` of the result:

    ``tokens`` : (N, h, w) or (N, T)
        The values by patch, or by token.
    """

    row: str = choice(
        "auto",
        ("auto", "first", "mean"),
        "tokens from which attention is followed back: the first, the mean of all, or those that the head reads",
    )

    @final
    def check_model(self, dry_run: DryRun) -> dict[str, str | None]:
        if dry_run.rows is None:
            _found(written_out(dry_run.model), {dry_run.tensor})
            return self.check_layers(None)
        # Shapes tell too little of windows, so the sample is run.
        layers = Layers.of(Request(dry_run.model, dry_run.rows, Target.sum()), self.row)
        for _, (first, *_) in layers.held(0, 1):
            layers.at_input(np.zeros((1, 1, first.shape[-1])))
        return self.check_layers(layers)

    @hook
    def check_layers(self, layers: Layers | None) -> dict[str, str | None]:
        """Refuse layers that cannot be followed; None where too little is known of them. See :meth:`validate`."""
        del layers
        return {}

    @abstractmethod
    def follow(self, layers: Layers) -> Attribution:
        """The values (T targets, N, T tokens) of the tokens, under the name ``tokens``."""

    @final
    def compute(self, request: Request) -> Attribution:
        layers = Layers.of(request, self.row)
        found = self.follow(layers)
        values, tokens = layers.at_input(found.values["tokens"])
        told = {"layers": list(layers.names), "read": layers.read(found.values["tokens"].shape[-1])}
        return dataclasses.replace(
            found,
            values={request.main: values.astype(np.float32)},
            maps={"tokens": tokens},
            facts={**found.facts, "attention": told},
        )


def written_out(model: Model) -> Model:
    """The model with ``Attention`` ops in simpler ones, and with heads on an axis of their own; itself where it is."""
    if any(node.op_type == "Attention" and node.domain in DEFAULT_DOMAINS for node in model.graph.graph.node):
        model = model.derived("attention written out", expand)
    ranks = model.view.shapes({})
    flat = tuple(layer.weights for layer in attentions(model.view) if len(ranks.get(layer.weights, ())) == 3)
    if not flat:
        return model
    batched = model.input().name
    return model.derived(("heads apart", flat), lambda graph: heads_apart(graph, flat, batched))


def _found(model: Model, tensors: set[str]) -> list[Attention]:
    found = attentions(model.view, tensors)
    if not found:
        raise UnsupportedModelError(_without(model))
    return found


def _shown(model: Model, found: list[Attention]) -> tuple[str, ...]:
    return tuple(name if (name := layer.weights + APART) in model.view.producers else layer.weights for layer in found)


def _parted(layer: Attention, tokens: int, known: Shapes) -> bool:
    """Whether attention leads to fewer tokens than there are in what enters it: (1, T, D), or a map over a picture."""
    first, *sizes = known.get(layer.tokens) or (None,)
    counts = [math.prod(part) for part in (sizes[:-1], sizes[1:]) if None not in part]  # type: ignore[arg-type]  # so it holds ints
    # The first axis is that of the tokens in transformers that have the batch second.
    return len(sizes) in (2, 3) and len(counts) == 2 and tokens not in (first, *counts)


def _within_windows(model: Model, layer: Attention) -> str:
    return (
        f"Attention '{layer.weights}' of {model.name} is taken within windows or groups, not between all tokens, so it "
        f"cannot be followed through the layers. {_OTHERS}"
    )


def _without(model: Model) -> str:
    fused = next((n for n in model.graph.graph.node if n.domain == "com.microsoft" and "Attention" in n.op_type), None)
    if fused is not None:
        return (
            f"{model.name} computes attention in op com.microsoft.{fused.op_type} (node '{fused.name}'), which does "
            "not show it. Take the file as it was before onnxruntime optimised it."
        )
    return (
        f"{model.name} has no attention of tokens, a softmax between two products, on the way to the target. "
        "Use another method: grad_cam, integrated_gradients, occlusion."
    )


def stepped(row: Array, matrix: Array) -> Array:
    """A row (n, T) of each sample times its matrix (n, T, T)."""
    return np.asarray(np.matmul(row[:, None, :], matrix)[:, 0])
