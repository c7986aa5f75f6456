"""Several ONNX files as one model."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import onnx

from xaionnx import loading
from xaionnx.data.model_writing import take_out_weights, write_model
from xaionnx.data.spec import InputSpec
from xaionnx.data.spec_writing import write_spec
from xaionnx.data.storage import removed_on_failure, temporary_folder
from xaionnx.errors import ParameterError, UnsupportedModelError, UsageError
from xaionnx.graph.join import Part, Port, connections, free_ports, join
from xaionnx.graph.parts import parts_of
from xaionnx.loading.serialized import LARGEST_FILE, serialized_size
from xaionnx.runtime.batcher import same_rows
from xaionnx.runtime.session import Session, SessionSettings
from xaionnx.runtime.tensors import TensorInfo
from xaionnx.typing import Array

if TYPE_CHECKING:
    from xaionnx.runtime.model import Model

PartLike: TypeAlias = "Model | onnx.ModelProto | str | os.PathLike[str]"

# Weights above this size, in bytes, are written beside the joined file.
_APART: Final = LARGEST_FILE // 2
# Their location until their file has a name.
_WEIGHTS: Final = "weights"


def join_files(
    given: Sequence[PartLike],
    connect: Mapping[str, str] | None,
    path: str | os.PathLike[str] | None,
    timeout_s: float | None = None,
) -> Path:
    """Write the joined file, with its spec beside it, and return its path.

    See :meth:`xaionnx.runtime.model.Model.join`. Without a ``path`` it lies in a temporary folder, removed when Python
    exits.
    """
    read = [_read(one, number) for number, one in enumerate(given)]
    counts = Counter(part.name for part, _, _ in read)
    parts = [
        dataclasses.replace(part, name=f"{part.name}{number}") if counts[part.name] > 1 else part
        for number, (part, _, _) in enumerate(read, start=1)
    ]
    links = connections(parts, connect or {})
    joined = join(parts, links)
    _check_outputs(parts, links, joined, timeout_s)
    spec = _spec(parts, [spec for _, spec, _ in read], joined)
    destination = _temporary_path(joined) if path is None else Path(path)
    return _save(joined, destination, spec, {file for _, _, own in read for file in own})


def _read(given: PartLike, number: int) -> tuple[Part, InputSpec | None, tuple[Path, ...]]:
    """A part with its weights, its spec, and its files."""
    if isinstance(given, onnx.ModelProto):
        digest = hashlib.sha256(given.SerializeToString(deterministic=True)).hexdigest()
        return Part(given.graph.name or f"part{number + 1}", digest, given), None, ()
    file = loading.read_model(given) if not hasattr(given, "file") else given.file
    if getattr(given, "is_derived", False):
        raise ParameterError(f"A model derived from {file.path.name} cannot be joined. Join the loaded one.")
    spec = given.spec if hasattr(given, "spec") else InputSpec.beside(file.path)
    proto = file.proto
    if file.external:
        proto = onnx.ModelProto()
        proto.CopyFrom(file.proto)
        onnx.load_external_data_for_model(proto, str(file.path.parent))
        for weights in file.weights().values():
            weights.check_content()
    return Part(file.path.stem, file.sha256, proto), spec, (file.path, *file.external)


def _spec(parts: Sequence[Part], specs: Sequence[InputSpec | None], joined: onnx.ModelProto) -> InputSpec | None:
    """The input of the first part and the output of the last one; None if neither has a spec."""
    first, last = specs[0], specs[-1]
    if first is None and last is None:
        return None
    names = {value.name for value in joined.graph.output}
    output = None if last is None else last.output
    if output is not None and output not in names:
        output = f"{parts[-1].name}/{output}"
    spec = first or InputSpec(kind="array", name=joined.graph.input[0].name)
    if last is None:
        return dataclasses.replace(spec, output=None, activation="none", labels=(), boxes=None, blank=None)
    told = {name: getattr(last, name) for name in ("activation", "labels", "boxes", "blank")}
    return dataclasses.replace(spec, output=output, **told)


def _temporary_path(joined: onnx.ModelProto) -> Path:
    # Of the parts and nodes, since a model over 2 GB cannot be serialised.
    digest = hashlib.sha256("".join(part["sha256"] for part in parts_of(joined)).encode())
    for node in joined.graph.node:
        digest.update(node.SerializeToString(deterministic=True))
    folder = _folder() / digest.hexdigest()[:12]
    folder.mkdir(exist_ok=True)
    return folder / f"{joined.graph.name}.onnx"


def _save(joined: onnx.ModelProto, destination: Path, spec: InputSpec | None, sources: set[Path]) -> Path:
    weights = destination.with_name(f"{destination.name}.data")
    for file in (destination, weights):
        if file.resolve() in sources:
            raise UsageError(f"The joined file would overwrite {file}, which it is made from. Give another name.")
    beside = destination.with_suffix(".toml")
    with removed_on_failure() as made:
        if spec is not None and not os.path.lexists(beside):  # one that is there already is the user's
            made.append(write_spec(beside, spec))
        apart = {_WEIGHTS: take_out_weights(joined, _WEIGHTS)} if serialized_size(joined) > _APART else {}
        return write_model(destination, joined, apart, sources)[0]


@lru_cache(maxsize=1)
def _folder() -> Path:
    held = contextlib.ExitStack()
    atexit.register(held.close)
    return held.enter_context(temporary_folder())


def _check_outputs(
    parts: Sequence[Part], links: Mapping[Port, Port], joined: onnx.ModelProto, timeout_s: float | None
) -> None:
    """Check that the joined model returns what its parts return one after another, on one sample of random numbers.

    Nothing is checked if the sizes of an input are not known, or a part does not run on random numbers.

    Raises
    ------
    UnsupportedModelError
        The outputs differ.
    """
    if max(map(serialized_size, (joined, *(part.proto for part in parts)))) > _APART:
        return
    inputs, outputs = free_ports(parts, links)
    if len(outputs) != len(joined.graph.output):
        return
    names = dict(zip(inputs, (value.name for value in joined.graph.input), strict=True))
    feeds: dict[str, Array] = {}
    values: dict[Port, Array] = {}
    try:
        for number, part in enumerate(parts):
            session = Session(
                part.proto.SerializeToString(), SessionSettings("cpu"), name=part.name, timeout_s=timeout_s
            )
            fed = {}
            for info in map(TensorInfo.of, session.inputs):
                port = (number, info.name)
                value = values[links[port]].astype(info.dtype) if port in links else _random(info, len(feeds))
                if value is None:
                    return
                if port not in links:
                    feeds[names[port]] = value
                fed[info.name] = value
            fetched = [value.name for value in part.proto.graph.output]
            outs = session.run(fetched, fed, timeout_s)
            values |= {(number, name): out for name, out in zip(fetched, outs, strict=True)}
    except Exception as error:
        # A part that fails by itself on random numbers says nothing about the joined model.
        if isinstance(error, UnsupportedModelError) or loading.is_runtime_failure(error):
            return
        raise
    session = Session(joined.SerializeToString(), SessionSettings("cpu"), name=joined.graph.name, timeout_s=timeout_s)
    fetched = [value.name for value in joined.graph.output]
    together = dict(zip(fetched, session.run(fetched, feeds, timeout_s), strict=True))
    for port, name in zip(outputs, fetched, strict=True):
        alone, found = values[port], together[name]
        if not same_rows({name: np.asarray(alone)[None]}, {name: np.asarray(found)[None]}, 1):
            raise UnsupportedModelError(
                f"Output '{name}' of the joined model differs from what {parts[port[0]].name} returns. "
                "Export the models with the same version of the ONNX op set."
            )


def _random(info: TensorInfo, seed: int) -> Array | None:
    """Random numbers for one sample of an input; None if its sizes or its type are not known."""
    sizes = [1 if axis == 0 and not isinstance(size, int) else size for axis, size in enumerate(info.shape)]
    if info.dtype.kind not in "fiub" or not all(isinstance(size, int) for size in sizes):
        return None
    rng = np.random.default_rng(seed)
    return np.asarray(rng.normal(size=[size for size in sizes if isinstance(size, int)])).astype(info.dtype)
