"""An extension of griffe, which reads the docstrings of the API reference: they become Markdown first."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import griffe

sys.path.insert(0, str(Path(__file__).parent))

import docstrings  # found by the line above


class MarkdownDocstrings(griffe.Extension):
    """Rewrites literal blocks, roles and references of every docstring."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is None:
            return
        whole = docstrings.sections(obj.docstring.value)
        parts = [docstrings.prose(whole.pop(""))]
        shown = {"References": docstrings.references, "Examples": str, "Notes": docstrings.prose}
        for title, body in whole.items():
            parts.append(f"{title}\n{'-' * len(title)}\n{shown.get(title, docstrings.roles)(body)}")
        obj.docstring.value = "\n\n".join(parts)
