"""The cosine similarity of an embedding to another."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, final

import numpy as np

from xaionnx.data.files import is_file
from xaionnx.errors import ParameterError
from xaionnx.registry import Form
from xaionnx.runtime.model import Model
from xaionnx.runtime.token_inputs import reads_text
from xaionnx.short_repr import short_repr
from xaionnx.targets.added_tensors import with_tensors
from xaionnx.targets.first_outputs import first_outputs
from xaionnx.targets.language import shortened
from xaionnx.targets.scores import flat
from xaionnx.targets.selection import TargetTerm
from xaionnx.targets.target import Target
from xaionnx.typing import Array, Feeds

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder

# Samples, tokens, and the numbers of each.
_OF_TOKENS: Final = 3

UNIT: Final = "xaionnx_unit_of_"
"""Prefix of the tensor (N, S) with embeddings of length 1, added to the graph."""


@final
@dataclass(frozen=True, eq=False)
class Similarity(Target):
    """The cosine of the angle between an embedding and that of another input, or a vector.

    Of a text, for which the output has an embedding for each token, (N, T, S), it is their mean over the tokens that
    the attention mask keeps, as sentence transformers take it.

    Attributes
    ----------
    to : array, str or path
        A vector, an input, or the name of a file with one; of a model that reads text, a str is a text.
    output : str or None
    vectors : array (1 or N, S), or None
        The vectors of length 1 to compare with; found when the target is bound to a model.
    pooled : bool
        Whether the embedding is a mean over tokens.
    """

    forms: ClassVar[tuple[Form[Target], ...]] = (
        Form(
            "similarity", lambda to, output, model: Similarity(_named(str(to)), output), ":FILE", "similarity:other.png"
        ),
    )

    to: Array | str | os.PathLike[str]
    output: str | None = None
    vectors: Array | None = field(default=None, repr=False)
    pooled: bool = field(default=False, repr=False)

    __repr__ = short_repr

    def bind(self, model: Model, feeds: Feeds) -> Similarity:
        if self.vectors is not None:
            return self
        tensor = super().tensor(model)
        shape = first_outputs(model, feeds, [tensor])[tensor].shape
        ids = feeds[model.input().name]
        pooled = (
            reads_text(model) and len(shape) == _OF_TOKENS and ids.ndim == _OF_TOKENS - 1 and shape[1] == ids.shape[1]
        )
        size = shape[2] if pooled else math.prod(shape[1:])
        given = self.to if isinstance(self.to, str | os.PathLike) else np.asarray(self.to)
        if (
            isinstance(given, np.ndarray)
            and given.ndim in (1, 2)
            and given.shape[-1] == size
            and self._is_vector(model)
        ):
            vectors = np.atleast_2d(given).astype(np.float64)
        else:
            whole = dataclasses.replace(self, pooled=pooled)
            name = whole.tensor(model)
            vectors = flat(whole.extended(model).run(model.read(given).arrays, [name])[name])
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
        if not (np.isfinite(lengths).all() and (lengths > 0).all()):
            raise ParameterError("The 'to' parameter of Target.similarity must be finite, and not zero.")
        return dataclasses.replace(self, vectors=vectors / lengths, pooled=pooled)

    def _is_vector(self, model: Model) -> bool:
        """Whether an array of the embedding's size is one, and not a row of a table of the same size."""
        if isinstance(self.to, str | os.PathLike):
            return False
        table, shape = model.input().shape, np.shape(self.to)
        return len(shape) == 1 or (len(shape) == 2 and (len(table) != 2 or table[1] != shape[1]))

    def extended(self, model: Model) -> Model:
        source = super().tensor(model)
        masks = [name for name, purpose in model.purposes.items() if purpose.purpose == "mask"]
        if any(info.name == UNIT + source for info in model.outputs):
            return model

        def emit(g: Builder, tensors: Mapping[str, ir.Value]) -> dict[str, ir.Value]:
            floats = g.op("Cast", tensors[source], to=1)
            if self.pooled:
                floats = _mean(g, floats, [tensors[name] for name in masks])
            rows = g.reshape(floats, np.array([0, -1], dtype=np.int64))
            return {UNIT + source: g.op("LpNormalization", rows, axis=1, p=2)}

        return with_tensors(model, ("unit", source, self.pooled), emit)

    def tensor(self, model: Model) -> str:
        source = super().tensor(model)
        return source if source.startswith(UNIT) else UNIT + source

    def terms(self, output: Array, model: Model) -> list[TargetTerm]:
        if self.vectors is None:
            raise ParameterError("Target.similarity must be bound to a model first: see Target.bind.")
        samples, size = output.shape
        if len(self.vectors) not in (1, samples) or self.vectors.shape[1] != size:
            raise ParameterError(
                f"The 'to' parameter of Target.similarity must have one row, or one for each of the {samples} samples, "
                f"of {size} numbers. Got {self.vectors.shape} instead."
            )
        indices = np.tile(np.arange(size, dtype=np.int64), (samples, 1))
        weights = np.broadcast_to(self.vectors, (samples, size)).copy()
        given = isinstance(self.to, str | os.PathLike)
        quoted = shortened(str(self.to)) if isinstance(self.to, str) and self.pooled else self.to
        mean = "the mean over tokens of " if self.pooled else ""
        names = (
            f"cosine similarity of {mean}{super().tensor(model)} to {quoted if given else 'the given one'}",
        ) * samples
        return [TargetTerm(self.tensor(model), "identity", indices, weights, names, quantity="similarity")]


def _named(to: str) -> str | Path:
    """A file, if there is one of that name; otherwise what it says, of which a model for text makes a text."""
    return Path(to) if is_file(to) else to


def _mean(g: Builder, values: ir.Value, masks: Sequence[ir.Value]) -> ir.Value:
    """Add nodes for the mean (N, S) of values (N, T, S) over the tokens that a mask (N, T), if there is one, keeps."""
    axis = np.array([1], dtype=np.int64)
    if not masks:
        return g.op("ReduceMean", values, axis, keepdims=0)
    kept = g.op("Unsqueeze", g.op("Cast", masks[0], to=1), axis + 1)
    sums = g.op("ReduceSum", g.op("Mul", values, kept), axis, keepdims=0)
    return g.op("Div", sums, g.op("ReduceSum", kept, axis, keepdims=0))
