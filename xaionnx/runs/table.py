"""The rows of a run as a frame or a Parquet file."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from xaionnx.data.storage import write_whole
from xaionnx.errors import InstallationError, ParameterError
from xaionnx.explanation import Explanation
from xaionnx.explanation_frame import backend_of, facts_of, told_apart, wide
from xaionnx.typing import Array, DType

if TYPE_CHECKING:
    from xaionnx.runs.part import Part
    from xaionnx.runs.run import Run

# Columns of a frame beyond which values are no features but elements of a picture.
_MOST: Final = 4096

_Columns = dict[str, Any]  # Any: arrays of numbers or words


def frame_of(run: Run, backend: str | None, *, values: bool) -> Any:  # Any: a frame of any library
    """Return the rows of a run as a frame; see `Run.frame`."""
    import narwhals.stable.v2 as nw

    library = backend_of(backend)
    tables, form = list[_Columns](), _LabelForm.of(run)
    for part, record in _records(run):
        count = record.target.size // record.samples
        facts = {"unit": np.tile(np.array(part.units), count), **form.column(part, count)}
        own = wide(record, facts) if values else facts_of(record)
        if len(own) > _MOST:
            raise ParameterError(
                f"The rows have {len(own):,} values each, too many for columns. Pass values=False, and take the values "
                "of single rows, run[i].values."
            )
        tables.append({**facts, **own})
    if not tables:
        return nw.from_dict({"unit": []}, backend=library).to_native()
    if any(one.keys() != tables[0].keys() for one in tables):
        raise ParameterError("The rows have different features, as texts do. Pass values=False.")
    whole = {name: np.concatenate([one[name] for one in tables]) for name in tables[0]}
    return nw.from_dict(whole, backend=library).to_native()


def _records(run: Run) -> Any:  # Any: pairs of Part and Explanation
    for part in run.parts:
        record = part.load()
        if record is not None:
            yield part, record


@final
@dataclass(frozen=True)
class _LabelForm:
    """The type of the column of labels in all parts of a run: of words if one label is a word; None without labels."""

    dtype: DType | None
    all_known: bool = True

    @classmethod
    def of(cls, run: Run) -> _LabelForm:
        known = [label for label in run.labels if label is not None]
        if not known:
            return cls(None)
        words = any(isinstance(label, str) for label in known)
        return cls(np.dtype(np.str_) if words else np.array(known).dtype, len(known) == len(run.labels))

    def column(self, part: Part, count: int) -> _Columns:
        """The column of a part, its labels ``count`` times; one that is missing is empty or NaN."""
        if self.dtype is None:
            return {}
        words = self.dtype.kind == "U"
        missing, dtype = "" if words else np.nan, self.dtype if words or self.all_known else np.dtype(np.float64)
        return {"label": np.array([missing if one is None else one for one in _labels(part, count)], dtype)}

    def nullable(self, pa: Any, part: Part, count: int) -> _Columns:  # Any: pyarrow has no types
        """The same for a Parquet file, with nulls for what is missing."""
        if self.dtype is None:
            return {}
        kind = pa.string() if self.dtype.kind == "U" else pa.from_numpy_dtype(self.dtype)
        labels = _labels(part, count)
        return {
            "label": pa.array([str(one) if one is not None and kind == pa.string() else one for one in labels], kind)
        }


def _labels(part: Part, count: int) -> tuple[str | int | float | None, ...]:
    return (part.labels or (None,) * len(part.units)) * count


def write_parquet(run: Run, path: Path) -> Path:
    """Write the rows of a run as a Parquet file; see `Run.to_parquet`."""
    if importlib.util.find_spec("pyarrow") is None:
        raise InstallationError("Parquet files are written by pyarrow, which is not installed: pip install pyarrow.")
    import pyarrow as pa
    import pyarrow.parquet as pq

    def write(stream: Any) -> None:  # Any: pyarrow has no types
        writer, form = None, _LabelForm.of(run)
        for part, record in _records(run):
            table = pa.table(_columns(pa, form, part, record))
            if writer is None:
                writer = pq.ParquetWriter(stream, table.schema, compression="zstd", write_page_checksum=True)
            writer.write_table(table.cast(writer.schema))
        if writer is not None:
            writer.close()

    return write_whole(path, write)


def _columns(pa: Any, form: _LabelForm, part: Part, record: Explanation) -> _Columns:  # Any: pyarrow has no types
    record = record.samples_first()
    count, rows = record.target.size // record.samples, record.target.size
    named = record.values if isinstance(record.values, dict) else {"values": record.values}
    units = np.tile(np.array(part.units), count)
    columns: _Columns = {"unit": units, **form.nullable(pa, part, count), **facts_of(record)}
    # Inputs may have the names of other columns.
    for name, array in zip(told_apart(named, columns), named.values(), strict=True):
        columns[name] = _lists(pa, array, rows)
        shape = list(array.shape[record.target.ndim :])
        (shape_name,) = told_apart([f"{name}_shape"], {**columns, **named})
        columns[shape_name] = pa.array([shape] * rows, pa.list_(pa.int32()))
    if record.feature_values is not None:
        (name,) = told_apart(["feature_values"], columns)
        columns[name] = _lists(pa, record.feature_values, rows)
    return {name: pa.array(column) if isinstance(column, np.ndarray) else column for name, column in columns.items()}


def _lists(pa: Any, array: Array, rows: int) -> Any:  # Any: pyarrow has no types
    """A column that holds the values of each row as one list."""
    flat = np.ascontiguousarray(array).reshape(rows, -1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1)), flat.shape[1])
