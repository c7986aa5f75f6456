"""Products of small matrices: on one thread, and with the same bits for a column whatever the other columns are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Final

import numpy as np
from threadpoolctl import ThreadpoolController

from xaionnx.typing import Array

COLUMNS: Final = 32
"""Right-hand sides of one product: the last bits of BLAS depend on their number, but not on their place among them."""


def column_blocks(array: Array) -> list[Array]:
    """Return an array (M, T) in blocks of :data:`COLUMNS` columns, (M, 32) each, with zeros after the last column.

    Examples
    --------
    >>> [block.shape for block in column_blocks(np.ones((5, 40)))]
    [(5, 32), (5, 32)]
    """
    count = -(-array.shape[1] // COLUMNS)
    padded = np.zeros((count, len(array), COLUMNS), dtype=np.float64)
    for number in range(count):
        part = array[:, number * COLUMNS : (number + 1) * COLUMNS]
        padded[number, :, : part.shape[1]] = part
    return list(padded)


def joined_columns(blocks: Iterator[Array] | list[Array], count: int) -> Array:
    """Return the first ``count`` columns of blocks (..., 32) as one array (..., count)."""
    return np.concatenate(list(blocks), axis=-1)[..., :count]


def product(left: Array, right: Array) -> Array:
    """Return ``left @ right``, where the bits of each column of the result do not depend on the other columns.

    Examples
    --------
    >>> product(np.eye(2), np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])).tolist()
    [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    """
    return joined_columns([left @ block for block in column_blocks(right)], right.shape[1])


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep BLAS on one thread inside the block, or inside the function that this decorates."""
    with _controller().limit(limits=1, user_api="blas"):
        yield


@cache
def _controller() -> ThreadpoolController:
    # Searching for the libraries takes longer than a small regression.
    return ThreadpoolController()
