"""Visualization: the pictures that a search found, and the record of how."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

import numpy as np
from numpy.typing import NDArray

from xaionnx.data.arrays import NUMBERS, read_arrays
from xaionnx.data.storage import write_npz
from xaionnx.errors import DataError
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, Document

if TYPE_CHECKING:
    from PIL import Image

# Pixels between the pictures of a sheet.
_GAP: Final = 4
_STATE: Final = "state/"
# Frequencies above this many cycles a pixel are high.
_HIGH: Final = 0.125


@final
@dataclass(frozen=True, eq=False)
class Visualization:
    """Pictures for which an objective is large.

    Attributes
    ----------
    pictures : uint8 array (B, h, w, 3)
        In the size that the model reads.
    value : array (B,)
        The objective at the pictures themselves.
    unseen : array (B,)
        Its mean over random views that the search did not see: a picture that is large in the views of the search alone
        shows noise.
    high_frequencies : array (B,)
        The share of the power of a picture's lightness above an eighth of a cycle a pixel: grain.
    trace : array (S, B)
        The objective at each step, in the view of the step.
    predictions : list of str
        What the model itself says about each picture, where it is a classifier.
    search : dict
        The settings of the search.
    diagnostics, provenance : dict
        The cost; the model with its hash, and the objective.
    state : dict of arrays
        What a search with more steps resumes from.
    """

    pictures: NDArray[np.uint8]
    value: Array
    unseen: Array
    high_frequencies: Array
    trace: Array
    predictions: list[str] = field(default_factory=list)
    search: Mapping[str, object] = field(default_factory=dict)
    diagnostics: Mapping[str, object] = field(default_factory=dict)
    provenance: Mapping[str, object] = field(default_factory=dict)
    state: Mapping[str, Array] = field(default_factory=dict)

    __repr__ = short_repr

    @property
    def image(self) -> Image.Image:
        """The pictures beside each other, up to six in a row."""
        from PIL import Image

        count, height, width, _ = self.pictures.shape
        columns = min(count, 6)
        rows = -(-count // columns)
        sheet = Image.new("RGB", (columns * (width + _GAP) - _GAP, rows * (height + _GAP) - _GAP), "white")
        for n, picture in enumerate(self.pictures):
            sheet.paste(Image.fromarray(picture), ((n % columns) * (width + _GAP), (n // columns) * (height + _GAP)))
        return sheet

    def to_dict(self) -> Document:
        """Return the record without the pictures, for JSON."""
        numbers = {name: getattr(self, name).tolist() for name in ("value", "unseen", "high_frequencies")}
        return {
            **numbers,
            "predictions": self.predictions,
            "search": dict(self.search),
            "diagnostics": dict(self.diagnostics),
            "provenance": dict(self.provenance),
        }

    def save(self, path: str | Path) -> Path:
        """Write the whole record as an .npz file, and return its path; ``image.save`` writes the pictures.

        Raises
        ------
        StorageError
            The file cannot be written.
        """
        record = np.array(json.dumps(self.to_dict()))
        state = {_STATE + name: array for name, array in self.state.items()}
        return write_npz(path, {"pictures": self.pictures, "trace": self.trace, "record": record, **state})

    @classmethod
    def load(cls, path: str | Path) -> Visualization:
        """Return a record that was saved.

        Raises
        ------
        DataError
            The file cannot be read, or holds something else.
        """
        wrong = f"{path} is not a search saved by xaionnx. Save one with -o NAME.npz."
        arrays = read_arrays(path, f"{NUMBERS}U")
        try:
            record = json.loads(str(arrays["record"]))
            value, unseen, high = (np.asarray(record[name]) for name in ("value", "unseen", "high_frequencies"))
            state = {name.removeprefix(_STATE): array for name, array in arrays.items() if name.startswith(_STATE)}
            told = {name: record[name] for name in ("predictions", "search", "diagnostics", "provenance")}
            return cls(arrays["pictures"], value, unseen, high, arrays["trace"], **told, state=state)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(wrong) from error

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.image.save(buffer, format="PNG")
        return buffer.getvalue()


def high_frequencies(pictures: NDArray[np.uint8]) -> Array:
    """Return the share of the power of lightness at high frequencies, for pictures (B, H, W, 3).

    Examples
    --------
    >>> stripes = np.zeros((1, 8, 8, 3), np.uint8)
    >>> stripes[:, ::2] = 255
    >>> high_frequencies(stripes)
    array([1.])
    """
    gray = pictures.astype(np.float64).mean(axis=3)
    power = np.abs(np.fft.fft2(gray - gray.mean(axis=(1, 2), keepdims=True))) ** 2
    rows, columns = np.fft.fftfreq(gray.shape[1])[:, None], np.fft.fftfreq(gray.shape[2])[None]
    total = power.sum(axis=(1, 2))
    high = (power * (np.hypot(rows, columns) > _HIGH)).sum(axis=(1, 2))
    return np.asarray(np.divide(high, total, out=np.zeros_like(total), where=total > 0))
