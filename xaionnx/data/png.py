"""Whether the data of a PNG file reach the last row: Pillow leaves missing rows black without a word."""

from __future__ import annotations

import struct
import zlib

# Samples of a pixel by the type of colour.
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# First column and row of each pass of an interlaced picture, and the steps between its columns and rows.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_PIECE = 2**20


def has_all_rows(data: bytes) -> bool:
    """Return whether the compressed data of a PNG file hold as many bytes as its size needs.

    Parameters
    ----------
    data : bytes
        A file whose chunks are intact.

    Raises
    ------
    zlib.error, struct.error
        The data are damaged.

    References
    ----------
    W3C, Portable Network Graphics (PNG) Specification, third edition, 2025, sections 7 and 8.
    """
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    bits = depth * _SAMPLES[colour]
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    needed = 0
    for left, top, across, down in passes:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        # Each row begins with the byte of its filter.
        needed += rows * (1 + (columns * bits + 7) // 8) if columns > 0 and rows > 0 else 0
    stream = zlib.decompressobj()
    for piece in _compressed(data):
        needed -= len(stream.decompress(piece, min(needed, _PIECE)))
        while needed > 0 and stream.unconsumed_tail:
            needed -= len(stream.decompress(stream.unconsumed_tail, min(needed, _PIECE)))
        if needed <= 0:
            return True
    return needed - len(stream.flush()) <= 0


def _compressed(data: bytes) -> list[bytes]:
    """The contents of the chunks IDAT."""
    pieces, start = [], 8
    while start + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, start)
        if kind == b"IDAT":
            pieces.append(data[start + 8 : start + 8 + length])
        start += 12 + length
    return pieces
