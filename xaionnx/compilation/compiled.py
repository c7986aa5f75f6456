"""What is compiled: the graph, what it tells of itself, and how it is saved."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Unpack, final

import numpy as np

from xaionnx import discovery
from xaionnx.autodiff.gradient import first_rows, gradient_graph
from xaionnx.data.sample import split
from xaionnx.data.storage import write_whole
from xaionnx.errors import InputMismatchError, ParameterError, UnknownNameError, UnsupportedModelError, UsageError
from xaionnx.explainer import Explainer
from xaionnx.explainers import Compilable
from xaionnx.gradients.graph import REFERENCE, with_activation
from xaionnx.graph.serialize import to_bytes
from xaionnx.layers.dry_run import size_by_spec
from xaionnx.loading import ModelFile
from xaionnx.loading.external_data import tensors
from xaionnx.record import recorded_parameters
from xaionnx.runtime.model import Model
from xaionnx.runtime.tensors import TensorInfo, listed
from xaionnx.targets.in_graph import Chosen
from xaionnx.targets.scores import is_int
from xaionnx.targets.target import Target
from xaionnx.typing import ModelLike, TargetLike
from xaionnx.version import __version__

if TYPE_CHECKING:
    import onnx

    from xaionnx.methods import Settings


# Begins the keys of what a compiled file tells of itself.
_KEY = "xaionnx."


@final
@dataclass(frozen=True, eq=False)
class Compiled:
    """A compiled method; :meth:`save` writes the file.

    Attributes
    ----------
    proto : onnx.ModelProto
        The graph. External weights are named as they lie beside the source.
    source : ModelFile
        What it was made from.
    inputs, outputs : tuple of TensorInfo
        The outputs are the model's own, the attribution of each explained input, the class that is explained where
        the target is one, the target's value, and the method's diagnostics.
    facts : dict of str to str
        What the file tells of itself: method, parameters, target, source and its hash.
    fixed : tuple of str
        Inputs that the source takes in any size, and the file in that of :attr:`inputs` alone.
    """

    proto: onnx.ModelProto
    source: ModelFile
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    facts: dict[str, str]
    fixed: tuple[str, ...]

    def __repr__(self) -> str:
        """What it computes, its inputs and its outputs, in a line each."""
        target = self.facts.get("target", "")
        what = f"Compiled {self.facts.get('method', '')} of {self.source.path.name}, target {target}"
        return f"{what}\n  inputs   {listed(self.inputs)}\n  outputs  {listed(self.outputs)}"

    def save(self, path: str | os.PathLike[str]) -> tuple[Path, ...]:
        """Write the file, and return it and the files of weights that were copied.

        In the source's folder it names the same external weights; in another they are copied beside it, since
        onnxruntime reads weights from the model's own folder alone.

        Raises
        ------
        UsageError
            The file is the source, or one of its weights.
        StorageError
            It cannot be written.
        """
        place = Path(path)
        copies = {} if place.resolve().parent == self.source.path.parent else self._copies(place)
        written = (place, *(place.parent / name for name in copies.values()))
        for file in written:
            if file.resolve() in (self.source.path, *self.source.external):
                raise UsageError(f"The compiled file would overwrite {file}, which it is made from. Name another.")
        content = to_bytes(self.proto, self.source)
        if copies:
            moved = type(self.proto).FromString(content)
            for entry in _locations(moved):
                entry.value = copies[entry.value]
            content = moved.SerializeToString()
            for location, name in copies.items():
                with (self.source.path.parent / location).open("rb") as weights:
                    write_whole(place.parent / name, partial(shutil.copyfileobj, weights))
        write_whole(place, lambda stream: stream.write(content))
        return written

    def _copies(self, place: Path) -> dict[str, str]:
        """The name beside ``place`` for each location of weights that the graph uses."""
        locations = sorted({entry.value for entry in _locations(self.proto)})
        numbers = [""] if len(locations) == 1 else [f".{number}" for number in range(len(locations))]
        return {old: f"{place.name}{number}.data" for old, number in zip(locations, numbers, strict=True)}


def compile(
    model: ModelLike,
    method: str | Explainer = "saliency",
    target: TargetLike = None,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    **settings: Unpack[Settings],
) -> Compiled:
    """Make one ONNX graph that answers the prediction and its attribution, for onnxruntime without xaionnx.

    Parameters
    ----------
    model : Model or path
    method : str or Explainer
        A gradient method that is a graph, such as ``saliency``, by name or with its parameters.
    target : optional
        What is explained, as :func:`xaionnx.explain` takes it, the top class of each sample if None; or ``"input"``:
        the class that a further input ``target``, (N,) int64, names at each run.
    shapes : mapping of str to sequence of int, optional
        The size of one sample of an input, without the batch axis, where the model leaves it free. A gradient is
        right for one size, which the file then declares.
    **settings
        The parameters of a method given by name.

    Returns
    -------
    Compiled

    Raises
    ------
    UnsupportedModelError
        The method is not a graph, an op has no rule, or the model was compiled already.
    InputMismatchError
        A size is free and not given, or does not fit.
    ParameterError, UnknownNameError
        The target or a parameter is refused.

    Examples
    --------
    >>> import numpy as np, onnxruntime
    >>> from models import planted
    >>> made = compile(planted.load(planted.linear([[1.0, 2.0, -3.0], [0.0, 1.0, 1.0]])), "input_x_gradient", 0)
    >>> [output.name for output in made.outputs]
    ['y', 'attribution', 'target', 'target_value']
    >>> session = onnxruntime.InferenceSession(made.proto.SerializeToString())
    >>> session.run(["attribution"], {"x": np.float32([[3, 2, 1]])})[0]
    array([[ 3.,  4., -3.]], dtype=float32)
    """
    from xaionnx.compilation.assembly import Differentiated, assemble

    explainer = discovery.configured(method, settings)
    if not isinstance(explainer, Compilable):
        raise _not_a_graph(explainer.name())
    if getattr(explainer, "gradient", "auto") not in ("auto", "graph"):
        raise ParameterError("A compiled file holds the gradient that is built. Leave 'gradient' out, or give 'graph'.")
    opened = model if isinstance(model, Model) else Model.load(model, "cpu")
    if any(entry.key == f"{_KEY}method" for entry in opened.file.proto.metadata_props):
        raise UnsupportedModelError(f"{opened.name} is a compiled file already. Compile the model that it was made of.")
    sizes = _sizes(opened, shapes or {})
    rows = first_rows(opened, shapes=sizes)
    asked = _target(explainer, opened, target)
    tensor = asked.tensor(opened)
    aimed = asked.in_graph(opened, opened.with_outputs([tensor]).run(rows, [tensor])[tensor])
    origin = {} if aimed.reference is None else {REFERENCE: aimed.reference.astype(np.float32)}
    size = None if aimed.reference is None else aimed.reference.shape[1]
    seen, out = with_activation(opened, tensor, aimed.activation, size)
    keep = tuple(dict.fromkeys([*(info.name for info in opened.outputs), tensor]))
    sample = split(rows, opened.input().name, opened.spec, opened.shared)[0]
    wrt = explainer.wrt(opened, sample, tensor)
    proto = gradient_graph(seen, out, wrt, explainer.rules(opened), {**rows, **origin}, keep)
    found = Differentiated(proto, out, wrt)
    proto = assemble(found, opened, explainer, aimed, sample, chosen=isinstance(asked, Chosen))
    fixed = {info.name: sizes[info.name] for info in opened.inputs if info.name in sizes}
    facts = _facts(opened, explainer, aimed.words, fixed)
    _signed(proto, opened, facts)
    return Compiled(proto, opened.file, _told(proto.graph.input), _told(proto.graph.output), facts, tuple(fixed))


def methods() -> list[str]:
    """Names of the methods that can be compiled."""
    return [name for name in discovery.methods() if issubclass(discovery.method(name), Compilable)]


def method(name: str) -> type[Explainer]:
    """The class of a method that can be compiled.

    Raises
    ------
    UnknownNameError
        There is no such method.
    UnsupportedModelError
        It is not a graph.

    Examples
    --------
    >>> method("saliency").__name__
    'Saliency'
    """
    kind = discovery.method(name)
    if issubclass(kind, Compilable):
        return kind
    raise _not_a_graph(name)


def _not_a_graph(name: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"{name} is not a graph, so it cannot be compiled. Methods that can: {', '.join(methods())}."
    )


def _target(method: Explainer, model: Model, given: TargetLike) -> Target:
    if isinstance(given, str) and given == "input":
        return Chosen()
    targets, several = Target.of(method.default_target(model) if given is None else given)
    if several:
        raise ParameterError(
            "A compiled file holds one target. Compile one for each, or take 'input' and name the class at each run."
        )
    return targets[0]


def _sizes(model: Model, shapes: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    """The size of one sample for each input that tells less in the model."""
    known = {info.name: info for info in model.inputs}
    for name in shapes:
        if name not in known:
            raise UnknownNameError.among("input", name, known)
    sizes: dict[str, tuple[int, ...]] = {}
    for name, info in known.items():
        declared = info.shape if name in model.shared else info.shape[1:]
        known_whole = all(isinstance(size, int) for size in declared)
        if known_whole and name not in shapes:
            continue
        given = tuple(shapes[name]) if name in shapes else size_by_spec(model, info)
        fits = len(given) == len(declared) and all(is_int(size) and size > 0 for size in given)
        if not fits or any(isinstance(d, int) and d != size for d, size in zip(declared, given, strict=True)):
            raise InputMismatchError(
                f"Input '{name}' of {model.name} is {info}, and a compiled file is of one size. Give the size of one "
                f"sample with shapes=, or --shape: {len(declared)} whole number{'s' * (len(declared) != 1)}"
                + (f". Got {', '.join(map(str, given))} instead." if name in shapes else ".")
            )
        if not known_whole:
            sizes[name] = given
    return sizes


def _locations(proto: onnx.ModelProto) -> list[onnx.StringStringEntryProto]:
    return [entry for tensor in tensors(proto) for entry in tensor.external_data if entry.key == "location"]


def _facts(model: Model, method: Explainer, target: str, fixed: Mapping[str, Sequence[int]]) -> dict[str, str]:
    facts = {
        "method": method.name(),
        "parameters": json.dumps(recorded_parameters(method, {**method.resolved_parameters(), "gradient": "graph"})),
        "target": target,
        "source": model.name,
        "source_sha256": model.sha256,
        "version": __version__,
    }
    return {**facts, "sizes": json.dumps(fixed)} if fixed else facts


def _signed(proto: onnx.ModelProto, model: Model, facts: Mapping[str, str]) -> None:
    """Let the file name what made it, in a form that every reader of ONNX takes."""
    from onnx.helper import find_min_ir_version_for

    from xaionnx.autodiff.backward import APPROXIMATIONS

    source = model.file.proto
    proto.producer_name, proto.producer_version = "xaionnx", __version__
    proto.ir_version = max(proto.ir_version, source.ir_version, find_min_ir_version_for(list(proto.opset_import)))
    proto.doc_string = (
        f"{facts['method']} of {facts['target']} of {model.name}, compiled by xaionnx {__version__}: the model's own "
        "outputs, and what they rest on."
    )
    told = {entry.key: entry.value for entry in proto.metadata_props if entry.key == APPROXIMATIONS}
    told |= {entry.key: entry.value for entry in source.metadata_props}
    del proto.metadata_props[:]
    if source.producer_name:
        told[f"{_KEY}source_producer"] = f"{source.producer_name} {source.producer_version}".strip()
    for key, value in {**told, **{_KEY + key: value for key, value in facts.items()}}.items():
        proto.metadata_props.add(key=key, value=value)


def _told(values: Sequence[onnx.ValueInfoProto]) -> tuple[TensorInfo, ...]:
    """Inputs or outputs as they are declared."""
    from onnx.helper import tensor_dtype_to_np_dtype

    told = []
    for value in values:
        tensor = value.type.tensor_type
        shape = tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in tensor.shape.dim)
        told.append(TensorInfo(value.name, tensor_dtype_to_np_dtype(tensor.elem_type), shape))
    return tuple(told)
