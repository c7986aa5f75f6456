"""Inputs and outputs as a file declares them, and the check of arrays against them."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Protocol, final

import numpy as np

from xaionnx.errors import InputMismatchError, UnknownNameError, UnsupportedModelError
from xaionnx.typing import Array, Document, DType

_DTYPES: Document = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.str_,
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
# Kinds of numpy types that may be passed for each declared kind; only widths change.
_ACCEPTED = {"f": "f", "i": "i", "u": "u", "b": "b", "U": "UOT"}
# Sizes of an axis that is likely to hold the channels of a picture.
_CHANNELS = (1, 3)


# Of more axes there are too many orders to try.
_MAX_RANK = 5

# Of more tensors than these the first are named.
_SHOWN = 5


class NodeArg(Protocol):
    """An input or output of a session, of which onnxruntime tells the type in words: ``tensor(float)``."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def shape(self) -> Sequence[int | str | None]: ...


@final
@dataclass(frozen=True)
class TensorInfo:
    """An input or output as the file declares it: ``shape`` holds ints, and names or None where it is free."""

    name: str
    dtype: DType
    shape: tuple[int | str | None, ...]

    @classmethod
    def of(cls, value: NodeArg) -> TensorInfo:
        """From what onnxruntime tells.

        Raises
        ------
        UnsupportedModelError
            Arrays cannot hold this type.
        """
        if value.type not in _DTYPES:
            raise UnsupportedModelError(f"Tensor '{value.name}' has the type {value.type}, which arrays cannot hold.")
        return cls(value.name, np.dtype(_DTYPES[value.type]), tuple(value.shape))

    def __str__(self) -> str:
        dims = ", ".join("?" if d is None else str(d) for d in self.shape)
        kind = "string" if self.dtype.kind in "UOT" else self.dtype.name
        return f"({dims}{',' if len(self.shape) == 1 else ''}) {kind}"

    def per_sample(self) -> TensorInfo:
        """The same with a free batch axis N."""
        return TensorInfo(self.name, self.dtype, ("N", *self.shape[1:]) if self.shape else ())

    def checked(self, array: Array, model: str) -> Array:
        """``array`` in the declared type, contiguous; floats are cast between float widths.

        Raises
        ------
        InputMismatchError
            Its shape or type does not fit.
        """
        if not _fits(self.shape, array.shape) or not self._holds(array.dtype):
            raise InputMismatchError(
                f"Input '{self.name}' of {model} expects {self}. "
                f"Got {TensorInfo('', array.dtype, array.shape)}{self._advice(array)}"
            )
        # onnxruntime reads strings as objects.
        return array.astype(object) if self.dtype.kind == "U" else np.ascontiguousarray(array, dtype=self.dtype)

    def _holds(self, dtype: DType) -> bool:
        if dtype.kind not in _ACCEPTED[self.dtype.kind]:
            return False
        return self.dtype.kind in "fU" or dtype.itemsize <= self.dtype.itemsize

    def _advice(self, array: Array) -> str:
        """What would make an array fit that does not, as the end of a sentence; a full stop where nothing is known."""
        cast = ""
        if not self._holds(array.dtype):
            if self.dtype.kind != "f" or array.dtype.kind not in "iu":
                return "."
            cast = "; convert it with astype, or prepare pictures with InputSpec.to_tensor"
        shape = array.shape
        if _fits(self.shape, shape):
            return f"{cast}."
        if _fits(self.shape, (1, *shape)):
            return f"; the batch axis in front is missing, x[None] adds it{cast}."
        if _fits(self.shape, (*shape, 1)):
            return f"; the last axis, of length 1, is missing, x[..., None] adds it{cast}."
        if len(self.shape) == 4 and len(shape) in (3, 4):
            samples, (first, second, third) = shape[:-3] or (1,), shape[-3:]
            if third in _CHANNELS and third == self.shape[1] and _fits(self.shape, (*samples, third, first, second)):
                return "; did you mean channels first?"
            if first in _CHANNELS and first == self.shape[3] and _fits(self.shape, (*samples, second, third, first)):
                return "; did you mean channels last?"
        return self._axes_advice(shape)

    def _axes_advice(self, shape: tuple[int, ...]) -> str:
        """The one way to add axes of length 1, or to change the order of axes behind the batch, that makes it fit."""
        rank, added = len(self.shape), len(self.shape) - len(shape)
        if rank <= _MAX_RANK and added > 1:
            places = [p for p in combinations(range(rank), added) if _fits(self.shape, _with_ones(shape, p))]
            if len(places) == 1:
                axes = ["None" if axis in places[0] else ":" for axis in range(rank)]
                return f"; axes of length 1 are missing, x[{', '.join(axes)}] adds them."
        if rank <= _MAX_RANK and added == 0 and rank > 1:
            orders = [(0, *rest) for rest in permutations(range(1, rank))]
            fitting = [o for o in orders if _fits(self.shape, [shape[axis] for axis in o])]
            if len(fitting) == 1:
                return f"; did you mean x.transpose({', '.join(map(str, fitting[0]))})?"
        return "."


def _with_ones(shape: Sequence[int], places: Sequence[int]) -> list[int]:
    """A shape with axes of length 1 at ``places`` of the new one."""
    rest = iter(shape)
    return [1 if axis in places else next(rest) for axis in range(len(shape) + len(places))]


def listed(tensors: Sequence[TensorInfo]) -> str:
    """The names, shapes and types of tensors, on a line."""
    shown = [f"{one.name} {one}" for one in tensors[:_SHOWN]]
    return ", ".join([*shown, f"... {len(tensors)} in all"] if len(tensors) > _SHOWN else shown)


def _fits(declared: Sequence[int | str | None], shape: Sequence[int]) -> bool:
    return len(declared) == len(shape) and all(
        not isinstance(d, int) or d == n for d, n in zip(declared, shape, strict=True)
    )


def check_inputs(
    x: Mapping[str, Array], inputs: Sequence[TensorInfo], shared: Container[str], model: str
) -> dict[str, Array]:
    """All inputs of a model, checked one by one and against each other; ``shared`` ones have no batch axis.

    Raises
    ------
    InputMismatchError
        A name, shape or type does not fit, or the inputs disagree on the number N of samples.
    """
    infos = {info.name: info for info in inputs}
    if set(x) != set(infos):
        missing = [name for name in infos if name not in x]
        unknown = [str(name) for name in x if name not in infos]
        wrong = [f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"] if missing else []
        wrong += [f"it has no {', '.join(unknown)}"] if unknown else []
        raise InputMismatchError(
            f"{model} has the inputs {', '.join(infos)}: {', and '.join(wrong)}. Pass a dict with all of them by name."
        )
    checked = {
        name: (infos[name] if name in shared else infos[name].per_sample()).checked(np.asarray(a), model)
        for name, a in x.items()
    }
    counts = {name: len(array) for name, array in checked.items() if name not in shared}
    if len(set(counts.values())) > 1:
        each = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise InputMismatchError(f"The inputs of {model} differ in their number of samples: {each}.")
    if 0 in counts.values():
        raise InputMismatchError(f"There is no sample: an input of {model} has a batch axis of length 0.")
    return checked


def find(kind: str, name: str, known: Sequence[TensorInfo]) -> TensorInfo:
    """The tensor called ``name``.

    Raises
    ------
    UnknownNameError
        There is none.
    """
    for info in known:
        if info.name == name:
            return info
    raise UnknownNameError.among(kind, name, [info.name for info in known])
