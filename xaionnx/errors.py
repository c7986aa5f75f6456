"""Every error that xaionnx raises on purpose, in one tree.

::

    XaionnxError
    ├── UsageError                  the call is wrong                        exit code 2
    │   ├── ParameterError          a parameter is of the wrong type or out of range
    │   └── UnknownNameError        no method, tensor, label or column has this name
    ├── ModelError                  the model is refused                     exit code 3
    │   ├── ModelFileError          the file cannot be read as a safe ONNX model
    │   └── UnsupportedModelError   a good model, but it cannot be explained this way
    ├── DataError                   the data are refused                     exit code 4
    │   ├── InputMismatchError      an input has the wrong name, shape or type
    │   ├── PictureError            a file cannot be read as a picture
    │   └── OutputError             the model answered with NaN or infinity
    └── ResourceError               the machine cannot do it                 exit code 6
        ├── DeviceError             a device was asked for by name and cannot be used
        ├── MemoryLimitError        one sample does not fit into memory
        ├── TimeLimitError          a run took longer than ``timeout_s``
        ├── BudgetError             a method would need more model evaluations than its budget
        ├── StorageError            a result could not be written
        └── InstallationError       onnxruntime is missing, or two of its packages broke each other

Each message is one sentence or two for the person who made the call: what is wrong, where, and what to do next.
Ctrl-C stays ``KeyboardInterrupt`` (exit code 130).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class XaionnxError(Exception):
    """Base of all errors of this package.

    Attributes
    ----------
    exit_code : int
        What the command line returns to the shell for this kind of error.
    """

    exit_code: ClassVar[int] = 1


class UsageError(XaionnxError):
    """The call is wrong, whatever the model and the data."""

    exit_code = 2


class ParameterError(UsageError):
    """A parameter has the wrong type or lies outside its interval."""


class UnknownNameError(UsageError):
    """Nothing has this name; the message offers the nearest ones."""

    @classmethod
    def among(cls, kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
        """Build the error for ``name``, listing its nearest neighbours in ``known``.

        Examples
        --------
        >>> print(UnknownNameError.among("method", "rize", ["rise", "occlusion"]))
        No method named 'rize'. Nearest: rise.
        """
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        if near:
            return cls(f"No {kind} named '{name}'. Nearest: {', '.join(near)}.")
        listed = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
        return cls(f"No {kind} named '{name}'. Known: {listed or 'none'}.")


class ModelError(XaionnxError):
    """The model is refused."""

    exit_code = 3


class ModelFileError(ModelError):
    """The file is missing, damaged, unsafe, or not an ONNX model."""


class UnsupportedModelError(ModelError):
    """The model is sound but cannot be explained in the way asked for."""


class DataError(XaionnxError):
    """The data are refused."""

    exit_code = 4


class InputMismatchError(DataError):
    """An input array does not fit the model's declared inputs."""


class PictureError(DataError):
    """A file cannot be read as a picture."""


class OutputError(DataError):
    """The model's output holds NaN or infinity for some rows."""


class ResourceError(XaionnxError):
    """The machine cannot do what was asked for."""

    exit_code = 6


class DeviceError(ResourceError):
    """The device that was asked for by name is not the one that would run."""


class MemoryLimitError(ResourceError):
    """Even a batch of one sample does not fit into memory."""


class TimeLimitError(ResourceError):
    """A single model run exceeded the time limit and was stopped."""


class BudgetError(ResourceError):
    """A method cannot answer within the budget of model evaluations it was given."""


class StorageError(ResourceError):
    """A result could not be written; nothing half-written is left behind."""


class InstallationError(ResourceError, ImportError):
    """onnxruntime is not installed, or not whole."""
