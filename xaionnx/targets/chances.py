"""Chances: the probability of an explained class, and of the highest other class."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xaionnx.targets.resolve import ResolvedTargets
from xaionnx.targets.scores import class_names, flat
from xaionnx.targets.selection import activate
from xaionnx.typing import Array


class Chances(NamedTuple):
    """The probability of an explained class and the highest other class with its own, (N,) each.

    ``rivals`` is empty if probabilities do not sum to 1, since classes then do not exclude each other.
    """

    probability: Array
    rivals: list[str]
    rival_probability: Array


def chances(resolved: ResolvedTargets, t: int) -> Chances | None:
    """Return the chances of target ``t`` at the samples.

    None if the target is not one class of several, or it is not known how its scores become probabilities.
    """
    term = resolved.probability(resolved.terms[t])
    output = None if term is None else resolved.outputs.get(term.tensor)
    if term is None or output is None:
        return None
    count = flat(output).shape[1]
    if count == 1 or count != max(output.shape[1:], default=1):
        return None
    shares = activate(term.activation, output).astype(np.float64)
    own = np.take_along_axis(shares, term.indices, axis=1)[:, 0]
    if not np.allclose(shares.sum(axis=1), 1, atol=1e-3):
        return Chances(own, [], own)
    others = shares.copy()
    np.put_along_axis(others, term.indices, -1.0, axis=1)
    rivals = others.argmax(axis=1)
    return Chances(own, class_names(rivals, count, term.tensor, resolved.model, False), others.max(axis=1))
