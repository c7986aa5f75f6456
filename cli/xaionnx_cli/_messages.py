"""Translate messages of the library into the terms of the command line.

Messages of the library are written for Python: ``Target.index``, ``features='superpixels'``, "The 'steps' parameter of
Saliency". They become options here, and nowhere else.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Final

# Parameters of Model.load whose option has another name, or that messages name without a value.
_OPTIONS: Final = {"allow_random": "--allow-random", "batch_size": "--batch-size", "timeout_s": "--timeout"}

# Letters of a message: some lines of a terminal.
_LONGEST: Final = 1_000


def printable(text: str) -> str:
    """Escape unprintable characters in a name from a model or file, such as newlines, escapes and direction marks.

    Examples
    --------
    >>> print(printable("a\\x1b[2Jb\\nc"))
    a\\x1b[2Jb\\nc
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def sentence(text: str) -> str:
    """Return a message on one line, without its middle if a name or number in it is very long."""
    text = printable(text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"


def write_lines(lines: Iterable[str]) -> None:
    """Write lines to stdout, each without characters that could rewrite the terminal."""
    sys.stdout.write("".join(f"{printable(line)}\n" for line in lines))


def for_shell(message: str) -> str:
    """Return ``message`` with parameters written as options, and targets as values of ``--target``.

    A message that already names options is returned unchanged.

    Examples
    --------
    >>> for_shell("Use features='elements', or pass allow_random.")
    'Use --features elements, or pass --allow-random.'
    >>> for_shell("The 'steps' parameter of Saliency must be an int. Use Target.index or relu=False.")
    '--steps must be an int. Use --target element:I,J,... or --no-relu.'
    >>> for_shell("Name another output with output=, or a number with Target.index.")
    'Name another output with --output, or a number with --target element:I,J,...'
    """
    if re.search(r"(?<!\S)--[a-z]", message):
        return message
    said = re.sub(
        r"\bThe '([a-z_]+)' parameter(?: of (?!InputSpec)[\w.]+)? (must|needs)\b", _replace_parameter, message
    )
    said = said.replace(" Got None instead.", " It was not given.")
    said = re.sub(r"\bTarget\.([a-z]+)\b", _replace_target, said)
    said = re.sub(r"(?<![\w'\"/])([a-z][a-z_]*)=(?:'([^']*)'|(True|False|[\d.]*\d))", _replace_setting, said)
    said = re.sub(r"(?<![\w'\"/])output=(\.\.\.)?", "--output ", said)
    said = re.sub(r"--output (?=[.,])", "--output", said).replace("....", "...")
    return re.sub(rf"\b({'|'.join(_OPTIONS)})\b", lambda found: _OPTIONS[found[1]], said).rstrip()


def _option_name(name: str) -> str:
    if name == "rows":
        # The option of this name chooses rows.
        return "--rows-are"
    return _OPTIONS.get(name, f"--{name.replace('_', '-')}")


def _replace_parameter(found: re.Match[str]) -> str:
    return f"{_option_name(found[1])} {found[2]}"


def _replace_setting(found: re.Match[str]) -> str:
    name, text, bare = found.groups()
    if bare in ("True", "False"):
        return _option_name(name) if bare == "True" else _option_name(f"no_{name}")
    value = bare if text is None else text
    return f"{_option_name(name)} '{value}'" if " " in value else f"{_option_name(name)} {value}"


def _replace_target(found: re.Match[str]) -> str:
    from xaionnx.targets.target import TARGETS

    form = TARGETS.forms().get({"index": "element"}.get(found[1], found[1]))
    return found[0] if form is None else f"--target {form.name}{form.pattern}"
