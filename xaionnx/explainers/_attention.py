"""Base of methods that follow attention: its layers, the tokens that are read, and the map over the input."""

from __future__ import annotations

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.data.inputs import Inputs
from xaionnx.errors import UnsupportedModelError
from xaionnx.explainer import Explainer
from xaionnx.gradients.arithmetic import in_floats
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
from xaionnx.targets.selection import TargetTerm
from xaionnx.targets.target import Target
from xaionnx.typing import Array, Shapes

if TYPE_CHECKING:
    from xaionnx.layers.dry_run import DryRun


# Samples, tokens, and the scores of each.
_SCORES_OF_TOKENS: Final = 3
_ALTERNATIVES = "Use another method: integrated_gradients, lrp, occlusion."


@final
@dataclass(frozen=True, eq=False)
class AttentionLayers:
    """The layers of attention between the input and the targets.

    Attributes
    ----------
    request : Request
    resolved : ResolvedTargets
        The targets of a model whose attention weights are tensors.
    attention : list of Attention
        The layers, from input to output.
    names : tuple of str
        The names of their weights (n, heads, T, T).
    row : str
        ``auto``, ``first`` or ``mean``.
    shapes : dict
        Shapes of tensors at one sample, as far as known before a run.
    """

    request: Request
    resolved: ResolvedTargets
    attention: list[Attention]
    names: tuple[str, ...]
    row: str
    shapes: Shapes

    @classmethod
    def of(cls, request: Request, row: str) -> AttentionLayers:
        """The attention layers of a request.

        Raises
        ------
        UnsupportedModelError
            There are no attention layers before the target.
        """
        plain = with_explicit_attention(request.model)
        resolved = request.resolve(form=plain)
        attention = _attention_layers(plain, {*resolved.tensors})
        known = plain.view.shapes({name: (1, *x.shape) for name, x in request.samples[0].own.items()})
        return cls(request, resolved, attention, _weight_tensors(plain, attention), row, known)

    @property
    def model(self) -> Model:
        """The model from which the targets are read."""
        return self.resolved.model

    def batches(self, first: int, last: int) -> Iterator[tuple[Array, list[Array]]]:
        """Batches of samples ``first`` to ``last``: their numbers (n,), and the weights (n, heads, T, T) of each layer.

        Raises
        ------
        UnsupportedModelError
            A layer does not connect all tokens with all tokens.
        """
        model = in_floats(self.model, self.request.feeds, self.names).with_outputs(self.names)
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
        for layer, array in zip(self.attention, layers, strict=True):
            square = array.ndim == 4 and len(array) == count
            if square and array.shape[2:] != (tokens, tokens):
                raise UnsupportedModelError(
                    f"Attention '{layer.weights}' of {self.model.name} leads from {array.shape[2]} to {array.shape[3]} "
                    f"tokens, where the first layer leads to {tokens}; only attention of the same tokens to themselves "
                    f"can be followed through the layers. {_ALTERNATIVES}"
                )
            if not square or _is_windowed(layer, tokens, self.shapes):
                raise UnsupportedModelError(_windowed_message(self.model, layer))

    def start_rows(self, tokens: int) -> Array:
        """The initial rows (targets, N, T): equal weights, summing to 1, at the tokens that are read."""
        return np.array([[_at(read, tokens) for read in of_target] for of_target in self.read_tokens(tokens)])

    def read_tokens(self, tokens: int) -> list[list[list[int]]]:
        """The tokens from which attention is followed back, for each target and sample.

        By default they are those whose own scores the target reads, such as the last token of a prompt, whose scores
        are those of the next one.
        """
        fixed, samples = self._head_tokens(tokens), range(len(self.request.samples))
        own = [self._scored_tokens(term, tokens) if self.row == "auto" else None for term in self.resolved.terms]
        return [[fixed for _ in samples] if found is None else found for found in own]

    def _scored_tokens(self, term: TargetTerm, tokens: int) -> list[list[int]] | None:
        """The tokens whose scores a target reads, for each sample; None if its tensor holds no scores of tokens."""
        first, shape = self.request.samples[0], self.resolved.outputs[term.tensor].shape
        if picture_size(first) is not None or first.array.shape[:1] != (tokens,) or shape[1:2] != (tokens,):
            return None
        if len(shape) < _SCORES_OF_TOKENS:
            return None
        return [np.unique(places).tolist() for places in term.indices // math.prod(shape[2:])]

    def _head_tokens(self, tokens: int) -> list[int]:
        """The tokens that the head reads, or those that the parameter ``row`` names."""
        if self.row == "first":
            return [0]
        all_tokens = list(range(tokens))
        if self.row == "mean":
            return all_tokens
        head_tokens = tokens_read(self.model.view, self.names[-1], tokens, self.shapes)
        return head_tokens or ([0] if self.axes(tokens).before else all_tokens)

    def axes(self, tokens: int) -> Axes:
        """The axes of the tokens, with the grid of patches for a picture."""
        return Axes.of_keys(self.model, self.names[0], tokens, self.request.samples[0])

    def at_input(self, values: Array) -> tuple[Array, Array]:
        """Values (T targets, N, tokens) in the shape of the input, and on the grid of patches, if any.

        Raises
        ------
        UnsupportedModelError
            The tokens are neither patches of the picture nor tokens of the input.
        """
        first, tokens = self.request.samples[0], values.shape[-1]
        extent, shape = picture_size(first), first.array.shape
        if extent is not None:
            axes = self.axes(tokens)
            if axes.grid is not None:
                grid_values = values[..., axes.before : tokens - axes.after].reshape(*values.shape[:-1], *axes.grid)
                spatial_map = SpatialMap.at(axes, (tokens, 1), first)
                assert spatial_map is not None  # patches have a grid
                return spatial_map.spread(grid_values, "bilinear"), grid_values
            where = f"no grid of patches over a picture of {extent[0]} x {extent[1]} pixels"
        elif shape and shape[0] == tokens:
            spread = values.reshape(*values.shape, *(1,) * (len(shape) - 1))
            return np.broadcast_to(spread, (*values.shape[:-1], *shape)), values
        else:
            where = f"not those of input '{first.main}', {('N', *shape)}"
        raise UnsupportedModelError(
            f"The {tokens} tokens of attention '{self.names[0]}' of {self.model.name} are {where}, so their values "
            f"cannot be mapped to the input. {_ALTERNATIVES}"
        )


@dataclass(frozen=True, kw_only=True)
class AttentionExplainer(Explainer):
    """A method that follows attention back through the layers, from the tokens that the head reads to the input.

    A layer is a softmax between the product of queries and keys and the product with values, or an ``Attention`` op.
    All layers must have the same T tokens, as in encoders such as ViT and BERT. Values have the shape of the input: for
    pictures, tokens form the grid of patches, which is upsampled bilinearly and repeated for each channel; tokens
    before the patches, such as the class token, are left out. If the input has an axis of T tokens, all elements of a
    token get its value.

    Of a target that reads the scores of single tokens, such as the next token of a language model, which is scored at
    the last one, attention is followed back from these.

    ``maps`` of the result:

    ``tokens`` : (N, h, w) or (N, T)
        The values per patch or per token.
    """

    row: str = choice(
        "auto",
        ("auto", "first", "mean"),
        "tokens from which attention is followed back: the first, the mean of all, or those that target or head read",
    )

    @final
    def check_model(self, dry_run: DryRun) -> dict[str, str | None]:
        if dry_run.rows is None:
            _attention_layers(with_explicit_attention(dry_run.model), {dry_run.tensor})
            return self.check_layers(None)
        # Shapes alone do not reveal attention within windows, so the sample is run.
        layers = AttentionLayers.of(Request(dry_run.model, Inputs(dict(dry_run.rows)), Target.sum()), self.row)
        for _, (first, *_) in layers.batches(0, 1):
            layers.at_input(np.zeros((1, 1, first.shape[-1])))
        return self.check_layers(layers)

    @hook
    def check_layers(self, layers: AttentionLayers | None) -> dict[str, str | None]:
        """The result of :meth:`validate`; raises an error for unsupported layers. ``layers`` is None if not known."""
        del layers
        return {}

    @abstractmethod
    def follow(self, layers: AttentionLayers) -> Attribution:
        """An attribution with the values (T targets, N, T tokens) under the name ``tokens``."""

    @final
    def compute(self, request: Request) -> Attribution:
        layers = AttentionLayers.of(request, self.row)
        result = self.follow(layers)
        values, tokens = layers.at_input(result.values["tokens"])
        read = layers.read_tokens(result.values["tokens"].shape[-1])
        alike = all(found == read[0][0] for of_target in read for found in of_target)
        facts = {"layers": list(layers.names), "read": read[0][0] if alike else read}
        return dataclasses.replace(
            result,
            values={request.main: values.astype(np.float32)},
            maps={"tokens": tokens},
            facts={**result.facts, "attention": facts},
        )


def with_explicit_attention(model: Model) -> Model:
    """The model with ``Attention`` ops expanded and a separate axis of heads; unchanged if it is so already."""
    if any(node.op_type == "Attention" and node.domain in DEFAULT_DOMAINS for node in model.graph.graph.node):
        model = model.derived("attention written out", expand)
    ranks = model.view.shapes({})
    flat = tuple(layer.weights for layer in attentions(model.view) if len(ranks.get(layer.weights, ())) == 3)
    if not flat:
        return model
    batched = model.input().name
    return model.derived(("heads apart", flat), lambda graph: heads_apart(graph, flat, batched))


def _attention_layers(model: Model, tensors: set[str]) -> list[Attention]:
    attention = attentions(model.view, tensors)
    if not attention:
        raise UnsupportedModelError(_no_attention_message(model))
    return attention


def _weight_tensors(model: Model, attention: list[Attention]) -> tuple[str, ...]:
    return tuple(
        name if (name := layer.weights + APART) in model.view.producers else layer.weights for layer in attention
    )


def _is_windowed(layer: Attention, tokens: int, known: Shapes) -> bool:
    """Whether attention has fewer tokens than the tensor that enters it, (1, T, D) or a map over a picture."""
    first, *sizes = known.get(layer.tokens) or (None,)
    counts = [math.prod(part) for part in (sizes[:-1], sizes[1:]) if None not in part]  # type: ignore[arg-type]  # so it holds ints
    # In transformers with the batch second, the first axis is that of the tokens.
    return len(sizes) in (2, 3) and len(counts) == 2 and tokens not in (first, *counts)


def _windowed_message(model: Model, layer: Attention) -> str:
    return (
        f"Attention '{layer.weights}' of {model.name} is taken within windows or groups, not between all tokens, so it "
        f"cannot be followed through the layers. {_ALTERNATIVES}"
    )


def _no_attention_message(model: Model) -> str:
    fused = next((n for n in model.graph.graph.node if n.domain == "com.microsoft" and "Attention" in n.op_type), None)
    if fused is not None:
        return (
            f"{model.name} computes attention in op com.microsoft.{fused.op_type} (node '{fused.name}'), which does "
            "not output the weights. Use the file from before onnxruntime optimised it."
        )
    return (
        f"{model.name} has no attention (a softmax between two products over tokens) before the target. "
        "Use another method: grad_cam, integrated_gradients, occlusion."
    )


def _at(read: list[int], tokens: int) -> Array:
    return np.asarray(np.bincount(read, minlength=tokens) / len(read))


def multiply_rows(row: Array, matrix: Array) -> Array:
    """The product of a row (n, T) and a matrix (n, T, T) of each sample."""
    return np.asarray(np.matmul(row[:, None, :], matrix)[:, 0])
