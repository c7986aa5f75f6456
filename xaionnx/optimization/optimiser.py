"""Optimiser: how a search moves along gradients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final, final

from xaionnx import parameters
from xaionnx.parameters import real
from xaionnx.registry import Registry
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array


class Optimiser(ABC):
    """Steps uphill. Its state, by name, begins empty and is part of what a search can be resumed from."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "__repr__" not in vars(cls):
            cls.__repr__ = short_repr  # type: ignore[method-assign,assignment]  # as a dataclass does, which each is

    @final
    def __post_init__(self) -> None:
        parameters.check_all(self)

    @abstractmethod
    def step(self, state: dict[str, Array], gradient: Array) -> Array:
        """Return the change of the parameters, and update the state."""


def learning_rate(default: float) -> float:
    """Declare the parameter ``learning_rate``."""
    return real(default, "size of a step", low=0, low_open=True)


OPTIMISERS: Final[Registry[Optimiser]] = Registry("optimiser", "xaionnx.optimization.optimisers", Optimiser)
