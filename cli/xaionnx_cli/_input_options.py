"""The options that say what the inputs of a model are and how they are read, the same for all commands that explain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import click

# The names of each option and its settings, of which commands make it.
INPUT_OPTIONS: Final[tuple[tuple[Sequence[str], dict[str, Any]], ...]] = (  # Any: as click takes
    (["--spec"], {"metavar": "FILE", "help": "The InputSpec to use instead of the .toml file beside the model."}),
    (
        ["--axes"],
        {
            "multiple": True,
            "metavar": "[NAME=]ROLES",
            "help": "What the axes of the explained input mean, or of the input or output NAME: N,C,H,W or N,T,F or "
            "sample,time,feature. Found from names of dimensions and the graph if not given.",
        },
    ),
    (
        ["--rows-are"],
        {
            "type": click.Choice(["alone", "joint"]),
            "help": "Whether the rows of an input are samples, each alone, or one sample whose rows may see each "
            "other, such as the points of a set.",
        },
    ),
    (["--lines"], {"is_flag": True, "help": "Take each line of a text file as a text."}),
    (
        ["--text-column"],
        {
            "multiple": True,
            "metavar": "NAME",
            "help": "The column of a .csv, .tsv or .parquet file that holds the text; twice for pairs of texts, such "
            "as a question and its context.",
        },
    ),
    (["--exif"], {"is_flag": True, "help": "Rotate pictures by their EXIF orientation."}),
)


def read_axes(given: Sequence[str]) -> str | dict[str, str] | None:
    """Return the axes that are stated as ``N,T,F`` for the explained input, or as ``NAME=N,T,F``.

    Examples
    --------
    >>> read_axes(["N,T,F"]), read_axes(["x=N,T,F", "h=layer,N,F"])
    ('N,T,F', {'x': 'N,T,F', 'h': 'layer,N,F'})
    """
    if len(given) == 1 and "=" not in given[0]:
        return given[0]
    return {name: roles for name, _, roles in (text.rpartition("=") for text in given)} or None
