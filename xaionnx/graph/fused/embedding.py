"""Embeddings of words, with their positions and segments."""

from __future__ import annotations

from onnx import TensorProto

from xaionnx.graph.fused.normalisation import layer_normalized
from xaionnx.graph.fused.rotary import count
from xaionnx.graph.fused_op import FusedNode, fused


@fused("EmbedLayerNormalization")
def embed_layer_normalization(f: FusedNode) -> tuple[str, str, str]:
    """LayerNormalization of the sum of the embeddings; the number of words of each sample, and the sum."""
    ids, segments, mask, positions = (f.input(index) for index in (0, 1, 7, 8))
    summed = f.op("Gather", f.input(2), ids)
    if segments:
        summed = f.op("Add", summed, f.op("Gather", f.input(4), segments))
    places = positions or f.op("Unsqueeze", count(f, ids, 1), f.integers([0]))
    summed = f.op("Add", summed, f.op("Gather", f.input(3), places))
    normal = layer_normalized(f, summed, f.input(5), f.input(6), f.attribute("epsilon", 1e-12))[0]
    # Without a mask onnxruntime returns zeros.
    counted = mask or f.op("Sub", ids, ids)
    words = f.op("ReduceSum", f.op("Cast", counted, to=TensorProto.INT32), f.integers([1]), keepdims=0)
    return normal, words, summed


@fused("TorchEmbedding")
def torch_embedding(f: FusedNode) -> str:
    """The rows of a matrix; the other inputs matter for training only."""
    return f.op("Gather", f.input(0), f.input(1))
