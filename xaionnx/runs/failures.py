"""Which errors end a run, and which are those of one row, after which the others are explained.

An error ends the run if every row would meet it, as its type and the place where it was raised show:

- raised before the first row, by the model, the spec, a parameter, the target or the destination;
- the device or the installation fails, or the place of the results is full or read-only;
- no row is finished yet, and a name is unknown, or a parameter does not fit rows of the only size that there is, or, of
  free sizes, artificial rows of other sizes either, for the same reason;
- no row is finished yet, and the method refuses the model also without a sample.

All others are those of a row: its data, a target that it lacks, a run that fails, memory, time, a file of its name.
"""

from __future__ import annotations

import errno
from typing import Final

from xaionnx.autodiff.gradient import first_rows
from xaionnx.data.inputs import Inputs
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
from xaionnx.runtime.progress import Silent, listening
from xaionnx.typing import TargetLike

OF_ROWS: Final = (XaionnxError, MemoryError, OSError)
"""What may be raised while a row is read, explained or saved."""

# Of artificial rows, where sizes are free.
_SIZES: Final = (64, 96)

# What no other file in the same place can escape.
_NO_PLACE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class Failures:
    """Tells errors of the run from those of a row.

    Parameters
    ----------
    method : Explainer
        Bound to the model.
    model : Model
    target : Target or list of them, optional
    one_size : bool
        Whether all rows have the same shape.
    """

    def __init__(self, method: Explainer, model: Model, target: TargetLike, one_size: bool) -> None:
        self._method, self._model, self._target = method, model, target
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
            return self._one_size or all(self._refusal(size) == str(error) for size in _SIZES)
        return isinstance(error, ModelError) and self._refuses()

    def _refusal(self, size: int) -> str:
        """What is said of a parameter for an artificial row with ``size`` in place of free sizes, if anything."""
        shapes = {
            info.name: tuple(known if isinstance(known, int) else size for known in info.shape[1:])
            for info in self._model.inputs
            if info.name not in self._model.shared
        }
        try:
            with listening(_BeforeRuns()):
                row = Inputs(first_rows(self._model, shapes=shapes))
                self._method.explain(self._method.request(self._model, row, self._target))
        except ParameterError as refusal:
            return str(refusal)
        except (*OF_ROWS, _FitsError):
            pass
        return ""

    def _refuses(self) -> bool:
        """Whether the method refuses the model without a sample."""
        if self._refuses_model is None:
            try:
                self._method.validate(DryRun.of(self._model))
                self._refuses_model = False
            except XaionnxError:
                self._refuses_model = True
        return self._refuses_model


class _FitsError(Exception):
    """The parameters fit, since the runs of the method begin."""


class _BeforeRuns(Silent):
    """Ends a method ahead of its runs."""

    def expect(self, evaluations: int) -> None:
        if evaluations:
            raise _FitsError

    def advance(self, evaluations: int) -> None:
        self.expect(evaluations)


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
