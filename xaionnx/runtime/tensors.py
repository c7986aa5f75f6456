"""Inputs and outputs as a file declares them, and checks of arrays against them."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from types import MappingProxyType
from typing import Protocol, final

import numpy as np

from xaionnx.errors import InputMismatchError, UnknownNameError, UnsupportedModelError
from xaionnx.short_repr import short_sizes
from xaionnx.typing import Array, Document, DType

_DTYPES: Document = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.str_,
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
# Kinds of numpy types accepted for each declared kind; only widths change.
_ACCEPTED = {"f": "f", "i": "i", "u": "u", "b": "b", "U": "UOT"}
# Sizes of an axis that probably holds the channels of a picture.
_CHANNELS = (1, 3)


# With more axes there are too many orders to try.
_MAX_RANK = 5

# Lists of tensors show at most this many.
_SHOWN = 5


class NodeArg(Protocol):
    """An input or output of a session; onnxruntime gives its type as text: ``tensor(float)``."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def shape(self) -> Sequence[int | str | None]: ...


@final
@dataclass(frozen=True)
class TensorInfo:
    """An input or output as the file declares it; free dimensions in ``shape`` are names or None."""

    name: str
    dtype: DType
    shape: tuple[int | str | None, ...]

    @classmethod
    def of(cls, value: NodeArg) -> TensorInfo:
        """Return the tensor information of an input or output of onnxruntime.

        Raises
        ------
        UnsupportedModelError
            The type cannot be represented in numpy.
        """
        if value.type not in _DTYPES:
            raise UnsupportedModelError(
                f"Tensor '{value.name}' has type {value.type}, which numpy does not support. Name a tensor of numbers, "
                "or export the model with arrays as inputs and outputs."
            )
        return cls(value.name, np.dtype(_DTYPES[value.type]), tuple(value.shape))

    def __str__(self) -> str:
        dims = ", ".join("?" if d is None else str(d) for d in short_sizes(self.shape))
        kind = "string" if self.dtype.kind in "UOT" else self.dtype.name
        return f"({dims}{',' if len(self.shape) == 1 else ''}) {kind}"

    def per_sample(self, axis: int | None = 0) -> TensorInfo:
        """Return the same with a free batch axis N, where the samples are on ``axis``; without one, it is added."""
        if axis is None:
            return TensorInfo(self.name, self.dtype, ("N", *self.shape))
        free = [*self.shape[:axis], "N", *self.shape[axis + 1 :]] if self.shape else ()
        return TensorInfo(self.name, self.dtype, tuple(free))

    def checked(self, array: Array, model: str) -> Array:
        """Return ``array`` in the declared type, contiguous; floats are cast between float widths.

        Raises
        ------
        InputMismatchError
            Its shape or type does not fit.
        """
        if not _fits(self.shape, array.shape) or not self._accepts(array.dtype):
            raise InputMismatchError(
                f"Input '{self.name}' of {model} expects {self}. "
                f"Got {TensorInfo('', array.dtype, array.shape)}{self._advice(array)}"
            )
        # onnxruntime expects strings as objects.
        if self.dtype.kind == "U":
            return array.astype(object)
        return np.asarray(array, dtype=self.dtype, order="C")  # ascontiguousarray adds an axis to a scalar

    def _accepts(self, dtype: DType) -> bool:
        if dtype.kind not in _ACCEPTED[self.dtype.kind]:
            return False
        return self.dtype.kind in "fU" or dtype.itemsize <= self.dtype.itemsize

    def _advice(self, array: Array) -> str:
        """Return the end of a sentence that says how to make an array fit; a period if unknown."""
        cast = ""
        if not self._accepts(array.dtype):
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
        """Return advice to add axes of length 1 or reorder axes after the batch, if exactly one way makes it fit."""
        rank, added = len(self.shape), len(self.shape) - len(shape)
        if rank <= _MAX_RANK and added > 1:
            positions = [p for p in combinations(range(rank), added) if _fits(self.shape, _with_ones(shape, p))]
            if len(positions) == 1:
                axes = ["None" if axis in positions[0] else ":" for axis in range(rank)]
                return f"; axes of length 1 are missing, x[{', '.join(axes)}] adds them."
        if rank <= _MAX_RANK and added == 0 and rank > 1:
            orders = [(0, *rest) for rest in permutations(range(1, rank))]
            fitting = [o for o in orders if _fits(self.shape, [shape[axis] for axis in o])]
            if len(fitting) == 1:
                return f"; did you mean x.transpose({', '.join(map(str, fitting[0]))})?"
        return "."


def _with_ones(shape: Sequence[int], positions: Sequence[int]) -> list[int]:
    """Return a shape with axes of length 1 inserted, at ``positions`` of the result."""
    rest = iter(shape)
    return [1 if axis in positions else next(rest) for axis in range(len(shape) + len(positions))]


def listed(tensors: Sequence[TensorInfo]) -> str:
    """Return the names, shapes and types of tensors on one line."""
    shown = [f"{one.name} {one}" for one in tensors[:_SHOWN]]
    return ", ".join([*shown, f"... {len(tensors)} in all"] if len(tensors) > _SHOWN else shown)


def _fits(declared: Sequence[int | str | None], shape: Sequence[int]) -> bool:
    return len(declared) == len(shape) and all(
        not isinstance(d, int) or d == n for d, n in zip(declared, shape, strict=True)
    )


def check_inputs(
    x: Mapping[str, Array],
    inputs: Sequence[TensorInfo],
    shared: Container[str],
    model: str,
    sample_axes: Mapping[str, int | None] = MappingProxyType({}),
) -> dict[str, Array]:
    """Check all inputs of a model, one by one and against each other, and return them with the batch axis first.

    Parameters
    ----------
    x : mapping of arrays by input name
        In the order of the file's axes.
    inputs : sequence of TensorInfo
        As the file declares them.
    shared : container of str
        Inputs without a batch axis, the same for all samples.
    model : str
        Name of the model in messages.
    sample_axes : mapping of str to int or None
        Inputs whose samples are not on the first axis, or None for inputs that hold one sample: it may be given with or
        without a batch axis in front.

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
        wrong += [f"{', '.join(unknown)} {'is no input' if len(unknown) == 1 else 'are no inputs'}"] if unknown else []
        raise InputMismatchError(
            f"{model} has the input{'s' if len(infos) > 1 else ''} {', '.join(infos)}: {', and '.join(wrong)}. Give an "
            "array for each input, by its name."
            + (" Name an array of labels apart, as in --labels NAME or Dataset.of(x, labels=NAME)." if unknown else "")
        )
    checked = {}
    # In the order of the file, so that features are numbered alike however the inputs are listed.
    for name, info in infos.items():
        array, axis = np.asarray(x[name]), sample_axes.get(name, 0)
        if name in shared:
            checked[name] = info.checked(array, model)
        elif axis is None and array.ndim == len(info.shape):
            checked[name] = info.checked(array, model)[None]
        else:
            whole = info.per_sample(axis).checked(array, model)
            checked[name] = np.ascontiguousarray(np.moveaxis(whole, axis, 0)) if axis else whole
    counts = {name: len(array) for name, array in checked.items() if name not in shared}
    if len(set(counts.values())) > 1:
        each = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise InputMismatchError(
            f"The inputs of {model} differ in their number of samples: {each}. If they are one sample together, as the "
            "nodes and edges of a graph are, pass rows='joint'."
        )
    if 0 in counts.values():
        raise InputMismatchError(f"There is no sample: an input of {model} has a batch axis of length 0.")
    return checked


def find(kind: str, name: str, known: Sequence[TensorInfo]) -> TensorInfo:
    """Return the tensor called ``name``.

    Raises
    ------
    UnknownNameError
        There is none.
    """
    for info in known:
        if info.name == name:
            return info
    raise UnknownNameError.among(kind, name, [info.name for info in known])
