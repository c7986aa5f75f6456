"""Messages of the library in the words of the command line.

The library speaks Python, to whoever calls it: ``Target.index``, ``features='superpixels'``, "The 'steps' parameter of
Saliency". Here, and nowhere else, that becomes what can be typed.
"""

from __future__ import annotations

import re
from typing import Final

# Parameters of Model.load that are options by another name, or that messages name without a value.
_OPTIONS: Final = {"allow_random": "--allow-random", "batch_size": "--batch-size", "timeout_s": "--timeout"}


def for_shell(message: str) -> str:
    """A message with parameters as options and targets as ``--target`` takes them.

    One that names options already stays as it is.

    Examples
    --------
    >>> for_shell("Use features='elements', or pass allow_random.")
    'Use --features elements, or pass --allow-random.'
    >>> for_shell("The 'steps' parameter of Saliency must be an int. Use Target.index or relu=False.")
    '--steps must be an int. Use --target element:I,J,... or --no-relu.'
    """
    if re.search(r"(?<!\S)--[a-z]", message):
        return message
    said = re.sub(r"\bThe '([a-z_]+)' parameter(?: of (?!InputSpec)[\w.]+)? must\b", _must, message)
    said = re.sub(r"\bTarget\.([a-z]+)\b", _target, said)
    said = re.sub(r"(?<![\w'\"/])([a-z][a-z_]*)=(?:'([^']*)'|(True|False|[\d.]*\d))", _setting, said)
    said = re.sub(r"(?<![\w'\"/])output=(\.\.\.)?", "--output ", said).replace("--output .", "--output.")
    return re.sub(rf"\b({'|'.join(_OPTIONS)})\b", lambda found: _OPTIONS[found[1]], said).rstrip()


def _option(name: str) -> str:
    return _OPTIONS.get(name, f"--{name.replace('_', '-')}")


def _must(found: re.Match[str]) -> str:
    return f"{_option(found[1])} must"


def _setting(found: re.Match[str]) -> str:
    name, text, bare = found.groups()
    if bare in ("True", "False"):
        return _option(name) if bare == "True" else _option(f"no_{name}")
    value = bare if text is None else text
    return f"{_option(name)} '{value}'" if " " in value else f"{_option(name)} {value}"


def _target(found: re.Match[str]) -> str:
    from xaionnx.targets.target import TARGETS

    form = TARGETS.forms().get({"index": "element"}.get(found[1], found[1]))
    return found[0] if form is None else f"--target {form.name}{form.pattern}"
