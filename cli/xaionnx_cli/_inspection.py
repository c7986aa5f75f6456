"""The report of ``xaionnx inspect``: the file, its graph, its layers, and which methods can explain the model."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

import onnx
import onnxruntime
from onnx.shape_inference import InferenceError

from xaionnx import discovery
from xaionnx.counting import counted
from xaionnx.data.sample import Sample
from xaionnx.data.tokens import tokenizer_file
from xaionnx.errors import InputMismatchError, ModelError, UnsupportedModelError, UsageError
from xaionnx.graph.cut import count_ops
from xaionnx.graph.expand import expand
from xaionnx.graph.landmarks import attentions
from xaionnx.graph.parts import parts_of
from xaionnx.graph.roles import Role
from xaionnx.graph.view import GraphView
from xaionnx.layers.dry_run import DryRun
from xaionnx.loading import declared_inputs
from xaionnx.loading.shape_inference import infer_shapes
from xaionnx.runtime.model import Model
from xaionnx.runtime.tensors import TensorInfo
from xaionnx.runtime.token_inputs import reads_text
from xaionnx.targets.defaults import described
from xaionnx.targets.kinds.top import Top
from xaionnx.targets.scores import default_output
from xaionnx.typing import Document
from xaionnx_cli._layers import place_text, placed, select_layers
from xaionnx_cli._messages import for_shell, printable
from xaionnx_cli._report import check_top_class
from xaionnx_cli._sizes import ShortSizes
from xaionnx_cli._targets import default_target
from xaionnx_cli._trials import in_runs_of_the_graph, short_reason, try_methods

_MAX_LISTED = 12
# Converters of TensorFlow join the names of all fused nodes, up to hundreds of letters.
_WIDEST_NAME = 60
_WIDTH = 100
# Shape inference serialises the graph; a larger one would exceed protobuf's limit for a message.
_INFERRED_BYTES = 2**30


def model_facts(model: Model, limit_s: float) -> Document:
    """All facts that are reported, ready for JSON; methods are tried for about ``limit_s`` seconds."""
    file, proto = model.file, model.file.proto
    return {
        "path": str(model.path),
        "sha256": model.sha256,
        "bytes": model.path.stat().st_size,
        "external_data": [{"path": str(p), "bytes": p.stat().st_size} for p in file.external],
        "ir_version": proto.ir_version,
        "opset": file.domains,
        "parts": parts_of(proto),
        "producer": " ".join(filter(None, (proto.producer_name, proto.producer_version))),
        "inputs": [
            _tensor_facts(model, info) | {"purpose": model.purposes[info.name].purpose} for info in model.axes.inputs
        ],
        "outputs": [_tensor_facts(model, info) for info in model.axes.outputs],
        "batch": batch_size_text(model),
        "providers": {"available": onnxruntime.get_available_providers(), "used": model.provider},
        "random_ops": list(file.random_ops),
        "ops": count_ops(proto),
        # Tensors keep their names where fused ops are written as plain ones, and their shapes can be inferred.
        "layers": placed(model, layer_facts(proto if model.deployed is None else model.graph), _sample(model)),
        "attention": attention_layers(model),
        "labels": list(model.labels or ()),
        "spec": _spec_facts(model),
        "target": target_text(model),
        "methods": method_verdicts(model, limit_s),
    }


def _input_notes(model: Model, name: str) -> list[str]:
    """What is said about an input besides its shape and type; nothing of an output."""
    notes = ["one for all samples"] if name in model.shared else []
    found = model.purposes.get(name)
    if found is not None and not found.is_data and name != model.input().name:
        notes.append(f"{found}, as its {'use' if found.source == 'graph' else found.source} says: left as it is")
    return notes


def _tensor_facts(model: Model, info: TensorInfo) -> Document:
    """Name, type and shape as in the file, and what each axis means."""
    kind = "string" if info.dtype.kind in "UOT" else info.dtype.name
    axes = [{"role": axis.role.value, "source": axis.source or None} for axis in model.axes.of(info.name).axes]
    return {"name": info.name, "type": kind, "shape": list(info.shape), "axes": axes}


def _axes_text(model: Model, name: str) -> str:
    """What the axes mean, and where that is known from; each source once for the axes next to each other."""
    groups: list[tuple[str, list[str]]] = []
    for axis in model.axes.of(name).axes:
        if not groups or groups[-1][0] != axis.source:
            groups.append((axis.source, []))
        groups[-1][1].append("unknown" if axis.role is Role.UNKNOWN else axis.role.value)
    said = [f"{', '.join(roles)} ({source})" if source else ", ".join(roles) for source, roles in groups]
    return printable("; ".join(said))


def _spec_facts(model: Model) -> Document:
    spec, texts = model.input_spec, reads_text(model)
    shown: Document = {
        "guessed": spec.guessed,
        "kind": "text" if texts else spec.kind,
        "activation": spec.activation,
    }
    if texts and model.input().dtype.kind != "U":
        found = tokenizer_file(model.path, spec.tokenizer)
        shown["tokenizer"] = None if found is None else found.name
    if spec.kind == "picture":
        keys = ("layout", "size", "color", "mean", "scale", "resize")
        shown |= {key: getattr(spec, key) for key in keys}
    if spec.kind == "table":
        shown["columns"] = list(spec.columns)
    return shown


def _sample(model: Model) -> Sample | None:
    """A sample for the places of layers; None if there is none."""
    try:
        return DryRun.of(model).sample
    except InputMismatchError:
        return None


def batch_size_text(model: Model) -> str:
    """Whether the model takes several samples at once, in words."""
    rows = [info for info in model.inputs if info.name not in model.shared]
    sizes = {info.shape[0] for info in rows if info.shape}
    fixed = [size for size in sizes if isinstance(size, int)]
    if not rows:
        return "no input has a batch axis"
    if not fixed:
        found = in_runs_of_the_graph(model)
        if found is not None and found.fixed_batch:
            return (
                f"fixed at {found.fixed_batch} inside the graph, though declared free: fewer samples are filled up "
                "with copies"
            )
        return "free: any number of samples at once"
    if fixed[0] == 1:
        return "fixed at 1: made free if the outputs stay the same, otherwise one sample at a time"
    if in_runs_of_the_graph(model) is None:
        why = "what is returned for a row depends on the others or its place"
        return f"fixed at {fixed[0]}, and {why}: {fixed[0]} rows are one sample"
    return f"fixed at {fixed[0]}: fewer samples are filled up with copies"


def target_text(model: Model) -> str:
    """What is explained by default, and what the model therefore is, in words."""
    try:
        target = default_target(model)
        if target is None:
            return "depends on the size of the input, which is free"
        if isinstance(target, Top):
            check_top_class(model, default_output(model))
            return f"the top class of '{default_output(model)}'"
        return described(target)
    except (ModelError, UsageError) as refusal:
        return f"none by default: {refusal}"


def layer_facts(proto: onnx.ModelProto) -> list[Document]:
    """The tensors that nodes of the main graph compute from the inputs, in order, with their shapes if inferred.

    Constants and sizes, also those that nodes compute, do not change with the values of an input, and are not layers.
    """
    found: dict[str, list[int | str | None]] = {}
    if proto.ByteSize() < _INFERRED_BYTES:
        try:
            graph = infer_shapes(proto).graph
        except InferenceError:
            graph = proto.graph
        for value in (*graph.value_info, *graph.output):
            if value.type.tensor_type.HasField("shape"):
                found[value.name] = [_size(dim) for dim in value.type.tensor_type.shape.dim]
    moving = GraphView(proto).data_descendants(value.name for value in declared_inputs(proto))
    return [
        {"name": name, "op": node.op_type, "shape": found.get(name)}
        for node in proto.graph.node
        for name in node.output
        if name in moving
    ]


def attention_layers(model: Model) -> list[Document]:
    """The attention layers in order: name and shape for one sample, number of heads, number of tokens attended to.

    The weights of an ``Attention`` op have the name that they get when the op is expanded.
    """
    try:
        proto = expand(model.graph)
    except UnsupportedModelError:
        return []
    view = GraphView(proto)
    found = attentions(view)
    sizes = {info.name: [1, *info.shape[1:]] for info in model.inputs if info.name not in model.shared}
    whole = {name: shape for name, shape in sizes.items() if all(isinstance(size, int) for size in shape)}
    known = view.shapes(whole) if found else {}  # type: ignore[arg-type]  # only integer sizes are left
    facts = []
    for layer in found:
        shape = list(known[layer.weights]) if layer.weights in known else None
        facts.append(
            {
                "name": layer.weights,
                "shape": shape,
                "heads": None if shape is None else shape[-3],
                "tokens": None if shape is None else shape[-1],
            }
        )
    return facts


def _size(dim: onnx.TensorShapeProto.Dimension) -> int | str | None:
    return dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None


def method_verdicts(model: Model, limit_s: float) -> list[Document]:
    """What came of trying each method, and why not; for gradients also their source, with a remark.

    ``possible`` is True if it works, False if it is refused, None if it was not tried.
    """
    possible = {"works": True, "refused": False, "not tried": None}
    found: list[Document] = [
        {
            "method": trial.method,
            "needs": discovery.method(trial.method).needs,
            "outcome": trial.outcome,
            "possible": possible[trial.outcome],
            "reason": trial.reason or None,
            **trial.facts,
        }
        for trial in try_methods(model, limit_s)
    ]
    refused = {verdict["method"] for verdict in found if verdict["outcome"] == "refused"}
    for verdict in found:
        if verdict["method"] in refused:
            verdict["reason"] = _without_refused_methods(verdict["reason"], refused)
    return found


def _without_refused_methods(reason: str, refused: set[str]) -> str:
    """Remove from a refusal the methods that it recommends but that are refused as well."""
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


def _tensor_lines(model: Model, sizes: ShortSizes) -> Iterator[str]:
    """The inputs and outputs as in the file, each with what its axes mean."""
    for word, tensors in (("input", model.axes.inputs), ("output", model.axes.outputs)):
        for info in tensors:
            note = f"  ({'; '.join(_input_notes(model, info.name))})" if _input_notes(model, info.name) else ""
            kind = str(info).rpartition(") ")[2]
            yield f"{word:<7} {printable(info.name)} {printable(sizes.shape([*info.shape]))} {kind}{note}"
            if info.shape:
                yield f"        axes: {_axes_text(model, info.name)}"


def lines(model: Model, facts: Document, every: bool) -> Iterator[str]:
    """Yield the facts as lines of text."""
    opsets = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in facts["opset"].items())
    yield f"{printable(model.name)}: {facts['bytes']:,} bytes, opset {opsets}, IR version {facts['ir_version']}"
    if facts["parts"]:
        yield f"  joined    {printable(' + '.join(part['name'] for part in facts['parts']))}"
    if facts["producer"]:
        yield f"  producer  {printable(facts['producer'])}"
    yield f"  sha256    {facts['sha256']}"
    for external in facts["external_data"]:
        yield f"  external  {printable(external['path'])}, {external['bytes']:,} bytes"
    yield f"  runs on   {facts['providers']['used']}; this onnxruntime has {', '.join(facts['providers']['available'])}"
    yield ""
    sizes = ShortSizes()
    yield from _tensor_lines(model, sizes)
    yield f"batch   {facts['batch']}"
    yield from _spec_lines(facts)
    yield f"target  {printable(facts['target'])}"
    yield ""
    ops = ", ".join(f"{op} {count}" for op, count in facts["ops"].items())
    yield f"ops     {sum(facts['ops'].values())} nodes: {printable(ops)}"
    if facts["random_ops"]:
        yield f"random  {printable(', '.join(facts['random_ops']))}: explaining it needs --allow-random"
    yield ""
    shown = facts["layers"] if every else select_layers(facts["layers"], model.input().shape)
    rest = len(facts["layers"]) - len(shown)
    yield f"layers  {len(shown)} of {len(facts['layers'])}" + ("; --layers all shows the others" if rest else "")
    width = _name_width(shown)
    for layer in shown:
        made = layer["op"] if layer["shape"] is None else f"{layer['op']} {printable(sizes.shape(layer['shape']))}"
        yield f"  {printable(layer['name']):<{width}}  {made}  {printable(place_text(layer))}".rstrip()
    if legend := ", ".join(sizes.legend()):
        yield f"sizes   {printable(legend)}"
    yield ""
    yield from _attention_lines(facts["attention"], every)
    yield from _method_lines(model, facts["methods"], sizes)


def _method_lines(model: Model, verdicts: list[Document], sizes: ShortSizes) -> Iterator[str]:
    """The methods by outcome: those that work, then each reason against others once, shortened."""
    works = [verdict["method"] for verdict in verdicts if verdict["outcome"] == "works"]
    untried = sum(verdict["outcome"] == "not tried" for verdict in verdicts)
    none = f"not known: {counted(untried, 'method was', 'methods were')} not tried" if untried else "no method"
    yield from _wrapped(f"works     {', '.join(works) or none}")
    by_differences = [v for v in verdicts if v.get("gradient") == "finite_differences"]
    if by_differences:
        names = ", ".join(v["method"] for v in by_differences)
        yield f"          by finite differences: {names}: {_short(model, by_differences[0]['remark'], sizes)}"
    for outcome in ("refused", "not tried"):
        reasons: dict[str, list[str]] = {}
        for verdict in verdicts:
            if verdict["outcome"] == outcome:
                # Methods that differ in their names alone have one reason.
                own = "".join(word.capitalize() for word in verdict["method"].split("_"))
                plain = re.sub(rf"(?<!\ba )(?<!\ban ){own}\b", "the method", verdict["reason"])
                reason = _short(model, plain, sizes)
                reasons.setdefault(reason, []).append(verdict["method"])
        for reason, listed in reasons.items():
            yield from _wrapped(f"{outcome:<9} {', '.join(listed)}: {reason}")


def _wrapped(line: str) -> list[str]:
    """A line with a word in front, broken beneath what follows it."""
    return textwrap.wrap(line, _WIDTH, subsequent_indent=" " * 10, break_long_words=False, break_on_hyphens=False)


def _short(model: Model, reason: str, sizes: ShortSizes) -> str:
    """The first sentence of a reason, without the name of the model, which is known here, and with short sizes."""
    return printable(short_reason(for_shell(sizes.in_text(reason.replace(f" of {model.name}", "")))))


def _attention_lines(found: list[Document], every: bool) -> Iterator[str]:
    if not found:
        return
    shown = found if every else found[-_MAX_LISTED:]
    yield f"attention {len(shown)} of {len(found)} layers, shapes for one sample"
    width = _name_width(shown)
    for layer in shown:
        counts = [f"{layer[key]} {key}" for key in ("heads", "tokens") if layer[key] is not None]
        yield f"  {printable(layer['name']):<{width}}  {_shape_text(layer)}  {', '.join(counts)}".rstrip()
    yield ""


def _name_width(layers: list[Document]) -> int:
    """The width of a column of names; a name that would leave no room beside it does not count."""
    widths = [len(printable(layer["name"])) for layer in layers]
    return max((width for width in widths if width <= _WIDEST_NAME), default=0)


def _shape_text(layer: Document) -> str:
    return "" if layer["shape"] is None else f"({', '.join('?' if d is None else str(d) for d in layer['shape'])})"


def _spec_lines(facts: Document) -> Iterator[str]:
    spec, labels = facts["spec"], facts["labels"]
    pairs = [
        f"{key} {_spec_value(value)}" for key, value in spec.items() if key != "guessed" and value not in ([], None)
    ]
    origin = (
        "guessed from the shapes, as there is no .toml file beside the model"
        if spec["guessed"]
        else "from the .toml file beside the model"
    )
    yield f"spec    {', '.join(pairs)} ({origin})"
    if labels:
        more = f", ... {len(labels)} in all" if len(labels) > 5 else ""
        yield f"labels  {printable(', '.join(labels[:5]))}{more}"


def _spec_value(value: object) -> str:
    if isinstance(value, list | tuple):
        items = [f"{v:g}" if isinstance(v, float) else str(v) for v in value]
        if len(items) > 5:
            return f"{', '.join(items[:5])}, ... {len(items)} in all"
        return " x ".join(items[:1] if len(set(items)) == 1 and len(items) == 3 else items)
    return str(value)
