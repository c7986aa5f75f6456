"""What onnxruntime means when it refuses a file that read well."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator

import onnx
import onnx.checker
import onnx.shape_inference

from xaionnx.errors import ModelFileError
from xaionnx.loading.reading import ModelFile
from xaionnx.loading.refusal import refusal

# What onnxruntime's messages mean. None of its exception classes tells more than "it failed", so the text is matched.
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
        r"Could not find an implementation for (\S+)\((\d+)\) node with name '([^']*)'",
        lambda m: (
            f"holds {m[1]} of opset {m[2]} ({_node(m[3])}), for which onnxruntime has no kernel on this device. "
            "Export with another opset or data type."
        ),
    ),
    (
        r"Node \(([^)]*)\) Op \(([^)]*)\) \[(?:Shape|Type)InferenceError\] ?(.+)",
        lambda m: f"does not fit together at {m[2]} ({_node(m[1])}): {_clean(m[3])}. Export the model again.",
    ),
    (
        r"In Node, \(\"([^\"]*)\", (\w+),.*?, Error (.+)",
        lambda m: f"has an invalid {m[2]} ({_node(m[1])}): {_clean(m[3])}. Export the model again.",
    ),
    (
        r"Type Error: (.+)",
        lambda m: f"mixes data types that do not fit: {_clean(m[1])}. Export the model again.",
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


def diagnose(file: ModelFile, failure: Exception) -> ModelFileError:
    """Turn what onnxruntime raised while opening this file into one sentence for the person who gave the file.

    Parameters
    ----------
    file : ModelFile
    failure : Exception
        What ``onnxruntime.InferenceSession`` raised; see `is_runtime_failure`.

    Returns
    -------
    ModelFileError
        To be raised. The checker of ``onnx`` is asked only where onnxruntime's own text says too little.

    Examples
    --------
    Opening a session is the task of `xaionnx.runtime.model`; there this reads::

        try:
            session = onnxruntime.InferenceSession(...)
        except Exception as failure:
            if is_runtime_failure(failure):
                raise diagnose(file, failure) from failure
            raise
    """
    text = _text(failure)
    for pattern, explain in _RUNTIME_SENTENCES:
        found = re.search(pattern, text, re.DOTALL)
        if found:
            return refusal(f"{file.path} {explain(found)}")
    for line in _checker_findings(file):
        return refusal(f"{file.path} is refused by onnxruntime; the ONNX checker says: {line}. Export it again.")
    return refusal(f"{file.path} is refused by onnxruntime: {_clean(text)}. Export the model again.")


def is_runtime_failure(error: BaseException) -> bool:
    """Whether onnxruntime raised this; its exceptions share a module, and no base class but ``Exception``.

    A message that quotes a name which is not UTF-8 arrives as a UnicodeDecodeError with the message's bytes.
    """
    if isinstance(error, UnicodeDecodeError):
        return error.object.startswith(b"[ONNXRuntimeError]")
    return type(error).__module__.partition(".")[0] == "onnxruntime"


def _checker_findings(file: ModelFile) -> Iterator[str]:
    # By path, so that the checker finds the external data in the model's folder and not in the current one.
    for full in (False, True):
        try:
            onnx.checker.check_model(os.fspath(file.path), full_check=full)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            # The checker demands shapes of outputs, which onnxruntime does not: never the reason.
            if "is required but missing" not in str(error):
                yield _clean(str(error))
                return


def _text(failure: Exception) -> str:
    if isinstance(failure, UnicodeDecodeError):
        return failure.object.decode("utf-8", errors="backslashreplace")
    return str(failure)


def _node(name: str) -> str:
    return f"node '{name}'" if name else "an unnamed node"


def _clean(text: str) -> str:
    """One line without onnxruntime's codes, paths of its sources, and the final stop."""
    text = re.sub(r"\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    text = re.sub(r"Load model from .*? failed: ?|Exception during initialization: ", "", text)
    text = re.sub(r"/?\S*onnxruntime/\S+:\d+ .*?\) (?=[A-Z])", "", text)
    text = re.sub(r"\[(?:Shape|Type)InferenceError\] ", "", text)
    line = " ".join(text.split()).rstrip(". ")
    return line if len(line) <= 300 else line[:297] + "..."
