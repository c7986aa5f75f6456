"""Optimisers: how a search moves along gradients, one per file.

Methods that search for a mask, and searches for an input, use them alike.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from xaionnx.parameters import real
from xaionnx.part import Part
from xaionnx.registry import Registry
from xaionnx.typing import Array


class Optimiser(Part, ABC):
    """Steps uphill. Its state, by name, begins empty and is part of what a search can be resumed from."""

    @abstractmethod
    def step(self, state: dict[str, Array], gradient: Array) -> Array:
        """Return the change of the parameters, and update the state."""


def learning_rate(default: float) -> float:
    """Declare the parameter ``learning_rate``."""
    return real(default, "size of a step", low=0, low_open=True)


OPTIMISERS: Final[Registry[Optimiser]] = Registry("optimiser", "xaionnx.optimisers", Optimiser)
