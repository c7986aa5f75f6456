"""Serialise derived models to the bytes that onnxruntime opens."""

from __future__ import annotations

import onnx

from xaionnx.errors import ModelFileError, UnsupportedModelError
from xaionnx.graph.waves import MANY_NODES, sort_in_waves
from xaionnx.loading import ModelFile
from xaionnx.loading.external_data import tensors
from xaionnx.loading.serialized import serialized


def to_bytes(model: onnx.ModelProto, source: ModelFile) -> bytes:
    """Return a derived model as ONNX bytes; external data stay external, at the same relative location.

    The nodes of large graphs are sorted so that onnxruntime opens them faster; see :mod:`xaionnx.graph.waves`.

    Sessions need the configuration entry ``session.model_external_initializers_file_folder_path`` set to
    ``source.path.parent``; without it onnxruntime looks in the current folder.

    Parameters
    ----------
    model : onnx.ModelProto
        Derived from ``source``.
    source : ModelFile

    Raises
    ------
    ModelFileError
        The model names an external file that was not checked with ``source``.
    UnsupportedModelError
        The model is larger than 2 GiB.
    """
    strange = _locations(model) - _locations(source.proto)
    if strange:
        raise ModelFileError(
            f"{source.path}: external data '{min(strange)}' do not belong to this model. Derive from its own file."
        )
    if len(model.graph.node) > MANY_NODES:
        ordered = onnx.ModelProto()
        ordered.CopyFrom(model)
        sort_in_waves(ordered.graph)
        model = ordered
    content = serialized(model)
    if content is None:
        raise UnsupportedModelError(
            f"The graph derived from {source.path} is larger than 2 GiB. "
            "Save the model with its weights as external data."
        )
    return content


def _locations(proto: onnx.ModelProto) -> set[str]:
    return {
        entry.value
        for tensor in tensors(proto)
        if tensor.data_location == onnx.TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
