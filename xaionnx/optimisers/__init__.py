"""Optimisers: how a search moves along gradients, one per file.

Methods that search for a mask, and searches for an input, use them alike.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Final

from xaionnx.parameters import real
from xaionnx.part import Part
from xaionnx.registry import Form, Registry, Shorthand
from xaionnx.typing import Array


class Optimiser(Part, ABC):
    """Steps uphill. Its state, by name, begins empty and is part of what a search can be resumed from.

    Attributes
    ----------
    compares : bool
        Whether it compares values, so that the function must stay the same from step to step.
    forms : tuple of Form
        How it is written as a text.
    """

    compares: ClassVar[bool] = False
    forms: ClassVar[tuple[Form[Optimiser], ...]]

    @abstractmethod
    def step(self, state: dict[str, Array], gradient: Array, value: Array | None = None) -> Array:
        """Return the change of the parameters, and update the state.

        Parameters
        ----------
        state : dict of arrays
            Its arrays are replaced by new ones, never changed, so that a copy of the dictionary keeps an earlier state.
        gradient : array (B, ...)
            Of B problems that are solved beside each other.
        value : array (B,), optional
            Of those that compare.
        """


def learning_rate(default: float) -> float:
    """Declare the parameter ``learning_rate``."""
    return real(default, "size of a step", low=0, low_open=True)


OPTIMISERS: Final[Registry[Optimiser]] = Registry("optimiser", "xaionnx.optimisers", Optimiser)
SHORT_OPTIMISERS: Final = Shorthand(OPTIMISERS)
