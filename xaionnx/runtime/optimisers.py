"""Which of onnxruntime's optimisers large graphs go without.

Each of some fifty optimisers sorts the whole graph anew. Of the time to open a graph of 10,000 nodes they take more
than half, and most of them find nothing to change in it.
"""

from __future__ import annotations

from typing import Final

# Larger graphs keep the optimisers that make runs of convolutions faster.
MANY_TO_OPTIMISE: Final = 5_000
# Larger graphs, whose nodes run once or a few times for each time they are opened, are not optimised.
TOO_MANY_TO_OPTIMISE: Final = 15_000
# By the names that onnxruntime gives them.
SLOW_OPTIMISERS: Final = (
    "AttentionFusion",
    "BiasDropoutFusion",
    "BiasGeluFusion",
    "BiasSkipLayerNormFusion",
    "BiasSoftmaxFusion",
    "CommonSubexpressionElimination",
    "ConstantSharing",
    "DoubleQDQPairsRemover",
    "DynamicQuantizeMatMulFusion",
    "EmbedLayerNormFusion",
    "EnsureUniqueDQForNodeUnit",
    "FastGeluFusion",
    "GatherSliceToSplitFusion",
    "GatherToSliceFusion",
    "GeluFusionL1",
    "GeluFusionL2",
    "GemmActivationFusion",
    "GroupQueryAttentionFusion",
    "GroupQueryAttentionPreNormFusion",
    "LayerNormFusionL1",
    "LayerNormFusionL2",
    "MatMulActivationFusion",
    "MatMulAddFusion",
    "MatMulIntegerToFloatFusion",
    "MatMulNBitsFusion",
    "MatMulScaleFusion",
    "MatmulTransposeFusion",
    "NhwcTransformer",
    "QDQFinalCleanupTransformer",
    "QDQPropagationTransformer",
    "QDQS8ToU8Transformer",
    "QDQSelectorActionTransformer",
    "QuickGeluFusion",
    "RemoveDuplicateCastTransformer",
    "ReshapeFusion",
    "SimplifiedLayerNormFusion",
    "SkipLayerNormFusion",
    "SliceConcatToSpaceToDepthFusion",
    "TransposeOptimizer",
    "TransposeOptimizer_CPUExecutionProvider",
    "WeightBiasQuantization",
    "WhereDummyDq",
)
