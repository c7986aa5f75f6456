"""The table of the docs."""

from __future__ import annotations

from typing import Any


def write(results: dict[str, Any]) -> None:
    """To come."""
    del results
