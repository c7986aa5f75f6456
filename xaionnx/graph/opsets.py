"""Bring models to the same versions of their op sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnx
import onnx.version_converter
from onnx.defs import SchemaError, get_schema

from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.view import DEFAULT_DOMAINS
from xaionnx.loading.shape_inference import with_operand_types
from xaionnx.loading.soundness import subgraphs


def same_opsets(protos: Sequence[onnx.ModelProto], names: Sequence[str]) -> list[onnx.ModelProto]:
    """Return the models with one version of each op set; those that have it already are not copied.

    A model keeps its nodes if each of its ops is the same in both versions. Otherwise ONNX's version converter rewrites
    them, for the default op set alone.

    Parameters
    ----------
    protos : sequence of onnx.ModelProto
    names : sequence of str
        Names of the models, for messages.

    Raises
    ------
    UnsupportedModelError
        A model cannot be converted.
    """
    found = list(protos)
    for space in {domain(entry.domain) for proto in protos for entry in proto.opset_import}:
        versions = [_version(proto, space) for proto in found]
        known = sorted({version for version in versions if version is not None}, reverse=True)
        if len(known) < 2:
            continue
        alike = [
            target
            for target in known
            if all(
                version in (None, target) or _means_the_same(proto, space, version, target)
                for proto, version in zip(found, versions, strict=True)
            )
        ]
        target = alike[0] if alike else known[0]
        found = [
            proto if version in (None, target) else _with_version(proto, space, version, target, name)
            for proto, version, name in zip(found, versions, names, strict=True)
        ]
    return found


def domain(name: str) -> str:
    """Return the name of an op set's domain; the default one has two."""
    return "" if name in DEFAULT_DOMAINS else name


def _version(proto: onnx.ModelProto, space: str) -> int | None:
    return next((int(entry.version) for entry in proto.opset_import if domain(entry.domain) == space), None)


def _means_the_same(proto: onnx.ModelProto, space: str, version: int, target: int) -> bool:
    """Whether all ops of a model are the same in two versions of a domain."""
    own = {(function.domain, function.name) for function in proto.functions}
    for node in _nodes(proto):
        if domain(node.domain) != space or (node.domain, node.op_type) in own:
            continue
        try:
            one, other = (get_schema(node.op_type, number, space).since_version for number in (version, target))
        except SchemaError:
            return False
        if one != other:
            return False
    return True


def _with_version(proto: onnx.ModelProto, space: str, version: int, target: int, name: str) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    if _means_the_same(proto, space, version, target):
        for entry in (*copy.opset_import, *(entry for function in copy.functions for entry in function.opset_import)):
            if domain(entry.domain) == space:
                entry.version = target
        return copy
    words = f"version {version} of {space or 'the ONNX op set'}, and another model {target}"
    advice = "Export both with the same version."
    if space or proto.functions or any(True for node in proto.graph.node for _ in subgraphs(node)):
        raise UnsupportedModelError(f"{name} uses {words}, between which its ops differ. {advice}")
    try:
        return onnx.version_converter.convert_version(with_operand_types(copy), target)
    except RuntimeError as error:
        reason = str(error).splitlines()[0] if str(error) else "no reason given"
        raise UnsupportedModelError(f"{name} uses {words}, and ONNX cannot convert it: {reason}. {advice}") from error


def _nodes(proto: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    graphs = [proto.graph]
    while graphs:
        for node in graphs.pop().node:
            yield node
            graphs.extend(subgraphs(node))
    for function in proto.functions:
        yield from function.node
