"""Models and parts of them as bytes, of which Protocol Buffers write no more than 2 GiB."""

from __future__ import annotations

import math
from typing import Final

from google.protobuf.message import EncodeError, Message  # type: ignore[import-untyped]  # protobuf ships no types

LARGEST_FILE: Final = 2**31 - 1
"""Protocol Buffers store a length in a signed 32-bit integer."""


def serialized(proto: Message) -> bytes | None:
    """Return the bytes of a model; None if it is larger than 2 GiB."""
    try:
        content: bytes = proto.SerializeToString()
    except EncodeError:
        return None
    return content if len(content) <= LARGEST_FILE else None


def serialized_size(proto: Message) -> float:
    """Return the number of bytes of a model, infinite if it is larger than 2 GiB."""
    content = serialized(proto)
    return math.inf if content is None else len(content)
