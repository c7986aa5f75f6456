"""The options of ``xaionnx explain``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

# Any: click passes a value of the type that its option declares.
OptionValue: TypeAlias = Any


@dataclass(frozen=True)
class Options:
    """The options of ``xaionnx explain`` that are common to all methods."""

    model: str
    inputs: tuple[str, ...]
    save: str | None
    target: tuple[str, ...]
    output: str | None
    device: str
    threads: int | None
    batch_size: int | None
    timeout: float | None
    spec: str | None
    exif: bool
    allow_random: bool
    sign: str
    top: int | None
    original: bool
    picture: str
    force: bool
    as_json: bool
