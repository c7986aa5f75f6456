"""The fields of an InputSpec: choices, checks, and reading from a TOML file."""

from __future__ import annotations

import datetime
import math
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, NoReturn, TypeGuard, get_args

from xaionnx.data.files import read_text
from xaionnx.data.images import Resize
from xaionnx.data.labels import read_labels
from xaionnx.data.time_axis import TimeAxis
from xaionnx.errors import ParameterError, UnknownNameError, shortened
from xaionnx.typing import Document, Facts

Kind = Literal["picture", "table", "text", "array", "series", "bytes"]
Layout = Literal["NCHW", "NHWC"]
Color = Literal["RGB", "BGR", "L"]
Activation = Literal["logits", "softmax", "sigmoid", "none"]

CHANNELS: Final[dict[str, int]] = {"RGB": 3, "BGR": 3, "L": 1}

_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "kind": get_args(Kind),
    "layout": get_args(Layout),
    "color": get_args(Color),
    "resize": get_args(Resize),
    "activation": get_args(Activation),
}

# key -> the only kind to which it applies, or None for all
_INPUT: Final[dict[str, str | None]] = {
    "name": None,
    "kind": None,
    "axes": None,
    "layout": "picture",
    "size": "picture",
    "color": "picture",
    "mean": "picture",
    "scale": "picture",
    "resize": "picture",
    "columns": "table",
    "ignore": "table",
    "categories": "table",
    "groups": "table",
    "units": "table",
    "channels": "series",
    "rate": "series",
    "step": "series",
    "start": "series",
    "tokenizer": "text",
    "max_length": "text",
    "special_tokens": "text",
    "text": "text",
    "head": "bytes",
    "tail": "bytes",
    "padding": "bytes",
    "shift": "bytes",
    "strip": "bytes",
}
# keys of [input] and [output] whose field has another name
# Whole numbers, with the least of each; all but some may be None.
_WHOLE: Final = {"blank": 0, "max_length": 1, "head": 1, "tail": 1, "padding": 0, "shift": 0, "strip": 0}
_PAIR: Final = 2
_ALWAYS: Final = ("shift", "strip")
_RENAMED: Final = {"channels": "channel_names"}
_OUTPUT: Final = ("name", "activation", "labels", "boxes", "blank", "concepts", "relevances")


def read_fields(path: Path) -> Document:
    """Read the fields of an InputSpec from a TOML file, without checking their values.

    Parameters
    ----------
    path : Path
        The TOML file; a labels file named in it is read from the same folder.

    Returns
    -------
    dict of str to object

    Raises
    ------
    ParameterError
        The file is missing, not TOML, or not made of sections and keys.
    UnknownNameError
        A section or key is unknown.
    """
    document = _read_document(path)
    for section, table in document.items():
        if section not in ("input", "output"):
            raise UnknownNameError.among("section", section, ("input", "output"))
        if not isinstance(table, dict):
            raise ParameterError(f"'{section}' must be a section [{section}]. Got {shortened(table)} instead.")
    source, target = document.get("input", {}), document.get("output", {})
    of_series = [key for key in source if _INPUT.get(key) == "series"]
    kind = source.get("kind", "series" if of_series else "picture")
    for key in source:
        if key not in _INPUT:
            raise UnknownNameError.among("key in [input]", key, _INPUT)
        if (only := _INPUT[key]) is not None and only != kind:
            raise ParameterError(f"The key '{key}' is for the kind '{only}', but the kind is {kind!r}. Remove one.")
    for key in target:
        if key not in _OUTPUT:
            raise UnknownNameError.among("key in [output]", key, _OUTPUT)
    fields = {_RENAMED.get(key, key): value for key, value in ({"kind": kind} | source).items()}
    fields |= {("output" if key == "name" else key): value for key, value in target.items()}
    if isinstance(labels := fields.get("labels"), str):
        fields["labels"] = read_labels(path.parent, labels)
    if isinstance(named := fields.get("tokenizer"), str) and named and (path.parent / named).exists():
        fields["tokenizer"] = str(path.parent / named)
    return fields


def _read_document(path: Path) -> Document:
    text = read_text(path, "the file", "there is no such file. Check the path.")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: invalid, or an int of more than 4,300 digits
        reason = str(error).split(";")[0]
        raise ParameterError(f"the file is not valid TOML ({reason}).") from error


def checked_fields(fields: Facts) -> Document:
    """Check every field of an InputSpec, and convert lists to tuples and numbers to one per channel.

    Parameters
    ----------
    fields : mapping of str to object
        All fields by name.

    Returns
    -------
    dict of str to object
        The same fields, normalised and immutable.

    Raises
    ------
    ParameterError
        A field has the wrong type or value.
    UnknownNameError
        ``categories``, ``groups`` or ``units`` name a column that is not among ``columns``.
    """
    fields = {key: _plain(value) for key, value in fields.items()}
    checked = dict(fields)
    for key, choices in _CHOICES.items():
        if not isinstance(fields[key], str) or fields[key] not in choices:
            _fail(key, f"one of {', '.join(repr(c) for c in choices)}", fields[key])
    for key in ("name", "output", "boxes", "axes", "tokenizer", "concepts", "relevances"):
        if fields[key] is not None and not (isinstance(fields[key], str) and fields[key]):
            _fail(key, "a non-empty str or None", fields[key])
    _check_whole(fields)
    for key in ("guessed", "special_tokens"):
        if not isinstance(fields[key], bool):
            _fail(key, "a bool", fields[key])
    checked["size"] = _checked_size(fields["size"])
    for key in ("mean", "scale"):
        checked[key] = _per_channel(key, fields[key], CHANNELS[fields["color"]])
    checked["text"] = _checked_text(fields["text"])
    for key in ("columns", "ignore", "labels", "channel_names"):
        checked[key] = _checked_names(key, fields[key])
    _check_unique("columns", checked["columns"])
    _check_unique("channel_names", checked["channel_names"])
    checked |= _checked_time(fields)
    if both := [column for column in checked["ignore"] if column in checked["columns"]]:
        raise ParameterError(f"The column '{both[0]}' is listed under both 'columns' and 'ignore'. Keep one of them.")
    checked["categories"] = _checked_categories(fields["categories"], checked["columns"])
    checked["groups"] = _checked_groups(fields["groups"], checked["columns"])
    checked["units"] = _checked_units(fields["units"], checked["columns"])
    return checked


def _check_whole(fields: Facts) -> None:
    for key, least in _WHOLE.items():
        value = fields[key]
        if value is None and key not in _ALWAYS:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            _fail(key, f"an int in [{least}, inf){'' if key in _ALWAYS else ' or None'}", value)


def _checked_text(given: object) -> tuple[str, ...]:
    """The column of a table that holds the text, or those of the texts of pairs."""
    names = () if given is None else _checked_names("text", [given] if isinstance(given, str) else given)
    if not all(names) or len(names) > _PAIR:
        _fail("text", "the name of a column, or of two for pairs of texts", given)
    return names


def _checked_time(fields: Facts) -> Document:
    """The rate, step and start of a series."""
    rate, step, start = fields["rate"], fields["step"], fields["start"]
    if rate is not None and not (_is_number(rate) and 0 < rate <= sys.float_info.max):
        _fail("rate", "a float in (0, inf) or None", rate)
    if step is not None and not isinstance(step, str):
        _fail("step", "a str such as '1 h' or None", step)
    if isinstance(start, datetime.date):
        start = start.isoformat()
    if start is not None and not isinstance(start, str) and not (_is_number(start) and math.isfinite(start)):
        _fail("start", "a number, a date and time, or None", start)
    if rate is not None and step is not None:
        raise ParameterError("The parameters 'rate' and 'step' of InputSpec both give the time of a step. Keep one.")
    if fields["kind"] != "series" and any(fields[key] for key in ("rate", "step", "start", "channel_names")):
        raise ParameterError(f"Time and channels of a series need kind='series'. Got {fields['kind']!r} instead.")
    TimeAxis.of(rate, step, start)
    return {"rate": None if rate is None else float(rate), "start": start}


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _fail(key: str, wanted: str, got: object) -> NoReturn:
    raise ParameterError(f"The '{key}' parameter of InputSpec must be {wanted}. Got {shortened(got)} instead.")


def _checked_size(given: object) -> tuple[int, int] | None:
    if given is None:
        return None
    wanted = "two ints [H, W] in [1, 16384] or None"
    if not isinstance(given, Sequence) or len(given) != 2:
        _fail("size", wanted, given)
    for side in given:
        if not isinstance(side, int) or isinstance(side, bool) or not 1 <= side <= 16384:
            _fail("size", wanted, given)
    return (given[0], given[1])


def _plain(value: object) -> object:
    """A value with lists in place of arrays and of columns of frames, such as the names that another library keeps."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    listed = getattr(value, "tolist", getattr(value, "to_list", None))
    return value if listed is None else listed()


def _per_channel(key: str, given: object, channels: int) -> tuple[float, ...]:
    values = tuple(given) if isinstance(given, Sequence) and not isinstance(given, str) else (given,)
    wanted = "a number" if key == "mean" else "a number greater than 0"
    wanted += f" or {channels} of them" if channels > 1 else ""
    if len(values) not in (1, channels):
        _fail(key, wanted, given)
    for value in values:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        # An int beyond floats is compared exactly.
        if not number or not abs(value) <= sys.float_info.max or (key == "scale" and value <= 0):
            _fail(key, wanted, given)
    return tuple(float(v) for v in values) * (channels // len(values))


def _checked_names(key: str, given: object) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence):
        _fail(key, "a list of printable str", given)
    for i, name in enumerate(given):
        # Names are printed on terminals and pages, where control characters could change the display.
        if not isinstance(name, str) or not name.isprintable():
            _fail(f"{key}[{i}]", "a printable str", name)
    return tuple(given)


def _check_unique(key: str, names: tuple[str, ...]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ParameterError(f"The '{key}' parameter of InputSpec lists '{name}' twice. List it once.")
        seen.add(name)


def _checked_categories(given: object, columns: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    if not isinstance(given, Mapping):
        _fail("categories", "a mapping of column names to lists of words", given)
    checked = {}
    for column, words in given.items():
        if columns and column not in columns:
            raise UnknownNameError.among("column", str(column), columns)
        checked[column] = _checked_names(f"categories.{column}", words)
        if not words:
            _fail(f"categories.{column}", "a list of at least one word", words)
        _check_unique(f"categories.{column}", checked[column])
    return checked


def _checked_groups(given: object, columns: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    if not isinstance(given, Mapping):
        _fail("groups", "a mapping of names to lists of columns", given)
    checked, owner = {}, dict[str, str]()
    for name, group in given.items():
        (named,) = _checked_names("groups", [name])
        checked[named] = _checked_names(f"groups.{named}", group)
        if not group:
            _fail(f"groups.{named}", "a list of at least one column", group)
        for column in checked[named]:
            # Without a list of columns they are inputs of their own, which only the model knows.
            if columns and column not in columns:
                raise UnknownNameError.among("column", column, columns)
            if column in owner:
                raise ParameterError(
                    f"The column '{column}' is in the groups '{owner[column]}' and '{named}'. Leave it in one."
                )
            owner[column] = named
    if taken := [name for name in checked if name in columns and name not in checked[name]]:
        raise ParameterError(f"The group '{taken[0]}' has the name of a column outside it. Give it another.")
    return checked


def _checked_units(given: object, columns: tuple[str, ...]) -> dict[str, str]:
    if not isinstance(given, Mapping):
        _fail("units", "a mapping of column names to units", given)
    for column in given:
        if columns and column not in columns:
            raise UnknownNameError.among("column", str(column), columns)
    return dict(zip(given, _checked_names("units", list(given.values())), strict=True))
