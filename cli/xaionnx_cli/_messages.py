"""Translate messages of the library into the terms of the command line.

Messages of the library are written for Python: ``Target.index``, ``features='superpixels'``, "The 'steps' parameter of
Saliency". They become options here, and nowhere else.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterable
from typing import Final, TypeAlias

import click

# Parameters of Model.load whose option has another name, or that messages name without a value.
_OPTIONS: Final = {
    "allow_random": "--allow-random",
    "batch_size": "--batch-size",
    "max_added_mb": "--max-added-mb",
    "timeout_s": "--timeout",
    "TextOptions.lines": "--lines",
    "TextOptions.column": "--text-column",
}

# Where contexts of click keep the command that runs.
_COMMAND: Final = "xaionnx_cli.command"

_CALL: Final = re.compile(r"\w\([^()]*\)")
_Replace: TypeAlias = Callable[[re.Match[str]], str]

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


def for_shell(message: str, options: Collection[str] | None = None) -> str:
    """Return ``message`` with parameters written as options, and targets as values of ``--target``.

    A sentence that already names options is not changed.

    Parameters
    ----------
    message : str
    options : collection of str, optional
        The options of the command: other parameters cannot be given to it, and stay as they are. Any if None.

    Examples
    --------
    >>> for_shell("Use features='elements', or pass allow_random.")
    'Use --features elements, or pass --allow-random.'
    >>> for_shell("Use features='elements', or pass allow_random.", ["--allow-random"])
    "Use features='elements', or pass --allow-random."
    >>> for_shell("The 'steps' parameter of Saliency must be an int. Use Target.index or relu=False.")
    '--steps must be an int. Use --target element:I,J,... or --no-relu.'
    >>> for_shell("Name another output with output=, or a number with Target.index.")
    'Name another output with --output, or a number with --target element:I,J,...'
    >>> for_shell("State them, as in axes={'y': 'N T'}, or name a layer with layer=...")
    "State them, as in --axes 'y=N T', or name a layer with --layer"
    """
    said = " ".join(_sentence_for_shell(one, options) for one in re.split(r"(?<=\.) (?=[A-Z])", message))
    if options is None or said != message:
        said = said.replace(" Got None instead.", " It was not given.")
    return said.rstrip()


def _sentence_for_shell(message: str, options: Collection[str] | None) -> str:
    if re.search(r"(?<!\S)--[a-z]", message):
        return message

    def known(replace: _Replace) -> _Replace:
        """Replace what names an option of the command, and is no argument in an expression of Python."""

        def replaced(found: re.Match[str]) -> str:
            if any(call.start() < found.start() < call.end() for call in _CALL.finditer(found.string)):
                return found[0]
            said = replace(found)
            named = re.search(r"--[a-z-]+", said)
            return said if options is None or named is None or named[0] in options else found[0]

        return replaced

    said = re.sub(
        r"\bThe '([a-z_]+)' parameter(?: of (?!InputSpec)[\w.]+)? (must|needs)\b", known(_replace_parameter), message
    )
    said = re.sub(r"\bTarget\.([a-z]+)\b", known(_replace_target), said)
    said = re.sub(r"\baxes=\{'([^']+)': (?:'([^']*)'|\.\.\.)\}", known(_replace_axes), said)
    said = re.sub(r"(?<![\w'\"/])([a-z][a-z_]*)=(?:'([^']*)'|(True|False|[\d.]*\d))", known(_replace_setting), said)
    said = re.sub(r"(?<![\w'\"/])([a-z][a-z_]*)=(\.\.\.)?(?![^\s.,;)])", known(_replace_bare), said)
    said = said.replace("....", "...")
    return re.sub(rf"\b({'|'.join(map(re.escape, _OPTIONS))})\b", known(lambda found: _OPTIONS[found[1]]), said)


def note_command(context: click.Context, command: click.Command) -> None:
    """Note which command of a group runs: its own context has ended when its error is reported."""
    context.meta[_COMMAND] = command


def in_command(message: str) -> str:
    """Return ``message`` with those parameters written as options that the command has that runs; all if none runs."""
    context = click.get_current_context(silent=True)
    if context is None:
        return for_shell(message)
    command: click.Command = context.meta.get(_COMMAND, context.command)
    return for_shell(message, {name for one in command.params for name in (*one.opts, *one.secondary_opts)})


def _option_name(name: str) -> str:
    if name == "rows":
        # The option of this name chooses rows.
        return "--rows-are"
    return _OPTIONS.get(name, f"--{name.replace('_', '-')}")


def _replace_parameter(found: re.Match[str]) -> str:
    return f"{_option_name(found[1])} {found[2]}"


def _replace_axes(found: re.Match[str]) -> str:
    name, roles = found.groups()
    return f"--axes {name}=..." if roles is None else f"--axes '{name}={roles}'"


def _replace_setting(found: re.Match[str]) -> str:
    name, text, bare = found.groups()
    if bare in ("True", "False"):
        return _option_name(name) if bare == "True" else _option_name(f"no_{name}")
    value = bare if text is None else text
    return f"{_option_name(name)} '{value}'" if " " in value else f"{_option_name(name)} {value}"


def _replace_bare(found: re.Match[str]) -> str:
    return _option_name(found[1])


def _replace_target(found: re.Match[str]) -> str:
    from xaionnx.targets.target import TARGETS

    form = TARGETS.forms().get({"index": "element"}.get(found[1], found[1]))
    return found[0] if form is None else f"--target {form.name}{form.pattern}"
