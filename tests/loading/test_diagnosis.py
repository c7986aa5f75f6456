"""What onnxruntime raises becomes one sentence."""

import re
from pathlib import Path

import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from tests.loading.files import model, node, save, weight
from xaionnx.errors import ModelFileError
from xaionnx.loading import diagnose, is_runtime_failure, read_model


def refused_by_runtime():
    short = weight("w", 4)
    short.raw_data = b"abc"
    as_int = node("Cast", "x", "i", to=TensorProto.INT64)
    to_bfloat16, to_float64 = (node("Cast", "x", "h", to=to) for to in (TensorProto.BFLOAT16, TensorProto.DOUBLE))
    no_version = model([node("Relu", "x", "y", "a")])
    no_version.ClearField("ir_version")
    return {
        "shapes": (
            model([node("MatMul", "x w", "y", "mm")], weights=[weight("w", 5, 2)]),
            "does not fit together at MatMul (node 'mm'): Incompatible dimensions for matrix multiplication. "
            "Export the model again.",
        ),
        "types": (
            model([as_int, node("Add", "x i", "y", "sum")]),
            "mixes data types that do not fit: Type parameter (T) of Optype (Add) bound to different types "
            "(tensor(float) and tensor(int64) in node (sum). Export the model again.",
        ),
        "attribute": (
            model([node("Relu", "x", "y", "a", slope=3)]),
            "has an invalid Relu (node 'a'): Unrecognized attribute: slope for operator Relu. Export the model again.",
        ),
        "kernel": (
            model([node("Relu", "x", "y", "a")], opset=3),
            "needs a kernel for Relu of opset 1 (node 'a'), which onnxruntime lacks on this device. "
            "Export with another opset or data type.",
        ),
        "kernel for bfloat16": (
            model(
                [to_bfloat16, node("MatMul", "h k", "p", "mm"), node("Cast", "p", "y", to=TensorProto.FLOAT)],
                weights=[helper.make_tensor("k", TensorProto.BFLOAT16, [4, 2], [1.0] * 8)],
            ),
            "needs MatMul for bfloat16 (node 'mm'), which onnxruntime lacks on this device. Export it in float32.",
        ),
        "kernel for float64, of an op that onnxruntime wrote": (
            model([to_float64, node("Gelu", "h", "g", "a"), node("Cast", "g", "y", to=TensorProto.FLOAT)], opset=20),
            "needs Erf for float64 (an unnamed node), which onnxruntime lacks on this device. Export it in float32.",
        ),
        "weight": (
            model([node("Add", "x w", "y")], weights=[short]),
            "is damaged: weight 'w' has 3 bytes, and its shape needs 16. Download or copy it again.",
        ),
        "no version": (
            no_version,
            "is refused by onnxruntime; the ONNX checker says: The model does not have an ir_version set properly. "
            "Export it again.",
        ),
    }


@pytest.mark.parametrize("case", refused_by_runtime())
def test_what_only_onnxruntime_finds(tmp_path, case):
    proto, rest = refused_by_runtime()[case]
    path = save(tmp_path / "m.onnx", proto)
    file = read_model(path)
    failure = _open(file.path)
    assert failure is not None
    assert is_runtime_failure(failure)
    assert str(diagnose(file, failure)) == f"{path.resolve()} {rest}"


@pytest.mark.parametrize(
    ("opset", "ir_version", "pattern"),
    [
        (
            onnx.defs.onnx_opset_version(),
            8,
            r"uses opset \d+ of ai\.onnx, and the installed onnxruntime runs up to \d+\. "
            r"Upgrade onnxruntime, or export with a lower opset\.",
        ),
        (
            17,
            99,
            r"has IR version 99, and the installed onnxruntime reads up to \d+\. "
            r"Upgrade onnxruntime, or save the model with an older onnx\.",
        ),
    ],
)
def test_newer_than_onnxruntime(tmp_path, opset, ir_version, pattern):
    path = save(tmp_path / "m.onnx", model([node("Relu", "x", "y")], opset=opset, ir_version=ir_version))
    failure = _open(path)
    if failure is None:
        pytest.skip("this onnxruntime is as new as this onnx")
    assert re.fullmatch(rf".*/m\.onnx {pattern}", str(diagnose(read_model(path), failure)))


def test_other_exceptions_are_not_onnxruntimes():
    assert not is_runtime_failure(ValueError("x"))
    assert not is_runtime_failure(ModelFileError("x"))


def _open(path: Path) -> Exception | None:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as failure:  # noqa: BLE001  # onnxruntime's exceptions share no narrower base
        return failure
    return None


def test_message_with_a_name_that_is_not_text(tmp_path):
    relu = save(tmp_path / "m.onnx", model([node("Relu", "x", "y")]))
    content = b"[ONNXRuntimeError] : 1 : FAIL : Load model from m.onnx failed:Type Error: bad \xf3 name."
    failure = UnicodeDecodeError("utf-8", content, 78, 79, "invalid continuation byte")
    assert is_runtime_failure(failure)
    assert not is_runtime_failure(UnicodeDecodeError("utf-8", b"\xf3", 0, 1, "invalid continuation byte"))
    assert str(diagnose(read_model(relu), failure)) == (
        rf"{relu.resolve()} mixes data types that do not fit: bad \xf3 name. Export the model again."
    )
