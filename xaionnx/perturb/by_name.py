"""Settings by input name, as text of an option or arrays of a file."""

from __future__ import annotations

from xaionnx.data.arrays import read_arrays
from xaionnx.errors import ParameterError
from xaionnx.typing import Array


def by_input_name(text: str, parameter: str) -> dict[str, str]:
    """Return the settings of a text such as ``picture=blur:10,row=0`` by input name.

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
    return settings


def read_option(text: str) -> str | dict[str, Array]:
    """Return the value that the text of an option stands for: arrays by input name from a .npz file, or the text."""
    return read_arrays(text) if text.endswith(".npz") and ":" not in text and "=" not in text else text
