"""Read texts: strings, text files, lines of a file, or a column of a table."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeGuard, final

import numpy as np

from xaionnx.data.columns import Column
from xaionnx.data.csv_files import JSON_LINES, not_json
from xaionnx.data.files import Refusal, is_file, read_bytes, sha256_of
from xaionnx.data.folders import expand
from xaionnx.data.frames import frame_cells, is_frame, is_series
from xaionnx.data.parquet_files import PARQUET
from xaionnx.data.row_numbers import RowNumbers
from xaionnx.data.spec import InputSpec
from xaionnx.data.table_files import read_cells
from xaionnx.data.tables import Cells, listed
from xaionnx.data.text import Text
from xaionnx.data.token_feeds import TokenInput, token_feeds
from xaionnx.data.tokens import TextTokenizer
from xaionnx.data.words import words_of
from xaionnx.errors import DataError, InputMismatchError
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array

MAX_BYTES: Final = 16 * 2**20
"""Size of a text file that is not refused."""

_ARRAYS: Final = (".npy", ".npz")
_TABLES: Final = (".csv", ".tsv", *PARQUET)
_PAIR: Final = 2


@final
@dataclass(frozen=True)
class TextOptions:
    """What a user says about texts besides the texts themselves.

    Attributes
    ----------
    lines : bool
        Whether each line of a text file is a text.
    column : tuple of str
        The column of a table that holds the text, or the two columns of pairs of texts; that of the spec if empty.
    ending : str
        What is appended to each text, such as a continuation to explain.
    """

    lines: bool = False
    column: tuple[str, ...] = ()
    ending: str = ""


@final
@dataclass(frozen=True)
class TextReading:
    """How texts become the inputs of a model.

    Attributes
    ----------
    tokenizer : TextTokenizer or None
        None for a model that reads strings.
    inputs : tuple of TokenInput
        All inputs of the model.
    main : str
        The input that is explained.
    options : TextOptions
    chosen : RowNumbers or None
        The rows of a table to read; all if None.
    """

    tokenizer: TextTokenizer | None
    inputs: tuple[TokenInput, ...]
    main: str
    options: TextOptions = TextOptions()
    chosen: RowNumbers | None = None


@final
@dataclass(frozen=True, eq=False)
class TextBatch:
    """N texts and the arrays of all inputs.

    Attributes
    ----------
    arrays : dict of arrays by input name
    texts : tuple of Text
    names : tuple of str
        One a text, as in `xaionnx.data.batch.InputBatch`.
    sha256s : tuple of str or None
    notes : tuple of str
    refused : tuple of Refusal
    conversion : str
    """

    arrays: dict[str, Array]
    texts: tuple[Text, ...]
    names: tuple[str, ...]
    sha256s: tuple[str | None, ...]
    notes: tuple[str, ...]
    refused: tuple[Refusal, ...]
    conversion: str

    __repr__ = short_repr


@final
@dataclass(frozen=True)
class _Source:
    """A text, or a pair of them, with its name, and its file and line, if it has one."""

    text: str
    name: str
    second: str | None = None
    sha256: str | None = None
    path: Path | None = None
    row: int | None = None


def read_texts(given: Any, spec: InputSpec, reading: TextReading, model: str) -> TextBatch | None:  # Any: users
    """Return texts and their arrays; None if ``given`` holds arrays for the model.

    A str is a text, and so is each of a list or of an array of strings; a tuple of two is a pair of texts, such as a
    question and its context. A path is a file: a text, or one a line, or a table with a column of texts, as a frame is.

    Raises
    ------
    DataError
        Nothing can be read. A single refusal is raised unchanged.
    InputMismatchError
        The texts have different numbers of tokens, and the model has no mask that would hide padding.
    """
    refused: list[Refusal] = []
    sources = _sources(given, reading.options.column or spec.text, reading, refused)
    if sources is None:
        return None
    found: list[tuple[_Source, Text]] = []
    for source in sources:
        try:
            found.append((source, _encoded(source, reading)))
        except DataError as error:
            said = DataError(f"{_place(source)}: {error}")
            refused.append(Refusal(source.path or Path(source.name), said, source.row))
    if not found:
        if refused:
            raise refused[0].error
        raise DataError("There are no texts to explain. Give at least one.")
    kept = [source for source, _ in found]
    texts, arrays = _arrays([text for _, text in found], reading, model)
    notes = [f"{Path(source.name).name}: {note}" for source, text in found for note in _cut_notes(text)]
    how = "text as it is" if reading.tokenizer is None else f"text is read by {reading.tokenizer.path.name}"
    return TextBatch(
        arrays,
        tuple(texts),
        tuple(source.name for source in kept),
        tuple(source.sha256 for source in kept),
        tuple(dict.fromkeys(notes)),
        tuple(refused),
        how,
    )


def string_text(text: str) -> Text:
    """Return a text whose words are its tokens, for a model that reads strings.

    Raises
    ------
    DataError
        It has no word.
    """
    words = words_of(text)
    known = np.flatnonzero(words >= 0)
    if not len(known):
        raise DataError("The text is empty, so there is nothing to explain. Give some words.")
    places = np.split(known, np.flatnonzero(np.diff(words[known])) + 1)
    spans = np.array([[place[0], place[-1] + 1] for place in places])
    return Text(text, np.arange(len(spans)), spans, np.zeros(len(spans), bool))


def _place(source: _Source) -> str:
    return f"'{source.name}'" if source.path is not None else source.name


def _encoded(source: _Source, reading: TextReading) -> Text:
    text, second, ending = source.text, source.second, reading.options.ending
    text, second = (text + ending, None) if second is None else (text, second + ending)
    if reading.tokenizer is None:
        if second is not None:
            raise DataError("The model reads one string a sample, and a tuple is a pair of texts. Give a list of them.")
        return string_text(text)
    declared = next(one.shape for one in reading.inputs if one.name == reading.main)
    fixed = declared[1] if len(declared) > 1 else None
    found = reading.tokenizer.encode(text, fixed if isinstance(fixed, int) else None, second)
    if ending and found.cut:
        raise DataError(
            f"The prompt and its continuation have {len(found.ids) + found.cut} tokens, and the model takes "
            f"{len(found.ids)}, so that the continuation would be cut off. Shorten the prompt."
        )
    return found


def _cut_notes(text: Text) -> list[str]:
    if not text.cut:
        return []
    whole = len(text.ids) + text.cut
    return [f"the model sees {len(text.ids)} of {whole} tokens; the text after character {text.seen:,} is cut off"]


def _arrays(texts: list[Text], reading: TextReading, model: str) -> tuple[list[Text], dict[str, Array]]:
    main = next(one for one in reading.inputs if one.name == reading.main)
    if reading.tokenizer is None:
        strings = np.array([text.text for text in texts], dtype=object)
        return texts, {main.name: strings.reshape(-1, *(1,) * (len(main.shape) - 1))}
    fixed = main.shape[1] if len(main.shape) > 1 else None
    lengths = [len(text.ids) for text in texts]
    length = fixed if isinstance(fixed, int) else max(lengths)
    masked = any(one.purpose in ("mask", "length") for one in reading.inputs)
    if min(lengths) < length and not masked and not isinstance(fixed, int):
        raise InputMismatchError(
            f"The texts have from {min(lengths)} to {max(lengths)} tokens, and {model} has no attention mask that "
            "would hide padding. Explain them one by one."
        )
    padded = [text.padded(length) for text in texts]
    return padded, token_feeds(padded, reading.inputs, model)


# Any: users may pass anything.
def _sources(given: Any, columns: Sequence[str], reading: TextReading, refused: list[Refusal]) -> list[_Source] | None:
    """The texts that are given, without those that are ``refused``; None for arrays of the model."""
    if isinstance(given, os.PathLike):
        return _of_files([Path(given)], columns, reading, refused)
    if is_frame(given) and not (is_series(given) and {*columns}.isdisjoint(given.index)):
        return _of_table(frame_cells(given), columns, refused)
    if isinstance(given, str) or _is_pair(given):
        given = [given]
    kind = getattr(getattr(given, "dtype", None), "kind", "")
    if kind in ("U", "O") or is_series(given):
        given = np.asarray(given, dtype=object).reshape(-1).tolist()
    if isinstance(given, list | tuple) and not given:
        raise DataError("There are no texts to explain. Give at least one.")
    if not isinstance(given, Sequence) or not len(given):
        return None
    if all(isinstance(item, os.PathLike) for item in given):
        return _of_files([Path(item) for item in given], columns, reading, refused)
    return _of_list(given, refused)


def _of_list(given: Sequence[Any], refused: list[Refusal]) -> list[_Source] | None:  # Any: users may pass anything
    """The texts and pairs of a list; None if it has none."""
    if not any(isinstance(item, str) or _is_pair(item) for item in given):
        return None
    sources = []
    for number, item in enumerate(given):
        name = f"x[{number}]"
        if isinstance(item, str):
            sources.append(_Source(item, name, row=number))
        elif _is_pair(item):
            sources.append(_Source(item[0], name, item[1], row=number))
        else:
            error = DataError(f"{name} is no text but {type(item).__name__}. Give a str, or Paths alone.")
            refused.append(Refusal(Path(name), error, number))
    return sources


def _is_pair(given: object) -> TypeGuard[tuple[str, str]]:
    return isinstance(given, tuple) and len(given) == _PAIR and all(isinstance(text, str) for text in given)


def _of_files(
    paths: Sequence[Path], columns: Sequence[str], reading: TextReading, refused: list[Refusal]
) -> list[_Source] | None:
    if all(path.suffix.lower() in _ARRAYS for path in paths):
        return None
    sources = []
    for path in expand(paths):
        try:
            if path.suffix.lower() in _TABLES:
                sources += _of_table(read_cells(path, reading.chosen), columns, refused)
            else:
                sources += _of_file(path, reading.options)
        except DataError as error:
            refused.append(Refusal(path, error))
    return sources


def _of_file(path: Path, options: TextOptions) -> list[_Source]:
    if path.suffix.lower() in JSON_LINES:
        raise not_json(path)
    if options.column:
        raise DataError(
            f"'{path}' is no table, so that no column of it holds the text. Leave TextOptions.column out, or give a "
            ".csv, .tsv or .parquet file."
        )
    if " " in path.name and not is_file(path):
        raise DataError(f"There is no file '{path}'. Check the path; a text itself is read from a file too.")
    data = read_bytes(path, "text", MAX_BYTES)
    text, digest = _decoded(path, data), sha256_of(data)
    if not options.lines:
        # The last line break ends the file, and is no part of the text: a language model would go on after it.
        whole = text.removesuffix("\n").removesuffix("\r") if text.strip() else text
        return [_Source(whole, str(path), None, digest, path)]
    texts = [line for line in text.splitlines() if line.strip()]
    return [_Source(line, f"{path}[{number}]", None, digest, path, number) for number, line in enumerate(texts)]


def _decoded(path: Path, data: bytes) -> str:
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"'{path}' is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from error


def _of_table(cells: Cells, columns: Sequence[str], refused: list[Refusal]) -> list[_Source]:
    """The texts in a column of a table, or the pairs in two.

    Raises
    ------
    DataError
        It has no such column, or it is not known which.
    """
    titles = list(cells.columns)
    wanted = tuple(columns) or (tuple(titles) if len(titles) == 1 else ())
    if not wanted:
        raise DataError(
            f"{cells.shown} is a table, and it is not said which of its columns is the text: {listed(titles)}. Name "
            "it in TextOptions.column, give the column alone, or write it in the spec: [input] text = 'NAME'."
        )
    if missing := [name for name in wanted if name not in titles]:
        near = difflib.get_close_matches(missing[0], titles, n=1)
        hint = f" Nearest: '{near[0]}'." if near else ""
        raise DataError(f"{cells.shown} has no column '{missing[0]}'. Its columns are {listed(titles)}.{hint}")
    refused += cells.unread
    path = cells.path if cells.sha256 is not None else None
    sources = []
    for row, number in enumerate(cells.numbers):
        parts = [_cell(cells.columns[name], row) for name in wanted]
        if None in parts:
            error = DataError(f"{cells.place(row)} has no text in '{wanted[parts.index(None)]}'. Leave the row out.")
            refused.append(Refusal(cells.path, error, number))
            continue
        text, second = str(parts[0]), None if len(parts) < _PAIR else str(parts[1])
        sources.append(_Source(text, cells.names[row], second, cells.sha256, path, number))
    return sources


def _cell(column: Column, row: int) -> str | None:
    """The text of a cell; None if it is missing."""
    text = column.values[row]
    return None if column.missing[row] or not str(text).strip() else str(text)
