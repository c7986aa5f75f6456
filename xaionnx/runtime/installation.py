"""Check that onnxruntime is installed completely, and by only one of the distributions that contain the module.

Installers treat ``onnxruntime`` and ``onnxruntime-gpu`` as unrelated distributions and install both into the same
folder without a warning. The one installed last is used, and uninstalling either removes files of the other.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from types import ModuleType

from xaionnx.errors import InstallationError

_TELEMETRY = "ORT_DISABLE_TELEMETRY"
# All distributions that install a module named onnxruntime.
_DISTRIBUTIONS = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-migraphx",
    "onnxruntime-openvino",
    "onnxruntime-qnn",
    "onnxruntime-rocm",
    "onnxruntime-training",
    "ort-nightly",
    "ort-nightly-gpu",
)


def runtime() -> ModuleType:
    """Import and return the module ``onnxruntime``.

    Raises
    ------
    InstallationError
        It is not installed, cannot be loaded, or lost files when another of its distributions was uninstalled.
    """
    try:
        with _without_telemetry():
            module = import_module("onnxruntime")
    except ImportError as error:
        if isinstance(error.__cause__ or error.__context__, KeyboardInterrupt):
            # While C code is loaded, Ctrl-C becomes a failed import.
            raise KeyboardInterrupt from error
        if installed():
            raise InstallationError(f"onnxruntime cannot be loaded: {error}. {_remedy(installed())}") from error
        raise InstallationError(f"onnxruntime is not installed. {_remedy([])}") from error
    if not hasattr(module, "InferenceSession"):
        # The remains of a folder can still be imported, as a package without a file.
        raise InstallationError(
            "Files of onnxruntime are missing, as happens when one of two of its packages was uninstalled. "
            f"{_remedy(installed())}"
        )
    return module


@contextlib.contextmanager
def _without_telemetry() -> Iterator[None]:
    """Keep onnxruntime from sending what it runs, and from storing a number of this machine, unless the user lets it.

    It decides once, as it is imported. Without this, its releases for Linux from 1.31 on also write to stderr where
    there is no home folder.
    """
    if _TELEMETRY in os.environ:
        yield
        return
    os.environ[_TELEMETRY] = "1"
    try:
        yield
    finally:
        del os.environ[_TELEMETRY]


@lru_cache(maxsize=1)
def warn_of_several() -> None:
    """Warn once per process if several distributions of onnxruntime are installed."""
    names = installed()
    if len(names) > 1:
        warnings.warn(
            f"{' and '.join(names)} are both installed and share one folder: the one installed last runs, and "
            f"uninstalling one breaks the other. {_remedy(names)}",
            RuntimeWarning,
            stacklevel=2,
        )


def installed() -> list[str]:
    """Return the names of the installed distributions of onnxruntime."""
    from importlib import metadata

    names = []
    for name in _DISTRIBUTIONS:
        try:
            metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        names.append(name)
    return names


def _remedy(names: list[str]) -> str:
    start = f"Keep one: pip uninstall -y {' '.join(names)} && " if names else "Install one: "
    return f"{start}pip install onnxruntime-gpu (runs on CPU and CUDA) or onnxruntime (CPU alone)."
