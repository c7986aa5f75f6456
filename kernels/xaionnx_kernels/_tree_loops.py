"""Compiled loops over trees. Importing this module imports Numba; see :mod:`xaionnx_kernels.trees` for the mathematics.

The loops are serial and release the GIL: callers give parts of the rows, or of the trees, to several threads. What is
written for a row depends on that row and the trees alone, so that results are the same for any number of threads.
"""

# ruff: noqa: PLR0913, RUF059 - Numba takes arrays, in tuples that are unpacked by name although a loop needs only some
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

LEQ, LT, GTE, GT, EQ, NEQ, MEMBER = range(7)


# Any: the loops take what numba compiles them for.
def _compile(function: Callable[..., Any]) -> Callable[..., Any]:
    compiled: Callable[..., Any]  # Any: as above
    try:
        compiled = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # no folder for the cache is writable: compile in each process
        compiled = numba.njit(nogil=True)(function)
    return compiled


@_compile
def holds(value, mode, threshold, missing_true, members):  # type: ignore[no-untyped-def]  # Numba compiles it for the types of each call
    """Whether a comparison holds, as onnxruntime decides it."""
    if missing_true and value != value:
        return True
    if mode == LEQ:
        return value <= threshold
    if mode == LT:
        return value < threshold
    if mode == GTE:
        return value >= threshold
    if mode == GT:
        return value > threshold
    if mode == EQ:
        return value == threshold
    if mode == NEQ:
        return value != threshold
    found = False
    for member in members:
        found = found or value == member
    return found


@_compile
def raw_sums(x, forest, roots, weights, out):  # type: ignore[no-untyped-def]  # as for holds
    """Add the weights (M, T) of the leaf that each row of x (N, F) reaches in each tree to out (N, T)."""
    feature, mode, threshold, missing_true, true, false, start, members = forest
    for n in range(x.shape[0]):
        for root in roots:
            i = root
            while true[i] >= 0:
                v = x[n, feature[i]]
                if holds(v, mode[i], threshold[i], missing_true[i], members[start[i] : start[i + 1]]):
                    i = true[i]
                else:
                    i = false[i]
            for t in range(out.shape[1]):
                out[n, t] += weights[i, t]


@_compile
def reached(x, forest, roots, weights, out):  # type: ignore[no-untyped-def]  # as for holds
    """Add the weight of each row of x (N, F) to every node (M,) on its way in each tree."""
    feature, mode, threshold, missing_true, true, false, start, members = forest
    for n in range(x.shape[0]):
        for root in roots:
            i = root
            out[i] += weights[n]
            while true[i] >= 0:
                v = x[n, feature[i]]
                if holds(v, mode[i], threshold[i], missing_true[i], members[start[i] : start[i + 1]]):
                    i = true[i]
                else:
                    i = false[i]
                out[i] += weights[n]


@_compile
def _columns(x, first, last, used, block):  # type: ignore[no-untyped-def]  # as for holds
    """Copy the used columns of rows first to last of x into block (U, B)."""
    for r in range(last - first):
        for u in range(used.shape[0]):
            block[u, r] = x[first + r, used[u]]


@_compile
def _decide(values, mode, threshold, missing_true, members, bit, clear):  # type: ignore[no-untyped-def]  # as for holds
    """Set ``clear`` to 0 where the comparison holds, else to the bit of the player."""
    one = clear.dtype.type(1)
    zero = clear.dtype.type(0)
    mask = one << clear.dtype.type(bit)
    if mode == LEQ and not missing_true:
        for r in range(values.shape[0]):
            clear[r] = zero if values[r] <= threshold else mask
    elif mode == LT and not missing_true:
        for r in range(values.shape[0]):
            clear[r] = zero if values[r] < threshold else mask
    else:
        for r in range(values.shape[0]):
            clear[r] = zero if holds(values[r], mode, threshold, missing_true, members) else mask


@_compile
def _descend(i, block, rows, walk, forest, patterns, clears):  # type: ignore[no-untyped-def]  # as for holds
    """Compute the patterns of a block of rows at position i of the walk from those of its parent."""
    node, parent, side, level, bit, column = walk
    feature, mode, threshold, missing_true, true, false, start, members = forest
    depth = level[i]
    if depth == 0:
        for r in range(rows):
            patterns[0, r] = ~patterns.dtype.type(0)
    else:
        above = patterns[depth - 1]
        clear = clears[depth - 1]
        here = patterns[depth]
        if side[i]:
            for r in range(rows):
                here[r] = above[r] & ~clear[r]
        else:
            mask = patterns.dtype.type(1) << patterns.dtype.type(bit[parent[i]])
            for r in range(rows):
                here[r] = above[r] & ~(clear[r] ^ mask)
    n = node[i]
    if true[n] >= 0:
        _decide(
            block[column[i], :rows],
            mode[n],
            threshold[n],
            missing_true[n],
            members[start[n] : start[n + 1]],
            bit[i],
            clears[depth, :rows],
        )


@_compile
def count_patterns(x, weights, used, walk, forest, interval, tables, patterns, clears):  # type: ignore[no-untyped-def]  # as for holds
    """Add the weight of each row of x to the entry of its pattern, in the table of each leaf of an interval.

    tables: where the table of each position begins, -1 for none, how many players it has, and the entries.
    """
    at, count, entries = tables
    first, last = interval
    size = patterns.shape[1]
    block = np.empty((used.shape[0], size), x.dtype)
    for begin in range(0, x.shape[0], size):
        end = min(x.shape[0], begin + size)
        _columns(x, begin, end, used, block)
        for i in range(first, last):
            _descend(i, block, end - begin, walk, forest, patterns, clears)
            if at[i] >= 0:
                mask = (np.int64(1) << count[i]) - 1
                found = patterns[walk[3][i]]
                for r in range(end - begin):
                    entries[at[i] + (np.int64(found[r]) & mask)] += weights[begin + r]


@_compile
def add_values(x, used, walk, forest, interval, leaves, values, patterns, clears, out):  # type: ignore[no-untyped-def]  # as for holds
    """Add the Shapley values of rows x (N, F) to out (N, T, P), from the leaves in an interval of the walk.

    leaves: table positions, numbers of players, positions of players, players, and the two tables of `to_values`.
    values: (M, T), by node.
    """
    at, count, players_at, players, first, second = leaves
    size = patterns.shape[1]
    targets = out.shape[1]
    block = np.empty((used.shape[0], size), x.dtype)
    sums = np.empty((targets, out.shape[2], size))
    whole = np.empty(size)
    one = patterns.dtype.type(1)
    for begin in range(0, x.shape[0], size):
        rows = min(x.shape[0], begin + size) - begin
        _columns(x, begin, begin + rows, used, block)
        sums[:] = 0.0
        for i in range(interval[0], interval[1]):
            _descend(i, block, rows, walk, forest, patterns, clears)
            if at[i] < 0 or count[i] == 0:
                continue
            d = count[i]
            mask = patterns.dtype.type((np.int64(1) << d) - 1)
            found = patterns[walk[3][i]]
            start = at[i]
            for r in range(rows):
                found[r] &= mask
                whole[r] = first[start + np.int64(found[r])]
            for t in range(targets):
                v = values[walk[0][i], t]
                if v == 0.0:
                    continue
                for k in range(d):
                    drop = ~(one << patterns.dtype.type(k))
                    row = sums[t, players[players_at[i] + k]]
                    for r in range(rows):
                        row[r] += v * (whole[r] - second[start + np.int64(found[r] & drop)])
        for r in range(rows):
            for t in range(targets):
                for p in range(out.shape[2]):
                    out[begin + r, t, p] += sums[t, p, r]


@_compile
def _pairs(found, whole, players, second, third, value, sums):  # type: ignore[no-untyped-def]  # as for holds
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
def add_interactions(x, used, walk, forest, interval, leaves, values, patterns, clears, out):  # type: ignore[no-untyped-def]  # as for holds
    """Add the interaction values of pairs i < j of players to out (N, T, P, P); arguments as for `add_values`."""
    at, count, players_at, players, first, second, third = leaves
    size = patterns.shape[1]
    targets = out.shape[1]
    width = out.shape[2]
    block = np.empty((used.shape[0], size), x.dtype)
    sums = np.empty((targets, width, width, size))
    whole = np.empty(size)
    for begin in range(0, x.shape[0], size):
        rows = min(x.shape[0], begin + size) - begin
        _columns(x, begin, begin + rows, used, block)
        sums[:] = 0.0
        for i in range(interval[0], interval[1]):
            _descend(i, block, rows, walk, forest, patterns, clears)
            d = count[i]
            if at[i] < 0 or d < 2:
                continue
            mask = patterns.dtype.type((np.int64(1) << d) - 1)
            found = patterns[walk[3][i]]
            start = at[i]
            for r in range(rows):
                found[r] &= mask
                whole[r] = first[start + np.int64(found[r])]
            listed = players[players_at[i] : players_at[i] + d]
            _pairs(found[:rows], whole, listed, second[start:], third[start:], values[walk[0][i]], sums)
        for r in range(rows):
            for t in range(targets):
                for a in range(width):
                    for b in range(a + 1, width):
                        out[begin + r, t, a, b] += sums[t, a, b, r]


@_compile
def _path_pattern(row, i, walk, forest):  # type: ignore[no-untyped-def]  # as for holds
    """The pattern of one row on the path to position i, by its comparisons from the leaf up."""
    node, parent, side, level, bit, column = walk
    feature, mode, threshold, missing_true, true, false, start, members = forest
    pattern = ~np.uint64(0)
    while parent[i] >= 0:
        up = parent[i]
        n = node[up]
        goes = holds(row[feature[n]], mode[n], threshold[n], missing_true[n], members[start[n] : start[n + 1]])
        if goes != (side[i] == 1):
            pattern &= ~(np.uint64(1) << np.uint64(bit[up]))
        i = up
    return pattern


@_compile
def path_patterns(x, i, walk, forest, out):  # type: ignore[no-untyped-def]  # as for holds
    """Write the pattern of each row of x (N, F) on the path to position i into out (N,)."""
    for n in range(x.shape[0]):
        out[n] = _path_pattern(x[n], i, walk, forest)


@_compile
def _size(pattern):  # type: ignore[no-untyped-def]  # as for holds
    count = 0
    while pattern:
        pattern &= pattern - np.uint64(1)
        count += 1
    return count


@_compile
def add_pairs(x, i, walk, forest, players, counted, beta, value, out):  # type: ignore[no-untyped-def]  # as for holds
    """Add the Shapley values of rows for a leaf with many players, from each pair with a background pattern.

    counted: distinct patterns of background rows, and their shares. beta[a, b] = a! b! / (a + b + 1)!. value: (T,).
    """
    known, shares = counted
    d = players.shape[0]
    zero = np.uint64(0)
    full = ~zero >> np.uint64(64 - d)
    phi = np.empty(d)
    for n in range(x.shape[0]):
        pattern = _path_pattern(x[n], i, walk, forest) & full
        b = d - _size(pattern)
        phi[:] = 0.0
        everywhere = 0.0
        for u in range(known.shape[0]):
            if (pattern | known[u]) != full:
                continue
            alone = full & ~known[u]  # only the row goes on
            a = _size(alone)
            if b:
                everywhere -= shares[u] * beta[a, b - 1]
            if a:
                gain = shares[u] * beta[a - 1, b]
                for k in range(d):
                    if (alone >> np.uint64(k)) & np.uint64(1):
                        phi[k] += gain
        for k in range(d):
            if not (pattern >> np.uint64(k)) & np.uint64(1):
                phi[k] = everywhere
            for t in range(out.shape[1]):
                out[n, t, players[k]] += value[t] * phi[k]


@_compile
def add_products(x, i, walk, forest, players, share, nodes, value, out):  # type: ignore[no-untyped-def]  # as for holds
    """Add the path dependent Shapley values of rows for a leaf with many players, by quadrature.

    share: (d,) of the rows that go on at each player. nodes: points in [0, 1] and weights of an exact rule.
    """
    points, weights = nodes
    d = players.shape[0]
    phi = np.empty(d)
    before = np.empty(d + 1)
    factor = np.empty(d)
    for n in range(x.shape[0]):
        pattern = _path_pattern(x[n], i, walk, forest)
        phi[:] = 0.0
        for q in range(points.shape[0]):
            before[0] = 1.0
            for k in range(d):
                goes = np.float64((pattern >> np.uint64(k)) & np.uint64(1))
                factor[k] = points[q] * goes + (1.0 - points[q]) * share[k]
                before[k + 1] = before[k] * factor[k]
            after = weights[q]
            for k in range(d - 1, -1, -1):
                goes = np.float64((pattern >> np.uint64(k)) & np.uint64(1))
                phi[k] += (goes - share[k]) * before[k] * after
                after *= factor[k]
        for k in range(d):
            for t in range(out.shape[1]):
                out[n, t, players[k]] += value[t] * phi[k]
