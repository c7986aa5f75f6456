"""Parquet files, read by pyarrow, polars or pandas, whichever is installed, as the frames that they hold."""

from __future__ import annotations

import hashlib
import importlib.util
import io
from pathlib import Path
from typing import Final

import numpy as np

from xaionnx.data.files import sha256_of
from xaionnx.data.frames import Frame, frame_cells
from xaionnx.data.row_numbers import RowNumbers
from xaionnx.data.tables import Cells
from xaionnx.errors import DataError

PARQUET: Final = (".parquet", ".pq")
"""How the names of Parquet files end."""

_BACKENDS: Final = ("pyarrow", "polars", "pandas")
_MAGIC: Final = b"PAR1"


def read_parquet(path: Path, data: bytes, chosen: RowNumbers | None) -> Cells:
    """Return the cells of a Parquet file, read by pyarrow, polars or pandas, whichever is installed.

    Raises
    ------
    DataError
        It is none, or nothing is installed that reads it.
    """
    if not (data.startswith(_MAGIC) and data.endswith(_MAGIC)):
        raise DataError(f"'{path}' is not a Parquet file, or is cut off. Save it again.")
    backend = next((name for name in _BACKENDS if importlib.util.find_spec(name) is not None), None)
    if backend is None:
        raise DataError(
            f"'{path}': Parquet files are read by pyarrow, polars or pandas. Install one, or save a CSV file."
        )
    found = frame_cells(_parsed(path, data, backend), f"'{path}'").of_file(path, sha256_of(data))
    return found if chosen is None else found.at(chosen.of(len(found.numbers), f"'{path}'"))


def _parsed(path: Path, data: bytes, backend: str) -> Frame:
    stream = io.BytesIO(data)
    try:
        if backend == "pyarrow":
            import pyarrow.parquet as pq

            # Unlike read_table, it reads columns of one name, so that the refusal can name them.
            return pq.ParquetFile(stream).read()
        if backend == "polars":
            import polars

            # polars raises its own errors, which are no OSError or ValueError.
            try:
                return polars.read_parquet(stream)
            except polars.exceptions.PolarsError as error:
                raise ValueError(str(error)) from error
        import pandas

        return pandas.read_parquet(stream)
    except ImportError as error:
        raise DataError(f"'{path}': pandas needs pyarrow to read Parquet files. Install it.") from error
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0][:200]
        raise DataError(f"'{path}' is a damaged Parquet file ({reason}). Save it again.") from error


def parquet_starts(path: Path) -> tuple[tuple[int, ...] | None, str]:
    """Return where the row groups of a Parquet file begin, with the number of rows at the end, and the file's hash.

    Without pyarrow, which alone reads single groups, there are no such places.

    Raises
    ------
    DataError
        It is no Parquet file.
    """
    if importlib.util.find_spec("pyarrow") is None:
        return None, ""
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            sizes = [file.metadata.row_group(n).num_rows for n in range(file.metadata.num_row_groups)]
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0][:200]
        raise DataError(f"'{path}' is not a Parquet file, or is damaged ({reason}). Save it again.") from error
    if not sum(sizes):
        raise DataError(f"'{path}' has no rows. Add at least one.")
    return (0, *np.cumsum(sizes).tolist()), digest
