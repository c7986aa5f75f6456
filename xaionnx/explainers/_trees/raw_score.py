"""The target that stands for a score ahead of its link: a sum of trees or of terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Protocol, final

import numpy as np
import onnx
from onnx import helper, numpy_helper

from xaionnx.errors import ParameterError, UnsupportedModelError
from xaionnx.explainers._trees.scores import GAMES
from xaionnx.explainers._trees.source import LinkedSums
from xaionnx.graph.adapt import import_default_ops
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.selection import TargetTerm
from xaionnx.targets.target import Target
from xaionnx.typing import Array, Feeds

RAW: Final = "xaionnx_sums_for_"
"""Prefix of the tensor (N, S) with the numbers whose link are the elements of another tensor, added to the graph."""

_QUANTITIES: Final = {"logistic": "logit", "softmax": "logit", "exponential": "logarithm"}


class ScoreSource(Protocol):
    """How a tensor follows from sums."""

    @property
    def scores(self) -> LinkedSums:
        """The link, and what it is applied to."""

    @property
    def words(self) -> str:
        """What the method explains, for messages."""

    def sums(self, prefix: str) -> tuple[list[onnx.NodeProto], list[str]]:
        """Nodes that compute the sums in float32, and the tensors (N, .) that follow each other."""


FindSource = Callable[[Model, str, Feeds], ScoreSource]
"""Finds the source of a tensor; of some inputs only the sizes count."""


@final
@dataclass(frozen=True)
class RawScore(Target):
    """What the link ahead of a target is applied to: a logit for a probability; the target itself without a link."""

    given: Target
    find: FindSource
    # Those of the batch, of which the record of a sample must not depend.
    feeds: Feeds = field(default_factory=dict, compare=False, repr=False, metadata={"recorded": False})
    output: str | None = None

    __repr__ = short_repr

    @property
    def of_classes(self) -> bool:
        return self.given.of_classes

    @property
    def follows(self) -> bool:
        return self.given.follows

    def bind(self, model: Model, feeds: Feeds) -> RawScore:
        return replace(self, given=self.given.bind(model, feeds), feeds=feeds)

    def extended(self, model: Model) -> Model:
        model = self.given.extended(model)
        source = self.find(model, self.given.tensor(model), self.feeds)
        scores = source.scores
        if scores.link == "identity" or RAW + scores.tensor in {info.name for info in model.outputs}:
            return model
        return model.derived(("raw scores", source.words, scores.tensor), lambda proto: _with_sums(proto, source))

    def tensor(self, model: Model) -> str:
        tensor = self.given.tensor(model)
        return tensor if self.find(model, tensor, self.feeds).scores.link == "identity" else RAW + tensor

    def reads(self, model: Model) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self.given.reads(model), self.tensor(model)]))

    def resolved(self, outputs: Mapping[str, Array], model: Model) -> list[TargetTerm]:
        terms = self.given.resolved(outputs, model)
        source = self.find(model, self.given.tensor(model), self.feeds)
        return [self._raw(term, source) for term in terms]

    def terms(self, output: Array, model: Model) -> list[TargetTerm]:
        return self.given.terms(output, model)

    def parts(self) -> list[Target]:
        return [RawScore(part, self.find, self.feeds) for part in self.given.parts()]

    def _raw(self, term: TargetTerm, found: ScoreSource) -> TargetTerm:
        """The term for the number ahead of the link.

        Raises
        ------
        ParameterError
            The target is a function of the sums that has no such number, such as a probability.
        """
        source = found.scores
        asked = getattr(self.given, "as_probability", False) and source.link != "identity"
        if term.tensor != source.tensor or term.activation != "identity" or term.reference is not None or asked:
            raise ParameterError(
                f"{found.words}, and '{term.names[0]}' is another function of them: leave the "
                f"probability out for the score ahead of it, or use {GAMES}."
            )
        if source.link == "identity":
            return term
        if np.isnan(source.margins()[0][:, np.unique(term.indices)]).any():
            raise UnsupportedModelError(
                f"'{term.names[0]}' of '{source.tensor}' is no {source.link} function of one sum. Use {GAMES}."
            )
        quantity = _QUANTITIES[source.link]
        return replace(term, tensor=RAW + source.tensor, quantity=quantity)


def _with_sums(proto: onnx.ModelProto, source: ScoreSource) -> onnx.ModelProto:
    """The model with the tensor of the numbers ahead of the link as a further output."""
    extended = onnx.ModelProto()
    extended.CopyFrom(proto)
    import_default_ops(extended)
    name, graph = RAW + source.scores.tensor, extended.graph
    weights, constant = (np.nan_to_num(array).astype(np.float32) for array in source.scores.margins())
    nodes, sums = source.sums(name)
    graph.node.extend(nodes)
    graph.initializer.extend(
        [numpy_helper.from_array(weights, f"{name}/weights"), numpy_helper.from_array(constant, f"{name}/constant")]
    )
    graph.node.extend(
        [
            helper.make_node("Concat", sums, [f"{name}/sums"], axis=1),
            helper.make_node("MatMul", [f"{name}/sums", f"{name}/weights"], [f"{name}/product"]),
            helper.make_node("Add", [f"{name}/product", f"{name}/constant"], [name]),
        ]
    )
    graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", weights.shape[1]]))
    return extended
