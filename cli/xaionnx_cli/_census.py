"""What ``inspect`` tells of a model: the file, its graph, its layers, and which methods can explain it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import onnx
import onnxruntime
from onnx.shape_inference import InferenceError

from xaionnx import discovery
from xaionnx.data.spec import InputSpec
from xaionnx.errors import InputMismatchError, ModelError, ParameterError, UnsupportedModelError
from xaionnx.graph.cut import op_census
from xaionnx.graph.expand import expand
from xaionnx.graph.landmarks import attentions
from xaionnx.graph.view import GraphView
from xaionnx.runtime.model import Model
from xaionnx.runtime.tensors import TensorInfo
from xaionnx.typing import Document
from xaionnx_cli._report import plain
from xaionnx_cli._words import for_shell

_SOME = 12
# Shapes are inferred from a serialised copy; a larger graph would not fit into one message.
_INFERRED_BYTES = 2**30


def facts(model: Model) -> Document:
    """Everything that is told, ready for JSON."""
    file, proto = model.file, model.file.proto
    return {
        "path": str(model.path),
        "sha256": model.sha256,
        "bytes": model.path.stat().st_size,
        "external_data": [{"path": str(p), "bytes": p.stat().st_size} for p in file.external],
        "ir_version": proto.ir_version,
        "opset": file.domains,
        "producer": " ".join(filter(None, (proto.producer_name, proto.producer_version))),
        "inputs": [_tensor(info) for info in model.inputs],
        "outputs": [_tensor(info) for info in model.outputs],
        "batch": batch(model),
        "providers": {"available": onnxruntime.get_available_providers(), "used": model.provider},
        "random_ops": list(file.random_ops),
        "ops": op_census(proto),
        "layers": layers(proto),
        "attention": attention(model),
        "labels": list(model.labels or ()),
        "spec": _spec(model.input_spec),
        "methods": verdicts(model),
    }


def _tensor(info: TensorInfo) -> Document:
    kind = "string" if info.dtype.kind in "UOT" else info.dtype.name
    return {"name": info.name, "type": kind, "shape": list(info.shape)}


def _spec(spec: InputSpec) -> Document:
    shown: Document = {"guessed": spec.guessed, "kind": spec.kind, "activation": spec.activation}
    if spec.kind == "picture":
        keys = ("layout", "size", "color", "mean", "scale", "resize")
        shown |= {key: getattr(spec, key) for key in keys}
    if spec.kind == "table":
        shown["columns"] = list(spec.columns)
    return shown


def batch(model: Model) -> str:
    """Whether the model takes several samples at once, in words."""
    rows = [info for info in model.inputs if info.name not in model.shared]
    sizes = {info.shape[0] for info in rows if info.shape}
    fixed = [size for size in sizes if isinstance(size, int)]
    if not rows:
        return "no input has a batch axis"
    if not fixed:
        return "free: any number of samples at once"
    if fixed[0] == 1:
        return "fixed at 1: made free where the answers stay the same, else one sample at a time"
    return f"fixed at {fixed[0]}: fewer samples are filled up"


def layers(proto: onnx.ModelProto) -> list[Document]:
    """The tensors that nodes of the main graph compute, in order, with shapes where they can be inferred."""
    found: dict[str, list[int | str | None]] = {}
    if proto.ByteSize() < _INFERRED_BYTES:
        try:
            graph = onnx.shape_inference.infer_shapes(proto).graph
        except InferenceError:
            graph = proto.graph
        for value in (*graph.value_info, *graph.output):
            if value.type.tensor_type.HasField("shape"):
                found[value.name] = [_size(dim) for dim in value.type.tensor_type.shape.dim]
    return [
        {"name": name, "op": node.op_type, "shape": found.get(name)}
        for node in proto.graph.node
        for name in node.output
        if name
    ]


def attention(model: Model) -> list[Document]:
    """The layers of attention in order, each with its shape at one sample, its heads and the tokens that it leads to.

    What an ``Attention`` op computes has the name that it gets where the op is written out.
    """
    try:
        proto = expand(model.file.proto)
    except UnsupportedModelError:
        return []
    view = GraphView(proto)
    found = attentions(view)
    sizes = {info.name: [1, *info.shape[1:]] for info in model.inputs if info.name not in model.shared}
    whole = {name: shape for name, shape in sizes.items() if all(isinstance(size, int) for size in shape)}
    known = view.shapes(whole) if found else {}  # type: ignore[arg-type]  # the sizes that are no words
    told = []
    for layer in found:
        shape = list(known[layer.weights]) if layer.weights in known else None
        told.append(
            {
                "name": layer.weights,
                "shape": shape,
                "heads": None if shape is None else shape[-3],
                "tokens": None if shape is None else shape[-1],
            }
        )
    return told


def _size(dim: onnx.TensorShapeProto.Dimension) -> int | str | None:
    return dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None


def chosen(found: list[Document], main: Sequence[int | str | None]) -> list[Document]:
    """A short list: the last layer of each size of a map, (N, C, h, w), or the last ones where there is none.

    Where the explained input, of shape ``main``, may be a series, layers (N, C, t) come before those last ones.
    """
    for axes in (4, 3) if len(main) == 3 else (4,):
        last: dict[tuple[object, ...], Document] = {}
        for layer in found:
            shape = layer["shape"]
            if shape is not None and len(shape) == axes and set(shape[2:]) != {1} and _behind_batch(shape, main[0]):
                last.pop(tuple(shape[2:]), None)
                last[tuple(shape[2:])] = layer
        if last:
            return list(last.values())[-_SOME:]
    return found[-_SOME:]


def _behind_batch(shape: Sequence[int | str | None], batch: int | str | None) -> bool:
    """Whether the batch may be the first axis: recurrent ops answer (T, directions, N, H)."""
    first, *others = shape
    if isinstance(batch, int):
        return not isinstance(first, int) or first == batch
    return not isinstance(first, int) and (batch is None or batch not in others)


def verdicts(model: Model) -> list[Document]:
    """For each method whether it can explain the model, and why not; of a gradient its source, with a remark."""
    from xaionnx.layers.dry_run import DryRun

    found, dry_run = [], DryRun.of(model)
    for name in discovery.methods():
        kind = discovery.method(name)
        told: Document = {"method": name, "needs": kind.needs, "possible": True, "reason": None}
        try:
            told |= kind().validate(dry_run)
        except (ModelError, InputMismatchError, ParameterError) as refusal:
            told |= {"possible": False, "reason": str(refusal)}
        found.append(told)
    refused = {verdict["method"] for verdict in found if not verdict["possible"]}
    for verdict in found:
        if not verdict["possible"]:
            verdict["reason"] = _possible_advice(verdict["reason"], refused)
    return found


def _possible_advice(reason: str, refused: set[str]) -> str:
    """A refusal without the methods that it sends to and that are refused too."""
    why, *advice = re.split(r"(?<=[.;]) (?=[A-Za-z])", reason)
    kept = [why]
    for sentence in advice:
        head, _, named = sentence.rstrip(".").rpartition(": ")
        listed = named.split(", ")
        if set(listed) <= set(discovery.methods()):
            left = [name for name in listed if name not in refused]
            kept += [f"{head}: {', '.join(left)}."] if left else []
        elif not refused & set(re.findall(r"\w+", sentence)):
            kept.append(sentence)
    said = " ".join(kept)
    return f"{said[:-1]}." if said.endswith(";") else said


def lines(model: Model, told: Document, every: bool) -> Iterator[str]:
    """The facts as text."""
    opsets = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in told["opset"].items())
    yield f"{plain(model.name)}: {told['bytes']:,} bytes, opset {opsets}, IR version {told['ir_version']}"
    if told["producer"]:
        yield f"  producer  {plain(told['producer'])}"
    yield f"  sha256    {told['sha256']}"
    for external in told["external_data"]:
        yield f"  external  {plain(external['path'])}, {external['bytes']:,} bytes"
    yield f"  runs on   {told['providers']['used']}; this onnxruntime has {', '.join(told['providers']['available'])}"
    yield ""
    for word, tensors in (("input", model.inputs), ("output", model.outputs)):
        for info in tensors:
            note = "  (one for all samples)" if info.name in model.shared else ""
            yield f"{word:<7} {plain(info.name)} {info}{note}"
    yield f"batch   {told['batch']}"
    yield from _spec_lines(told)
    yield ""
    ops = ", ".join(f"{op} {count}" for op, count in told["ops"].items())
    yield f"ops     {sum(told['ops'].values())} nodes: {plain(ops)}"
    if told["random_ops"]:
        yield f"random  {plain(', '.join(told['random_ops']))}: explain it with --allow-random only"
    yield ""
    shown = told["layers"] if every else chosen(told["layers"], model.input().shape)
    rest = len(told["layers"]) - len(shown)
    yield f"layers  {len(shown)} of {len(told['layers'])}" + ("; --layers all shows the others" if rest else "")
    width = max((len(plain(layer["name"])) for layer in shown), default=0)
    for layer in shown:
        shape = _shape(layer)
        yield f"  {plain(layer['name']):<{width}}  {layer['op']} {shape}".rstrip()
    yield ""
    yield from _attention_lines(told["attention"], every)
    possible = [verdict["method"] for verdict in told["methods"] if verdict["possible"]]
    yield f"can be explained with     {', '.join(possible) or 'no method'}"
    sloped = [v for v in told["methods"] if v["possible"] and v.get("gradient") == "finite_differences"]
    if sloped:
        remark = plain(for_shell(sloped[0]["remark"]))
        yield f"by finite differences     {', '.join(v['method'] for v in sloped)}: {remark}"
    refused: dict[str, list[str]] = {}
    for verdict in told["methods"]:
        if not verdict["possible"]:
            refused.setdefault(verdict["reason"], []).append(verdict["method"])
    for reason, names in refused.items():
        yield f"cannot be explained with  {', '.join(names)}: {plain(for_shell(reason))}"


def _attention_lines(found: list[Document], every: bool) -> Iterator[str]:
    if not found:
        return
    shown = found if every else found[-_SOME:]
    yield f"attention {len(shown)} of {len(found)} layers, shapes at one sample"
    width = max(len(plain(layer["name"])) for layer in shown)
    for layer in shown:
        counts = [f"{layer[key]} {key}" for key in ("heads", "tokens") if layer[key] is not None]
        yield f"  {plain(layer['name']):<{width}}  {_shape(layer)}  {', '.join(counts)}".rstrip()
    yield ""


def _shape(layer: Document) -> str:
    return "" if layer["shape"] is None else f"({', '.join('?' if d is None else str(d) for d in layer['shape'])})"


def _spec_lines(told: Document) -> Iterator[str]:
    spec, labels = told["spec"], told["labels"]
    pairs = [f"{key} {_shown(value)}" for key, value in spec.items() if key != "guessed" and value not in ([], None)]
    origin = "guessed from the shapes, as there is no .toml beside the model" if spec["guessed"] else "from its .toml"
    yield f"spec    {', '.join(pairs)} ({origin})"
    if labels:
        more = f", ... {len(labels)} in all" if len(labels) > 5 else ""
        yield f"labels  {plain(', '.join(labels[:5]))}{more}"


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        items = [f"{v:g}" if isinstance(v, float) else str(v) for v in value]
        if len(items) > 5:
            return f"{', '.join(items[:5])}, ... {len(items)} in all"
        return " x ".join(items[:1] if len(set(items)) == 1 and len(items) == 3 else items)
    return str(value)
