"""The tensors at which gradients can be taken: float inputs, or the embeddings of tokens."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.op import find_op
from xaionnx.layers.graph_facts import graph_fact
from xaionnx.runtime.model import Model
from xaionnx.targets.scores import default_output

if TYPE_CHECKING:
    from xaionnx.graph.view import GraphView


def gradient_tensors(model: Model) -> tuple[str, ...]:
    """Return the names of the tensors at which gradients are taken by default.

    Raises
    ------
    UnsupportedModelError
        The explained input is not of floats, and there is not exactly one embedding of its tokens.
    """
    main = model.input()
    found = embeddings(model) if main.dtype.kind in "iu" else []
    if len(found) > 1:
        raise UnsupportedModelError(
            f"Input '{main.name}' of {model.name} is looked up several times: {', '.join(found)}. "
            "Choose the tensor to explain with layer=, or a later one, where they are joined."
        )
    return tuple(found) or differentiable_inputs(model)


def differentiable_inputs(model: Model, tensors: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the names of the inputs that have a gradient: data of floats with a row for each sample.

    Only inputs on which all of ``tensors`` (by default the output) depend are returned.

    Raises
    ------
    UnsupportedModelError
        The explained input is not among them.
    """
    main = model.input()
    if main.dtype.kind != "f" or main.name in model.shared:
        raise UnsupportedModelError(
            f"Input '{main.name}' of {model.name} is {main}, which has no gradient. "
            "Use a method without gradients: occlusion, rise, lime, kernel_shap."
        )
    data = {main.name, *model.data_inputs}
    names = [info.name for info in model.inputs if info.dtype.kind == "f" and info.name in data]
    read = set(tensors) or {default_output(model)}

    def reaching(view: GraphView) -> tuple[str, ...]:
        return tuple(name for name in names if read <= view.data_descendants([name]))

    used = graph_fact(model, ("differentiable_inputs", frozenset(read)), reaching)
    if main.name not in used:
        raise UnsupportedModelError(
            f"'{min(read)}' of {model.name} does not depend on '{main.name}', so there is nothing to explain. "
            "Choose another target, or name the input in the model's .toml."
        )
    return used


def embeddings(model: Model) -> list[str]:
    """Return the tensors that look up the tokens of the explained input, or encode them as one-hot."""
    view, found = model.view, list[str]()
    tokens, data = {model.input().name}, {info.name for info in model.inputs}
    data |= view.descendants(data)
    for node in view.nodes:
        if find_op(node.op_type).carries and node.input[0] in tokens:
            tokens.update(node.output)
            continue
        one_hot = node.op_type == "OneHot" and node.input[0] in tokens
        if one_hot or (node.op_type == "Gather" and node.input[1] in tokens and node.input[0] not in data):
            found.append(node.output[0])
    return found
