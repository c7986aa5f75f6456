"""The tensors at which gradients can be taken: float inputs, embeddings of tokens, or casts of whole numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.float_copies import float_copies
from xaionnx.graph.lookups import joined_embedding, token_inputs, token_lookups
from xaionnx.runtime.graph_facts import graph_fact
from xaionnx.runtime.model import Model
from xaionnx.targets.scores import default_output

if TYPE_CHECKING:
    from xaionnx.graph.view import GraphView


def gradient_tensors(model: Model) -> tuple[str, ...]:
    """Return the names of the tensors at which gradients are taken by default.

    Raises
    ------
    UnsupportedModelError
        The explained input is not of floats, and there is not exactly one tensor of floats made of it.
    """
    main = model.input()
    found = made_floats(model)
    if len(found) > 1:
        how = "looked up" if embeddings(model) else "cast to floats"
        raise UnsupportedModelError(
            f"Input '{main.name}' of {model.name} is {how} several times: {', '.join(found)}. "
            "Choose the tensor to explain with layer=, or a later one, where they are joined."
        )
    return found or differentiable_inputs(model)


def made_floats(model: Model) -> tuple[str, ...]:
    """Return the float tensors that are made of an explained input without slopes: embeddings, or else casts."""
    main = model.input()
    if main.dtype.kind not in "iub" and not has_tokens(model):
        return ()
    found = embeddings(model)
    return found or graph_fact(model, ("float copies", main.name), lambda view: float_copies(view, main.name))


def has_tokens(model: Model) -> bool:
    """Whether the explained input holds whole numbers, or the numbers of tokens as floats."""
    main = model.input()
    return main.dtype.kind in "iu" or main.name in float_token_inputs(model)


def looked_up(model: Model) -> tuple[str, ...]:
    """Return where some numbers of a float input are looked up in a table while others are used as numbers.

    Such as the categories of a table whose columns are one input: they have no slope.
    """
    main = model.input()
    if main.dtype.kind != "f" or has_tokens(model):
        return ()
    key = ("looked up", main.name)
    return graph_fact(model, key, lambda view: token_lookups(view, main.name).embeddings)


def float_token_inputs(model: Model) -> frozenset[str]:
    """The float inputs that hold the numbers of tokens."""

    def find(view: GraphView) -> frozenset[str]:
        return token_inputs(view, [i.name for i in model.inputs if i.dtype.kind == "f" and i.name not in model.shared])

    return graph_fact(model, "float tokens", find)


def differentiable_inputs(model: Model, tensors: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the names of the inputs that have a gradient: data of floats with a row for each sample.

    Only inputs on which all of ``tensors`` (by default the output) depend are returned.

    Raises
    ------
    UnsupportedModelError
        The explained input is not among them.
    """
    main, tokens = model.input(), float_token_inputs(model)
    if main.name in tokens:
        raise UnsupportedModelError(
            f"Input '{main.name}' of {model.name} holds the numbers of tokens, which have no gradient. "
            f"Explain their embedding: {', '.join(embeddings(model))}."
        )
    if main.dtype.kind != "f" or main.name in model.shared:
        made = made_floats(model)
        other = f"saliency or integrated_gradients, which explain '{made[0]}' instead, or " if len(made) == 1 else ""
        raise UnsupportedModelError(
            f"Input '{main.name}' of {model.name} is {main}, which has no gradient. "
            f"Use {other}a method without gradients: occlusion, rise, lime, kernel_shap."
        )
    data = {main.name, *model.data_inputs}
    names = [info.name for info in model.inputs if info.dtype.kind == "f" and info.name in data - tokens]
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


def floats_beside(model: Model, tensors: Iterable[str]) -> tuple[str, ...]:
    """Return the float inputs that are data beside the explained one, and on which all ``tensors`` depend."""
    main, tokens = model.input(), float_token_inputs(model)
    data = model.data_inputs
    names = [info.name for info in model.inputs if info.dtype.kind == "f" and info.name in data]
    beside = tuple(name for name in names if name != main.name and name not in tokens and name not in model.shared)
    read = frozenset(tensors)

    def reaching(view: GraphView) -> tuple[str, ...]:
        return tuple(name for name in beside if read <= view.data_descendants([name]))

    return graph_fact(model, ("floats_beside", read), reaching)


def embeddings(model: Model) -> tuple[str, ...]:
    """Return the float tensors at which the tokens of the explained input are embedded, or encoded as one-hot.

    Several whose sum or concatenation alone is read are one embedding, the joined one.
    """
    name = model.input().name

    def find(view: GraphView) -> tuple[str, ...]:
        needed = view.ancestors(value.name for value in view.model.graph.output)
        # Optimisers leave look-ups behind whose shape alone is read.
        found = tuple(one for one in token_lookups(view, name).embeddings if one in needed)
        joined = joined_embedding(view, name, found) if len(found) > 1 else None
        return found if joined is None else (joined,)

    return graph_fact(model, ("embeddings", name), find)
