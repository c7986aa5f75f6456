"""A graph with nodes in front that write its inputs, and nodes behind that read a few numbers from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt
import onnx
import onnx_ir as ir

from xaionnx.graph.builder import Builder

Array = npt.NDArray[Any]

# Name of the output that holds what the nodes behind the model read.
OUTPUT = "xaionnx_values"


def enclose(
    proto: onnx.ModelProto,
    write: Callable[[Builder], dict[str, ir.Value]],
    read: Callable[[Builder, Mapping[str, ir.Value]], ir.Value],
    constant: Mapping[str, Array],
) -> onnx.ModelProto:
    """Put nodes before and behind a graph.

    Parameters
    ----------
    proto : onnx.ModelProto
    write : callable
        Emits nodes that compute inputs (M, ...); returns them by name.
    read : callable
        Emits nodes that compute one value (M, T) from the graph's outputs, given by name.
    constant : mapping
        Inputs that ``write`` leaves alone, of one sample and without batch axis: each is fed as it is and
        repeated M times.

    Returns
    -------
    onnx.ModelProto
        Its only output is :data:`OUTPUT`; its inputs are those that ``write`` and ``read`` asked for, those of
        ``constant``, and the old ones that neither named.
    """
