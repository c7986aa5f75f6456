"""The nets on which methods are compared with other libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from tests.goldens.weights import drawn
from xaionnx import Model

FOLDER = Path(__file__).parent


def filled(golden: Any, exporter: str) -> onnx.ModelProto:
    """A graph of :mod:`tests.goldens.make_architectures` with its weights.

    They are drawn from their names; statistics of normalisation come from the file.
    """
    model = onnx.load_model_from_string(golden[f"graph_{exporter}"].tobytes())
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and not tensor.raw_data and not tensor.float_data:
            kept = f"statistics:{tensor.name}"
            content = golden[kept].astype(np.float32) if kept in golden else drawn(tensor.name, tensor.dims)
            tensor.raw_data = numpy_helper.from_array(content).raw_data
    return model


def loaded(net: str, folder: Path) -> Model:
    """The net; ``folder`` takes its graph where that is made first."""
    path = FOLDER / "propagation" / f"{net}.onnx"
    if net in ("vgg", "resnet18"):
        if net == "vgg":
            model = onnx.load(path)
            for tensor in model.graph.initializer:
                tensor.CopyFrom(numpy_helper.from_array(drawn(tensor.name, tensor.dims), tensor.name))
        else:
            with np.load(FOLDER / "architectures" / f"{net}.npz") as golden:
                model = filled(golden, "trace")
        path = folder / f"{net}.onnx"
        onnx.save(model, path)
    return Model.load(path, device="cpu", threads=1)
