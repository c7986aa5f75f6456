"""Safe reading of one ONNX file: parsing, hashing, and clear errors for files that cannot be used.

Reading opens no session and loads no external weights. Problems that only onnxruntime can find (a shape that does not
fit, an op without a kernel) raise an exception of onnxruntime later; `diagnose` turns it into the same kind of message.
"""

from xaionnx.loading.diagnosis import diagnose, is_runtime_failure
from xaionnx.loading.external_data import read_weight
from xaionnx.loading.reading import ModelFile, declared_inputs, read_model

__all__ = ["ModelFile", "declared_inputs", "diagnose", "is_runtime_failure", "read_model", "read_weight"]
