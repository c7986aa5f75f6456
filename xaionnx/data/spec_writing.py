"""Write an InputSpec as the TOML file that `InputSpec.read` reads."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from xaionnx.data.spec import InputSpec
from xaionnx.data.storage import write_whole
from xaionnx.typing import Entry

_OUTPUT = {"output": "name"} | {
    key: key for key in ("activation", "labels", "boxes", "blank", "concepts", "relevances")
}
_INPUT = {"channel_names": "channels"}


def write_spec(path: str | os.PathLike[str], spec: InputSpec) -> Path:
    """Write the fields that differ from their defaults, and the kind.

    Raises
    ------
    StorageError
        The file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = write_spec(f"{folder}/m.toml", InputSpec(kind="table", labels=("no", "yes")))
    ...     InputSpec.read(written) == InputSpec(kind="table", labels=("no", "yes"))
    True
    """
    sections: dict[str, list[str]] = {"input": [f"kind = {_text(spec.kind)}"], "output": []}
    usual = InputSpec(kind=spec.kind, color=spec.color)  # numbers per channel have as many entries
    for field in dataclasses.fields(spec):
        value = getattr(spec, field.name)
        default = InputSpec.color if field.name == "color" else getattr(usual, field.name)
        if field.name in ("kind", "guessed") or value == default:
            continue
        key = _OUTPUT.get(field.name, _INPUT.get(field.name, field.name))
        sections["output" if field.name in _OUTPUT else "input"].append(f"{key} = {_text(value)}")
    lines = [line for name, entries in sections.items() if entries for line in (f"[{name}]", *entries, "")]
    return write_whole(path, lambda stream: stream.write("\n".join(lines).encode()))


def _text(value: Entry) -> str:
    """A value in TOML."""
    if isinstance(value, Mapping):
        pairs = (f"{_text(str(key))} = {_text(item)}" for key, item in value.items())
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(_text(item) for item in value)}]"
    # Strings and numbers of JSON are those of TOML.
    return json.dumps(value, ensure_ascii=False)
