"""Every rule against central differences in float64, over ONNX's own cases of its op."""

import numpy as np
import pytest
from onnx import TensorProto

from tests.autodiff.differences import arrays, cases, error, frozen, moved, widened
from xaionnx.autodiff.table import STANDARD
from xaionnx.graph.expand import COMPOSED

# Rounding and the step leave about 1e-9; the rest is curvature.
TOLERANCE = 1e-5
# The reference evaluator takes seconds for larger ones, which show nothing that small ones do not.
LARGEST = 10_000
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)
# Float inputs that no derivative exists for.
CONSTANTS = {"Dropout": {1}, "Resize": {1, 2}}
