"""The errors of xaionnx, in one tree.

::

    XaionnxError
    ├── UsageError                  the call is wrong                        exit code 2
    │   ├── ParameterError          a parameter is of the wrong type or out of range
    │   ├── UnknownNameError        no method, tensor, label or column has this name
    │   └── AbsentTargetError       a sample lacks what the target names
    ├── ModelError                  the model is refused                     exit code 3
    │   ├── ModelFileError          the file cannot be read as a safe ONNX model
    │   └── UnsupportedModelError   a valid model that cannot be explained in this way
    ├── DataError                   the data are refused                     exit code 4
    │   ├── InputMismatchError      an input has the wrong name, shape or type
    │   ├── PictureError            a file cannot be read as a picture
    │   ├── OutputError             the model's output contains NaN or infinity
    │   └── ZeroGradientError       what is searched for has no slope to follow
    └── ResourceError               the machine cannot do it                 exit code 6
        ├── DeviceError             the requested device cannot be used
        ├── MemoryLimitError        one sample does not fit into memory
        ├── TimeLimitError          a run took longer than ``timeout_s``, or a score than its share
        ├── BudgetError             a method needs more model evaluations than its budget
        ├── StorageError            a result could not be written
        └── InstallationError       onnxruntime is missing, or two of its packages conflict

Each message is one or two sentences for the person who made the call: what is wrong, where, and what to do next.
Ctrl-C stays ``KeyboardInterrupt`` (exit code 130).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar

# Longer values are cut in messages.
_LONGEST_VALUE = 100


def shortened(value: object) -> str:
    """Return the repr of a value for a message, cut where it is long.

    Examples
    --------
    >>> shortened("a" * 200)[-22:], shortened(10**5000)
    ('aaaaa... (202 letters)', 'an int of more than 4,300 digits')
    """
    try:
        text = repr(value)
    except ValueError:  # Python writes no int of more than 4,300 digits
        return "an int of more than 4,300 digits"
    except RecursionError:
        return f"a {type(value).__name__} that contains itself"
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}... ({len(text):,} letters)"


class XaionnxError(Exception):
    """Base of all errors of this package.

    Attributes
    ----------
    exit_code : int
        Exit code of the command line for this kind of error.
    """

    exit_code: ClassVar[int] = 1


class UsageError(XaionnxError):
    """The call is wrong, independent of the model and the data."""

    exit_code = 2


class ParameterError(UsageError):
    """A parameter has the wrong type or lies outside its interval."""


class UnknownNameError(UsageError):
    """Nothing has this name; the message lists the nearest ones."""

    @classmethod
    def among(cls, kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
        """Return the error for ``name``, listing the nearest names in ``known``.

        Examples
        --------
        >>> print(UnknownNameError.among("method", "rize", ["rise", "occlusion"]))
        No method named 'rize'. Nearest: rise.
        >>> print(UnknownNameError.among("method", "Grad-CAM", ["cam", "grad_cam"]))
        No method named 'Grad-CAM'. Nearest: grad_cam.
        """
        names = sorted(known)
        # Case, hyphens and blanks are what is mistaken most.
        alike = dict(zip(map(_folded, reversed(names)), reversed(names), strict=True))
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        if _folded(name) in alike:
            near = list(dict.fromkeys([alike[_folded(name)], *near]))[:3]
        if near:
            return cls(f"No {kind} named '{name}'. Nearest: {', '.join(near)}.")
        listed = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
        return cls(f"No {kind} named '{name}'. Known: {listed or 'none'}.")


class AbsentTargetError(UsageError):
    """The outputs for a sample lack what the target names, such as a box, a letter or a region; others may have it."""


def _folded(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


class ModelError(XaionnxError):
    """The model is refused."""

    exit_code = 3


class ModelFileError(ModelError):
    """The file is missing, damaged, unsafe, or not an ONNX model."""


class UnsupportedModelError(ModelError):
    """The model is valid but cannot be explained in the requested way."""


class DataError(XaionnxError):
    """The data are refused."""

    exit_code = 4


class InputMismatchError(DataError):
    """An input array does not fit the model's declared inputs."""


class PictureError(DataError):
    """A file cannot be read as a picture."""


class OutputError(DataError):
    """The model's output contains NaN or infinity for some samples."""


class ZeroGradientError(DataError):
    """The gradient is 0 where a search starts, so that there is no way to follow."""


class ResourceError(XaionnxError):
    """The machine cannot do what was requested."""

    exit_code = 6


class DeviceError(ResourceError):
    """The requested device cannot be used."""


class MemoryLimitError(ResourceError):
    """A single sample does not fit into memory."""


class TimeLimitError(ResourceError):
    """A model run, or a computation within a budget of time, takes longer than its limit and was stopped.

    Attributes
    ----------
    seconds : float or None
        How long it is expected to take in all; None if that is not known.
    """

    seconds: float | None = None


class BudgetError(ResourceError):
    """A method needs more model evaluations than its budget."""


class StorageError(ResourceError):
    """A result could not be written; no partial file remains."""


class InstallationError(ResourceError, ImportError):
    """onnxruntime is not installed, or incompletely."""
