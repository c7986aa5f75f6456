"""The controls: maps that a metric should rank below those of a method, one per file.

A control is a method that does not explain the target. Metrics judge it as they judge a method, on the same samples.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Final, final

from xaionnx.explainer import Explainer
from xaionnx.explanation import ValueKind
from xaionnx.parameters import free, random_seed
from xaionnx.registry import Registry
from xaionnx.request import Request


@dataclass(frozen=True, kw_only=True)
class Control(Explainer):
    """A method that does not explain the target, made for the method ``judged``.

    Attributes
    ----------
    judged : Explainer or None
        The method that is judged; None if only its record was given.
    inputs : tuple of str
        The inputs that have values, as the method gives them; all that are data if there are none.
    seed : int
    follows_method : bool
        Whether its map depends on the method that is judged.
    """

    follows_method: ClassVar[bool] = False

    needs: ClassVar[str] = "output"
    reference: ClassVar[str] = ""

    judged: Explainer | None = free(None, "an Explainer", "the method that is judged, if it is known")
    inputs: tuple[str, ...] = free((), "names of inputs", "the inputs that have values; all that are data if none")
    seed: int = random_seed("seed of random values")

    @property
    def value_kind(self) -> ValueKind:
        return "importance"

    @final
    def names(self, request: Request) -> list[str]:
        """The names of the inputs that have values."""
        return [name for name in request.samples[0].data if name in self.inputs or not self.inputs]

    @property
    @abstractmethod
    def words(self) -> str:
        """What the control is, in a few words."""


CONTROLS: Final[Registry[Control]] = Registry("control", "xaionnx.evaluation.controls", Control)
