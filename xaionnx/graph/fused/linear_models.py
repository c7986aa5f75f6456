"""Linear models of ``ai.onnx.ml`` and what scales their columns, as exporters of scikit-learn write them."""

from __future__ import annotations

import numpy as np
import onnx

from xaionnx.graph.fused_op import FusedNode, fused

_ML = "ai.onnx.ml"
# The function that follows the scores.
_TRANSFORMS = {"LOGISTIC": "Sigmoid", "SOFTMAX": "Softmax"}


@fused("Scaler", domain=_ML)
def scaler(f: FusedNode) -> str:
    """``(x - offset) * scale``, by column."""
    return f.op("Mul", f.op("Sub", _floats(f), _numbers(f, "offset")), _numbers(f, "scale"))


@fused("LinearRegressor", domain=_ML)
def linear_regressor(f: FusedNode) -> str:
    """Coefficients and intercepts.

    Raises
    ------
    UnsupportedModelError
        A function follows, which onnxruntime leaves out.
    """
    if f.attribute("post_transform", "NONE") != "NONE":
        raise f.refusal("onnxruntime leaves out the function that follows it")
    return _linear(f, int(f.attribute("targets", 1)))


@fused("LinearClassifier", domain=_ML)
def linear_classifier(f: FusedNode) -> tuple[str, str]:
    """The label of the largest score, and the scores.

    Raises
    ------
    UnsupportedModelError
        There is one score for two labels, whose second onnxruntime adds by rules of its own.
    """
    labels = [*f.attribute("classlabels_strings", ()), *f.attribute("classlabels_ints", ())]
    count = len(labels)
    if not count or len(_numbers(f, "coefficients")) % count or len(_numbers(f, "intercepts")) not in (0, count):
        raise f.refusal("it has one score for two labels")
    scores = _linear(f, count)
    best = f.op("ArgMax", scores, axis=1, keepdims=0)
    known = np.asarray(labels, dtype=object if isinstance(labels[0], (str, bytes)) else np.int64)
    return f.op("Gather", f.constant(known), best, axis=0), _transformed(f, scores)


@fused("Normalizer", domain=_ML)
def normalizer(f: FusedNode) -> str:
    """A row over its norm; a row of zeros stays as it is."""
    x, kind = _floats(f), str(f.attribute("norm", "MAX"))
    if kind != "MAX":
        return f.op("LpNormalization", x, axis=1, p=int(kind[1]))
    size = f.op("ReduceMax", x, f.integers([1]), keepdims=1)
    return f.op("Div", x, f.op("Where", f.op("Equal", size, 0.0), f.numbers(1.0, size), size))


@fused("Imputer", domain=_ML)
def imputer(f: FusedNode) -> str:
    """The number of its column in place of a missing one.

    Raises
    ------
    UnsupportedModelError
        It replaces whole numbers.
    """
    x, filled = f.input(0), _numbers(f, "imputed_value_floats")
    if not filled.size:
        raise f.refusal("it replaces whole numbers")
    missing = float(f.attribute("replaced_value_float", 0.0))
    found = f.op("IsNaN", x) if np.isnan(missing) else f.op("Equal", x, f.numbers(missing, x))
    return f.op("Where", found, f.numbers(filled, x), x)


def _floats(f: FusedNode) -> str:
    """The rows (N, F), as float32."""
    x = f.input(0)
    if f.rank(x) != 2:
        raise f.refusal("its input has no rows")
    return x if f.dtype(x) == onnx.TensorProto.FLOAT else f.op("Cast", x, to=onnx.TensorProto.FLOAT)


def _numbers(f: FusedNode, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.asarray(f.attribute(name, ()), dtype=np.float32)


def _linear(f: FusedNode, count: int) -> str:
    """``x @ coefficients + intercepts``, (N, count)."""
    scores = f.op("MatMul", _floats(f), np.ascontiguousarray(_numbers(f, "coefficients").reshape(count, -1).T))
    intercepts = _numbers(f, "intercepts")
    return f.op("Add", scores, intercepts) if intercepts.size else scores


def _transformed(f: FusedNode, scores: str) -> str:
    name = str(f.attribute("post_transform", "NONE"))
    if name == "NONE":
        return scores
    if name not in _TRANSFORMS:
        raise f.refusal(f"its transform '{name}' has no plain form")
    return f.op(_TRANSFORMS[name], scores, axis=None if name == "LOGISTIC" else 1)
