"""The attributions of several layers, as one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.typing import Array


def joined(parts: Mapping[str, Attribution]) -> Attribution:
    """Return the attributions of several layers by name as one, with values for each.

    Diagnostics (T, N) have the name of their layer added.
    """
    first, found = next(iter(parts.values())), list[object]()
    values, errors = dict[str, Array](), dict[str, Array]()
    diagnostics = {key: value for key, value in first.diagnostics.items() if not isinstance(value, np.ndarray)}
    for name, part in parts.items():
        values.update(part.values)
        errors.update(part.standard_error or {})
        found.append(part.facts.get("layer") or {"name": name})
        own = {key: value for key, value in part.diagnostics.items() if isinstance(value, np.ndarray)}
        diagnostics.update({f"{key} at {name}": value for key, value in own.items()})
    labels = sorted({label for part in parts.values() for label in part.facts.get("approximations", ())})
    facts = {**first.facts, **({"approximations": labels} if "approximations" in first.facts else {})}
    whole = {"name": ", ".join(parts), "axes": "-", "grid": None, "before": 0, "after": 0, "layers": found}
    return dataclasses.replace(
        first,
        values=values,
        standard_error=errors or None,
        maps={f"{key} at {name}": array for name, part in parts.items() for key, array in part.maps.items()},
        diagnostics=diagnostics,
        parameters={**first.parameters, "layer": list(parts)},
        facts={**facts, "layer": whole},
    )
