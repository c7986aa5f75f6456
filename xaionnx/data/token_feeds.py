"""The inputs of a model that are fed from the tokens of texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from xaionnx.data.text import Text
from xaionnx.errors import DataError
from xaionnx.typing import Array, DType


@dataclass(frozen=True)
class TokenInput:
    """An input of a model that is fed from the tokens of a text.

    Attributes
    ----------
    name : str
    purpose : str
        As in :class:`xaionnx.graph.input_purposes.InputPurpose`; ``data`` for the numbers of the tokens.
    dtype : dtype
    shape : tuple of int, str or None
        As the file declares it.
    """

    name: str
    purpose: str
    dtype: DType
    shape: tuple[int | str | None, ...]


def token_feeds(texts: Sequence[Text], inputs: Iterable[TokenInput], model: str) -> dict[str, Array]:
    """Return the arrays of all inputs of a model for texts of T tokens each.

    Masks are 1 at all tokens but padding, token types 0, and 1 at the second text of a pair, positions count from 0,
    and a state, such as past keys and values, is empty.

    Raises
    ------
    DataError
        An input cannot be made from text.
    """
    count, length = len(texts), len(texts[0].ids)
    ids = np.stack([text.ids for text in texts])
    real = np.stack([np.arange(length) < _used(text) for text in texts])
    feeds = {}
    for one in inputs:
        if one.purpose == "data":
            feeds[one.name] = ids.astype(one.dtype)
        elif one.purpose == "mask" and len(one.shape) == 2:
            feeds[one.name] = real.astype(one.dtype)
        elif one.purpose == "token types":
            types = [np.zeros(length) if text.types is None else text.types for text in texts]
            feeds[one.name] = np.stack(types).astype(one.dtype)
        elif one.purpose == "positions":
            feeds[one.name] = np.broadcast_to(np.arange(length), (count, length)).astype(one.dtype)
        elif one.purpose == "length":
            feeds[one.name] = real.sum(axis=1).astype(one.dtype).reshape(-1, *(1,) * (len(one.shape) - 1))
        elif one.purpose == "state":
            feeds[one.name] = _empty_state(one, count)
        elif one.name.rpartition("/")[2] == "use_cache_branch":
            feeds[one.name] = np.zeros([size if isinstance(size, int) else 1 for size in one.shape], one.dtype)
        else:
            raise DataError(
                f"Input '{one.name}' of {model} ({one.purpose}) cannot be made from text. Give a dict with the arrays "
                "of all inputs."
            )
    return feeds


def _used(text: Text) -> int:
    """The number of tokens before the padding."""
    shown = np.flatnonzero(~text.special)
    pads = text.ids == text.pad_id
    last = len(text.ids)
    while last > shown[-1] + 1 and pads[last - 1] and text.special[last - 1]:
        last -= 1
    return last


def _empty_state(one: TokenInput, count: int) -> Array:
    """A state of no steps: the first free size is that of the samples, the next is 0."""
    shape, free = [], 0
    for place, size in enumerate(one.shape):
        if isinstance(size, int):
            shape.append(size)
            continue
        shape.append(count if place == 0 else 0)
        free += 1
    if isinstance(one.shape[0], int):
        shape[0] = count
    return np.zeros(shape, one.dtype)
