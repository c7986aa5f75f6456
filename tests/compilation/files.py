"""What the tests of compiled files share: the checker, bare onnxruntime, and the explanation beside them."""

import numpy as np
import onnx

import xaionnx
from tests.tiny import run
from xaionnx import compilation

# Paths of a few steps: both faces take the same ones.
SMALL = {"steps": 4}
# The graph sums in float32 and numpy in float64; of the rest both run the same nodes.
TOLERANCE = {"rtol": 1e-4, "atol": 1e-6}


def small(method, **more):
    kind = compilation.method(method)
    known = xaionnx.parameters.declared(kind)
    return kind(**{key: value for key, value in {**SMALL, **more}.items() if key in known})


def answers(made, feeds):
    """What bare onnxruntime answers, after the checker of ONNX has passed the file in full."""
    onnx.checker.check_model(made.proto, full_check=True)
    onnx.shape_inference.infer_shapes(made.proto, check_type=True, strict_mode=True, data_prop=True)
    found = run(made.proto, feeds)
    assert list(found) == [info.name for info in made.outputs]
    return found


def agree(model, feeds, method, target, **options):
    """A compiled file and the explanation answer the same; both."""
    made = compilation.compile(model, method, target, **options)
    found = answers(made, feeds)
    told = method.attribute(model, feeds, target)
    for name, output in model.run(model.check(feeds)).items():
        np.testing.assert_allclose(found[name], output, **TOLERANCE)
    values = told.values if isinstance(told.values, dict) else {"": told.values}
    for name, expected in values.items():
        size = np.abs(expected).max() or 1.0
        got = found[f"attribution_{name}" if name else "attribution"]
        assert got.dtype == expected.dtype
        np.testing.assert_allclose(got / size, expected / size, **TOLERANCE)
    np.testing.assert_allclose(found["target_value"], told.prediction, rtol=1e-4, atol=1e-4)
    return found, told
