"""Read texts: strings, text files, lines of a file, or a column of a table."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import numpy as np

from xaionnx.data.files import Refusal, expand, read_bytes, sha256_of
from xaionnx.data.spec import InputSpec
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
_TABLES: Final = (".csv", ".tsv")


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
    lines : bool
        Whether each line of a text file is a text.
    """

    tokenizer: TextTokenizer | None
    inputs: tuple[TokenInput, ...]
    main: str
    lines: bool = False


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
    """A text with its name, and its file and line, if it has one."""

    text: str
    name: str
    sha256: str | None = None
    path: Path | None = None
    row: int | None = None


def read_texts(given: Any, spec: InputSpec, reading: TextReading, model: str) -> TextBatch | None:  # Any: users
    """Return texts and their arrays; None if ``given`` holds arrays for the model.

    A str is a text, and so is each of a list or of an array of strings; a path is a file: a text, or one a line, or the
    column of a table that the spec names.

    Raises
    ------
    DataError
        Nothing can be read. A single refusal is raised unchanged.
    InputMismatchError
        The texts have different numbers of tokens, and the model has no mask that would hide padding.
    """
    refused: list[Refusal] = []
    sources = _sources(given, spec, reading.lines, refused)
    if sources is None:
        return None
    found: list[tuple[_Source, Text]] = []
    for source in sources:
        try:
            found.append((source, _encoded(source.text, reading)))
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
    count = int(words.max(initial=-1)) + 1
    if not count:
        raise DataError("The text is empty, so there is nothing to explain. Give some words.")
    places = [np.flatnonzero(words == word) for word in range(count)] if count < 512 else _places(words)
    spans = np.array([[place[0], place[-1] + 1] for place in places])
    return Text(text, np.arange(count), spans, np.zeros(count, bool))


def _places(words: Array) -> list[Array]:
    known = np.flatnonzero(words >= 0)
    return np.split(known, np.flatnonzero(np.diff(words[known])) + 1)


def _place(source: _Source) -> str:
    return f"'{source.name}'" if source.path is not None else source.name


def _encoded(text: str, reading: TextReading) -> Text:
    if reading.tokenizer is None:
        return string_text(text)
    declared = next(one.shape for one in reading.inputs if one.name == reading.main)
    fixed = declared[1] if len(declared) > 1 else None
    return reading.tokenizer.encode(text, fixed if isinstance(fixed, int) else None)


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
def _sources(given: Any, spec: InputSpec, lines: bool, refused: list[Refusal]) -> list[_Source] | None:
    if isinstance(given, str):
        return [_Source(given, "x[0]")]
    if isinstance(given, os.PathLike):
        return _of_files([Path(given)], spec, lines, refused)
    if isinstance(given, Mapping):
        return None
    columns = getattr(given, "columns", None)
    if columns is not None and spec.text is not None:
        if spec.text not in list(columns):
            raise InputMismatchError(
                f"The frame has no column '{spec.text}', which the spec names as the text. Its columns are "
                f"{', '.join(map(str, columns))}."
            )
        given = list(given[spec.text])
    kind = getattr(getattr(given, "dtype", None), "kind", "")
    if kind in ("U", "O") or type(given).__name__ == "Series":
        given = np.asarray(given, dtype=object).reshape(-1).tolist()
    if not isinstance(given, Sequence) or not len(given):
        return None
    if all(isinstance(item, os.PathLike) for item in given):
        return _of_files([Path(item) for item in given], spec, lines, refused)
    if not any(isinstance(item, str) for item in given):
        return None
    sources = []
    for number, item in enumerate(given):
        if isinstance(item, str):
            sources.append(_Source(item, f"x[{number}]", row=number))
            continue
        error = DataError(f"x[{number}] is no text but {type(item).__name__}. Give a str, or Paths alone.")
        refused.append(Refusal(Path(f"x[{number}]"), error, number))
    return sources


def _of_files(paths: Sequence[Path], spec: InputSpec, lines: bool, refused: list[Refusal]) -> list[_Source] | None:
    if all(path.suffix.lower() in _ARRAYS for path in paths):
        return None
    sources = []
    for path in expand(paths):
        try:
            sources += _of_file(path, spec, lines)
        except DataError as error:
            refused.append(Refusal(path, error))
    return sources


def _of_file(path: Path, spec: InputSpec, lines: bool) -> list[_Source]:
    if path.suffix.lower() in _TABLES:
        return _of_table(path, spec)
    data = read_bytes(path, "text", MAX_BYTES)
    text, digest = _decoded(path, data), sha256_of(data)
    if not lines:
        return [_Source(text, str(path), digest, path)]
    texts = [line for line in text.splitlines() if line.strip()]
    return [_Source(line, f"{path}[{number}]", digest, path, number) for number, line in enumerate(texts)]


def _decoded(path: Path, data: bytes) -> str:
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"'{path}' is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from error


def _of_table(path: Path, spec: InputSpec) -> list[_Source]:
    if spec.text is None:
        raise DataError(
            f"'{path}' is a table, and the spec does not say which column is the text. Write it there: [input] text = "
            "'column'."
        )
    data = read_bytes(path, "table", MAX_BYTES)
    table = io.StringIO(_decoded(path, data), newline="")
    reader = csv.DictReader(table, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    columns = list(reader.fieldnames or [])
    rows = list(enumerate(reader))
    if spec.text not in columns:
        raise DataError(
            f"'{path}' has no column '{spec.text}', which the spec names as the text. Its columns are "
            f"{', '.join(columns)}."
        )
    digest = sha256_of(data)
    return [_Source(str(row[spec.text] or ""), f"{path}[{number}]", digest, path, number) for number, row in rows]
