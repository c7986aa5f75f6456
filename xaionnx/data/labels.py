"""Class names: read from a file, and found by a part of the name."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from xaionnx.data.files import read_text
from xaionnx.errors import ParameterError, UnknownNameError


def read_labels(folder: Path, name: str) -> list[str]:
    """Read labels from a file beside a spec: a JSON list of names, or one name per line.

    Parameters
    ----------
    folder : Path
        Folder of the spec.
    name : str
        Path relative to that folder, inside it.

    Returns
    -------
    list of str

    Raises
    ------
    ParameterError
        The file is outside the folder, missing, too large, not UTF-8, or not a list of names.
    """
    relative = PurePosixPath(name)
    if not name or relative.is_absolute() or ".." in relative.parts or "\\" in name or Path(name).drive:
        raise ParameterError(
            f"The labels file '{name}' must lie in the folder of the spec. Copy it there and give its relative path."
        )
    path = folder / name
    shown = f"The labels file '{path}'"
    text = read_text(path, shown, f"There is no labels file '{path}'. Check 'labels' under [output].")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ParameterError(f"{shown} is a link that leads out of the folder of the spec. Copy the file there.")
    if not text.strip():
        raise ParameterError(f"{shown} is empty. Write one name per line, in the order of the outputs.")
    if not text.lstrip().startswith(("[", "{")):
        return text.splitlines()
    try:
        labels = json.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: invalid, or an int of more than 4,300 digits
        # A vocabulary may start with a line such as [PAD].
        if path.suffix.lower() != ".json" and not re.match(r'\s*[\[{]\s*["\[{]', text):
            return text.splitlines()
        raise ParameterError(f"{shown} is not valid JSON ({str(error).split(';')[0]}).") from error
    if not (isinstance(labels, list) and all(isinstance(label, str) for label in labels)):
        raise ParameterError(f"The labels file '{path}' must be a JSON list of names, in the order of the outputs.")
    return labels


def class_word(text: str, labels: Sequence[str] = ()) -> int | str:
    """Return the class that a text names: by its label, even if that is a number, else by number or part of the label.

    Examples
    --------
    >>> class_word("90", ["0", "180", "90"]), class_word("1", ["0", "180", "90"]), class_word(" cat ")
    ('90', 1, 'cat')
    """
    word = text.strip()
    if word in labels:
        return word
    try:
        return int(word)
    except ValueError:
        return word


def find_label(labels: Sequence[str], text: str) -> int:
    """Return the index of the class that ``text`` names.

    An exact match is preferred, then one that ignores case, then the only label that contains the text.

    Parameters
    ----------
    labels : sequence of str
        Names of the K classes.
    text : str
        A name or a part of one.

    Returns
    -------
    int
        In [0, K).

    Raises
    ------
    ParameterError
        ``text`` is not a non-empty str, or there are no labels.
    UnknownNameError
        No label matches, or several do; the message lists the nearest or the candidates.

    Examples
    --------
    >>> find_label(["tabby", "tiger cat", "Egyptian cat"], "egyptian")
    2
    >>> find_label(["tabby", "tiger cat", "Egyptian cat"], "cat")
    Traceback (most recent call last):
        ...
    xaionnx.errors.UnknownNameError: 2 labels contain 'cat': 1 tiger cat, 2 Egyptian cat. Give the whole label or its number.
    """  # noqa: E501 - the message is one line
    if not isinstance(text, str) or not text.strip():
        raise ParameterError(f"A label must be a non-empty str. Got {text!r} instead.")
    if not labels:
        raise ParameterError(
            f"The class '{text}' is given by name, but there are no labels. "
            "Give its number, or list 'labels' under [output] of the spec."
        )
    folded = text.casefold()
    for verb, matches in (
        ("are", [i for i, label in enumerate(labels) if label == text]),
        ("are", [i for i, label in enumerate(labels) if label.casefold() == folded]),
        ("contain", [i for i, label in enumerate(labels) if folded in label.casefold()]),
    ):
        if len(matches) == 1:
            return matches[0]
        if matches:
            listed = ", ".join(f"{i} {labels[i]}" for i in matches[:8]) + (", ..." if len(matches) > 8 else "")
            step = "Give the whole label or its number." if verb == "contain" else "Give its number."
            raise UnknownNameError(f"{len(matches)} labels {verb} '{text}': {listed}. {step}")
    raise UnknownNameError.among("label", text, labels)
