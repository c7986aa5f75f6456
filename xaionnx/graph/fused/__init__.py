"""How the fused ops of onnxruntime are written as ops of ONNX, one family per file; see `xaionnx.graph.fused_op`."""
