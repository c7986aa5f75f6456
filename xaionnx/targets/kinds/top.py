"""The class of each sample with the highest score, or with another rank."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from xaionnx.errors import ParameterError
from xaionnx.runtime.model import Model
from xaionnx.targets.in_graph import Aim, ElementWeights, one_hot
from xaionnx.targets.scores import class_names, class_scores, flat, refuse_rows, to_probability
from xaionnx.targets.selection import TargetTerm
from xaionnx.targets.target import Target, single
from xaionnx.typing import Array, Feeds

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder


@final
@dataclass(frozen=True)
class Top(Target):
    """The class of each sample with the ``rank``-th highest score (0 is the highest)."""

    of_classes = True

    rank: int = 0
    as_probability: bool = False
    output: str | None = None

    @property
    def follows(self) -> bool:
        return True

    def bind(self, model: Model, feeds: Feeds) -> Target:
        if self.rank or self.output is not None:
            return self
        from xaionnx.targets.defaults import default_target

        return default_target(model, feeds, self.as_probability) or self

    def terms(self, output: Array, model: Model) -> list[TargetTerm]:
        tensor = self.tensor(model)
        scores = class_scores(output, tensor)
        refuse_rows(np.isnan(scores).any(axis=1), model)
        count = scores.shape[1]
        if self.rank >= count:
            raise ParameterError(f"'{tensor}' has {count} classes. Request at most that many.")
        # Of equal scores, the first class comes first in both.
        falling = -scores.astype(np.float64)
        chosen = np.argsort(falling, 1, kind="stable")[:, self.rank] if self.rank else falling.argmin(axis=1)
        activation = to_probability(output, tensor, model) if self.as_probability else "identity"
        return [single(tensor, activation, chosen, class_names(chosen, count, tensor, model, self.as_probability))]

    def in_graph(self, model: Model, output: Array) -> Aim:
        [term] = self.terms(output, model)
        words = "top class" if self.rank == 0 else f"class of rank {self.rank + 1}"
        words += f" of {term.tensor}" + (", probability" if self.as_probability else "")
        return Aim(term.tensor, term.activation, words, _follow(flat(output).shape[1], self.rank))


def _follow(count: int, rank: int) -> Callable[..., ElementWeights]:
    def follow(g: Builder, scores: ir.Value, named: ir.Value | None) -> ElementWeights:
        if rank == 0:
            classes = g.op("ArgMax", scores, axis=1, keepdims=0)
        else:
            highest = g.op("TopK", scores, np.array([rank + 1], dtype=np.int64), axis=1, outputs=2)[1]
            classes = g.op("Gather", highest, np.array(rank, dtype=np.int64), axis=1)
        return ElementWeights(one_hot(g, classes, count), classes)

    return follow
