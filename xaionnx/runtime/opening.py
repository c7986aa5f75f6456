"""How a file is opened: the options of a user, and the graphs that are run and differentiated."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypedDict

from xaionnx import loading
from xaionnx.graph.adapt import adapt
from xaionnx.graph.embed_once import embed_once
from xaionnx.graph.keep_samples import keep_samples
from xaionnx.graph.output_shapes import with_output_shapes
from xaionnx.graph.unfuse import unfuse
from xaionnx.runtime.axes import RowsMode, stated_ranks, stated_shapes
from xaionnx.runtime.session import channel_block

if TYPE_CHECKING:
    import onnx

    from xaionnx.data.spec import InputSpec

Shapes = Mapping[str, Sequence[int | None]]
"""The shapes of outputs by name; None for a free size."""


class LoadOptions(TypedDict, total=False):
    """What :meth:`xaionnx.runtime.model.Model.load` takes beside the path."""

    device: str
    batch_size: int | None
    threads: int | None
    timeout_s: float | None
    spec: InputSpec | str | os.PathLike[str] | None
    axes: str | Mapping[str, str] | None
    rows: RowsMode | None
    allow_random: bool


class OpenedGraphs(NamedTuple):
    """The graphs of a file.

    Attributes
    ----------
    plain : onnx.ModelProto
        With plain ops only, so that it can be differentiated.
    deployed : onnx.ModelProto or None
        With the fused ops of the file, which the model's own sessions run; None if ``plain`` is that graph.
    shapes : Shapes
        Those of outputs that the file declares with other axes.
    labels : tuple of str or None
        Class names in the graph.
    """

    plain: onnx.ModelProto
    deployed: onnx.ModelProto | None
    shapes: Shapes
    labels: tuple[str, ...] | None


def opened_graphs(file: loading.ModelFile, axes: str | Mapping[str, str] | None, shapes: Shapes) -> OpenedGraphs:
    """Return the graphs of a file, for axes that a user states and outputs of other shapes than it declares."""
    adaptation = adapt(file.proto)
    kept = keep_samples(adaptation.graph, stated_ranks(axes))
    shapes = {**stated_shapes(kept.graph.output, axes), **shapes}
    adapted = with_output_shapes(kept, shapes)
    plain = unfuse(adapted, partial(loading.read_weight, folder=file.path.parent), channel_block)
    plain = embed_once(plain)
    return OpenedGraphs(plain, None if plain is adapted else adapted, shapes, adaptation.labels)
