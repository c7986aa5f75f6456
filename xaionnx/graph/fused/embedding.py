"""Embeddings of words, with their positions and segments."""

from __future__ import annotations

from collections.abc import Sequence

from onnx import TensorProto

from xaionnx.graph.fused.normalisation import layer_normalized
from xaionnx.graph.fused.quantised import floats
from xaionnx.graph.fused.rotary import count
from xaionnx.graph.fused_op import FusedNode, fused


@fused("EmbedLayerNormalization")
def embed_layer_normalization(f: FusedNode) -> tuple[str, str, str]:
    """LayerNormalization of the sum of the embeddings; the number of words of each sample, and the sum."""
    tables = [f.input(index) for index in (2, 3, 4, 5, 6)]
    return _embedded(f, tables, f.input(7), f.input(8))


@fused("QEmbedLayerNormalization")
def quantised_embedding(f: FusedNode) -> tuple[str, str, str]:
    """EmbedLayerNormalization with tables of integers."""
    tables = [floats(f, index, index + 6, index + 11) if f.input(index) else "" for index in (2, 3, 4, 5, 6)]
    return _embedded(f, tables, f.input(7), "")


def _embedded(f: FusedNode, tables: Sequence[str], mask: str, positions: str) -> tuple[str, str, str]:
    words, places, kinds, scale, shift = tables
    ids, segments = f.input(0), f.input(1)
    summed = f.op("Gather", words, ids)
    if segments:
        summed = f.op("Add", summed, f.op("Gather", kinds, segments))
    at = positions or f.op("Unsqueeze", count(f, ids, 1), f.integers([0]))
    summed = f.op("Add", summed, f.op("Gather", places, at))
    normal = layer_normalized(f, summed, scale, shift, f.attribute("epsilon", 1e-12))[0]
    # Without a mask onnxruntime returns zeros.
    counted = mask or f.op("Sub", ids, ids)
    lengths = f.op("ReduceSum", f.op("Cast", counted, to=TensorProto.INT32), f.integers([1]), keepdims=0)
    return normal, lengths, summed


@fused("TorchEmbedding")
def torch_embedding(f: FusedNode) -> str:
    """The rows of a matrix; the other inputs matter for training only."""
    return f.op("Gather", f.input(0), f.input(1))
