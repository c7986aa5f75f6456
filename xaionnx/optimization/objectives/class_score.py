"""Class score: the logit of a class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from xaionnx.errors import UnknownNameError, UnsupportedModelError
from xaionnx.graph.op import find_op
from xaionnx.optimization.objective import Objective, ObjectiveGraph
from xaionnx.parameters import free

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.view import GraphView


@final
@dataclass(frozen=True, kw_only=True)
class ClassScore(Objective):
    """The output of a class, ahead of the softmax where the graph has one.

    A probability rises as well by making other classes unlikely, which shows nothing of this one.

    References
    ----------
    Simonyan, Vedaldi and Zisserman, Deep inside convolutional networks, 2014, arXiv:1312.6034.
    """

    reference: ClassVar[str] = "Simonyan et al. 2014, arXiv:1312.6034"

    label: int | str = free(0, "a number or a name", "the class", optional=False)

    def emit(self, graph: ObjectiveGraph) -> ir.Value:
        model, output = graph.model, graph.model.output()
        name = _ahead_of_activation(model.view, output.name)
        shape = graph.shape(name)
        if len(shape) != 1:
            raise UnsupportedModelError(
                f"Output '{output.name}' of {model.name} is {('N', *shape)}, not one score a class. Use 'channel' or "
                "'neuron' of a layer."
            )
        number = model.input_spec.class_number(self.label)
        if not 0 <= number < shape[0]:
            raise UnknownNameError(f"{model.name} has {shape[0]} classes, from 0. Got {number}.")
        return graph.g.op("Gather", graph.tensor(name), np.array([number], dtype=np.int64), axis=1)


def _ahead_of_activation(view: GraphView, output: str) -> str:
    """The tensor ahead of the softmax or sigmoid at the end of a graph; the output itself if there is none."""
    name = output
    while (made := view.producers.get(name)) is not None:
        if made.op_type in ("Softmax", "Sigmoid"):
            return str(made.input[0])
        entry = find_op(made.op_type)
        if not entry.carries or entry.regroups:
            return output
        name = made.input[0]
    return output
