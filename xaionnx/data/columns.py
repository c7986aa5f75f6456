"""Columns of a table: their cells as a file or a frame holds them, and their strict conversion to a model's numbers."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal, final

import numpy as np
from numpy.typing import NDArray

from xaionnx.errors import DataError
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, DType

CellKind = Literal["text", "numbers", "booleans"]

# float() alone would accept '1_000', full-width digits, 'nan' and 'infinity'.
NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
# Numbers as other countries and programs write them: 3,5 and 1,234.5 and 1 234 and 1'234.
_SEPARATED: Final = re.compile(r"[+-]?\d+([ ,.'\u00a0\u202f]\d+)+", re.ASCII)
_POINT: Final = "Write it with a decimal point, and thousands without a separator."
_DIGITS: Final = frozenset("0123456789+-.eE")
_EXACT: Final = 2**24  # from here on float32 cannot represent all integers
# Words for a missing value, in any case, unless they are a category of their column.
MISSING: Final = frozenset({"", "?", "na", "n/a", "#n/a", "<na>", "nan", "null", "none"})
_TRUTH: Final = {"true": 1.0, "false": 0.0}
_SHOWN_WORDS: Final = 12
_LONGEST: Final = 40


@final
@dataclass(frozen=True, eq=False)
class Column:
    """The N cells of one column.

    Attributes
    ----------
    name : str
    kind : {"text", "numbers", "booleans"}
    values : array, (N,)
        Strings as objects, numbers of any type, or bool. Missing cells hold anything.
    missing : bool array, (N,)
        Cells without a value; of text, those that no file can tell from text are not among them.
    parsed : bool
        Whether the cells are the text of a file, in which numbers and truth values are written.
    """

    name: str
    kind: CellKind
    values: Array
    missing: NDArray[np.bool_]
    parsed: bool = False

    __repr__ = short_repr


@final
@dataclass
class Conversion:
    """Cells converted to an input's type, and what is wrong with the others.

    Attributes
    ----------
    values : array, (N,)
        0 where there is a fault.
    faults : dict of str by row
        What is wrong with a cell, and what to do.
    missing : int
        How many cells are NaN since they are missing.
    notes : list of str
        Conversions that were made, in words.
    """

    values: Array
    faults: dict[int, str] = field(default_factory=dict)
    missing: int = 0
    notes: list[str] = field(default_factory=list)

    __repr__ = short_repr


def column_of(name: str, cells: Sequence[object], missing: NDArray[np.bool_]) -> Column:
    """Return the column of Python objects, such as those of an object column of pandas.

    Raises
    ------
    DataError
        The cells are of several kinds, or of one that no model reads, such as lists. The message is the end of a
        sentence about the column.
    """
    known = [cell for cell, gone in zip(cells, missing.tolist(), strict=True) if not gone]
    kinds = {_kind_of(cell) for cell in known}
    if not kinds or kinds == {"text"}:
        texts = np.array([cell if isinstance(cell, str) else "" for cell in cells], object)
        return Column(name, "text", texts, missing)
    if kinds == {"booleans"}:
        return Column(
            name, "booleans", np.array([bool(c) and not m for c, m in zip(cells, missing, strict=True)]), missing
        )
    if kinds == {"numbers"}:
        whole = all(isinstance(cell, int | np.integer) for cell in known)
        filled = [0 if gone else cell for cell, gone in zip(cells, missing.tolist(), strict=True)]
        small = whole and all(-(2**63) <= int(cell) < 2**63 for cell in known)  # type: ignore[call-overload]  # numbers
        return Column(name, "numbers", np.array(filled, np.int64 if small else np.float64), missing)
    if len(kinds) == 1:
        raise DataError(f"holds {kinds.pop()}, which no input of a model takes. Convert or drop it.")
    raise DataError(f"mixes {' and '.join(sorted(kinds))}. Make it one kind.")


def _kind_of(cell: object) -> str:
    if isinstance(cell, str):
        return "text"
    if isinstance(cell, bool | np.bool_):
        return "booleans"
    if isinstance(cell, int | float | Decimal | np.integer | np.floating):
        return "numbers"
    return f"objects of type {type(cell).__name__}"


def convert_column(column: Column, dtype: DType, words: Sequence[str] | None, nan: str | None) -> Conversion:
    """Convert the cells of a column to the type of an input.

    Parameters
    ----------
    column : Column
    dtype : dtype
        Of the input: a float, integer or boolean type, or strings.
    words : sequence of str, optional
        The categories of the column in the order of their codes 0, 1, 2, ...
    nan : str, optional
        What the model does with NaN; see `xaionnx.data.table_files.read_table`.

    Raises
    ------
    DataError
        The whole column is of another kind than the input takes. The message is the end of a sentence about the column.

    Examples
    --------
    >>> ages = Column("age", "numbers", np.array([41, 15]), np.zeros(2, bool))
    >>> convert_column(ages, np.dtype(np.float32), None, None).values
    array([41., 15.], dtype=float32)
    """
    if dtype.kind in "UO":
        return _to_strings(column)
    kept, missing = column, column.missing
    if column.kind == "text":
        known = frozenset(words or ())
        # Where the use of NaN is not known, a word for a missing value is a word like any other.
        gone = _stands_for_missing if nan is not None else _is_blank
        if marks := {cell for cell in set(column.values.tolist()) if gone(cell, known)}:
            missing = missing | np.array([cell in marks for cell in column.values.tolist()], bool)
        kept = Column(column.name, "text", column.values, missing, column.parsed)
    converted = _to_codes(kept, words) if words else _to_numbers(kept, dtype)
    _check_missing(converted, kept, dtype, nan)
    return _typed(converted, kept, dtype)


def _stands_for_missing(cell: str, words: frozenset[str]) -> bool:
    text = cell.strip()
    return text.lower() in MISSING and text not in words


def _is_blank(cell: str, words: frozenset[str]) -> bool:
    return not cell.strip() and "" not in words


def _to_strings(column: Column) -> Conversion:
    """Text as it is written, blanks included: an encoder of the model compares it letter by letter."""
    if column.kind == "text":
        gone = column.missing | np.array([not cell.strip() for cell in column.values], bool)
        converted = Conversion(np.where(gone, "", column.values).astype(object))
    else:
        if column.values.dtype.kind == "f":
            raise DataError(
                "holds floating-point numbers, but the model needs text, and 1.0 and 1 are not the same text. Convert "
                "it as it was for training, as in astype(int).astype(str)."
            )
        gone = column.missing
        converted = Conversion(np.array([str(value) for value in column.values.tolist()], object))
        converted.notes.append(f"{column.kind} of '{column.name}' are written as text, which the model takes")
    for row in np.flatnonzero(gone).tolist():
        converted.faults[row] = _missing_words(column, row, taken=", because this model takes text there")
    return converted


def _to_codes(column: Column, words: Sequence[str]) -> Conversion:
    """The code of each word, 0, 1, 2, ..."""
    codes = {word: float(code) for code, word in enumerate(words)}
    cells = column.values.tolist()
    # Columns of words have few that differ.
    texts = {cell: _word(cell, codes) for cell in set(cells)}
    found = {cell: codes.get(text, -1.0) for cell, text in texts.items()}
    # NaN is not equal to itself.
    converted = Conversion(np.array([found.get(cell, -1.0) for cell in cells], np.float64))
    unknown = (converted.values < 0) & ~column.missing
    if column.kind != "text" and len(unknown) and unknown[~column.missing].all():
        raise DataError(
            f"holds {column.kind}, but its categories are the words {_listed(words)}. Give the words, or an array of "
            "codes in place of the table."
        )
    for row in np.flatnonzero(unknown).tolist():
        text = texts[cells[row]]
        # Many words differ in their case alone.
        by_lower = {word.lower(): word for word in words}
        near = difflib.get_close_matches(text.lower(), by_lower, n=1)
        hint = f"Nearest: {by_lower[near[0]]}." if near else f"Known: {', '.join(words[:_SHOWN_WORDS])}."
        converted.faults[row] = f"{text[:_LONGEST]!r} is not one of the categories. {hint}"
    return converted


def _word(cell: str | float, codes: Mapping[str, float]) -> str:
    """A cell as the word of a category."""
    if isinstance(cell, float) and cell.is_integer() and str(cell) not in codes:
        # Integers with a missing value among them are floats in pandas.
        return str(int(cell))
    return str(cell).strip()


def _to_numbers(column: Column, dtype: DType) -> Conversion:
    if column.kind == "text":
        if not column.parsed and not column.missing.all():
            example = column.values[int(np.flatnonzero(~column.missing)[0])]
            raise DataError(
                f"holds text, such as {example[:_LONGEST]!r}, but the model needs numbers. Convert it, as in "
                "astype(float), or list its words in the order of their codes under [input.categories] of the spec."
            )
        return _read_numbers(column)
    if column.kind == "booleans":
        notes = [] if dtype.kind == "b" else [f"booleans of '{column.name}' are read as 1 and 0"]
        return Conversion(column.values.astype(np.float64), notes=notes)
    values = column.values
    converted = Conversion(values if values.dtype.kind in "iu" else values.astype(np.float64))
    for row in np.flatnonzero(np.isinf(converted.values) & ~column.missing).tolist():
        converted.faults[row] = f"{values[row]} is not a finite number. Correct it."
    return converted


def _read_numbers(column: Column) -> Conversion:
    """The numbers or truth values that are written in text."""
    here = np.flatnonzero(~column.missing)
    cells = column.values[here].tolist()
    texts = {cell: cell.strip() for cell in set(cells)}
    whole = np.zeros(len(column.values), np.float64)
    if _DIGITS.issuperset("".join(texts.values())):
        try:
            known = {cell: float(text) for cell, text in texts.items()}
        except ValueError:
            pass
        else:
            whole[here] = [known[cell] for cell in cells]
            return _as_integers(column.values, here, Conversion(whole))
    if texts and all(text.lower() in _TRUTH for text in texts.values()):
        whole[here] = [_TRUTH[texts[cell].lower()] for cell in cells]
        return Conversion(whole, notes=[f"true and false of '{column.name}' are read as 1 and 0"])
    converted = Conversion(whole)
    for row, text in ((row, texts[cell]) for row, cell in zip(here.tolist(), cells, strict=True)):
        if NUMBER.fullmatch(text):
            whole[row] = float(text)
        else:
            advice = _POINT if _SEPARATED.fullmatch(text) else "Correct it."
            converted.faults[row] = f"{text[:_LONGEST]!r} is not a finite decimal number. {advice}"
    return converted


def _as_integers(cells: Array, here: Array, converted: Conversion) -> Conversion:
    """Whole numbers that a float64 would round, as integers."""
    most = np.abs(converted.values[here]).max() if len(here) else 0
    if not 2**53 <= most < 2**65:
        return converted
    numbers = [Decimal(cells[row].strip()) for row in here]
    if any(number != number.to_integral_value() for number in numbers):
        return converted
    whole = [int(number) for number in numbers]
    dtype = np.int64 if min(whole) < 0 or max(whole) < 2**63 else np.uint64
    if np.iinfo(dtype).min <= min(whole) and max(whole) <= np.iinfo(dtype).max:
        exact = np.zeros(len(cells), dtype)
        exact[here] = whole
        converted.values = exact
    return converted


def _check_missing(converted: Conversion, column: Column, dtype: DType, nan: str | None) -> None:
    """Set missing cells to NaN if the model has a use for it, else record them as faults."""
    gone = column.missing | (np.isnan(converted.values) if converted.values.dtype.kind == "f" else False)
    if not gone.any():
        return
    if nan and dtype.kind == "f":
        values = converted.values.astype(np.float64)
        values[gone] = np.nan
        converted.values, converted.missing = values, int(gone.sum())
        return
    taken = ", because this model takes no missing values" if nan is not None or dtype.kind != "f" else ""
    for row in np.flatnonzero(gone).tolist():
        converted.faults[row] = _missing_words(column, row, taken)


def _missing_words(column: Column, row: int, taken: str) -> str:
    text = column.values[row].strip() if column.kind == "text" else ""
    if not column.parsed and not text:
        return f"the value is missing. Fill it, or remove the row{taken}."
    if text:
        return f"{text!r} stands for a missing value. Fill it, or remove the row{taken}."
    return f"the cell is empty. Fill it, or remove the row{taken}."


def _typed(converted: Conversion, column: Column, dtype: DType) -> Conversion:
    """Cast to the input's type, with a fault where that has no such number, and a note where it is rounded."""
    values = np.array(converted.values)
    values[list(converted.faults)] = 0
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            cast = values.astype(dtype)
        wrong = np.isinf(cast) | np.isinf(values)
        rounded = (np.abs(values) > _EXACT) & (cast.astype(np.float64) != values) & ~wrong & ~np.isnan(values)
        if rounded.any():
            limit = f"above {_EXACT} " if dtype.itemsize == 4 else ""
            converted.notes.append(f"numbers {limit}are rounded to {dtype}")
        what = f"is too large for {dtype}. Correct it."
    else:
        low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        broken = np.not_equal(values, np.rint(values))
        wrong = broken | (values < low) | (values > high)
        if values.dtype.kind == "f" and dtype.itemsize == 8:
            # A float64 at an end of the range is a rounded number beyond it.
            wrong |= (values <= -(2.0**63)) | (values >= float(high))
        cast = np.where(wrong, 0, values).astype(dtype)
        kind = "true, false, 0 or 1" if dtype.kind == "b" else f"a whole number in the range of {dtype}"
        what = f"is not {kind}, which the model needs. Correct it."
    for row in np.flatnonzero(wrong).tolist():
        if row not in converted.faults:
            shown = repr(column.values[row].strip()[:_LONGEST]) if column.kind == "text" else column.values[row]
            converted.faults[row] = f"{shown} {what}"
    cast[list(converted.faults)] = 0
    converted.values = cast
    return converted


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words[:_SHOWN_WORDS]) + (", ..." if len(words) > _SHOWN_WORDS else "")
