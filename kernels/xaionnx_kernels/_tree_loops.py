"""Compiled loops over trees. Importing this module imports Numba; see :mod:`xaionnx_kernels.trees` for the mathematics.

The loops are serial and release the GIL: callers give parts of the rows, or of the trees, to several threads. What is
written for a row depends on that row and the trees alone, so that results are the same for any number of threads.

Nodes and steps are records of the type `xaionnx_kernels.forests.STEP`: a loop is compiled much faster for one array of
records than for an array of each field.
"""

# ruff: noqa: PLR0913 - Numba takes arrays, in tuples that are unpacked by name although a loop needs only some
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np


# Any: the loops take what numba compiles them for.
def _compile(function: Callable[..., Any]) -> Callable[..., Any]:
    compiled: Callable[..., Any]  # Any: as above
    try:
        compiled = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # no folder for the cache is writable: compile in each process
        compiled = numba.njit(nogil=True)(function)
    return compiled


@_compile
def _holds(value, split, members):  # type: ignore[no-untyped-def]  # Numba compiles it for the types of each call
    """Whether a value goes to the true child, as onnxruntime decides it."""
    if value != value:
        return split.missing_true or split.outside
    for k in range(split.first_member, split.last_member):
        if value == members[k]:
            return True
    return (split.low <= value <= split.high) != split.outside


@_compile
def raw_sums(x, nodes, members, roots, weights, out):  # type: ignore[no-untyped-def]  # as for _holds
    """Add the weights (M, T) of the leaf that each row of x (N, F) reaches in each tree to out (N, T)."""
    for n in range(x.shape[0]):
        for root in roots:
            i = root
            while nodes[i].true >= 0:
                i = nodes[i].true if _holds(x[n, nodes[i].feature], nodes[i], members) else nodes[i].false
            for t in range(out.shape[1]):
                out[n, t] += weights[i, t]


@_compile
def reached(x, nodes, members, roots, weights, out):  # type: ignore[no-untyped-def]  # as for _holds
    """Add the weight of each row of x (N, F) to every node (M,) on its way in each tree."""
    for n in range(x.shape[0]):
        for root in roots:
            i = root
            out[i] += weights[n]
            while nodes[i].true >= 0:
                i = nodes[i].true if _holds(x[n, nodes[i].feature], nodes[i], members) else nodes[i].false
                out[i] += weights[n]


@_compile
def _columns(x, first, last, used, block):  # type: ignore[no-untyped-def]  # as for _holds
    """Copy the used columns of rows first to last of x into block (U, B)."""
    for r in range(last - first):
        for u in range(used.shape[0]):
            block[u, r] = x[first + r, used[u]]


@_compile
def _decide(values, split, members, failed):  # type: ignore[no-untyped-def]  # as for _holds
    """Set ``failed`` to 0 where a comparison holds, else to the bit of the player."""
    zero = failed.dtype.type(0)
    bit = failed.dtype.type(1) << failed.dtype.type(split.bit)
    if split.first_member < split.last_member:
        for r in range(values.shape[0]):
            failed[r] = zero if _holds(values[r], split, members) else bit
        return
    low, high, outside, missing = split.low, split.high, split.outside, split.missing_true
    for r in range(values.shape[0]):
        inside = (low <= values[r]) & (values[r] <= high)
        failed[r] = zero if (inside ^ outside) | (missing & (values[r] != values[r])) else bit


@_compile
def _descend(step, block, members, patterns, failed):  # type: ignore[no-untyped-def]  # as for _holds
    """Compute the patterns of a block of rows (U, B) at a step of the walk from those of its parent.

    patterns, failed (depth, B): the patterns at the step's ancestors, and the bits that their comparisons clear.
    """
    depth = step.level
    here = patterns[depth]
    if depth == 0:
        here[:] = ~patterns.dtype.type(0)
    else:
        # The false child keeps the rows that the comparison fails.
        flip = patterns.dtype.type(0)
        if not step.side:
            flip = patterns.dtype.type(1) << patterns.dtype.type(step.parent_bit)
        for r in range(block.shape[1]):
            here[r] = patterns[depth - 1, r] & ~(failed[depth - 1, r] ^ flip)
    if step.column >= 0:
        _decide(block[step.column], step, members, failed[depth])


@_compile
def count_patterns(x, weights, used, steps, members, tables, patterns, failed):  # type: ignore[no-untyped-def]  # as for _holds
    """Add the weight of each row of x to the entry of its pattern, in the table of each leaf among some steps.

    tables: where the table of each step begins, -1 for none, how many players it has, and the entries.
    """
    at, count, entries = tables
    size = patterns.shape[1]
    block = np.empty((used.shape[0], size), x.dtype)
    for begin in range(0, x.shape[0], size):
        rows = min(x.shape[0] - begin, size)
        _columns(x, begin, begin + rows, used, block)
        for i in range(steps.shape[0]):
            _descend(steps[i], block, members, patterns, failed)
            if at[i] >= 0:
                mask = (np.int64(1) << count[i]) - 1
                for r in range(rows):
                    entries[at[i] + (np.int64(patterns[steps[i].level, r]) & mask)] += weights[begin + r]


@_compile
def add_values(x, used, steps, members, leaves, values, patterns, failed, out):  # type: ignore[no-untyped-def]  # as for _holds
    """Add the Shapley values of rows x (N, F) to out (N, T, P), from the leaves among some steps.

    leaves: for each step where its tables begin, how many players it has and where these begin; the players; and the
    two tables of values. values: (M, T), by node.
    """
    at, count, players_at, players, first, second = leaves
    size = patterns.shape[1]
    block = np.empty((used.shape[0], size), x.dtype)
    sums = np.empty((out.shape[1], out.shape[2], size))
    whole = np.empty(size)
    for begin in range(0, x.shape[0], size):
        rows = min(x.shape[0] - begin, size)
        _columns(x, begin, begin + rows, used, block)
        sums[:] = 0.0
        for i in range(steps.shape[0]):
            _descend(steps[i], block, members, patterns, failed)
            if at[i] < 0:
                continue
            one = patterns.dtype.type(1)
            mask = (one << patterns.dtype.type(count[i])) - one
            found = patterns[steps[i].level]
            for r in range(rows):
                found[r] &= mask
                whole[r] = first[at[i] + np.int64(found[r])]
            for t in range(out.shape[1]):
                v = values[steps[i].node, t]
                if v == 0.0:
                    continue
                for k in range(count[i]):
                    others = ~(one << patterns.dtype.type(k))
                    row = sums[t, players[players_at[i] + k]]
                    for r in range(rows):
                        row[r] += v * (whole[r] - second[at[i] + np.int64(found[r] & others)])
        for r in range(rows):
            for t in range(out.shape[1]):
                for p in range(out.shape[2]):
                    out[begin + r, t, p] += sums[t, p, r]


@_compile
def _pairs(found, whole, players, second, third, value, sums):  # type: ignore[no-untyped-def]  # as for _holds
    """Add the interaction values of a leaf to sums (T, P, P, B), for a block of rows with patterns found (B,)."""
    one = found.dtype.type(1)
    for k in range(players.shape[0]):
        no_k = ~(one << found.dtype.type(k))
        for m in range(k + 1, players.shape[0]):
            no_m = ~(one << found.dtype.type(m))
            low = min(players[k], players[m])
            high = max(players[k], players[m])
            for t in range(value.shape[0]):
                v = value[t]
                if v == 0.0:
                    continue
                row = sums[t, low, high]
                for r in range(found.shape[0]):
                    p = found[r]
                    either = second[np.int64(p & no_k)] + second[np.int64(p & no_m)]
                    row[r] += v * (whole[r] - either + third[np.int64(p & no_k & no_m)])


@_compile
def add_interactions(x, used, steps, members, leaves, values, patterns, failed, out):  # type: ignore[no-untyped-def]  # as for _holds
    """Add the interaction values of pairs i < j of players to out (N, T, P, P); arguments as for `add_values`."""
    at, count, players_at, players, first, second, third = leaves
    size = patterns.shape[1]
    block = np.empty((used.shape[0], size), x.dtype)
    sums = np.empty((out.shape[1], out.shape[2], out.shape[2], size))
    whole = np.empty(size)
    for begin in range(0, x.shape[0], size):
        rows = min(x.shape[0] - begin, size)
        _columns(x, begin, begin + rows, used, block)
        sums[:] = 0.0
        for i in range(steps.shape[0]):
            _descend(steps[i], block, members, patterns, failed)
            if at[i] < 0 or count[i] < 2:
                continue
            one = patterns.dtype.type(1)
            mask = (one << patterns.dtype.type(count[i])) - one
            found = patterns[steps[i].level]
            for r in range(rows):
                found[r] &= mask
                whole[r] = first[at[i] + np.int64(found[r])]
            listed = players[players_at[i] : players_at[i] + count[i]]
            _pairs(found[:rows], whole, listed, second[at[i] :], third[at[i] :], values[steps[i].node], sums)
        for r in range(rows):
            for t in range(out.shape[1]):
                for a in range(out.shape[2]):
                    for b in range(a + 1, out.shape[2]):
                        out[begin + r, t, a, b] += sums[t, a, b, r]


@_compile
def _path_pattern(row, i, steps, members):  # type: ignore[no-untyped-def]  # as for _holds
    """The pattern of one row on the path to step i, by its comparisons from the leaf up."""
    pattern = ~np.uint64(0)
    while steps[i].parent >= 0:
        split = steps[steps[i].parent]
        if _holds(row[split.feature], split, members) != (steps[i].side == 1):
            pattern &= ~(np.uint64(1) << np.uint64(split.bit))
        i = steps[i].parent
    return pattern


@_compile
def _size(pattern):  # type: ignore[no-untyped-def]  # as for _holds
    count = 0
    while pattern:
        pattern &= pattern - np.uint64(1)
        count += 1
    return count


@_compile
def count_paths(x, weights, total, leaves, steps, members, full, out):  # type: ignore[no-untyped-def]  # as for _holds
    """Write the different patterns of the rows of x on the path to each leaf, ascending, and their shares.

    leaves: (L,) steps. full: (L,) with a bit for each player of the leaf. out: the patterns (L, N), the shares
    (L, N) and how many they are (L,).
    """
    known, shares, kinds = out
    found = np.empty(x.shape[0], np.uint64)
    for e in range(leaves.shape[0]):
        for n in range(x.shape[0]):
            found[n] = _path_pattern(x[n], leaves[e], steps, members) & full[e]
        order = np.argsort(found, kind="mergesort")
        kind = -1
        for n in order:
            if kind < 0 or known[e, kind] != found[n]:
                kind += 1
                known[e, kind] = found[n]
                shares[e, kind] = 0.0
            shares[e, kind] += weights[n]
        for u in range(kind + 1):
            shares[e, u] /= total
        kinds[e] = kind + 1


@_compile
def add_pairs(x, leaves, steps, members, players, counted, beta, values, out):  # type: ignore[no-untyped-def]  # as for _holds
    """Add the Shapley values of rows for leaves with many players, from each pair with a background pattern.

    leaves: the step of each leaf, a bit for each of its players, how many they are, and where they begin in players.
    counted: what `count_paths` wrote. beta[a, b] = a! b! / (a + b + 1)!. values: (M, T), by node.
    """
    at, full, count, players_at = leaves
    known, shares, kinds = counted
    phi = np.empty(64)
    for e in range(at.shape[0]):
        value = values[steps[at[e]].node]
        d, begin = count[e], players_at[e]
        for n in range(x.shape[0]):
            pattern = _path_pattern(x[n], at[e], steps, members) & full[e]
            b = d - _size(pattern)
            phi[:d] = 0.0
            everywhere = 0.0
            for u in range(kinds[e]):
                if (pattern | known[e, u]) != full[e]:
                    continue
                alone = full[e] & ~known[e, u]  # only the row goes on
                a = _size(alone)
                if b:
                    everywhere -= shares[e, u] * beta[a, b - 1]
                if a:
                    gain = shares[e, u] * beta[a - 1, b]
                    for k in range(d):
                        if (alone >> np.uint64(k)) & np.uint64(1):
                            phi[k] += gain
            for k in range(d):
                if not (pattern >> np.uint64(k)) & np.uint64(1):
                    phi[k] = everywhere
                for t in range(out.shape[1]):
                    out[n, t, players[begin + k]] += value[t] * phi[k]


@_compile
def add_products(x, leaves, steps, members, players, share, rules, values, out):  # type: ignore[no-untyped-def]  # as for _holds
    """Add the path dependent Shapley values of rows for leaves with many players, by quadrature.

    leaves, values: as for `add_pairs`. share: of the rows that go on at each of players. rules: for each number of
    players the points in [0, 1] and weights (65, Q) of a rule that is exact for them, and how many they are (65,).
    """
    at, _, count, players_at = leaves
    points, weights, sizes = rules
    phi = np.empty(64)
    before = np.empty(65)
    factor = np.empty(64)
    for e in range(at.shape[0]):
        value = values[steps[at[e]].node]
        d, begin = count[e], players_at[e]
        for n in range(x.shape[0]):
            pattern = _path_pattern(x[n], at[e], steps, members)
            phi[:d] = 0.0
            for q in range(sizes[d]):
                before[0] = 1.0
                for k in range(d):
                    goes = np.float64((pattern >> np.uint64(k)) & np.uint64(1))
                    factor[k] = points[d, q] * goes + (1.0 - points[d, q]) * share[begin + k]
                    before[k + 1] = before[k] * factor[k]
                after = weights[d, q]
                for k in range(d - 1, -1, -1):
                    goes = np.float64((pattern >> np.uint64(k)) & np.uint64(1))
                    phi[k] += (goes - share[begin + k]) * before[k] * after
                    after *= factor[k]
            for k in range(d):
                for t in range(out.shape[1]):
                    out[n, t, players[begin + k]] += value[t] * phi[k]
