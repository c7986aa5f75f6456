"""A view of an ONNX graph: its nodes, constants, attributes and neighbours, found once and cached.

Protobuf is slow, and a node holds names, not the nodes that produce or consume them; attributes are a list without
the defaults of their op; constants are stored in three ways. :class:`GraphView` finds each of these at first use.
``Model.view`` keeps one view for each model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from heapq import heapify, heappop, heappush
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

import numpy as np
import numpy.typing as npt
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
# These ops read the shape of their operand, not its values.
SHAPE_READERS: Final = frozenset({"Shape", "Size"})
# Axes, sizes and bounds of a Slice have at most this many numbers; larger constants are weights.
_FEW = 16
# Attributes of Constant that hold plain numbers, and the type of the tensor.
_PLAIN: Mapping[str, int] = {
    "value_float": onnx.TensorProto.FLOAT,
    "value_floats": onnx.TensorProto.FLOAT,
    "value_int": onnx.TensorProto.INT64,
    "value_ints": onnx.TensorProto.INT64,
}

# Ops that exporters apply to axes and sizes, as functions of the attributes and the operands.
_FOLDED: Mapping[str, Callable[..., npt.ArrayLike]] = {
    "Cast": lambda stated, x: x.astype(helper.tensor_dtype_to_np_dtype(stated["to"])),
    "Concat": lambda stated, *parts: np.concatenate(parts, axis=stated["axis"]),
    "Identity": lambda _, x: x,
    "Reshape": lambda stated, x, sizes=None: x.reshape(stated["shape"] if sizes is None else sizes),
    "Squeeze": lambda stated, x, axes=None: np.squeeze(x, _axes(stated, axes)),
    "Unsqueeze": lambda stated, x, axes=None: np.expand_dims(x, _axes(stated, axes) or ()),
}

# Value of a node's attribute: a number, a string, a tensor, a graph, or a list of these. Which one depends on the op
# and the name, which the reader knows; a union would make every reader check again.
AttributeValue: TypeAlias = Any
Attributes: TypeAlias = Mapping[str, AttributeValue]


@final
class GraphView:
    """The nodes, constants, attributes, neighbours and shapes of a model's graph, which must not change.

    Bodies of If, Loop and Scan belong to their node: it reads what they use from outside.

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
        return tuple(topological_order(self.model.graph))

    @cached_property
    def producers(self) -> Mapping[str, onnx.NodeProto]:
        """The node that produces each tensor, by the tensor's name."""
        return {name: node for node in self.nodes for name in node.output if name}

    @cached_property
    def consumers(self) -> Mapping[str, tuple[onnx.NodeProto, ...]]:
        """The nodes that read each tensor, also inside their bodies, in topological order; no entry for unread ones."""
        readers: dict[str, list[onnx.NodeProto]] = {}
        for node, names in zip(self.nodes, self._reads, strict=True):
            for name in dict.fromkeys(names):
                readers.setdefault(name, []).append(node)
        return {name: tuple(nodes) for name, nodes in readers.items()}

    @cached_property
    def _reader_places(self) -> Mapping[str, list[int]]:
        """The places in :attr:`nodes` of the nodes that read each tensor."""
        found: dict[str, list[int]] = {}
        for place, names in enumerate(self._reads):
            for name in dict.fromkeys(names):
                found.setdefault(name, []).append(place)
        return found

    @cached_property
    def constants(self) -> Mapping[str, onnx.TensorProto]:
        """Initializers and the outputs of Constant nodes, as stored: external data are not loaded.

        Short lists that an exporter computes from such constants, as axes and sizes, are constants too.
        """
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
        for node in self.nodes:
            if (
                node.op_type in _FOLDED
                and node.domain in DEFAULT_DOMAINS
                and all(_is_short(held, n) for n in node.input)
            ):
                arrays = [numpy_helper.to_array(held[name]) for name in node.input]
                folded = _FOLDED[node.op_type](attributes(node), *arrays)
                held[node.output[0]] = numpy_helper.from_array(np.asarray(folded))
        return held

    @cached_property
    def opsets(self) -> Mapping[str, int]:
        """The opset version of each domain that the model imports."""
        return {opset.domain: opset.version for opset in self.model.opset_import}

    @cached_property
    def tensor_names(self) -> tuple[str, ...]:
        """Names of the inputs and of the outputs of all nodes, in topological order.

        Weights are left out, and so are tensors inside the bodies of If, Loop and Scan, which a session cannot return.
        """
        produced = (name for node in self.nodes for name in node.output if name)
        return (*(value.name for value in declared_inputs(self.model)), *produced)

    @cached_property
    def types(self) -> Mapping[str, int]:
        """The element type of each tensor, as far as inference knows it, as numbers of ``onnx.TensorProto``."""
        found = {name: value.type.tensor_type.elem_type for name, value in inferred(self.model, self.nodes).items()}
        return {name: kind for name, kind in found.items() if kind}

    @cached_property
    def _reads(self) -> tuple[list[str], ...]:
        return tuple(reads(node) for node in self.nodes)

    def attributes(self, node: onnx.NodeProto) -> Attributes:
        """Return the attributes of a node by name, including the defaults of its op; strings as ``str``."""
        return attributes(node, self.opsets.get("", self.opsets.get("ai.onnx", 1)))

    def small(self, name: str, most: int = _FEW) -> Array | None:
        """Return the value of a scalar or short list constant, such as axes, sizes or bounds; else None."""
        tensor = self.constants.get(name)
        if tensor is None or tensor.data_location == onnx.TensorProto.EXTERNAL:
            return None
        if len(tensor.dims) > 1 or (tensor.dims and tensor.dims[0] > most):
            return None
        return numpy_helper.to_array(tensor)

    def descendants(self, names: Iterable[str]) -> set[str]:
        """Return the names of the tensors that depend on any of ``names``, without these."""
        sources = set(names)
        return self.follow(sources, lambda _: True)[1] - sources

    def data_descendants(self, sources: Iterable[str]) -> set[str]:
        """Return the sources and the tensors whose values depend on theirs, not only on their shapes."""
        return self.follow(sources, lambda node: node.op_type not in SHAPE_READERS)[1]

    def follow(
        self, sources: Iterable[str], passes_on: Callable[[onnx.NodeProto], bool]
    ) -> tuple[list[onnx.NodeProto], set[str]]:
        """Follow some tensors to the nodes that read them and ``pass on``, to those that read what these return, ...

        Nodes are visited in topological order, and those that are not reached not at all. Return the nodes that pass
        on, and the names of the sources and of the outputs of these nodes.
        """
        reached, nodes = set(sources), list[onnx.NodeProto]()
        waiting = list({reader for name in reached for reader in self._reader_places.get(name, ())})
        heapify(waiting)
        last = -1
        while waiting:
            place = heappop(waiting)
            node = self.nodes[place]
            if place == last or not passes_on(node):
                last = place
                continue
            last = place
            nodes.append(node)
            for name in filter(None, node.output):
                reached.add(name)
                for reader in self._reader_places.get(name, ()):
                    if reader > place:  # others close a cycle
                        heappush(waiting, reader)
        return nodes, reached

    def ancestors(self, names: Iterable[str]) -> set[str]:
        """Return ``names`` and the names of everything that these tensors depend on, inputs and weights included."""
        return self.needed((), names)[1]

    def needed(self, inputs: Collection[str], outputs: Iterable[str]) -> tuple[list[onnx.NodeProto], set[str]]:
        """Return the nodes between inputs and outputs, and every name that they read or produce."""
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

    def _nodes_with_constants(self) -> list[onnx.NodeProto]:
        """Return the nodes, with constants in place of those that compute axes and sizes from constants."""
        return [
            helper.make_node("Constant", [], node.output, value=self.constants[node.output[0]])
            if node.op_type in _FOLDED and node.output[0] in self.constants
            else node
            for node in self.nodes
        ]

    def shapes(self, sizes: Mapping[str, Sequence[int]]) -> Shapes:
        """Return the shapes of tensors, inferred for inputs of the given ``sizes``; None for an unknown size."""
        key = tuple((name, tuple(size)) for name, size in sizes.items())
        if key not in self._shapes:
            found = {
                name: tuple(
                    dim.dim_value if dim.HasField("dim_value") else None for dim in value.type.tensor_type.shape.dim
                )
                for name, value in inferred(self.model, self._nodes_with_constants(), sizes).items()
                if value.type.tensor_type.HasField("shape")
            }
            self._shapes[key] = MappingProxyType(found)
        return self._shapes[key]


def _axes(stated: Attributes, given: Array | None) -> tuple[int, ...] | None:
    """Axes from an operand, or before opset 13 from an attribute."""
    found = stated.get("axes") if given is None else given
    return None if found is None else tuple(int(axis) for axis in found)


def _is_short(held: Mapping[str, onnx.TensorProto], name: str) -> bool:
    """Whether a tensor is a constant scalar or list of integers, as axes and sizes are."""
    tensor = held.get(name)
    return (
        tensor is not None
        and tensor.data_type in (onnx.TensorProto.INT64, onnx.TensorProto.INT32)
        and tensor.data_location != onnx.TensorProto.EXTERNAL
        and math.prod(tensor.dims) <= _FEW
        and 0 not in tensor.dims
    )


def attributes(node: onnx.NodeProto, opset: int | None = None) -> Attributes:
    """Return the attributes of a node by name, with the defaults of its op; see :meth:`GraphView.attributes`.

    ``opset`` is the version of the default domain, by default the newest.
    """
    return _Stated(node, _defaults(node.op_type, opset) if node.domain in DEFAULT_DOMAINS else {})


@final
class _Stated(Mapping[str, AttributeValue]):
    """The attributes of a node over defaults; each is decoded when it is read, as trees have millions of numbers."""

    def __init__(self, node: onnx.NodeProto, defaults: Attributes) -> None:
        self._coded = {attribute.name: attribute for attribute in node.attribute}
        self._decoded = {name: value for name, value in defaults.items() if name not in self._coded}

    __repr__ = short_repr

    def __getitem__(self, name: str) -> AttributeValue:
        # Nothing is taken away, as threads share the nodes of a model.
        if name not in self._decoded:
            self._decoded[name] = _value(self._coded[name])
        return self._decoded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._coded or name in self._decoded

    def __iter__(self) -> Iterator[str]:
        return iter({**self._decoded, **self._coded})

    def __len__(self) -> int:
        return len({**self._decoded, **self._coded})


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
    except onnx.defs.SchemaError:  # the op is newer than the opset that the model declares
        schema = onnx.defs.get_schema(op_type)
    stated = {name: attribute.default_value for name, attribute in schema.attributes.items()}
    return {name: _plain(_value(one)) for name, one in stated.items() if one.type != onnx.AttributeProto.UNDEFINED}


def _plain(value: AttributeValue) -> AttributeValue:
    # 1e-5 as in the standard, not as its float32 prints.
    return float(f"{value:.7g}") if isinstance(value, float) else value


def topological_order(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the nodes of an acyclic graph in topological order; those of other graphs in the order of the file."""
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
    """Return the names that a node reads: its inputs, and what its bodies use from outside."""
    names = [name for name in node.input if name]
    bodies = list(subgraphs(node))
    if not bodies:
        return names
    # Scopes from outer to inner, each with the index of its parent; resolved from inner to outer.
    scopes: list[tuple[onnx.GraphProto, int]] = [(body, -1) for body in bodies]
    at = 0
    while at < len(scopes):
        scopes.extend((inner, at) for held in scopes[at][0].node for inner in subgraphs(held))
        at += 1
    taken: list[dict[str, None]] = [{} for _ in scopes]
    for at in range(len(scopes) - 1, -1, -1):
        body, outer = scopes[at]
        local = {value.name for value in body.input} | {tensor.name for tensor in body.initializer}
        local.update(tensor.values.name for tensor in body.sparse_initializer)
        for held in body.node:
            local.update(held.output)
        used = taken[at]
        used.update(dict.fromkeys(name for held in body.node for name in held.input if name))
        used.update(dict.fromkeys(value.name for value in body.output))
        free = [name for name in used if name not in local]
        if outer < 0:
            names.extend(free)
        else:
            taken[outer].update(dict.fromkeys(free))
    return names


def data_descendants(nodes: Iterable[onnx.NodeProto], sources: Iterable[str]) -> set[str]:
    """Return the tensors whose values depend on those of the sources; ``nodes`` must be in topological order."""
    dependent = set(sources)
    for node in nodes:
        if node.op_type not in SHAPE_READERS and not dependent.isdisjoint(reads(node)):
            dependent.update(name for name in node.output if name)
    return dependent
