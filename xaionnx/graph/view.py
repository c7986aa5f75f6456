"""One view of a graph: what every walker over an ONNX graph reads of it, found once and kept.

Protobuf answers slowly and knows no neighbours: a node holds names, not the nodes that make or read them; attributes
are a list without the defaults of their op; constants stand in three places. :class:`GraphView` finds each of these
when it is first asked. ``Model.view`` keeps one for as long as the model.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

import onnx
from onnx import helper, numpy_helper

from xaionnx.graph.inference import inferred
from xaionnx.loading import declared_inputs
from xaionnx.loading.soundness import subgraphs
from xaionnx.short_repr import short_repr

if TYPE_CHECKING:
    from xaionnx.typing import Array, Shapes

# Domains of the ops that ONNX itself defines.
DEFAULT_DOMAINS: Final = ("", "ai.onnx")
# These read the shape of their operand and not its numbers.
SHAPE_READERS: Final = frozenset({"Shape", "Size"})
# More numbers than axes, sizes or the bounds of a Slice are weights.
_FEW = 16
# Attributes of Constant that hold its numbers as they are, with the type of the tensor.
_PLAIN: Mapping[str, int] = {
    "value_float": onnx.TensorProto.FLOAT,
    "value_floats": onnx.TensorProto.FLOAT,
    "value_int": onnx.TensorProto.INT64,
    "value_ints": onnx.TensorProto.INT64,
}

# A number, a text, a tensor, a graph, or a list of such. The op says which one an attribute of a name holds, and who
# reads it knows the op: a union would have each of them ask again.
AttributeValue: TypeAlias = Any
Attributes: TypeAlias = Mapping[str, AttributeValue]


@final
class GraphView:
    """The nodes, constants, attributes, neighbours and shapes of a model's graph, which must not change meanwhile.

    Bodies of If, Loop and Scan belong to their node: what they take from outside is read by it.

    Parameters
    ----------
    model : onnx.ModelProto

    Examples
    --------
    >>> from onnx import parser
    >>> view = GraphView(parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]>
    ... g (float[N, 2] x) => (float[N, 2] y) <float[2] b = {1, 2}> { h = Add(x, b)  y = Softmax(h) }'''))
    >>> [node.op_type for node in view.nodes], view.producers["y"].op_type, view.consumers["h"][0].op_type
    (['Add', 'Softmax'], 'Softmax', 'Softmax')
    >>> view.attributes(view.producers["y"])["axis"], view.small("b")
    (-1, array([1., 2.], dtype=float32))
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self._shapes: dict[Hashable, Shapes] = {}

    __repr__ = short_repr

    @cached_property
    def nodes(self) -> tuple[onnx.NodeProto, ...]:
        """Nodes of the main graph in topological order."""
        return tuple(ordered(self.model.graph))

    @cached_property
    def producers(self) -> Mapping[str, onnx.NodeProto]:
        """The node that makes a tensor, by the tensor's name."""
        return {name: node for node in self.nodes for name in node.output if name}

    @cached_property
    def consumers(self) -> Mapping[str, tuple[onnx.NodeProto, ...]]:
        """The nodes that read a tensor, in topological order; those whose bodies do, too. None read an output alone."""
        found: dict[str, list[onnx.NodeProto]] = {}
        for node, names in zip(self.nodes, self._reads, strict=True):
            for name in dict.fromkeys(names):
                found.setdefault(name, []).append(node)
        return {name: tuple(nodes) for name, nodes in found.items()}

    @cached_property
    def constants(self) -> Mapping[str, onnx.TensorProto]:
        """Weights, and what nodes of op Constant make, as they are stored: external data stay where they are."""
        held = {tensor.name: tensor for tensor in self.model.graph.initializer}
        for node in self.model.graph.node:
            if node.op_type == "Constant" and node.domain in DEFAULT_DOMAINS:
                for attribute in node.attribute:
                    if attribute.name == "value":
                        held[node.output[0]] = attribute.t
                    elif attribute.name in _PLAIN:
                        value = helper.get_attribute_value(attribute)
                        dims = (len(value),) if isinstance(value, Sequence) else ()
                        numbers = value if isinstance(value, Sequence) else [value]
                        held[node.output[0]] = helper.make_tensor("", _PLAIN[attribute.name], dims, numbers)
        return held

    @cached_property
    def opsets(self) -> Mapping[str, int]:
        """The version of each domain that the model uses."""
        return {opset.domain: opset.version for opset in self.model.opset_import}

    @cached_property
    def tensor_names(self) -> tuple[str, ...]:
        """Names of all tensors that depend on something: the inputs, then what each node makes, in topological order.

        Weights are left out, and so are tensors inside the bodies of If, Loop and Scan, which no session can show.
        """
        made = (name for node in self.nodes for name in node.output if name)
        return (*(value.name for value in declared_inputs(self.model)), *made)

    @cached_property
    def _reads(self) -> tuple[list[str], ...]:
        return tuple(reads(node) for node in self.nodes)

    def attributes(self, node: onnx.NodeProto) -> Attributes:
        """Attributes of a node by name, with those that it leaves to the defaults of its op; strings as ``str``."""
        return attributes(node, self.opsets.get("", self.opsets.get("ai.onnx", 1)))

    def small(self, name: str, most: int = _FEW) -> Array | None:
        """The numbers of a scalar or a short list, such as axes, sizes or bounds; None of any other tensor."""
        tensor = self.constants.get(name)
        if tensor is None or tensor.data_location == onnx.TensorProto.EXTERNAL:
            return None
        if len(tensor.dims) > 1 or (tensor.dims and tensor.dims[0] > most):
            return None
        return numpy_helper.to_array(tensor)

    def descendants(self, names: Iterable[str]) -> set[str]:
        """Names of the tensors that depend on any of those given, which are not among them."""
        sources = set(names)
        return self._after(sources, lambda _: True) - sources

    def reads_data(self, sources: Iterable[str]) -> set[str]:
        """Tensors whose numbers depend on those of the sources, which are among them; those of shapes alone do not."""
        return self._after(sources, lambda node: node.op_type not in SHAPE_READERS)

    def _after(self, sources: Iterable[str], hands_on: Callable[[onnx.NodeProto], bool]) -> set[str]:
        found = set(sources)
        for node, names in zip(self.nodes, self._reads, strict=True):
            if hands_on(node) and not found.isdisjoint(names):
                found.update(name for name in node.output if name)
        return found

    def ancestors(self, names: Iterable[str]) -> set[str]:
        """Names of everything that some tensors are made from, inputs and weights too, and of these tensors."""
        return self.needed((), names)[1]

    def needed(self, inputs: Collection[str], outputs: Iterable[str]) -> tuple[list[onnx.NodeProto], set[str]]:
        """Nodes on the way to the outputs, and every name read or made there; the walk stops at the inputs."""
        wanted = set(outputs)
        names, kept = wanted | set(inputs), list[onnx.NodeProto]()
        waiting = wanted - set(inputs)
        for node, taken in zip(reversed(self.nodes), reversed(self._reads), strict=True):
            if waiting.isdisjoint(node.output):
                continue
            kept.append(node)
            names.update(name for name in node.output if name)
            names.update(taken)
            waiting.update(set(taken).difference(inputs))
        return kept[::-1], names

    def shapes(self, sizes: Mapping[str, Sequence[int]]) -> Shapes:
        """Shapes of tensors, as ONNX's inference finds them for inputs of some sizes; None where it does not."""
        key = tuple((name, tuple(size)) for name, size in sizes.items())
        if key not in self._shapes:
            found = {
                name: tuple(
                    dim.dim_value if dim.HasField("dim_value") else None for dim in value.type.tensor_type.shape.dim
                )
                for name, value in inferred(self.model, self.nodes, sizes).items()
                if value.type.tensor_type.HasField("shape")
            }
            self._shapes[key] = MappingProxyType(found)
        return self._shapes[key]


def attributes(node: onnx.NodeProto, opset: int | None = None) -> Attributes:
    """Attributes of a node by name, with the defaults of its op; see :meth:`GraphView.attributes`.

    ``opset`` is the version of the default domain, the newest where it is left out.
    """
    given = {attribute.name: _value(attribute) for attribute in node.attribute}
    return {**_defaults(node.op_type, opset), **given} if node.domain in DEFAULT_DOMAINS else given


def _value(attribute: onnx.AttributeProto) -> AttributeValue:
    value: AttributeValue = helper.get_attribute_value(attribute)
    if attribute.type == onnx.AttributeProto.STRING:
        return value.decode()
    return [text.decode() for text in value] if attribute.type == onnx.AttributeProto.STRINGS else value


@lru_cache(maxsize=1024)
def _defaults(op_type: str, opset: int | None) -> Attributes:
    newest = onnx.defs.onnx_opset_version()
    if not onnx.defs.has(op_type):
        return {}
    try:
        schema = onnx.defs.get_schema(op_type, min(opset or newest, newest))
    except onnx.defs.SchemaError:  # younger than the model says
        schema = onnx.defs.get_schema(op_type)
    stated = {name: attribute.default_value for name, attribute in schema.attributes.items()}
    return {name: _plain(_value(one)) for name, one in stated.items() if one.type != onnx.AttributeProto.UNDEFINED}


def _plain(value: AttributeValue) -> AttributeValue:
    # 1e-5 as the standard writes it, not as its float32 reads.
    return float(f"{value:.7g}") if isinstance(value, float) else value


def ordered(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Nodes of an acyclic graph in topological order; otherwise in the order of the file."""
    nodes = list(graph.node)
    maker = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    order: list[onnx.NodeProto] = []
    placed = bytearray(len(nodes))
    for first in range(len(nodes)):
        stack = [first]
        while stack:
            index = stack[-1]
            if placed[index]:
                stack.pop()
                continue
            waiting = [maker[name] for name in reads(nodes[index]) if name in maker and not placed[maker[name]]]
            if waiting:
                stack.extend(reversed(waiting))
            else:
                stack.pop()
                placed[index] = 1
                order.append(nodes[index])
    return order


def reads(node: onnx.NodeProto) -> list[str]:
    """Names that a node needs: its inputs, and what its bodies take from outside."""
    names = [name for name in node.input if name]
    bodies = list(subgraphs(node))
    if not bodies:
        return names
    # Scopes from the outside in, each with the position of the one that holds it; then resolved from the inside out.
    scopes: list[tuple[onnx.GraphProto, int]] = [(body, -1) for body in bodies]
    at = 0
    while at < len(scopes):
        scopes.extend((inner, at) for held in scopes[at][0].node for inner in subgraphs(held))
        at += 1
    taken: list[dict[str, None]] = [{} for _ in scopes]
    for at in range(len(scopes) - 1, -1, -1):
        body, outer = scopes[at]
        own = {value.name for value in body.input} | {tensor.name for tensor in body.initializer}
        own.update(tensor.values.name for tensor in body.sparse_initializer)
        for held in body.node:
            own.update(held.output)
        used = taken[at]
        used.update(dict.fromkeys(name for held in body.node for name in held.input if name))
        used.update(dict.fromkeys(value.name for value in body.output))
        free = [name for name in used if name not in own]
        if outer < 0:
            names.extend(free)
        else:
            taken[outer].update(dict.fromkeys(free))
    return names


def reads_data(nodes: Iterable[onnx.NodeProto], sources: Iterable[str]) -> set[str]:
    """Tensors whose numbers depend on those of the sources; ``nodes`` come in topological order."""
    dependent = set(sources)
    for node in nodes:
        if node.op_type not in SHAPE_READERS and not dependent.isdisjoint(reads(node)):
            dependent.update(name for name in node.output if name)
    return dependent
