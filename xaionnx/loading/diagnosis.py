"""Messages for files that read well but that onnxruntime refuses."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator

import onnx
import onnx.checker
import onnx.shape_inference
from onnx import TensorProto

from xaionnx.errors import ModelFileError
from xaionnx.loading.reading import ModelFile
from xaionnx.loading.refusal import refusal
from xaionnx.loading.shape_inference import infer_shapes

# Meanings of onnxruntime's messages. Its exception classes carry no detail, so the text is matched.
_Explain = Callable[[re.Match[str]], str]
_RUNTIME_SENTENCES: tuple[tuple[str, _Explain], ...] = (
    (
        r"Opset (\d+) is under development.*?support for domain (\S+) is till opset (\d+)",
        lambda m: (
            f"uses opset {m[1]} of {m[2]}, and the installed onnxruntime runs up to {m[3]}. "
            "Upgrade onnxruntime, or export with a lower opset."
        ),
    ),
    (
        r"Unsupported model IR version: (\d+), max supported IR version: (\d+)",
        lambda m: (
            f"has IR version {m[1]}, and the installed onnxruntime reads up to {m[2]}. "
            "Upgrade onnxruntime, or save the model with an older onnx."
        ),
    ),
    (
        r"Node \(([^)]*)\) Op \(([^)]*)\) \[(?:Shape|Type)InferenceError\] ?(.+)",
        lambda m: f"does not fit together at {m[2]} ({_node_text(m[1])}): {_one_line(m[3])}. Export the model again.",
    ),
    (
        r"In Node, \(\"([^\"]*)\", (\w+),.*?, Error (.+)",
        lambda m: f"has an invalid {m[2]} ({_node_text(m[1])}): {_one_line(m[3])}. Export the model again.",
    ),
    (
        r"Type Error: (.+)",
        lambda m: f"mixes data types that do not fit: {_one_line(m[1])}. Export the model again.",
    ),
    (
        r"Initializer '([^']*)': raw_data size \((\d+) bytes\) does not match expected size .*?\((\d+) bytes\)",
        lambda m: (
            f"is damaged: weight '{m[1]}' has {m[2]} bytes, and its shape needs {m[3]}. Download or copy it again."
        ),
    ),
    (
        r"Fatal error: ([^:]*):(\w+)\(-?\d+\) is not a registered function/op",
        lambda m: (
            f"needs the op '{m[2]}' of domain '{m[1]}', which onnxruntime does not know. "
            "Export it with standard ONNX ops."
        ),
    ),
)
_NO_KERNEL = re.compile(r"Could not find an implementation for (\S+)\((\d+)\) node with name '([^']*)'")
# Floats for which onnxruntime has few kernels on CPUs.
_RARE_FLOATS = {
    TensorProto.BFLOAT16: "bfloat16",
    TensorProto.DOUBLE: "float64",
    TensorProto.FLOAT16: "float16",
}


def diagnose(file: ModelFile, failure: Exception) -> ModelFileError:
    """Return an error that says in one sentence why onnxruntime could not open this file.

    Parameters
    ----------
    file : ModelFile
    failure : Exception
        The exception of ``onnxruntime.InferenceSession``; see `is_runtime_failure`.

    Returns
    -------
    ModelFileError
        To be raised by the caller. The checker of ``onnx`` runs only if onnxruntime's message says too little.

    Examples
    --------
    `xaionnx.runtime.sessions` opens sessions as follows::

        try:
            session = onnxruntime.InferenceSession(...)
        except Exception as failure:
            if is_runtime_failure(failure):
                raise diagnose(file, failure) from failure
            raise
    """
    text = _message(failure)
    if match := _NO_KERNEL.search(text):
        return refusal(f"{file.path} {_without_kernel(file.proto, *match.groups())}")
    for pattern, explain in _RUNTIME_SENTENCES:
        match = re.search(pattern, text, re.DOTALL)
        if match:
            return refusal(f"{file.path} {explain(match)}")
    for line in _checker_findings(file):
        return refusal(f"{file.path} is refused by onnxruntime; the ONNX checker says: {line}. Export it again.")
    return refusal(f"{file.path} is refused by onnxruntime: {_one_line(text)}. Export the model again.")


def _without_kernel(model: onnx.ModelProto, op: str, opset: str, name: str) -> str:
    kinds = _rare_floats(model, op, name)
    if not kinds:
        return (
            f"needs a kernel for {op} of opset {opset} ({_node_text(name)}), which onnxruntime lacks on this device. "
            "Export with another opset or data type."
        )
    kind = " or ".join(kinds)
    return f"needs {op} for {kind} ({_node_text(name)}), which onnxruntime lacks on this device. Export it in float32."


def _rare_floats(model: onnx.ModelProto, op: str, name: str) -> list[str]:
    """Return the types of floats other than float32 that the node reads, or any node if the file does not have it."""
    try:
        graph = infer_shapes(model).graph
    # A model of over 2 GB cannot be serialised.
    except (onnx.shape_inference.InferenceError, ValueError):
        graph = model.graph
    kinds = {value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.value_info)}
    kinds |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    nodes = [node for node in graph.node if node.op_type == op and node.name == name] or list(graph.node)
    found = {kinds.get(read) for node in nodes for read in node.input}
    return [text for kind, text in _RARE_FLOATS.items() if kind in found]


def is_runtime_failure(error: BaseException) -> bool:
    """Whether onnxruntime raised this. Its exceptions share a module but no base class other than ``Exception``.

    A message with a name that is not UTF-8 arrives as a UnicodeDecodeError with the bytes of the message.
    """
    if isinstance(error, UnicodeDecodeError):
        return error.object.startswith(b"[ONNXRuntimeError]")
    return type(error).__module__.partition(".")[0] == "onnxruntime"


def _checker_findings(file: ModelFile) -> Iterator[str]:
    # By path, so that the checker looks for external data in the model's folder, not in the current one.
    for full in (False, True):
        try:
            onnx.checker.check_model(os.fspath(file.path), full_check=full)
        # ValueError: an element type or a name that the checker cannot read.
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
            # The checker requires shapes of outputs but onnxruntime does not, so this is never the reason.
            if "is required but missing" not in str(error):
                yield _one_line(str(error))
                return


def _message(failure: Exception) -> str:
    if isinstance(failure, UnicodeDecodeError):
        return failure.object.decode("utf-8", errors="backslashreplace")
    return str(failure)


def _node_text(name: str) -> str:
    return f"node '{name}'" if name else "an unnamed node"


def _one_line(text: str) -> str:
    """Return one line without onnxruntime's codes, paths of its sources, and the final period."""
    text = re.sub(r"\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    text = re.sub(r"Load model from .*? failed: ?|Exception during initialization: ", "", text)
    text = re.sub(r"/?\S*onnxruntime/\S+:\d+ .*?\) (?=[A-Z])", "", text)
    text = re.sub(r"\[(?:Shape|Type)InferenceError\] ", "", text)
    line = " ".join(text.split()).rstrip(". ")
    return line if len(line) <= 300 else line[:297] + "..."
