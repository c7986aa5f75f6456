"""Part: what searches and methods are put together from."""

from __future__ import annotations

from typing import final

from xaionnx import parameters
from xaionnx.short_repr import shortened_repr


class Part:
    """A frozen dataclass whose fields are declared parameters, and whose name is that of its file."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        shortened_repr(cls)

    @final
    def __post_init__(self) -> None:
        parameters.check_all(self)

    @classmethod
    @final
    def name(cls) -> str:
        """Return the name, which is that of the file."""
        return cls.__module__.rpartition(".")[2]
