"""Tensors that targets add to a model's graph, such as the log probabilities of an output."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING

from xaionnx.runtime.model import Model

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder


def with_tensors(
    model: Model, key: Hashable, emit: Callable[[Builder, Mapping[str, ir.Value]], Mapping[str, ir.Value]]
) -> Model:
    """Return the model with further outputs, cached under ``key``.

    Parameters
    ----------
    model : Model
    key : hashable
        Says what ``emit`` adds.
    emit : callable
        Gets a builder and the tensors of the graph by name; adds nodes and returns the outputs by name.
    """

    def rewritten(proto: onnx.ModelProto) -> onnx.ModelProto:
        import onnx_ir

        from xaionnx.graph.builder import Builder

        form = onnx_ir.from_proto(proto)
        values = {str(value.name): value for value in form.graph.inputs}
        values |= {str(value.name): value for node in form.graph for value in node.outputs}
        g = Builder(form)
        for name, value in emit(g, values).items():
            g.output(value, name)
        return onnx_ir.to_proto(form)

    return model.derived(("added tensors", key), rewritten)
