"""Whether onnxruntime is installed whole, and once: several distributions write the one module that it is.

``onnxruntime`` and ``onnxruntime-gpu`` are distributions of their own to an installer, which puts both into the same
folder without a word. The one that came last runs, and to uninstall either takes files of the other away.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from importlib import import_module
from types import ModuleType

from xaionnx.errors import InstallationError

# All that install a module named onnxruntime.
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
    """The module ``onnxruntime``.

    Raises
    ------
    InstallationError
        It is not installed, cannot be loaded, or has lost files to another distribution of it.
    """
    try:
        module = import_module("onnxruntime")
    except ImportError as error:
        if isinstance(error.__cause__ or error.__context__, KeyboardInterrupt):
            # What is written in C turns Ctrl-C while it is loaded into an import that failed.
            raise KeyboardInterrupt from error
        if installed():
            raise InstallationError(f"onnxruntime cannot be loaded: {error}. {_remedy(installed())}") from error
        raise InstallationError(f"onnxruntime is not installed. {_remedy([])}") from error
    if not hasattr(module, "InferenceSession"):
        # What is left of a folder can still be imported, as a package without a file.
        raise InstallationError(
            "onnxruntime lacks its files, as happens where one of two of its packages was uninstalled. "
            f"{_remedy(installed())}"
        )
    return module


@lru_cache(maxsize=1)
def warn_of_several() -> None:
    """Warn where several distributions of onnxruntime are installed; once a process."""
    found = installed()
    if len(found) > 1:
        warnings.warn(
            f"{' and '.join(found)} are both installed and share one folder: the one installed last runs, and "
            f"uninstalling one breaks the other. {_remedy(found)}",
            RuntimeWarning,
            stacklevel=2,
        )


def installed() -> list[str]:
    """The distributions of onnxruntime that are installed, by name."""
    from importlib import metadata

    found = []
    for name in _DISTRIBUTIONS:
        try:
            metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        found.append(name)
    return found


def _remedy(found: list[str]) -> str:
    start = f"Keep one: pip uninstall -y {' '.join(found)} && " if found else "Install one: "
    return f"{start}pip install onnxruntime-gpu (runs on CPU and CUDA) or onnxruntime (CPU alone)."
