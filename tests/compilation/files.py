"""Helpers for compiled files: run them in bare onnxruntime after the ONNX checker, and compare with explanations."""

import numpy as np
import onnx

import xaionnx
from tests.tiny import run
from tests.tolerances import Tolerance, assert_close
from xaionnx import compilation

# Few steps; the compiled file and the explanation take the same ones.
SMALL = {"steps": 4}


def small(method, **more):
    kind = compilation.method(method)
    known = xaionnx.parameters.declared(kind)
    return kind(**{key: value for key, value in {**SMALL, **more}.items() if key in known})


def answers(made, feeds):
    """The outputs of bare onnxruntime, after a full check of the file by ONNX."""
    onnx.checker.check_model(made.proto, full_check=True)
    onnx.shape_inference.infer_shapes(made.proto, check_type=True, strict_mode=True, data_prop=True)
    found = run(made.proto, feeds)
    assert list(found) == [info.name for info in made.outputs]
    return found


def agree(model, feeds, method, target, **options):
    """Check that a compiled file equals the explanation; return both."""
    made = compilation.compile(model, method, target, **options)
    found = answers(made, feeds)
    told = method.attribute(model, feeds, target)
    for name, output in model.run(model.check(feeds)).items():
        assert_close(found[name], output, Tolerance.SIGNED_LAYERS)
    values = told.values if isinstance(told.values, dict) else {"": told.values}
    for name, expected in values.items():
        size = np.abs(expected).max() or 1.0
        got = found[f"attribution_{name}" if name else "attribution"]
        assert got.dtype == expected.dtype
        assert_close(got / size, expected / size, Tolerance.SIGNED_LAYERS)
    assert_close(found["target_value"], told.prediction, Tolerance.DEEP)
    return found, told
