"""The parts of a joined model, as its file names them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

import onnx

# The key of the metadata.
_KEY: Final = "xaionnx.parts"


def parts_of(proto: onnx.ModelProto) -> list[dict[str, str]]:
    """Return name and sha256 of the parts of a joined model; empty for any other, even if it has a damaged entry."""
    for entry in proto.metadata_props:
        if entry.key == _KEY:
            try:
                found = json.loads(entry.value)
            except (ValueError, RecursionError):
                return []
            return found if isinstance(found, list) and all(map(_is_part, found)) else []
    return []


def _is_part(found: object) -> bool:
    return isinstance(found, dict) and all(isinstance(found.get(key), str) for key in ("name", "sha256"))


def metadata(parts: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return the entry of a file's metadata for its parts, given by name and sha256."""
    return {_KEY: json.dumps([{"name": name, "sha256": sha256} for name, sha256 in parts])}
