"""Registry of fused ops: how each op that onnxruntime or ``ai.onnx.ml`` adds to ONNX is written as plain ops.

An optimiser replaces several nodes by one of these ops. The functions in the files of :mod:`xaionnx.graph.fused` do
the reverse; :func:`xaionnx.graph.unfuse.unfuse` applies them to a graph. All of these files are imported at the first
look-up.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias, final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.view import AttributeValue, attributes
from xaionnx.registry import modules
from xaionnx.short_repr import short_repr

if TYPE_CHECKING:
    from xaionnx.graph.blocked_layout import BlockedLayout
    from xaionnx.graph.tensor_facts import TensorFacts
    from xaionnx.graph.writing import Writer
    from xaionnx.typing import Array

# Domains of ops that onnxruntime defines.
MICROSOFT: Final = "com.microsoft"
NCHWC: Final = "com.microsoft.nchwc"
NHWC: Final = "com.ms.internal.nhwc"
ADDED_DOMAINS: Final = (MICROSOFT, NCHWC, NHWC)

# Writes a node and returns the tensors that are its outputs; outputs at the end may be left out if nothing reads them.
Body: TypeAlias = "Callable[[FusedNode], str | Sequence[str]]"

_PACKAGE = "xaionnx.graph.fused"
_registered: dict[tuple[str, str], Body] = {}


@final
@dataclass(frozen=True)
class FusedNode:
    """A node with a fused op, while its plain nodes are written.

    Attributes
    ----------
    node : onnx.NodeProto
    facts : TensorFacts
        Types and shapes of the tensors so far.
    writer : Writer
        Names new tensors.
    blocks : BlockedLayout
        Tensors in the NCHWc layout.
    nodes : list of onnx.NodeProto
        The plain nodes written so far.
    """

    node: onnx.NodeProto
    facts: TensorFacts
    writer: Writer
    blocks: BlockedLayout
    nodes: list[onnx.NodeProto] = field(default_factory=list)

    __repr__ = short_repr

    @functools.cached_property
    def attributes(self) -> Mapping[str, AttributeValue]:
        """The attributes that the node states, by name; strings as ``str``."""
        return attributes(self.node)

    def attribute(self, name: str, default: AttributeValue = None) -> AttributeValue:
        """Return an attribute, or ``default`` if the node does not state it."""
        return self.attributes.get(name, default)

    def input(self, index: int) -> str:
        """Return the name of an input, or "" if it is omitted."""
        return self.node.input[index] if index < len(self.node.input) else ""

    def wants(self, index: int) -> bool:
        """Whether the node has an output of this number."""
        return index < len(self.node.output) and bool(self.node.output[index])

    def op(self, op_type: str, *inputs: str | npt.ArrayLike, **settings: AttributeValue) -> str:
        """Write a node and return its output; numbers become constants, as floats of the first operand's type."""
        names = [given if isinstance(given, str) else self.numbers(given, inputs[0]) for given in inputs]
        while names and not names[-1]:
            names.pop()
        stem = self.node.output[0] if self.node.output else self.node.name
        made = helper.make_node(op_type, names, [self.writer.name(f"{stem}/{op_type}")])
        made.name = made.output[0]
        given = {name: value for name, value in settings.items() if value is not None}
        made.attribute.extend(helper.make_attribute(name, value) for name, value in sorted(given.items()))
        self.nodes.append(made)
        self.facts.add(made)
        return str(made.output[0])

    def split(self, value: str, axis: int, sizes: Sequence[int]) -> list[str]:
        """Write a Split and return its outputs."""
        self.op("Split", value, self.integers(sizes), axis=axis)
        made = self.nodes[-1]
        made.output.extend(self.writer.name(f"{made.output[0]}_{index}") for index in range(1, len(sizes)))
        self.facts.add(made)
        return list(made.output)

    def constant(self, array: Array) -> str:
        """Write a constant and return its name."""
        stem = self.node.output[0] if self.node.output else self.node.name
        name = self.writer.name(f"{stem}/constant")
        made = helper.make_node("Constant", [], [name], name=name)
        made.attribute.append(helper.make_attribute("value", numpy_helper.from_array(np.asarray(array, order="C"))))
        self.nodes.append(made)
        self.facts.add(made)
        return name

    def numbers(self, numbers: npt.ArrayLike, like: str | npt.ArrayLike) -> str:
        """Write a constant and return its name; floats get the type of the tensor ``like``."""
        content = np.asarray(numbers)
        if content.dtype.kind != "f" or not isinstance(like, str):
            return self.constant(content)
        kind = self.dtype(like)
        if kind == onnx.TensorProto.BFLOAT16:
            return self.op("Cast", self.constant(content.astype(np.float32)), to=kind)
        return self.constant(content.astype(helper.tensor_dtype_to_np_dtype(kind)))

    def integers(self, numbers: int | Sequence[int]) -> str:
        """Write a constant of int64 and return its name."""
        return self.constant(np.array(numbers, dtype=np.int64))

    def transpose(self, value: str, *perm: int) -> str:
        """Write a Transpose, or return ``value`` if it would change nothing."""
        return value if list(perm) == sorted(perm) else self.op("Transpose", value, perm=list(perm))

    def array(self, name: str) -> Array | None:
        """Return the numbers of a constant, or None if the tensor is computed."""
        return self.facts.array(name)

    def rank(self, name: str) -> int:
        """Return the number of axes of a tensor."""
        shape = self.facts.shape(name)
        if shape is None:
            raise self.refusal(f"the number of axes of its input '{name}' is not known")
        return len(shape)

    def sizes(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor, all of whose sizes must be fixed."""
        shape = self.facts.shape(name)
        if shape is None or None in shape:
            raise self.refusal(f"the shape of its input '{name}' is not known")
        return tuple(size for size in shape if size is not None)

    def size(self, name: str, axis: int) -> int:
        """Return the size of one axis of a tensor, which must be fixed."""
        shape = self.facts.shape(name)
        size = None if shape is None else shape[axis]
        if size is None:
            raise self.refusal(f"the size of axis {axis} of its input '{name}' is not known")
        return size

    def dtype(self, name: str) -> int:
        """Return the ONNX type of the elements of a tensor; that of another input if it is unknown."""
        kind = self.facts.kind(name)
        floats = (self.facts.kind(given) for given in self.node.input if given)
        return kind or next((other for other in floats if other in _FLOATS), onnx.TensorProto.FLOAT)

    def refusal(self, reason: str) -> UnsupportedModelError:
        """Return the error for a node that cannot be written as plain ops; the reason follows its name."""
        return UnsupportedModelError(reason)


_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16)


def fused(*op_types: str, domain: str = MICROSOFT) -> Callable[[Body], Body]:
    """Register a function that writes nodes of these ops as plain ops."""

    def enter(body: Body) -> Body:
        for op_type in op_types:
            if (domain, op_type) in _registered:
                raise ValueError(f"{domain}.{op_type} has two bodies")
            _registered[domain, op_type] = body
        return body

    return enter


@functools.cache
def fused_ops() -> Mapping[tuple[str, str], Body]:
    """Return the bodies of all fused ops, by domain and name."""
    modules(_PACKAGE)
    return MappingProxyType(_registered)
