"""Safe reading of one ONNX file: what it is, what it hashes to, and a clear refusal where it is no good.

Reading opens no session and loads no external weights. What only onnxruntime can find (a shape that does not fit, an
op it has no kernel for) comes as one of its exceptions later; `diagnose` turns that into the same kind of sentence.
"""

from xaionnx.loading.diagnosis import diagnose, is_runtime_failure
from xaionnx.loading.reading import ModelFile, declared_inputs, read_model

__all__ = ["ModelFile", "declared_inputs", "diagnose", "is_runtime_failure", "read_model"]
