"""Which errors end a run, and which are those of one row, after which the others are explained.

An error ends the run if every row would meet it, as its type and the place where it was raised show:

- raised before the first row, by the model, the spec, a parameter, the target or the destination;
- the device or the installation fails, or the place of the results is full or read-only;
- no row is finished yet, and a name is unknown, or a parameter does not fit rows of the only size that there is;
- no row is finished yet, and the method refuses the model also without a sample.

All others are those of a row: its data, a target that it lacks, a run that fails, memory, time, a file of its name.
"""

from __future__ import annotations

import errno
from typing import Final

from xaionnx.errors import (
    AbsentTargetError,
    DeviceError,
    InstallationError,
    MemoryLimitError,
    ModelError,
    ParameterError,
    StorageError,
    UnknownNameError,
    XaionnxError,
)
from xaionnx.explainer import Explainer
from xaionnx.layers.dry_run import DryRun
from xaionnx.runtime.model import Model

OF_ROWS: Final = (XaionnxError, MemoryError, OSError)
"""What may be raised while a row is read, explained or saved."""

# What no other file in the same place can escape.
_NO_PLACE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class Failures:
    """Tells errors of the run from those of a row.

    Parameters
    ----------
    method : Explainer
        Bound to the model.
    model : Model
    one_size : bool
        Whether all rows have the same shape.
    """

    def __init__(self, method: Explainer, model: Model, one_size: bool) -> None:
        self._method, self._model = method, model
        self._one_size = one_size or _has_one_size(model)
        self._refuses_model: bool | None = None

    def ends_run(self, error: XaionnxError, finished: bool) -> bool:
        """Whether every row would meet ``error``; ``finished`` is whether one row has been explained."""
        if isinstance(error, DeviceError | InstallationError) or is_out_of_space(error):
            return True
        if finished or isinstance(error, AbsentTargetError):
            return False
        if isinstance(error, UnknownNameError):
            return True
        if isinstance(error, ParameterError):
            return self._one_size
        return isinstance(error, ModelError) and self._refuses()

    def _refuses(self) -> bool:
        """Whether the method refuses the model without a sample."""
        if self._refuses_model is None:
            try:
                self._method.validate(DryRun.of(self._model))
                self._refuses_model = False
            except XaionnxError:
                self._refuses_model = True
        return self._refuses_model


def is_out_of_space(error: XaionnxError) -> bool:
    """Whether a file could not be written since the place is full or read-only, which holds for all others too."""
    cause = error.__cause__
    return isinstance(error, StorageError) and isinstance(cause, OSError) and cause.errno in _NO_PLACE


def translated(error: XaionnxError | MemoryError | OSError) -> XaionnxError:
    """Return an error of this package for one that Python raises where memory runs out or a disk fails."""
    if isinstance(error, XaionnxError):
        return error
    if isinstance(error, OSError):
        failure = StorageError(f"A file cannot be read or written: {error}. Check the disk, then run again.")
        failure.__cause__ = error
        return failure
    return MemoryLimitError(f"There is not enough memory: {error or 'an array does not fit'}. Use a smaller input.")


def _has_one_size(model: Model) -> bool:
    free = [info.name for info in model.inputs if not all(isinstance(size, int) for size in info.shape[1:])]
    spec = model.input_spec
    return not free or (free == [model.input().name] and spec.kind == "picture" and spec.size is not None)
