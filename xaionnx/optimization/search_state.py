"""Search state: where a search stands after a step, and what it can be resumed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, final

import numpy as np

from xaionnx.data.inputs import Given
from xaionnx.errors import ParameterError
from xaionnx.optimization.visualization import Visualization
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array

_OPTIMISER = "optimiser/"


class StepsInterrupted(KeyboardInterrupt):
    """Work in steps was stopped by Ctrl-C after some of them."""

    def __init__(self, done: int, steps: object) -> None:
        super().__init__(f"{done} of {steps} steps are done")


def check_same(what: str, before: Mapping[str, object], now: Mapping[str, object]) -> None:
    """Check that work that goes on has the same settings as before; it may have more steps.

    Raises
    ------
    ParameterError
        A setting differs.
    """
    for name in now:
        if name not in ("steps", "model") and before.get(name) != now[name]:
            raise ParameterError(
                f"{what} had another {name}: {before.get(name)} instead of {now[name]}. "
                "Give the same settings, or do not resume."
            )


class Told(NamedTuple):
    """What the record of a search says about it: its settings, the model and the objective."""

    search: Mapping[str, object]
    provenance: Mapping[str, object]


@final
@dataclass(frozen=True, eq=False)
class SearchState:
    """Where a search stands.

    Attributes
    ----------
    parameters : array (B, ...)
        Of the parametrisation.
    optimiser : dict of arrays
        The state of the optimiser.
    trace : tuple of arrays (B,)
        The objective at each step so far.
    scale : array (B,), optional
        The length of the gradient by which an optimiser that compares measures.
    redirected : int
        Runs for a gradient that passes silent rectifiers.
    """

    parameters: Array
    optimiser: Mapping[str, Array] = field(default_factory=dict)
    trace: tuple[Array, ...] = ()
    scale: Array | None = None
    redirected: int = 0

    __repr__ = short_repr

    def arrays(self) -> dict[str, Array]:
        """Return what is not part of a result anyway."""
        found = {"parameters": self.parameters, **{_OPTIMISER + name: x for name, x in self.optimiser.items()}}
        found["redirected"] = np.array(self.redirected)
        return found if self.scale is None else {**found, "scale": self.scale}

    @classmethod
    def resumed(cls, earlier: Visualization | str | Path, told: Told, start: Given | None) -> SearchState:
        """Return the state of an earlier result of the same search.

        Raises
        ------
        ParameterError
            The search was another one, or has as many steps already.
        DataError
            The file cannot be read.
        """
        found = earlier if isinstance(earlier, Visualization) else Visualization.load(earlier)
        if start is not None:
            raise ParameterError("A search that resumes has its start already. Leave out 'start' or 'resume'.")
        for before, now in ((found.provenance, told.provenance), (found.search, told.search)):
            check_same("The earlier search", before, now)
        steps = int(str(told.search["steps"]))
        if len(found.trace) >= steps:
            raise ParameterError(f"The earlier search did {len(found.trace)} steps. Give more 'steps' to go on.")
        state = found.state
        optimiser = {name[len(_OPTIMISER) :]: np.array(x) for name, x in state.items() if name.startswith(_OPTIMISER)}
        redirected = int(state["redirected"])
        return cls(np.array(state["parameters"]), optimiser, tuple(found.trace), state.get("scale"), redirected)
