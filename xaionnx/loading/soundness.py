"""Check that onnxruntime could run the graph of a parsed model: names, order, ops, inputs and outputs.

One pass over all nodes uses stacks instead of recursion, so that 20,000 successive nodes or 90 nested loops are fine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache

import onnx
import onnx.defs

from xaionnx.loading.refusal import refusal
from xaionnx.short_repr import short_repr

RANDOM_OPS = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)


@dataclass(frozen=True)
class Census:
    """Facts collected from all nodes; fields as in `xaionnx.loading.ModelFile`."""

    domains: dict[str, int]
    random_ops: tuple[str, ...]

    __repr__ = short_repr


@dataclass
class _Scope:
    """One graph or function body: the names that it defines, and the names that each node reads."""

    nodes: Iterable[onnx.NodeProto]
    where: str
    parent: tuple[_Scope, int] | None = None
    defined: set[str] = field(default_factory=set)
    given: set[str] = field(default_factory=set)
    reads: list[list[str]] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    weights: Iterable[onnx.TensorProto] = ()


def check(shown: str, proto: onnx.ModelProto) -> Census:
    """Check that a graph can run, and collect its domains and random ops.

    Parameters
    ----------
    shown : str
        The model's path as its user wrote it, for messages.
    proto : onnx.ModelProto

    Raises
    ------
    ModelFileError
        There are no inputs or outputs, an input is not a tensor, a name is not UTF-8, defined twice or undefined, the
        graph has a cycle, or onnxruntime does not know an op, domain or opset.
    """
    domains = _read_domains(shown, proto.opset_import)
    _check_ends(shown, proto)
    _check_functions(shown, proto)
    functions = {(plain_domain(f.domain), f.name) for f in proto.functions}
    random: list[str] = []
    top = _Scope(proto.graph.node, "")
    _define_graph(shown, top, proto.graph)
    _check_scopes(shown, top, functions, domains, random)
    for function in proto.functions:
        where = f" of function '{function.name}'"
        body = _Scope(function.node, where, outputs=list(function.output))
        for name in function.input:
            _define(shown, body, name)
        body.given.update(body.defined)
        versions = domains | _read_domains(shown, function.opset_import)
        _check_scopes(shown, body, functions, versions, random)
    return Census(domains, tuple(random))


def label(node: onnx.NodeProto) -> str:
    """Return the words for a node in messages: ``node 'conv1'``, or its first output if it has no name."""
    if node.name:
        return f"node '{node.name}'"
    output = next((name for name in node.output if name), "")
    return f"the node that computes '{output}'"


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yield the bodies of If, Loop, Scan and similar ops."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def plain_domain(domain: str) -> str:
    """Return the name of a domain, empty for the default one."""
    return "" if domain == "ai.onnx" else domain


def _read_domains(shown: str, imports: Iterable[onnx.OperatorSetIdProto]) -> dict[str, int]:
    domains: dict[str, int] = {}
    for entry in imports:
        _check_text(shown, "the name of a domain", [entry.domain])
        domain, version = plain_domain(entry.domain), entry.version
        domains[domain] = max(version, domains.get(domain, 0))
    for domain, newest in (("", onnx.defs.onnx_opset_version()), ("ai.onnx.ml", onnx.defs.onnx_ml_opset_version())):
        version = domains.get(domain, 0)
        if version > newest and version > _runtime_newest(domain):
            raise refusal(
                f"{shown} uses opset {version} of {domain or 'ai.onnx'}, which is newer than the installed "
                "onnxruntime. Upgrade onnxruntime, or export with a lower opset."
            )
    return domains


def _check_ends(shown: str, proto: onnx.ModelProto) -> None:
    graph = proto.graph
    if not proto.opset_import:
        raise refusal(f"{shown} does not say which opset it uses: it is truncated. Export the model again.")
    filled = {tensor.name for tensor in graph.initializer} | {tensor.values.name for tensor in graph.sparse_initializer}
    inputs = [value for value in graph.input if value.name not in filled]
    if not inputs:
        raise refusal(f"{shown} has no inputs, so there is nothing to explain. Export it with its inputs.")
    if not graph.output:
        raise refusal(f"{shown} has no outputs, so there is nothing to explain. Export it with its outputs.")
    _check_text(shown, "the name of an input or output", (value.name for value in (*graph.input, *graph.output)))
    for value in (*graph.input, *graph.output):
        dims = (dim.dim_param for dim in value.type.tensor_type.shape.dim)
        _check_text(shown, f"the name of a dimension of '{value.name}'", dims)
    for value in inputs:
        kind = value.type.WhichOneof("value")
        if kind is None:
            raise refusal(f"{shown}: input '{value.name}' has no type. Export the model again.")
        if kind != "tensor_type":
            raise refusal(
                f"{shown}: input '{value.name}' is of the type {kind.removesuffix('_type')}, and only tensors "
                "can be explained. Export the model with tensor inputs."
            )
    seen: set[str] = set()
    for value in graph.output:
        if value.name in seen:
            raise refusal(f"{shown}: output '{value.name}' is listed twice. Export the model again.")
        seen.add(value.name)


def _check_functions(shown: str, proto: onnx.ModelProto) -> None:
    """Refuse functions that call themselves, since inlining them would not end."""
    if not proto.functions:
        return
    names = [(plain_domain(function.domain), function.name) for function in proto.functions]
    _check_text(shown, "the name of a function", (part for name in names for part in name))
    calls: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for name, function in zip(names, proto.functions, strict=True):
        if name in calls:
            raise refusal(f"{shown}: function '{name[1]}' is defined twice. Export the model again.")
        pending = list(function.node)
        calls[name] = set()
        while pending:
            node = pending.pop()
            calls[name].add((plain_domain(node.domain), node.op_type))
            for graph in subgraphs(node):
                pending.extend(graph.node)
    left = {name: called & calls.keys() for name, called in calls.items()}
    while left:
        leaves = [name for name, called in left.items() if not called & left.keys()]
        if not leaves:
            raise refusal(f"{shown}: function '{min(left)[1]}' calls itself. Export the model again.")
        for name in leaves:
            del left[name]


def _define_graph(shown: str, scope: _Scope, graph: onnx.GraphProto) -> None:
    filled: set[str] = set()
    for name in [t.name for t in graph.initializer] + [t.values.name for t in graph.sparse_initializer]:
        if name in filled:
            raise refusal(f"{shown}: '{name}' is defined twice. Export the model again.")
        filled.add(name)
    for value in graph.input:
        _define(shown, scope, value.name)
    scope.defined |= filled  # a weight may also be listed among the inputs, as required up to IR version 3
    _check_text(shown, "the name of a tensor", scope.defined)
    scope.given = set(scope.defined)
    scope.outputs = [value.name for value in graph.output]
    scope.weights = graph.initializer


def _define(shown: str, scope: _Scope, name: str) -> None:
    if name in scope.defined:
        raise refusal(f"{shown}: '{name}' is defined twice. Export the model again.")
    scope.defined.add(name)


def _check_scopes(
    shown: str, top: _Scope, functions: set[tuple[str, str]], versions: dict[str, int], random: list[str]
) -> None:
    scopes = [top]
    known: set[tuple[str, str]] = set(functions)
    at = 0
    while at < len(scopes):  # grows as bodies are found
        scopes.extend(_read_nodes(shown, scopes[at], known, versions, random))
        at += 1
    # Inner scopes first: names that a body takes from outside are read by the node that contains it.
    for scope in reversed(scopes):
        undefined = {name for name in scope.outputs if name and name not in scope.defined}
        for reads in scope.reads:
            undefined.update(name for name in reads if name not in scope.defined)
        if scope.parent is not None:
            outer, index = scope.parent
            outer.reads[index].extend(undefined)
        elif undefined:
            _refuse_undefined(shown, scope, undefined)
        _check_order(shown, scope)


def _read_nodes(
    shown: str, scope: _Scope, known: set[tuple[str, str]], versions: dict[str, int], random: list[str]
) -> list[_Scope]:
    bodies: list[_Scope] = []
    names: set[str] = set()
    defined, texts = scope.defined, set[str]()
    for index, node in enumerate(scope.nodes):
        name, op, domain = node.name, node.op_type, node.domain
        reads, outputs = [read for read in node.input if read], [output for output in node.output if output]
        texts.update(reads, outputs, (name, op, domain))
        if name:
            if name in names:
                raise refusal(f"{shown}: two nodes have the name '{name}'. Export the model again.")
            names.add(name)
        for output in outputs:
            if output in defined:
                raise refusal(f"{shown}: '{output}' is defined twice. Export the model again.")
            defined.add(output)
        scope.reads.append(reads)
        if (domain, op) not in known:
            _check_text(shown, "the name of a node, tensor or attribute", (name, op, domain, *outputs))
            if (plain_domain(domain), op) not in known:
                _check_op(shown, node, versions)
            known.add((domain, op))
        if op in RANDOM_OPS or (op == "Dropout" and _may_train(node, versions, scope)):
            random.append(f"{op} ({label(node)}{scope.where})")
        if node.attribute:
            texts.update(attribute.name for attribute in node.attribute)
            for graph in subgraphs(node):
                body = _Scope(graph.node, scope.where, (scope, index))
                _define_graph(shown, body, graph)
                bodies.append(body)
    _check_text(shown, "the name of a node, tensor or attribute", texts)
    return bodies


def _may_train(node: onnx.NodeProto, versions: dict[str, int], scope: _Scope) -> bool:
    """Whether a Dropout is, or could be, in training mode; without a third input it is not."""
    if plain_domain(node.domain) or versions.get("", 0) < 12 or len(node.input) < 3 or not node.input[2]:
        return False
    flag = _find_constant(scope, node.input[2])
    return flag is None or any(flag.raw_data) or any(flag.int32_data)


def _find_constant(start: _Scope, name: str) -> onnx.TensorProto | None:
    """Return the constant boolean of this name in the scope or those around it; None if it is computed."""
    scope: _Scope | None = start
    while scope is not None:
        for node in scope.nodes:
            if name in node.output:
                if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
                    value: onnx.TensorProto = node.attribute[0].t
                    return value
                return None
        for tensor in scope.weights:
            if tensor.name == name:
                return tensor
        scope = scope.parent[0] if scope.parent else None
    return None


def _check_op(shown: str, node: onnx.NodeProto, versions: dict[str, int]) -> None:
    op, domain = node.op_type, plain_domain(node.domain)
    version = versions.get(domain)
    if onnx.defs.has(op, max_inclusive_version=version or onnx.defs.onnx_opset_version(), domain=domain):
        return
    schemas = _runtime_schemas()
    if not schemas:
        return  # this build of onnxruntime does not list its ops: opening the session will show
    since = schemas.get((domain, op))
    if since is not None and since <= (version or since):
        return
    if domain not in {known for known, _ in schemas}:
        raise refusal(
            f"{shown}: the domain '{domain}' of op '{op}' ({label(node)}) is unknown to onnxruntime. "
            "Export the model with standard ONNX ops."
        )
    shown_domain = f" of domain '{domain}'" if domain else ""
    if since is None:
        raise refusal(
            f"{shown}: op '{op}'{shown_domain} ({label(node)}) is unknown to onnxruntime. "
            "Export the model with standard ONNX ops."
        )
    raise refusal(
        f"{shown}: op '{op}'{shown_domain} ({label(node)}) came with opset {since}, and the model uses "
        f"opset {version}. Export it with opset {since} or newer."
    )


@cache
def _runtime_schemas() -> dict[tuple[str, str], int]:
    """Return the first version of every op of onnxruntime, by domain and name; needed only for ops that onnx lacks."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    first: dict[tuple[str, str], int] = {}
    for schema in state.get_all_operator_schema() if hasattr(state, "get_all_operator_schema") else ():
        key = (plain_domain(schema.domain), schema.name)
        first[key] = min(schema.since_version, first.get(key, schema.since_version))
    return first


@cache
def _runtime_newest(domain: str) -> int:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    if not hasattr(state, "get_all_operator_schema"):
        return 2**31  # unknown: opening the session will show
    return max(
        (s.since_version for s in state.get_all_operator_schema() if plain_domain(s.domain) == domain), default=0
    )


def _refuse_undefined(shown: str, scope: _Scope, undefined: set[str]) -> None:
    for node, reads in zip(scope.nodes, scope.reads, strict=True):
        for name in reads:
            if name in undefined:
                raise refusal(
                    f"{shown}: {node.op_type} ({label(node)}) reads '{name}', which no node computes. "
                    "Export the model again."
                )
    missing = next(name for name in scope.outputs if name in undefined)
    raise refusal(f"{shown}: no node computes output '{missing}'. Export the model again.")


def _check_order(shown: str, scope: _Scope) -> None:
    """Refuse a cycle. onnxruntime accepts nodes in any order; most files are sorted, and one pass shows it."""
    done = set(scope.given)
    for node, reads in zip(scope.nodes, scope.reads, strict=True):
        if any(name in scope.defined and name not in done for name in reads):
            break
        done.update(node.output)
    else:
        return
    nodes = list(scope.nodes)
    readers: dict[str, list[int]] = {}
    waits = []
    for index, reads in enumerate(scope.reads):
        local = {name for name in reads if name in scope.defined and name not in scope.given}
        waits.append(len(local))
        for name in local:
            readers.setdefault(name, []).append(index)
    ready = deque(index for index, count in enumerate(waits) if count == 0)
    left = set(range(len(nodes)))
    while ready:
        index = ready.popleft()
        left.discard(index)
        for name in nodes[index].output:
            for reader in readers.get(name, ()):
                waits[reader] -= 1
                if waits[reader] == 0:
                    ready.append(reader)
    if left:
        # Going backwards from a node that never became ready, along inputs never computed, leads to the cycle.
        producers = {name: index for index in left for name in nodes[index].output if name}
        index, met = min(left), set[int]()
        while index not in met:
            met.add(index)
            index = next(producers[name] for name in scope.reads[index] if name in producers)
        raise refusal(
            f"{shown}: the graph has a cycle through {nodes[index].op_type} ({label(nodes[index])}). "
            "Export the model again."
        )


def _check_text(shown: str, what: str, names: Iterable[str]) -> None:
    # protobuf returns bytes if a string field is not UTF-8.
    for name in names:
        if not isinstance(name, str):
            raise refusal(f"{shown}: {what} is not UTF-8: {name!r}. The file is damaged; download or copy it again.")
