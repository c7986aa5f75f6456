"""What each input of a model is for: data, or a mask, a length, a setting, a state, token types or positions.

The graph decides first: what an input is used for, followed through casts, rearrangements and arithmetic with constants
to the ops that combine it with other inputs. Usual names decide second, and the shape last.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias, final

from xaionnx.graph.category_elements import category_elements
from xaionnx.graph.declared_tensor import DeclaredTensor, Purpose
from xaionnx.graph.float_copies import FLOAT_TYPES
from xaionnx.graph.input_names import purpose_by_name
from xaionnx.graph.input_uses import InputUses
from xaionnx.graph.lookups import token_inputs
from xaionnx.loading import declared_inputs

if TYPE_CHECKING:
    from xaionnx.graph.view import GraphView

Source: TypeAlias = Literal["graph", "name", "shape"]


@final
@dataclass(frozen=True)
class InputPurpose:
    """What an input is for, and how that is known.

    Attributes
    ----------
    purpose : str
        ``data``, ``mask``, ``length``, ``setting``, ``state``, ``token types`` or ``positions``.
    source : str
        ``graph``, ``name`` or ``shape``.
    is_free : bool
        Whether the size of a sample may vary, as the length of a sound does and the number of columns does not.
    is_token : bool
        Whether its numbers are looked up in a table, as those of tokens are: no number between two of them means
        anything.
    categories : frozenset of int
        The elements of a sample of floats, flattened, that are categories by the graph.
    """

    purpose: Purpose
    source: Source
    is_free: bool = False
    is_token: bool = False
    categories: frozenset[int] = frozenset()

    @property
    def is_data(self) -> bool:
        """Whether the input is explained by default."""
        return self.purpose == "data"

    def __str__(self) -> str:
        """The purpose with its article, such as ``a mask``."""
        return self.purpose if self.purpose in ("data", "token types", "positions") else f"a {self.purpose}"


def input_purposes(view: GraphView, shared: Collection[str] = ()) -> dict[str, InputPurpose]:
    """Return the purpose of each input of a graph.

    At least one input is data: the first for which the graph or its name do not say otherwise, or else the first.

    Parameters
    ----------
    view : GraphView
    shared : collection of str
        Inputs without a batch axis, the same for every sample.

    Examples
    --------
    >>> from onnx import parser
    >>> from xaionnx.graph.view import GraphView
    >>> view = GraphView(parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]>
    ... g (float[N, T] x, bool[N, T] valid, int64 rate) => (float[N, T] y) <float zero = {0}> {
    ...   f = Cast <to = 1> (rate)  s = Mul(x, f)  y = Where(valid, s, zero) }'''))
    >>> {name: str(found) for name, found in input_purposes(view, ["rate"]).items()}
    {'x': 'data', 'valid': 'a mask', 'rate': 'a setting'}
    """
    found = _found_purposes(view, shared)
    tokens = token_inputs(view, [name for name in found if name not in shared])
    categories = {one.name: _categories(view, one) for one in map(DeclaredTensor.of, declared_inputs(view.model))}
    return {
        name: replace(purpose, is_token=name in tokens, categories=categories[name]) for name, purpose in found.items()
    }


def _categories(view: GraphView, one: DeclaredTensor) -> frozenset[int]:
    """The elements of a sample that are categories; none if its size is free, or it holds no floats."""
    sizes = [size for size in one.shape[1:] if isinstance(size, int)]
    if one.kind not in FLOAT_TYPES or not one.shape or len(sizes) < len(one.shape) - 1:
        return frozenset()
    return category_elements(view, one.name, (one.shape[0] if isinstance(one.shape[0], int) else 1, *sizes))


def _found_purposes(view: GraphView, shared: Collection[str]) -> dict[str, InputPurpose]:
    inputs = [DeclaredTensor.of(value) for value in declared_inputs(view.model)]
    if len(inputs) < 2:
        return {one.name: InputPurpose("data", "shape", one.is_free) for one in inputs}
    uses = InputUses(view, inputs)
    outputs = [DeclaredTensor.of(value) for value in view.model.graph.output]
    found = {one.name: _purpose(one, uses.of(one), one.name in shared, outputs) for one in inputs}
    if not any(each.is_data for each in found.values()):
        first = next((one for one in inputs if one.name not in shared and one.shape), inputs[0])
        found[first.name] = InputPurpose("data", "shape", first.is_free)
    return found


def is_data(purposes: Mapping[str, InputPurpose], name: str) -> bool:
    """Whether an input is data; inputs of unknown purpose are."""
    return name not in purposes or purposes[name].is_data


def _purpose(one: DeclaredTensor, uses: frozenset[str], shared: bool, outputs: list[DeclaredTensor]) -> InputPurpose:
    if not one.shape:
        return InputPurpose("setting", "shape")
    by_graph = _by_uses(one, uses)
    if by_graph is not None:
        return InputPurpose(by_graph, "graph", one.is_free)
    by_name = purpose_by_name(one, shared, outputs)
    if by_name is not None:
        return InputPurpose(by_name, "name", one.is_free)
    return InputPurpose("setting" if shared else "data", "shape", one.is_free)


def _by_uses(one: DeclaredTensor, uses: frozenset[str]) -> Purpose | None:
    """Return the purpose if all uses agree on one that is not data; None if they do not."""
    if not uses or "data" in uses:
        return None
    # A factor may be anything, unless it also counts what it keeps, is a whole number, or weighs whole numbers: tokens.
    kept = uses - {"factor", "divisor", "factor of tokens"}
    if "factor" in uses and not kept and one.has_features:
        # Several numbers a position, such as what an encoder made of a text.
        return None
    if "factor" in uses and not kept and not (one.is_integer or uses & {"divisor", "factor of tokens"}):
        return None
    for purpose in ("state", "token types", "positions"):
        if purpose in kept:
            return purpose
    if "length" in kept:
        return "length"
    if kept <= {"mask"} and (kept or "factor" in uses):
        # One truth a sample, such as whether someone is a member, is data.
        return "mask" if one.has_positions else None
    return "setting" if kept == {"setting"} else None
