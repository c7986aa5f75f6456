"""Arrays that repeat along axes, such as one map for all channels, without a copy for each repetition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from xaionnx.typing import Array, DType


def unrepeated(array: Array) -> Array:
    """Return an array with each axis along which it is broadcast cut to length 1.

    Examples
    --------
    >>> unrepeated(np.broadcast_to(np.ones((2, 1)), (2, 3))).shape
    (2, 1)
    """
    return array[tuple(slice(1) if repeats else slice(None) for repeats in _repeated(array))]


def as_type(array: Array, dtype: DType) -> Array:
    """Return an array as another type in C order, still broadcast along the axes along which it is.

    An array of that type and order is returned as it is.
    """
    single = unrepeated(array).astype(dtype, order="C", copy=False)
    return single if single.shape == array.shape else np.broadcast_to(single, array.shape)


def concatenate(arrays: Sequence[Array], axis: int) -> Array:
    """Return :func:`numpy.concatenate` of arrays, still broadcast along the other axes along which all of them are.

    A single array is returned as it is.

    Examples
    --------
    >>> part = np.broadcast_to(np.ones((2, 1)), (2, 3))
    >>> joined = concatenate([part, part], 0)
    >>> joined.shape, joined.strides
    ((4, 3), (8, 0))
    """
    if len(arrays) == 1:
        return arrays[0]
    repeated = np.all([_repeated(array) for array in arrays], axis=0)
    repeated[axis] = False
    cut = tuple(slice(1) if repeats else slice(None) for repeats in repeated)
    joined = np.concatenate([array[cut] for array in arrays], axis=axis)
    sizes = zip(repeated, arrays[0].shape, joined.shape, strict=True)
    return np.broadcast_to(joined, [whole if repeats else size for repeats, whole, size in sizes])


def stack(arrays: Sequence[Array], axis: int) -> Array:
    """Return :func:`numpy.stack` of arrays, still broadcast as by :func:`concatenate`; of one array it is a view."""
    return concatenate([np.expand_dims(array, axis) for array in arrays], axis)


def stack_alike(arrays: Sequence[Array]) -> Array:
    """Return :func:`numpy.stack` of arrays; if all are the same memory, such as rows of data, it is not copied.

    Examples
    --------
    >>> rows = np.ones((3, 2))
    >>> stack_alike([rows, rows]).strides
    (0, 16, 8)
    """
    first = arrays[0].__array_interface__
    if len(arrays) > 1 and all(_same_memory(first, array.__array_interface__) for array in arrays):
        return np.broadcast_to(arrays[0], (len(arrays), *arrays[0].shape))
    return np.stack(arrays)


def _same_memory(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    return all(one[key] == other[key] for key in ("data", "shape", "strides", "typestr"))


def _repeated(array: Array) -> list[bool]:
    """Whether an array repeats along each axis."""
    return [step == 0 and size > 1 for step, size in zip(array.strides, array.shape, strict=True)]
