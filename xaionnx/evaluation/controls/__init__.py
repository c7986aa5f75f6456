"""The controls: maps that a metric should rank below those of a method, one per file.

A control is a method that does not explain the target. Metrics judge it as they judge a method, on the same samples.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Final

from xaionnx.explainer import Explainer
from xaionnx.explanation import ValueKind
from xaionnx.parameters import free, random_seed
from xaionnx.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Control(Explainer):
    """A method that does not explain the target, made for the method ``judged``.

    Attributes
    ----------
    judged : Explainer or None
        The method that is judged; None if only its record was given.
    seed : int
    follows_method : bool
        Whether its map depends on the method that is judged.
    """

    follows_method: ClassVar[bool] = False

    needs: ClassVar[str] = "output"
    reference: ClassVar[str] = ""

    judged: Explainer | None = free(None, "an Explainer", "the method that is judged, if it is known")
    seed: int = random_seed("seed of random values")

    @property
    def value_kind(self) -> ValueKind:
        return "importance"

    @property
    @abstractmethod
    def words(self) -> str:
        """What the control is, in a few words."""


CONTROLS: Final[Registry[Control]] = Registry("control", "xaionnx.evaluation.controls", Control)
