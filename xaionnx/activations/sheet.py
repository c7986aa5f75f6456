"""ActivationSheet: pictures of what is inside a model, in rows, with the numbers that they show."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from xaionnx.data.storage import write_npz
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, Document


@final
@dataclass(frozen=True, eq=False)
class Tile:
    """One picture of a sheet.

    Attributes
    ----------
    pixels : uint8 array (h, w, 3)
    caption : str
        A few words beneath it; none if empty.
    """

    pixels: NDArray[np.uint8]
    caption: str = ""

    __repr__ = short_repr


@final
@dataclass(frozen=True)
class Row:
    """A row of a sheet.

    Attributes
    ----------
    name : str
        What its tiles have in common.
    tiles : tuple of Tile
    """

    name: str
    tiles: tuple[Tile, ...]


@final
@dataclass(frozen=True, eq=False)
class ActivationSheet:
    """Pictures of what is inside a model.

    Attributes
    ----------
    title : str
    rows : tuple of Row
    reading : str
        How the pictures are read, in a sentence or two.
    numbers : mapping of str to array
        What the pictures show.
    settings : mapping
        The parameters of the view.
    provenance : mapping
        The view, and the model with its hash.
    """

    title: str
    rows: tuple[Row, ...]
    reading: str
    numbers: Mapping[str, Array] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
    provenance: Mapping[str, object] = field(default_factory=dict)

    __repr__ = short_repr

    def to_dict(self) -> Document:
        """Return the record without the pictures, for JSON."""
        return {
            "title": self.title,
            "reading": self.reading,
            "rows": [{"name": row.name, "captions": [tile.caption for tile in row.tiles]} for row in self.rows],
            "numbers": {name: array.tolist() for name, array in self.numbers.items()},
            "settings": dict(self.settings),
            "provenance": dict(self.provenance),
        }

    def save(self, path: str | Path) -> Path:
        """Write the numbers and the record as an .npz file, and return its path.

        Raises
        ------
        StorageError
            The file cannot be written.
        """
        record = {name: value for name, value in self.to_dict().items() if name != "numbers"}
        return write_npz(path, {**self.numbers, "record": np.array(json.dumps(record))})
