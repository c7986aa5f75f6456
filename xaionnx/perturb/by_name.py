"""Settings by input name, as text of an option or arrays of a file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from xaionnx.data.arrays import SUFFIXES, read_array, read_arrays
from xaionnx.data.files import is_file
from xaionnx.errors import ParameterError, UnknownNameError
from xaionnx.registry import Form
from xaionnx.typing import Array

# Files that may hold rows of data.
_SUFFIXES = (*SUFFIXES, ".csv", ".tsv", ".parquet", ".txt", ".png", ".jpg", ".jpeg")


def by_input_name(text: str, parameter: str) -> dict[str, str | Array]:
    """Return the settings of a text such as ``picture=blur:10,row=0`` by input name; .npy files among them are read.

    Raises
    ------
    ParameterError
        The text has another form, or names an input twice.

    Examples
    --------
    >>> by_input_name("picture=blur:10,row=0", "baseline")
    {'picture': 'blur:10', 'row': '0'}
    """
    parts = [part.partition("=") for part in text.split(",")]
    settings = {name.strip(): rest.strip() for name, _, rest in parts}
    if len(settings) < len(parts) or not all(settings) or not all(settings.values()):
        raise ParameterError(
            f"The '{parameter}' parameter by input must be written as 'NAME=VALUE,NAME=VALUE', each name once. "
            f"Got '{text}' instead."
        )
    return {name: read_array(rest).array if _is_array_file(rest) else rest for name, rest in settings.items()}


def _is_array_file(text: str) -> bool:
    return text.endswith(".npy") and (":" not in text or is_file(text))


def file_form_error(error: UnknownNameError, text: str, forms: Iterable[Form[object]]) -> UnknownNameError:
    """Return the error for a text that no form has the name of: how files are written, if it ends in that of a file.

    Parameters
    ----------
    error : UnknownNameError
        Returned for other texts.
    text : str
    forms : iterable of Form
        Those whose pattern holds ``file`` take one.
    """
    name = text.rpartition(":")[2].strip()
    takers = [f"'{form.name}:{name}'" for form in forms if "file" in form.pattern]
    if not takers or not (Path(name).suffix.lower() in _SUFFIXES or is_file(name)):
        return error
    return UnknownNameError(
        f"Rows of data in a file are written as {', '.join(takers[:-1])} or {takers[-1]}. Got '{text}' instead."
    )


def read_option(text: str) -> str | dict[str, Array]:
    """Return the value that the text of an option stands for: arrays by input name from a .npz file, or the text."""
    return read_arrays(text) if text.endswith(".npz") and ":" not in text and "=" not in text else text
