"""Serialise derived models to the bytes that onnxruntime opens."""

from __future__ import annotations

import onnx

from xaionnx.errors import ModelFileError, UnsupportedModelError
from xaionnx.loading import ModelFile
from xaionnx.loading.external_data import tensors
from xaionnx.loading.reading import LARGEST_FILE

# The first IR version in which weights need not be listed among the inputs.
WEIGHTS_APART = 4


def to_bytes(model: onnx.ModelProto, source: ModelFile) -> bytes:
    """Return a derived model as ONNX bytes; external data stay external, at the same relative location.

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
    if model.ByteSize() > LARGEST_FILE:
        raise UnsupportedModelError(
            f"The graph derived from {source.path} is larger than 2 GiB. "
            "Save the model with its weights as external data."
        )
    content: bytes = model.SerializeToString()
    return content


def _locations(proto: onnx.ModelProto) -> set[str]:
    return {
        entry.value
        for tensor in tensors(proto)
        if tensor.data_location == onnx.TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
