"""The cosine similarity of an embedding to another."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final, final

import numpy as np

from xaionnx.errors import ParameterError
from xaionnx.registry import Form
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.added_tensors import with_tensors
from xaionnx.targets.first_outputs import first_outputs
from xaionnx.targets.scores import flat
from xaionnx.targets.selection import TargetTerm
from xaionnx.targets.target import Target
from xaionnx.typing import Array, Feeds

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder

UNIT: Final = "xaionnx_unit_of_"
"""Prefix of the tensor (N, S) with embeddings of length 1, added to the graph."""


@final
@dataclass(frozen=True, eq=False)
class Similarity(Target):
    """The cosine of the angle between an embedding and that of another input, or a vector.

    Attributes
    ----------
    to : array or str
        A vector, an input, or the name of a file with one.
    output : str or None
    vectors : array (1 or N, S), or None
        The vectors of length 1 to compare with; found when the target is bound to a model.
    """

    forms: ClassVar[tuple[Form[Target], ...]] = (
        Form("similarity", lambda file, output, model: Similarity(file, output), ":FILE", "similarity:other.png"),
    )

    to: Array | str
    output: str | None = None
    vectors: Array | None = field(default=None, repr=False)

    __repr__ = short_repr

    def bind(self, model: Model, feeds: Feeds) -> Similarity:
        if self.vectors is not None:
            return self
        tensor = super().tensor(model)
        size = flat(first_outputs(model, feeds, [tensor])[tensor]).shape[1]
        given = self.to if isinstance(self.to, str) else np.asarray(self.to)
        if (
            isinstance(given, np.ndarray)
            and given.ndim in (1, 2)
            and given.shape[-1] == size
            and self._is_vector(model)
        ):
            vectors = np.atleast_2d(given).astype(np.float64)
        else:
            vectors = flat(model.with_outputs([tensor]).run(model.read(given).arrays, [tensor])[tensor])
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
        if not (np.isfinite(lengths).all() and (lengths > 0).all()):
            raise ParameterError("The 'to' parameter of Target.similarity must be finite, and not zero.")
        return dataclasses.replace(self, vectors=vectors / lengths)

    def _is_vector(self, model: Model) -> bool:
        """Whether an array of the embedding's size is one, and not a row of a table of the same size."""
        table = model.input().shape
        return np.ndim(self.to) == 1 or (
            np.ndim(self.to) == 2 and (len(table) != 2 or table[1] != np.shape(self.to)[1])
        )

    def extended(self, model: Model) -> Model:
        source = super().tensor(model)
        if any(info.name == UNIT + source for info in model.outputs):
            return model

        def emit(g: Builder, tensors: Mapping[str, ir.Value]) -> dict[str, ir.Value]:
            rows = g.reshape(g.op("Cast", tensors[source], to=1), np.array([0, -1], dtype=np.int64))
            return {UNIT + source: g.op("LpNormalization", rows, axis=1, p=2)}

        return with_tensors(model, ("unit", source), emit)

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
        what = f"to {self.to}" if isinstance(self.to, str) else "to the given one"
        names = (f"cosine similarity of {super().tensor(model)} {what}",) * samples
        return [TargetTerm(self.tensor(model), "identity", indices, weights, names, quantity="similarity")]
