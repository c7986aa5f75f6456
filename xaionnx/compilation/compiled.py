"""The compiled graph, its metadata, and how it is saved."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Unpack, final

import numpy as np

from xaionnx import discovery
from xaionnx.autodiff.gradient import first_rows, gradient_graph
from xaionnx.data.model_writing import write_model
from xaionnx.data.sample import Sample
from xaionnx.errors import InputMismatchError, ParameterError, UnknownNameError, UnsupportedModelError, UsageError
from xaionnx.explainer import Explainer
from xaionnx.explainers import ChoosesLayer, ClosedForm, Compilable
from xaionnx.gradients.graph import REFERENCE, similarity_error, with_activation
from xaionnx.graph.serialize import to_bytes
from xaionnx.layers.branches import branch_groups
from xaionnx.layers.dry_run import size_by_spec
from xaionnx.layers.target_elements import TargetElements, check_depends
from xaionnx.loading import ModelFile
from xaionnx.loading.external_data import tensors
from xaionnx.loading.read_file import ReadFile
from xaionnx.loading.serialized import serialized_size
from xaionnx.parameters import as_names
from xaionnx.record import recorded_parameters
from xaionnx.runtime.model import Model
from xaionnx.runtime.tensors import TensorInfo, listed
from xaionnx.targets.in_graph import Chosen
from xaionnx.targets.kinds.detection import Detection
from xaionnx.targets.scores import is_int
from xaionnx.targets.target import Target
from xaionnx.typing import Array, Feeds, ModelLike, TargetLike
from xaionnx.version import __version__

if TYPE_CHECKING:
    import onnx

    from xaionnx.methods import Settings


# Prefix of the metadata keys of a compiled file.
_KEY = "xaionnx."
MAX_ADDED_MB: Final = 256.0
"""How many megabytes the explanation may add to the model, by default."""

# Elements of an output that a layer must serve if the class is chosen when the file runs.
_ELEMENTS = 64


@final
@dataclass(frozen=True, eq=False)
class Compiled:
    """A compiled method; :meth:`save` writes the file.

    Attributes
    ----------
    proto : onnx.ModelProto
        The graph. External weights are named relative to the source.
    source : ModelFile
        The file of the model.
    inputs, outputs : tuple of TensorInfo
        The outputs are those of the model, the attribution of each explained input, the explained class if the target
        is one, the target's value, and the method's diagnostics; of an exact method ``shap_values`` (N, P, C), of P
        features and C classes, and ``base_values`` (C,).
    facts : dict of str to str
        The metadata of the file: method, parameters, target, source and its hash.
    fixed : tuple of str
        Inputs of free size in the source, which the file takes only in the size of :attr:`inputs`.
    """

    proto: onnx.ModelProto
    source: ModelFile
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    facts: dict[str, str]
    fixed: tuple[str, ...]

    def __repr__(self) -> str:
        """The method, the inputs and the outputs, one line each."""
        target = self.facts.get("target", "")
        what = f"Compiled {self.facts.get('method', '')} of {self.source.path.name}, target {target}"
        return f"{what}\n  inputs   {listed(self.inputs)}\n  outputs  {listed(self.outputs)}"

    def save(self, path: str | os.PathLike[str]) -> tuple[Path, ...]:
        """Write the file, and return its path and those of copied weights.

        In the source's folder it refers to the same external weights; in another folder they are copied beside it,
        because onnxruntime reads weights only from the folder of the model. If it fails, an earlier file and its
        weights are as they were.

        Raises
        ------
        UsageError
            The file is the source, or one of its weights.
        ModelFileError
            The weights of the source have changed since they were read.
        StorageError
            The file cannot be written.
        """
        destination = Path(path)
        copies = self._copies(destination)
        read = (self.source.path, *self.source.external)
        for file in self.files(destination):
            if file.resolve() in read:
                raise UsageError(f"The compiled file would overwrite {file}, from which it is made. Give another name.")
        content = to_bytes(self.proto, self.source)
        for location in {entry.value for entry in _locations(self.proto)} - copies.keys():
            self._read_weights(location).check_content()
        weights = {location: partial(self._copy, location) for location in copies}
        return write_model(destination, type(self.proto).FromString(content), weights, read, replace=True)

    def _copy(self, location: str, stream: BinaryIO) -> None:
        self._read_weights(location).copy_to(stream)

    def _read_weights(self, location: str) -> ReadFile:
        return self.source.weights()[(self.source.path.parent / location).resolve()]

    def files(self, path: str | os.PathLike[str]) -> tuple[Path, ...]:
        """The files that :meth:`save` writes: the file itself, and copies of weights.

        Where the weights of an earlier file differ, the copies get other names, until that file has been replaced.
        """
        destination = Path(path)
        return (destination, *(destination.parent / name for name in self._copies(destination).values()))

    def _copies(self, destination: Path) -> dict[str, str]:
        """The new file name for each location of weights that the graph uses; none in the folder of the source."""
        if destination.resolve().parent == self.source.path.parent:
            return {}
        locations = sorted({entry.value for entry in _locations(self.proto)})
        numbers = [""] if len(locations) == 1 else [f".{number}" for number in range(len(locations))]
        return {old: f"{destination.name}{number}.data" for old, number in zip(locations, numbers, strict=True)}


def compile(
    model: ModelLike,
    method: str | Explainer = "saliency",
    target: TargetLike = None,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    max_added_mb: float = MAX_ADDED_MB,
    **settings: Unpack[Settings],
) -> Compiled:
    """One ONNX graph that returns the prediction and its attribution, for onnxruntime without xaionnx.

    Parameters
    ----------
    model : Model or path
    method : str or Explainer
        A method that can be compiled, such as ``saliency`` or ``tree_shap``, by name or with its parameters.
    target : optional
        The target, as in :func:`xaionnx.explain`, the top class of each sample if None; or ``"input"``: the class is
        given at each run by a further input ``target``, (N,) int64. Exact methods such as ``tree_shap`` return the
        values of all classes if None, and of those in a list.
    shapes : mapping of str to sequence of int, optional
        The size of one sample of an input, without the batch axis, if it is free in the model. A gradient graph is
        valid for one size, which the file declares.
    max_added_mb : float
        The most megabytes that the explanation may add to the model, which limits the tables of ``tree_shap``.
    **settings
        Parameters of the method, if it is given by name.

    Returns
    -------
    Compiled

    Raises
    ------
    UnsupportedModelError
        The method cannot be compiled, an op has no rule, the model is already a compiled file, or more than
        ``max_added_mb`` would be added to it.
    InputMismatchError
        A free size is not given, or does not match.
    ParameterError, UnknownNameError
        The target or a parameter is invalid.

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
    explainer = discovery.configured(method, settings)
    if not isinstance(explainer, Compilable | ClosedForm):
        raise _not_a_graph(explainer.name())
    if not max_added_mb > 0:
        raise ParameterError(f"The 'max_added_mb' parameter must be a positive number. Got {max_added_mb!r} instead.")
    loaded = model if isinstance(model, Model) else Model.load(model, "cpu")
    if any(entry.key == f"{_KEY}method" for entry in loaded.file.proto.metadata_props):
        raise UnsupportedModelError(f"{loaded.name} is already a compiled file. Compile the original model.")
    _check_given(loaded, shapes or {})
    explainer = explainer.bind(loaded)
    if isinstance(explainer, ClosedForm):
        from xaionnx.compilation.closed_form import closed_form

        proto, facts = closed_form(loaded, explainer, target, shapes or {}, max_added_mb * 1e6)
        return _finished(proto, loaded, {**_facts(loaded, explainer, facts.pop("target"), {}), **facts}, ())
    made = _of_gradients(loaded, explainer, target, shapes or {})
    added = (len(to_bytes(made.proto, loaded.file)) - serialized_size(loaded.graph)) / 1e6
    if added > max_added_mb:
        raise UnsupportedModelError(
            f"{explainer.name()} adds {added:,.0f} MB to {loaded.name}, and at most {max_added_mb:,.0f} MB may be "
            "added (max_added_mb)."
        )
    return made


def _of_gradients(
    loaded: Model, explainer: Explainer, target: TargetLike, shapes: Mapping[str, Sequence[int]]
) -> Compiled:
    """A gradient method, which is bound to the model, as one graph with it."""
    from xaionnx.compilation.assembly import Differentiated, assemble

    if getattr(explainer, "gradient", "auto") not in ("auto", "graph"):
        raise ParameterError("A compiled file contains the gradient graph. Leave 'gradient' out, or give 'graph'.")
    sizes = _sizes(loaded, shapes)
    rows = first_rows(loaded, shapes=sizes)
    explained = _target(explainer, loaded, target).bind(loaded, rows)
    # Its tensors are part of the file, but no outputs of it.
    form = explained.extended(loaded)
    tensor = explained.tensor(form)
    output = form.with_outputs([tensor]).run(rows, [tensor])[tensor]
    aim = explained.in_graph(form, output)
    origin = {} if aim.reference is None else {REFERENCE: aim.reference.astype(np.float32)}
    size = None if aim.reference is None else aim.reference.shape[1]
    activated_model, out = with_activation(form, tensor, aim.activation, size)
    keep = tuple(dict.fromkeys([*(info.name for info in loaded.outputs), tensor]))
    sample = loaded.samples(rows)[0]
    read = _elements(explained, tensor, output, form)
    explainer = _with_layer(explainer, form, sample, read)
    assert isinstance(explainer, Compilable)  # as before its layer was chosen
    wrt = explainer.wrt(form, sample, tensor)
    for layer in set(wrt) - {info.name for info in loaded.inputs}:
        check_depends(form, layer, {name: (1, *x.shape) for name, x in sample.own.items()}, read)
    try:
        proto = gradient_graph(activated_model, out, wrt, explainer.rules(loaded), {**rows, **origin}, keep)
    except UnsupportedModelError as refusal:
        raise _branching_error(loaded, rows) or refusal from refusal
    differentiated = Differentiated(proto, out, wrt)
    proto = assemble(differentiated, loaded, explainer, aim, sample, chosen=isinstance(explained, Chosen))
    fixed = {info.name: sizes[info.name] for info in loaded.inputs if info.name in sizes}
    return _finished(proto, loaded, _facts(loaded, explainer, aim.words, fixed), tuple(fixed))


def _finished(proto: onnx.ModelProto, model: Model, facts: dict[str, str], fixed: tuple[str, ...]) -> Compiled:
    """The graph with its metadata."""
    _add_metadata(proto, model, facts)
    inputs, outputs = _tensor_infos(proto.graph.input), _tensor_infos(proto.graph.output)
    return Compiled(proto, model.file, inputs, outputs, facts, fixed)


def methods() -> list[str]:
    """Names of the methods that can be compiled."""
    return [name for name in discovery.methods() if issubclass(discovery.method(name), Compilable | ClosedForm)]


def method(name: str) -> type[Explainer]:
    """The class of a method that can be compiled.

    Raises
    ------
    UnknownNameError
        There is no such method.
    UnsupportedModelError
        The method cannot be compiled.

    Examples
    --------
    >>> method("saliency").__name__
    'Saliency'
    """
    kind = discovery.method(name)
    if issubclass(kind, Compilable | ClosedForm):
        return kind
    raise _not_a_graph(name)


def _not_a_graph(name: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"{name} is not a graph, so it cannot be compiled. Methods that can: {', '.join(methods())}."
    )


def _branching_error(model: Model, rows: Feeds) -> UnsupportedModelError | None:
    """Return the error for a model whose branches of If depend on values; None if it has no such branches."""
    conditions = {name: None for group in branch_groups(model, rows) for name in group.taken}
    if not conditions:
        return None
    listed = " and ".join(f"'{name}'" for name in conditions)
    choose = "choose" if len(conditions) > 1 else "chooses"
    return UnsupportedModelError(
        f"A compiled file is one graph, and {listed} of {model.name} {choose} a branch of If by "
        "values of the inputs. Use xaionnx explain, which follows the branches of each sample, or "
        "export the branch that you need as a model of its own."
    )


def _target(method: Explainer, model: Model, given: TargetLike) -> Target:
    if isinstance(given, str) and given == "input":
        return Chosen()
    targets, several = Target.of(method.default_target(model) if given is None else given)
    if several:
        raise ParameterError(
            "A compiled file has one target. Compile one for each, or use 'input' and give the class at each run."
        )
    if isinstance(targets[0], Detection):
        raise similarity_error()
    return targets[0]


def _elements(target: Target, tensor: str, output: Array, model: Model) -> list[list[TargetElements]]:
    """The elements that a target reads; evenly spaced ones of all if the samples or the user choose the class."""
    if not target.follows and not isinstance(target, Chosen):
        return [[TargetElements.of(term, 0)] for term in target.terms(output, model)]
    size = output[0].size
    some = range(0, size, max(1, size // _ELEMENTS))
    return [[TargetElements(tensor, np.array([index]), f"{tensor}, element {index}")] for index in some]


def _with_layer(
    explainer: Explainer, model: Model, sample: Sample, read: Sequence[Sequence[TargetElements]]
) -> Explainer:
    """The method with its default layer, which must be the same for all elements."""
    given = as_names(getattr(explainer, "layer", None))
    if len(given) > 1:
        raise ParameterError(f"A compiled file explains one layer. Got {', '.join(given)}. Compile one for each.")
    if not isinstance(explainer, ChoosesLayer) or explainer.layer is not None:
        return explainer
    found = {explainer.layer_for(model, sample, [one]) for of_target in read for one in of_target}
    if len(found) > 1:
        raise UnsupportedModelError(
            f"The default layer depends on the element that is explained: {', '.join(sorted(found))}. "
            "Name one with layer=, or give a target of one head."
        )
    return dataclasses.replace(explainer, layer=found.pop())  # type: ignore[type-var]  # methods are dataclasses


def _check_given(model: Model, shapes: Mapping[str, Sequence[int]]) -> None:
    """Raise an error for an unknown input, or for a size that does not fit what the file declares."""
    known = {info.name: info for info in model.inputs}
    for name, given in shapes.items():
        if name not in known:
            raise UnknownNameError.among("input", name, known)
        if not _fits(_declared(model, known[name]), given):
            raise _misfit(model, known[name], f". Got {', '.join(map(str, given))} instead.")


def _sizes(model: Model, shapes: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    """The size of one sample for each input whose size is free in the model, given or by the spec."""
    sizes: dict[str, tuple[int, ...]] = {}
    for info in model.inputs:
        declared = _declared(model, info)
        if all(isinstance(size, int) for size in declared):
            continue
        found = tuple(shapes[info.name]) if info.name in shapes else size_by_spec(model, info)
        if not _fits(declared, found):
            raise _misfit(model, info, ".")
        sizes[info.name] = found
    return sizes


def _declared(model: Model, info: TensorInfo) -> tuple[int | str | None, ...]:
    return info.shape if info.name in model.shared else info.shape[1:]


def _fits(declared: tuple[int | str | None, ...], given: Sequence[int]) -> bool:
    whole = len(given) == len(declared) and all(is_int(size) and size > 0 for size in given)
    return whole and all(not isinstance(own, int) or own == size for own, size in zip(declared, given, strict=True))


def _misfit(model: Model, info: TensorInfo, ending: str) -> InputMismatchError:
    count = len(_declared(model, info))
    return InputMismatchError(
        f"Input '{info.name}' of {model.name} is {info}, and a compiled file is of one size. Give the size of one "
        f"sample with shapes=, or --shape: {count} whole number{'s' * (count != 1)}{ending}"
    )


def _locations(proto: onnx.ModelProto) -> list[onnx.StringStringEntryProto]:
    return [entry for tensor in tensors(proto) for entry in tensor.external_data if entry.key == "location"]


def _facts(model: Model, method: Explainer, target: str, fixed: Mapping[str, Sequence[int]]) -> dict[str, str]:
    resolved = {**method.resolved_parameters(), **({"gradient": "graph"} if isinstance(method, Compilable) else {})}
    facts = {
        "method": method.name(),
        "parameters": json.dumps(recorded_parameters(method, resolved)),
        "target": target,
        "source": model.name,
        "source_sha256": model.sha256,
        "version": __version__,
    }
    return {**facts, "sizes": json.dumps(fixed)} if fixed else facts


def _add_metadata(proto: onnx.ModelProto, model: Model, facts: Mapping[str, str]) -> None:
    """Add the producer, versions and facts as standard ONNX metadata."""
    from onnx.helper import find_min_ir_version_for

    from xaionnx.autodiff.backward import APPROXIMATIONS

    source = model.file.proto
    proto.producer_name, proto.producer_version = "xaionnx", __version__
    proto.ir_version = max(proto.ir_version, source.ir_version, find_min_ir_version_for(list(proto.opset_import)))
    proto.doc_string = (
        f"{facts['method']} of {facts['target']} of {model.name}, compiled by xaionnx {__version__}: the model's own "
        "outputs and their attribution."
    )
    metadata = {entry.key: entry.value for entry in proto.metadata_props if entry.key == APPROXIMATIONS}
    metadata |= {entry.key: entry.value for entry in source.metadata_props}
    del proto.metadata_props[:]
    if source.producer_name:
        metadata[f"{_KEY}source_producer"] = f"{source.producer_name} {source.producer_version}".strip()
    for key, value in {**metadata, **{_KEY + key: value for key, value in facts.items()}}.items():
        proto.metadata_props.add(key=key, value=value)


def _tensor_infos(values: Sequence[onnx.ValueInfoProto]) -> tuple[TensorInfo, ...]:
    """The declared inputs or outputs."""
    from onnx.helper import tensor_dtype_to_np_dtype

    infos = []
    for value in values:
        tensor = value.type.tensor_type
        shape = tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in tensor.shape.dim)
        infos.append(TensorInfo(value.name, tensor_dtype_to_np_dtype(tensor.elem_type), shape))
    return tuple(infos)
