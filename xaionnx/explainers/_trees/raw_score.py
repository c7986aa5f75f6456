"""The target that stands for a score ahead of its link: the sum of the trees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, final

import numpy as np
import onnx
from onnx import helper, numpy_helper

from xaionnx.errors import ParameterError, UnsupportedModelError
from xaionnx.explainers._trees.scores import GAMES
from xaionnx.explainers._trees.source import TreeSource, tree_source
from xaionnx.graph.adapt import import_default_ops
from xaionnx.graph.tree_ensembles import ML, NEWEST, REGRESSOR, TreeEnsemble
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.selection import TargetTerm
from xaionnx.targets.target import Target
from xaionnx.typing import Array, Feeds

RAW: Final = "xaionnx_sums_for_"
"""Prefix of the tensor (N, S) with the numbers whose link are the elements of another tensor, added to the graph."""

_QUANTITIES: Final = {"logistic": "logit", "softmax": "logit", "exponential": "logarithm"}


@final
@dataclass(frozen=True)
class RawScore(Target):
    """What the link ahead of a target is applied to: a logit for a probability; the target itself without a link."""

    given: Target
    output: str | None = None

    __repr__ = short_repr

    @property
    def of_classes(self) -> bool:
        return self.given.of_classes

    @property
    def follows(self) -> bool:
        return self.given.follows

    def bind(self, model: Model, feeds: Feeds) -> RawScore:
        return replace(self, given=self.given.bind(model, feeds))

    def extended(self, model: Model) -> Model:
        model = self.given.extended(model)
        source = tree_source(model, self.given.tensor(model))
        if source.link == "identity" or RAW + source.tensor in {info.name for info in model.outputs}:
            return model
        return model.derived(("raw scores", source.tensor), lambda proto: _with_sums(proto, source))

    def tensor(self, model: Model) -> str:
        tensor = self.given.tensor(model)
        return tensor if tree_source(model, tensor).link == "identity" else RAW + tensor

    def reads(self, model: Model) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self.given.reads(model), self.tensor(model)]))

    def resolved(self, outputs: Mapping[str, Array], model: Model) -> list[TargetTerm]:
        terms = self.given.resolved(outputs, model)
        source = tree_source(model, self.given.tensor(model))
        return [self._raw(term, source) for term in terms]

    def terms(self, output: Array, model: Model) -> list[TargetTerm]:
        return self.given.terms(output, model)

    def parts(self) -> list[Target]:
        return [RawScore(part) for part in self.given.parts()]

    def _raw(self, term: TargetTerm, source: TreeSource) -> TargetTerm:
        """The term for the number ahead of the link.

        Raises
        ------
        ParameterError
            The target is a function of the sums that has no such number, such as a probability.
        """
        asked = getattr(self.given, "as_probability", False) and source.link != "identity"
        if term.tensor != source.tensor or term.activation != "identity" or term.reference is not None or asked:
            raise ParameterError(
                f"tree_shap explains sums of trees, and '{term.names[0]}' is another function of them: leave the "
                f"probability out for the score ahead of it, or use {GAMES}."
            )
        if source.link == "identity":
            return term
        if np.isnan(source.margins()[0][:, np.unique(term.indices)]).any():
            raise UnsupportedModelError(
                f"'{term.names[0]}' of '{source.tensor}' is no {source.link} function of one sum of trees. Use {GAMES}."
            )
        quantity = _QUANTITIES[source.link]
        return replace(term, tensor=RAW + source.tensor, quantity=quantity)


def _with_sums(proto: onnx.ModelProto, source: TreeSource) -> onnx.ModelProto:
    """The model with the tensor of the numbers ahead of the link as a further output."""
    extended = onnx.ModelProto()
    extended.CopyFrom(proto)
    import_default_ops(extended)
    name, graph = RAW + source.tensor, extended.graph
    weights, constant = (np.nan_to_num(array).astype(np.float32) for array in source.margins())
    sums = []
    for number, (node, ensemble) in enumerate(zip(source.nodes, source.ensembles, strict=True)):
        sums.append(f"{name}/trees_{number}")
        graph.node.extend(sums_only(node, ensemble, sums[-1]))
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


def sums_only(node: onnx.NodeProto, ensemble: TreeEnsemble, output: str) -> list[onnx.NodeProto]:
    """Return nodes for the sums of an ensemble alone in float32, without base values and transform."""
    floats = f"{output}/floats"
    if ensemble.op == NEWEST:
        own = onnx.NodeProto()
        own.CopyFrom(node)
        own.name, own.output[:] = "", [floats]
        kept = [a for a in node.attribute if a.name != "post_transform"]
        del own.attribute[:]
        own.attribute.extend(kept)
        return [own, helper.make_node("Cast", [floats], [output], to=onnx.TensorProto.FLOAT)]
    regressor = helper.make_node(REGRESSOR, [node.input[0]], [floats], domain=ML, n_targets=ensemble.targets)
    for attribute in node.attribute:
        kept = attribute.name.startswith(("nodes_", "target_")) or attribute.name == "aggregate_function"
        if kept or (attribute.name.startswith("class_") and not attribute.name.startswith("classlabels")):
            regressor.attribute.add().CopyFrom(attribute)
            regressor.attribute[-1].name = attribute.name.replace("class_", "target_", 1)
    return [regressor, helper.make_node("Cast", [floats], [output], to=onnx.TensorProto.FLOAT)]
