"""The branches of If that samples take: a model without these Ifs for each group of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import final

import numpy as np

from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.branches import (
    BranchPoint,
    branch_points,
    has_branches,
    inline_branches,
    size_branch_points,
    take_branches,
)
from xaionnx.graph.cut import cut
from xaionnx.runtime.graph_facts import graph_fact
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array


@final
@dataclass(frozen=True, eq=False)
class BranchGroup:
    """Samples that take the same branches.

    Attributes
    ----------
    model : Model
        The model with only these branches: it has no If whose branch depends on values of the input, or on sizes other
        than the number of samples.
    rows : array of int (n,)
        The samples.
    taken : dict of str to bool
        For the condition of each such If, whether it is true. Those of Ifs inside branches follow.
    own : bool
        Whether a condition depends on the samples, and not only on inputs that all samples share.
    runs : int
        How often a part of the model ran for each of the samples, to find the conditions.
    """

    model: Model
    rows: Array
    taken: dict[str, bool]
    own: bool
    runs: int

    __repr__ = short_repr


def branch_groups(model: Model, feeds: Mapping[str, Array]) -> list[BranchGroup]:
    """Return the samples by the branches of If that they take; no group if no branch is known in advance.

    Each sample is run by itself, since a condition is one for all rows of a run. Branches that depend on sizes alone
    are the same for all samples: the models have the one that is taken, and :attr:`BranchGroup.taken` leaves it out.

    Parameters
    ----------
    model : Model
    feeds : mapping of arrays by input name
        As returned by :meth:`xaionnx.Model.check`.
    """
    if not graph_fact(model, "has branches", lambda view: has_branches(view.model)) or (model.fixed_batch or 1) > 1:
        return []
    count = next((len(array) for name, array in feeds.items() if name not in model.shared), 1)
    alike: dict[tuple[tuple[str, bool], ...], tuple[Model, list[int], int]] = {}
    own = False
    for number in range(count):
        one = {name: a if name in model.shared else a[number : number + 1] for name, a in feeds.items()}
        plain, taken, runs, varies = _without_branches(model, one)
        _, rows, _ = alike.setdefault(tuple(taken.items()), (plain, [], runs))
        own = own or varies
        if not varies:
            rows.extend(range(count))
            break
        rows.append(number)
    if not any(alike) and all(plain is model for plain, _, _ in alike.values()):
        return []
    return [BranchGroup(plain, np.array(rows), dict(taken), own, runs) for taken, (plain, rows, runs) in alike.items()]


def branch_labels(groups: Sequence[BranchGroup]) -> list[str]:
    """Return the label of a result that holds for the branches of the samples: none if all inputs lead to them."""
    count = max((len(group.taken) for group in groups if group.own), default=0)
    return [f"If: the branch that the sample takes ({count} node{'s' * (count > 1)})"] if count else []


def taken_branches(groups: Sequence[BranchGroup]) -> list[dict[str, str]]:
    """Return for each sample the branch, ``then`` or ``else``, of each If, by the tensor of its condition."""
    rows = np.concatenate([group.rows for group in groups])
    named = [{name: "then" if chosen else "else" for name, chosen in group.taken.items()} for group in groups]
    listed = [names for group, names in zip(groups, named, strict=True) for _ in group.rows]
    return [listed[number] for number in np.argsort(rows)]


def at_sample(model: Model, feeds: Mapping[str, Array]) -> Model:
    """Return the model with the branches that the first sample takes only."""
    groups = branch_groups(model, {n: a if n in model.shared else a[:1] for n, a in feeds.items()})
    return groups[0].model if groups else model


def _points(model: Model) -> tuple[BranchPoint, ...]:
    return graph_fact(model, "branch points", lambda view: branch_points(view.model))


def _without_branches(model: Model, one: Mapping[str, Array]) -> tuple[Model, dict[str, bool], int, bool]:
    """The model without the Ifs, the branches of one sample, the number of runs, and whether it determines them."""
    taken: dict[str, bool] = {}
    runs, varies = 0, False
    if graph_fact(model, "has branches in functions", lambda view: inline_branches(view.model) is not view.model):
        model = model.derived("branches inlined", inline_branches)
    while True:
        points = _points(model)
        # A condition may depend on the result of an If before it.
        first = _first_of(model, points)
        values = _conditions(model, [point.condition for point in first], one)
        chosen = {name: bool(np.all(value)) for name, value in values.items()}
        own = {point.output: chosen[point.condition] for point in first}
        varies = varies or any(point.inputs - model.shared for point in first)
        runs += any(point.inputs - model.shared for point in first)
        taken |= chosen
        own |= {} if own else _chosen_by_sizes(model, one)
        if not own:
            return model, taken, runs, varies
        model = model.derived(("branches", tuple(own.items())), partial(take_branches, taken=own))


def _chosen_by_sizes(model: Model, one: Mapping[str, Array]) -> dict[str, bool]:
    """The branches, by output, of the Ifs whose condition depends on sizes, and not on the number of samples."""
    points = _first_of(model, graph_fact(model, "branch points of sizes", lambda view: size_branch_points(view.model)))
    if not points:
        return {}
    names = [point.condition for point in points]
    two = {name: a if name in model.shared else np.repeat(a, 2, axis=0) for name, a in one.items()}
    try:
        found, others = (_conditions(model, names, rows) for rows in (one, two if model.fixed_batch is None else one))
    except UnsupportedModelError:
        return {}
    alike = {name: bool(np.all(found[name])) for name in names if np.array_equal(found[name], others[name])}
    return {point.output: alike[point.condition] for point in points if point.condition in alike}


def _first_of(model: Model, points: Sequence[BranchPoint]) -> list[BranchPoint]:
    """The branch points whose condition does not depend on another one."""
    outputs = {point.output for point in points}
    return [point for point in points if outputs.isdisjoint(model.view.ancestors([point.condition]))]


def _conditions(model: Model, names: Sequence[str], one: Mapping[str, Array]) -> dict[str, Array]:
    wanted = list(dict.fromkeys(names))
    given = {name: one[name] for name in wanted if name in one}
    computed = [name for name in wanted if name not in given]
    if not computed:
        return given
    part = model.derived(("conditions", tuple(computed)), lambda proto: cut(proto, [], computed))
    taken = {info.name: one[info.name] for info in part.inputs}
    return given | part.run_once(taken, computed)
