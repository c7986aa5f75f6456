"""Where gradients can be taken: the inputs of floats, or the tensors into which tokens are embedded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.op import find_op
from xaionnx.layers.graph_facts import graph_fact
from xaionnx.runtime.model import Model

if TYPE_CHECKING:
    from xaionnx.graph.view import GraphView


def explained(model: Model) -> tuple[str, ...]:
    """Names of the tensors at which gradients are taken where no layer is named.

    Raises
    ------
    UnsupportedModelError
        The explained input holds no floats, and not one embedding of tokens is found.
    """
    main = model.input()
    found = embeddings(model) if main.dtype.kind in "iu" else []
    if len(found) > 1:
        raise UnsupportedModelError(
            f"Input '{main.name}' of {model.name} is looked up several times: {', '.join(found)}. "
            "Choose the tensor to explain with layer=, or a later one, where they are joined."
        )
    return tuple(found) or differentiable(model)


def differentiable(model: Model, tensors: Iterable[str] = ()) -> tuple[str, ...]:
    """Names of the inputs that a gradient can be taken of: those of floats, one a sample.

    Inputs that ``tensors``, or else the usual output, do not all depend on are left out.

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
    names = [info.name for info in model.inputs if info.dtype.kind == "f" and info.name not in model.shared]
    read = set(tensors) or {model.output().name}

    def reaching(view: GraphView) -> tuple[str, ...]:
        return tuple(name for name in names if read <= view.reads_data([name]))

    used = graph_fact(model, ("differentiable", frozenset(read)), reaching)
    if main.name not in used:
        raise UnsupportedModelError(
            f"'{min(read)}' of {model.name} does not depend on '{main.name}', so there is nothing to explain. "
            "Choose another target, or name the input in the model's .toml."
        )
    return used


def embeddings(model: Model) -> list[str]:
    """The tensors into which the tokens of the explained input are looked up, or spread as one-hot."""
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
