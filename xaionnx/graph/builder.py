"""Add nodes to a graph in the form of expressions: ``g.op("Where", positive, x, 0.0)``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple, TypeAlias, overload

import numpy as np
import numpy.typing as npt
import onnx.defs
import onnx_ir as ir

from xaionnx.errors import ParameterError, UnsupportedModelError

Constant: TypeAlias = bool | int | float | np.generic | npt.NDArray[np.generic] | Sequence[int] | Sequence[float]
Operand: TypeAlias = ir.Value | Constant | None
Attribute: TypeAlias = (
    int
    | float
    | str
    | Sequence[int]
    | Sequence[float]
    | Sequence[str]
    | npt.NDArray[np.generic]
    | ir.DataType
    | ir.Graph
)


class _Schema(NamedTuple):
    """The parts of an op's schema that emission needs. A type is a variable such as ``T``, or ``tensor(int64)``."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    allowed: dict[str, frozenset[str]]
    attributes: frozenset[str]
    arity: tuple[int, int]
    variadic: bool
    alike: bool

    def input_type(self, index: int) -> str:
        if index < len(self.inputs) - 1 or not self.variadic:
            return self.inputs[index]
        # Operands of Concat share one type; those of Loop do not.
        return self.inputs[-1] if self.alike else f"{self.inputs[-1]} {index}"


class Builder:
    """Adds nodes to one graph, with fresh names, constants of the right type, and known data types.

    Parameters
    ----------
    model : onnx_ir.Model, optional
        The model to extend in place; an empty one by default.
    prefix : str
        Prefix of all new names. Names of the model are never used again.
    opset : int
        Version of the default domain for a new model; a given model keeps its version.

    Attributes
    ----------
    model : onnx_ir.Model
    graph : onnx_ir.Graph

    Notes
    -----
    A Python number takes the type that the op's schema requires: the type of the operands that share its type
    variable. In ``Where(condition, x, 0)`` the zero has the type of ``x``, not the condition's bool. An array keeps its
    type.

    Emission takes constant time per node, independent of the size of the graph; equal constants are stored once.

    Examples
    --------
    >>> import numpy as np
    >>> g = Builder(opset=17)
    >>> x = g.input("x", ir.DataType.FLOAT, ["N", 3])
    >>> y = g.op("Where", g.op("Greater", x, 0), x, 0)
    >>> y.dtype
    FLOAT
    >>> g.output(y, "y").name
    'y'
    >>> [node.op_type for node in g.graph]
    ['Greater', 'Where']
    """

    def __init__(self, model: ir.Model | None = None, *, prefix: str = "xai_", opset: int = 20) -> None:
        if model is None:
            graph = ir.Graph([], [], nodes=[], opset_imports={"": opset}, name="graph")
            model = ir.Model(graph, ir_version=8)
        self.model = model
        self.graph = model.graph
        self._prefix = prefix
        self._names = _all_names(model.graph)
        self._next = 0
        self._constants: dict[tuple[ir.DataType, tuple[int, ...], bytes], ir.Value] = {}
        self._emitted: set[ir.Value] = set()

    @overload
    def op(
        self, op_type: str, *operands: Operand, outputs: None = None, domain: str = "", **attributes: Attribute
    ) -> ir.Value: ...

    @overload
    def op(
        self, op_type: str, *operands: Operand, outputs: int, domain: str = "", **attributes: Attribute
    ) -> tuple[ir.Value, ...]: ...

    def op(
        self, op_type: str, *operands: Operand, outputs: int | None = None, domain: str = "", **attributes: Attribute
    ) -> ir.Value | tuple[ir.Value, ...]:
        """Add one node and return its first output, or a tuple of outputs if ``outputs`` is given.

        Parameters
        ----------
        op_type : str
        *operands : onnx_ir.Value, number, array, list or None
            None omits an optional operand.
        outputs : int, optional
            Number of outputs; one by default.
        domain : str
        **attributes
            Attributes of the node, named as in the op's schema.

        Raises
        ------
        UnsupportedModelError
            The model's opset has no such op.
        ParameterError
            The op has no such attribute or number of operands, or a number does not fit the required type.
        """
        schema = _schema(op_type, domain, self._version(domain))
        low, high = schema.arity
        if not low <= len(operands) <= high:
            raise ParameterError(f"{op_type} takes {low} to {high} operands. Got {len(operands)} instead.")
        if not attributes.keys() <= schema.attributes:
            strange = min(attributes.keys() - schema.attributes)
            raise ParameterError(f"{op_type} of opset {self._version(domain)} has no attribute '{strange}'.")
        bound = _bind(schema, operands)
        values = [
            operand
            if operand is None or isinstance(operand, ir.Value)
            else self._constant_operand(op_type, operand, schema.input_type(index), schema, bound)
            for index, operand in enumerate(operands)
        ]
        for index, value in enumerate(values):  # the type of the first constant determines the type of the outputs
            if value is not None and value.dtype is not None:
                bound.setdefault(schema.input_type(index), value.dtype)
        node = ir.Node(
            domain,
            op_type,
            values,
            [_attribute(key, value) for key, value in attributes.items()],
            num_outputs=1 if outputs is None else outputs,
            name=self.fresh(op_type),
        )
        for index, value in enumerate(node.outputs):
            value.name = node.name if index == 0 else f"{node.name}_{index}"
            self._names.add(str(value.name))
            dtype = _output_type(schema, index, bound, attributes)
            if dtype is not None:
                value.type = ir.TensorType(dtype)
        self._emitted.update(node.outputs)
        self.graph.append(node)
        return node.outputs[0] if outputs is None else tuple(node.outputs)

    def reshape(self, value: Operand, sizes: Operand) -> ir.Value:
        """Return ``value`` reshaped: -1 is inferred from the other sizes, 0 keeps a size."""
        return self.op("Reshape", value, sizes)

    def constant(self, array: npt.ArrayLike, dtype: ir.DataType | None = None) -> ir.Value:
        """Return an initializer with these numbers; equal numbers and types share one value."""
        content = np.asarray(array)
        if dtype is not None and dtype.numpy() != content.dtype:
            content = content.astype(dtype.numpy())
        held = ir.DataType.from_numpy(content.dtype) if dtype is None else dtype
        key = (held, content.shape, content.tobytes())
        value = self._constants.get(key)
        if value is None:
            name = self.fresh("constant")
            # A copy, since the caller may change the array later.
            tensor = ir.tensor(content.copy(), dtype=held, name=name)
            value = ir.Value(name=name, shape=ir.Shape(content.shape), type=ir.TensorType(held), const_value=tensor)
            self.graph.register_initializer(value)
            self._constants[key] = value
        return value

    def input(
        self, name: str, dtype: ir.DataType | npt.DTypeLike, shape: Sequence[int | str | None] | None
    ) -> ir.Value:
        """Add an input to the graph; a dimension is an int, a name, or None. A ``shape`` of None is of unknown rank."""
        self._claim("input", name)
        kind = dtype if isinstance(dtype, ir.DataType) else ir.DataType.from_numpy(np.dtype(dtype))
        value = ir.Value(name=name, shape=None if shape is None else ir.Shape(shape), type=ir.TensorType(kind))
        self.graph.inputs.append(value)
        return value

    def output(self, value: ir.Value, name: str | None = None) -> ir.Value:
        """Make a value an output of the graph, named ``name`` if given, and return the output.

        A value that this builder added is renamed; any other keeps its name and is copied.
        """
        if name is not None and name != value.name:
            if value not in self._emitted or value.is_graph_output():
                value = self.op("Identity", value)
            self._claim("output", name)
            value.name = name
        self.graph.outputs.append(value)
        return value

    def has_emitted(self, value: ir.Value) -> bool:
        """Whether a node of this builder computes the value."""
        return value in self._emitted

    def fresh(self, stem: str) -> str:
        """Return an unused name that begins with the prefix."""
        while True:
            name = f"{self._prefix}{stem}_{self._next}"
            self._next += 1
            if name not in self._names:
                self._names.add(name)
                return name

    def _claim(self, method: str, name: str) -> None:
        if name in self._names:
            raise ParameterError(
                f"The 'name' parameter of Builder.{method} must be a name that the graph does not use. "
                f"Got '{name}' instead."
            )
        self._names.add(name)

    def _version(self, domain: str) -> int:
        version = self.graph.opset_imports.get(domain)
        if version is None:
            raise UnsupportedModelError(
                f"The graph does not import the domain '{domain or 'ai.onnx'}'. Import it first."
            )
        return version

    def _constant_operand(
        self, op_type: str, operand: Constant, kind: str, schema: _Schema, bound: dict[str, ir.DataType]
    ) -> ir.Value:
        if isinstance(operand, np.ndarray):
            return self.constant(operand)
        dtype = bound.get(kind) or _only_type(schema.allowed.get(kind, frozenset({kind})))
        content = np.asarray(operand)
        if dtype is None:
            if content.dtype == np.float64 and not isinstance(operand, np.generic):
                content = content.astype(np.float32)  # a Python float has no declared precision
            return self.constant(content)
        with np.errstate(over="ignore", invalid="ignore"):  # reported below, with the op's name
            target = content.astype(dtype.numpy())
        if dtype.is_integer() or dtype == ir.DataType.BOOL:
            fits = bool(np.all(target == content))
        else:
            fits = bool(np.all(np.isfinite(target) == np.isfinite(content)))
        if not fits:
            raise ParameterError(f"The constant {operand} of {op_type} must be of type {dtype}, which cannot hold it.")
        return self.constant(target, dtype)


@cache
def _schema(op_type: str, domain: str, version: int) -> _Schema:
    try:
        schema = onnx.defs.get_schema(op_type, version, domain)
    except onnx.defs.SchemaError:
        raise UnsupportedModelError(
            f"Opset {version} of '{domain or 'ai.onnx'}' has no op '{op_type}'. "
            "Convert the model to a newer opset first."
        ) from None
    variadic = onnx.defs.OpSchema.FormalParameterOption.Variadic
    return _Schema(
        inputs=tuple(formal.type_str for formal in schema.inputs),
        outputs=tuple(formal.type_str for formal in schema.outputs),
        allowed={c.type_param_str: frozenset(c.allowed_type_strs) for c in schema.type_constraints},
        attributes=frozenset(schema.attributes),
        arity=(schema.min_input, schema.max_input),
        variadic=bool(schema.inputs) and schema.inputs[-1].option == variadic,
        alike=bool(schema.inputs) and schema.inputs[-1].is_homogeneous,
    )


def _bind(schema: _Schema, operands: Sequence[Operand]) -> dict[str, ir.DataType]:
    """Return the types of the schema's variables, from the operands that have a type: values first, then arrays."""
    bound: dict[str, ir.DataType] = {}
    for index, operand in enumerate(operands):
        if isinstance(operand, ir.Value) and operand.dtype is not None:
            bound.setdefault(schema.input_type(index), operand.dtype)
    for index, operand in enumerate(operands):
        if isinstance(operand, np.ndarray):
            bound.setdefault(schema.input_type(index), ir.DataType.from_numpy(operand.dtype))
    return bound


def _output_type(
    schema: _Schema, index: int, bound: dict[str, ir.DataType], attributes: dict[str, Attribute]
) -> ir.DataType | None:
    kind = schema.outputs[min(index, len(schema.outputs) - 1)]
    if kind in bound:
        return bound[kind]
    requested = attributes.get("to", attributes.get("dtype"))
    if isinstance(requested, int):
        return ir.DataType(requested)
    value = attributes.get("value")
    if isinstance(value, np.ndarray):
        return ir.DataType.from_numpy(value.dtype)
    return _only_type(schema.allowed.get(kind, frozenset({kind})))


def _attribute(name: str, value: Attribute) -> ir.Attr:
    """Return the attribute of onnx-ir: numpy scalars become Python numbers, arrays become tensors."""
    # Known types are stated: to find them, onnx-ir compares lists and arrays with its protocols, which takes a sixth of
    # the time of a gradient graph.
    if isinstance(value, np.ndarray):
        return ir.AttrTensor(name, ir.tensor(value))
    if isinstance(value, np.generic):
        return ir.convenience.convert_attribute(name, value.item())
    if isinstance(value, ir.DataType):
        return ir.AttrInt64(name, int(value))
    if isinstance(value, (list, tuple)):
        entries = [entry.item() if isinstance(entry, np.generic) else entry for entry in value]
        if entries and all(isinstance(entry, int) for entry in entries):
            return ir.AttrInt64s(name, entries)
        if entries and all(isinstance(entry, float) for entry in entries):
            return ir.AttrFloat32s(name, entries)
        return ir.convenience.convert_attribute(name, entries)
    return ir.convenience.convert_attribute(name, value)


def _only_type(kinds: frozenset[str]) -> ir.DataType | None:
    """Return the type if a schema allows only one, such as ``{"tensor(int64)"}``."""
    if len(kinds) != 1:
        return None
    (kind,) = kinds
    name = kind.removeprefix("tensor(").removesuffix(")").upper()
    return ir.DataType[name] if kind.startswith("tensor(") and name in ir.DataType.__members__ else None


def _all_names(graph: ir.Graph) -> set[str]:
    names = {str(value.name) for value in graph.inputs} | set(graph.initializers)
    for node in graph.all_nodes():
        names.add(str(node.name))
        names.update(str(value.name) for value in node.outputs)
        for attribute in node.attributes.values():
            bodies = [attribute.value] if attribute.type == ir.AttributeType.GRAPH else []
            if attribute.type == ir.AttributeType.GRAPHS:
                bodies = list(attribute.value)
            for body in bodies:
                names.update(str(value.name) for value in body.inputs)
                names.update(body.initializers)
    return names
