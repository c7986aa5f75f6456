"""Values of a record: parameters, arrays and versions as JSON."""

from __future__ import annotations

import dataclasses
import hashlib
import platform
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from xaionnx import parameters
from xaionnx.runtime.model import Model
from xaionnx.typing import Array, Document, Entry

if TYPE_CHECKING:
    pass


def recorded_parameters(owner: object, resolved: Mapping[str, object]) -> Document:
    """The parameters of a method or a metric as JSON values; entries of ``resolved`` replace them."""
    known = {name: resolved.get(name, getattr(owner, name)) for name in parameters.declared(type(owner))}
    return {name: recorded_value(value) for name, value in known.items()}


def recorded_versions() -> Document:
    """The versions of what computes, and the kind of machine."""
    from xaionnx.runtime.session import runtime_version
    from xaionnx.version import __version__

    return {
        "xaionnx": __version__,
        "onnxruntime": runtime_version(),
        "numpy": np.__version__,
        "numba": _version("numba"),
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


@cache
def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


def array_bytes(array: Array) -> bytes | memoryview:
    if array.dtype == object:
        return repr(array.tolist()).encode()
    # Hashed without a copy: copying pictures takes as long as running a small model.
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def recorded_value(value: object) -> Entry:
    """A parameter as a JSON value; an array becomes its shape, type and hash."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return {
            "shape": list(value.shape),
            "dtype": str(value.dtype),
            "sha256": hashlib.sha256(array_bytes(value)).hexdigest(),
        }
    if isinstance(value, (list, tuple)):
        return [recorded_value(item) for item in value]
    if isinstance(value, Model):
        # A model rewritten in memory is identified by its original file.
        return {"kind": "Model", "name": value.name, "derived": value.is_derived, "sha256": value.sha256}
    if isinstance(value, Mapping):
        return {str(key): recorded_value(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value):
        known = [f.name for f in dataclasses.fields(value) if f.metadata.get("recorded", True)]
        fields = {name: recorded_value(getattr(value, name)) for name in known}
        return {"kind": type(value).__name__, **fields}
    if callable(value):
        return str(getattr(value, "__name__", type(value).__name__))  # a repr would have its address
    return repr(value)
