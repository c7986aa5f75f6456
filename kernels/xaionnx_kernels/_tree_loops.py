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
def preorder(roots, true, false, out_node, out_parent, out_side, out_level):  # type: ignore[no-untyped-def]  # as for holds
    """List the nodes of each tree, parents first and the true child before the false one; return the last position."""
    waiting = np.empty(true.shape[0] + 1, np.int64)
    parents = np.empty(true.shape[0] + 1, np.int64)
    at = 0
    for root in roots:
        waiting[0] = root
        parents[0] = -1
        depth = 1
        while depth:
            depth -= 1
            node = waiting[depth]
            parent = parents[depth]
            out_node[at] = node
            out_parent[at] = parent
            out_side[at] = 1 if parent >= 0 and true[out_node[parent]] == node else 0
            out_level[at] = out_level[parent] + 1 if parent >= 0 else 0
            if true[node] >= 0:
                waiting[depth] = false[node]
                waiting[depth + 1] = true[node]
                parents[depth] = at
                parents[depth + 1] = at
                depth += 2
            at += 1
    return at


@_compile
def path_players(node, parent, level, true, player, bit, leaf_count, leaf_players, leaf_at):  # type: ignore[no-untyped-def]  # as for holds
    """Number the players of each path in the order in which they occur.

    ``bit[i]`` becomes the number of the player of split i on its path, ``leaf_count[i]`` the number of players on the
    path to leaf i, and ``leaf_players[leaf_at[i]:]`` these players. Returns how many entries ``leaf_players`` needs;
    an empty one is not written.
    """
    deepest = 0
    for i in range(node.shape[0]):
        deepest = max(deepest, level[i])
    path = np.empty(deepest + 1, np.int64)  # distinct players on the current path
    known = np.zeros(deepest + 2, np.int64)  # how many there are above each level
    needed = 0
    for i in range(node.shape[0]):
        count = known[level[i]] if level[i] else 0
        if true[node[i]] < 0:
            leaf_count[i] = count
            leaf_at[i] = needed
            if leaf_players.shape[0]:
                for k in range(count):
                    leaf_players[needed + k] = path[k]
            needed += count
            continue
        p = player[node[i]]
        found = -1
        for k in range(count):
            if path[k] == p:
                found = k
                break
        if found < 0:
            path[count] = p
            found = count
            count += 1
        bit[i] = found
        known[level[i] + 1] = count
    return needed


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
def cover_products(walk, going, count, share):  # type: ignore[no-untyped-def]  # as for holds
    """Write the share of rows that go on along each path, by player: share (entries,), in the order of leaf players.

    going (M,): the share of the rows at the parent that go on to each node.
    """
    node, parent, side, level, bit, column = walk
    at, out = share
    for i in range(node.shape[0]):
        if at[i] < 0:
            continue
        for k in range(count[i]):
            out[at[i] + k] = 1.0
        j = i
        while parent[j] >= 0:
            out[at[i] + bit[parent[j]]] *= going[node[j]]
            j = parent[j]


@_compile
def fill_products(interval, tables, shares):  # type: ignore[no-untyped-def]  # as for holds
    """Write the product of the shares of the absent players of each coalition into the table of each leaf."""
    at, count, entries = tables
    share_at, share = shares
    for i in range(interval[0], interval[1]):
        if at[i] < 0:
            continue
        d = count[i]
        full = (np.int64(1) << d) - 1
        entries[at[i] + full] = 1.0
        for s in range(full - 1, -1, -1):
            # The lowest absent player.
            absent = full & ~s
            k = 0
            while not (absent >> k) & 1:
                k += 1
            entries[at[i] + s] = entries[at[i] + (s | (np.int64(1) << k))] * share[share_at[i] + k]


@_compile
def to_coalitions(interval, tables, total):  # type: ignore[no-untyped-def]  # as for holds
    """Turn the counts of patterns into the share of rows that satisfy a path for the absent players of a coalition."""
    at, count, entries = tables
    for i in range(interval[0], interval[1]):
        if at[i] < 0:
            continue
        d = count[i]
        size = np.int64(1) << d
        table = entries[at[i] : at[i] + size]
        for k in range(d):
            step = np.int64(1) << k
            for s in range(size):
                if not s & step:
                    table[s] += table[s | step]
        # The rows whose pattern contains all absent players.
        for s in range(size // 2):
            other = size - 1 - s
            table[s], table[other] = table[other] / total, table[s] / total
        if d == 0:
            table[0] /= total


@_compile
def _members(pattern):  # type: ignore[no-untyped-def]  # as for holds
    """The number of players in a pattern."""
    members = 0
    while pattern:
        pattern &= pattern - 1
        members += 1
    return members


@_compile
def _sums_over_subsets(table, d):  # type: ignore[no-untyped-def]  # as for holds
    size = np.int64(1) << d
    for k in range(d):
        step = np.int64(1) << k
        for base in range(0, size, 2 * step):
            for s in range(base, base + step):
                table[s + step] += table[s]


@_compile
def to_values(interval, tables, weights, first, second):  # type: ignore[no-untyped-def]  # as for holds
    """Turn shares by coalition into the tables of Shapley values: first and second (entries,).

    weights[d, s] = s! (d - 1 - s)! / d!.
    """
    at, count, entries = tables
    for i in range(interval[0], interval[1]):
        if at[i] < 0:
            continue
        d = count[i]
        size = np.int64(1) << d
        with_it = first[at[i] : at[i] + size]
        without = second[at[i] : at[i] + size]
        for s in range(size):
            members = _members(s)
            share = entries[at[i] + s]
            with_it[s] = share * weights[d, members - 1] if members else 0.0
            without[s] = share * weights[d, members] if members < d else 0.0
        _sums_over_subsets(with_it, d)
        _sums_over_subsets(without, d)
        for s in range(size):
            without[s] += with_it[s]


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
def to_interactions(interval, tables, weights, first, second, third):  # type: ignore[no-untyped-def]  # as for holds
    """Turn shares by coalition into the tables of interaction values; weights[d, s] = s! (d - 2 - s)! / (d - 1)!."""
    at, count, entries = tables
    for i in range(interval[0], interval[1]):
        d = count[i]
        if at[i] < 0 or d < 2:
            continue
        size = np.int64(1) << d
        both = first[at[i] : at[i] + size]
        one = second[at[i] : at[i] + size]
        none = third[at[i] : at[i] + size]
        for s in range(size):
            members = _members(s)
            share = entries[at[i] + s]
            both[s] = share * weights[d, members - 2] if members >= 2 else 0.0
            one[s] = share * weights[d, members - 1] if 1 <= members < d else 0.0
            none[s] = share * weights[d, members] if members <= d - 2 else 0.0
        _sums_over_subsets(both, d)
        _sums_over_subsets(one, d)
        _sums_over_subsets(none, d)
        for s in range(size):
            none[s] += both[s] + 2 * one[s]
            one[s] += both[s]


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
