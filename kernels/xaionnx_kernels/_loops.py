"""Compiled loops. Importing this module imports Numba, so callers do it only when the work is worth it (``_tier``).

The loops are serial on purpose. One core fills a batch of 16 pictures of 3x224x224 in under a millisecond, a hundredth
of the model's time for that batch. A parallel kernel would take longer to load, compete with the session for cores
and, with Numba's ``workqueue`` layer, rule out threaded callers. All loops release the GIL. None uses fast-math,
because the numpy versions in the public modules must agree bit for bit. They divide by 0 as numpy does: checks would
keep divisions from being vectorised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numba
import numpy as np

R = TypeVar("R")


def _compile(function: Callable[..., R]) -> Callable[..., R]:
    compiled: Callable[..., R]
    try:
        compiled = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # no folder for the cache is writable: compile in each process
        compiled = numba.njit(nogil=True, error_model="numpy")(function)
    return compiled


@_compile
def select(x, baselines, labels, coalitions, inner, keep, out):  # type: ignore[no-untyped-def]  # Numba compiles it for the types of each call
    """x (A, L*B), baselines (R, A, L*B), labels (L,), coalitions (M, P), keep (L*B,) scratch, out (M, R, A, L*B)."""
    # `keep` has the layout of a row of x, so that the last loop is contiguous in every array and is vectorised.
    for m in range(out.shape[0]):
        if inner == 1:
            for e in range(labels.shape[0]):
                keep[e] = coalitions[m, labels[e]]
        else:
            for position in range(labels.shape[0]):
                kept = coalitions[m, labels[position]]
                for k in range(inner):
                    keep[position * inner + k] = kept
        for r in range(out.shape[1]):
            for a in range(out.shape[2]):
                for e in range(out.shape[3]):
                    # Read both before choosing: a load inside the branch would prevent vectorisation.
                    present = x[a, e]
                    removed = baselines[r, a, e]
                    out[m, r, a, e] = present if keep[e] else removed


@_compile
def blend(x, baseline, masks, inner, weight, out):  # type: ignore[no-untyped-def]  # as for select
    """x, baseline (A, S*B), masks (M, S), weight (S*B,) scratch of x's type, out (M, A, S*B)."""
    one = x.dtype.type(1)
    zero = x.dtype.type(0)
    for m in range(out.shape[0]):
        if inner == 1:
            for e in range(masks.shape[1]):
                weight[e] = masks[m, e]
        else:
            for position in range(masks.shape[1]):
                for k in range(inner):
                    weight[position * inner + k] = masks[m, position]
        for a in range(out.shape[1]):
            for e in range(out.shape[2]):
                present = x[a, e]
                removed = baseline[a, e]
                w = weight[e]
                blended = present * w + removed * (one - w)
                blended = present if w == one else blended
                out[m, a, e] = removed if w == zero else blended


@_compile
def _between(near, far, near_weight, far_weight, out):  # type: ignore[no-untyped-def]  # as for select
    """Mix two planes of cells into out (s_h, s_w)."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = near_weight * near[i, j] + far_weight * far[i, j]


@_compile
def rise(x, baseline, cells, shifts, taps, inner, out):  # type: ignore[no-untyped-def]  # as for select
    """x, baseline (A, D, H, W*B), cells (M, s_d, s_h, s_w), shifts (M, 3), out (M, A, D, H, W*B); a picture has D = 1.

    taps: planes, rows and columns, each with its weights, as ``masks.mask_taps`` returns them.
    """
    (planes, plane_weights), (rows, row_weights), (columns, column_weights) = taps
    one = x.dtype.type(1)
    zero = x.dtype.type(0)
    width = out.shape[4] // inner
    grid = np.empty(cells.shape[2:], np.float32)
    line = np.empty(cells.shape[3], np.float32)
    weight = np.empty(out.shape[4], x.dtype)
    for m in range(out.shape[0]):
        front = shifts[m, 0]
        top = shifts[m, 1]
        left = shifts[m, 2]
        for d in range(out.shape[2]):
            near = cells[m, planes[0, front + d]]
            far = cells[m, planes[1, front + d]]
            _between(near, far, plane_weights[0, front + d], plane_weights[1, front + d], grid)
            for h in range(out.shape[3]):
                upper = rows[0, top + h]
                lower = rows[1, top + h]
                upper_weight = row_weights[0, top + h]
                lower_weight = row_weights[1, top + h]
                for j in range(cells.shape[3]):
                    line[j] = upper_weight * grid[upper, j] + lower_weight * grid[lower, j]
                if inner == 1:
                    for v in range(width):
                        first = column_weights[0, left + v] * line[columns[0, left + v]]
                        weight[v] = first + column_weights[1, left + v] * line[columns[1, left + v]]
                else:
                    for v in range(width):
                        first = column_weights[0, left + v] * line[columns[0, left + v]]
                        mixed = first + column_weights[1, left + v] * line[columns[1, left + v]]
                        for k in range(inner):
                            weight[v * inner + k] = mixed
                for a in range(out.shape[1]):
                    for e in range(out.shape[4]):
                        present = x[a, d, h, e]
                        removed = baseline[a, d, h, e]
                        w = weight[e]
                        blended = present * w + removed * (one - w)
                        blended = present if w == one else blended
                        out[m, a, d, h, e] = removed if w == zero else blended


@_compile
def random_bits(states, first, out):  # type: ignore[no-untyped-def]  # as for select
    """Write draws first, first+1, ... of each stream: states (M,) uint64, out (M, D) uint64. See ``counter``."""
    gamma = np.uint64(0x9E3779B97F4A7C15)
    mix_1 = np.uint64(0xBF58476D1CE4E5B9)
    mix_2 = np.uint64(0x94D049BB133111EB)
    for m in range(out.shape[0]):
        z0 = states[m] + first * gamma
        for d in range(out.shape[1]):
            z0 = z0 + gamma
            z = (z0 ^ (z0 >> np.uint64(30))) * mix_1
            z = (z ^ (z >> np.uint64(27))) * mix_2
            out[m, d] = z ^ (z >> np.uint64(31))


@_compile
def selections(x, baselines, members, labels, out):  # type: ignore[no-untyped-def]  # as for select
    """x (R, E), baselines (R or 1, B, E), members (M, Q), labels (R or 1, E), out (R, M, B, E)."""
    keep = np.empty(x.shape[1], np.bool_)
    for r in range(out.shape[0]):
        own = min(r, baselines.shape[0] - 1)
        by = min(r, labels.shape[0] - 1)
        for m in range(out.shape[1]):
            for e in range(keep.shape[0]):
                keep[e] = members[m, labels[by, e]]
            for b in range(out.shape[2]):
                for e in range(out.shape[3]):
                    # Read both before choosing, as in select.
                    present = x[r, e]
                    removed = baselines[own, b, e]
                    out[r, m, b, e] = present if keep[e] else removed


@_compile
def _hash_elements(words, odd, out):  # type: ignore[no-untyped-def]  # as for select
    """Write a hash of each word (N, E), with an odd factor for each column, into out (N, E)."""
    for n in range(words.shape[0]):
        for e in range(words.shape[1]):
            part = np.uint64(words[n, e]) * odd[e]
            # The high bits of a product depend on all bits of its factors: they are mixed into the low ones.
            out[n, e] = (part ^ (part >> np.uint64(32))) * odd[e]


@_compile
def _number_of(mixed, rows, begin, count, table):  # type: ignore[no-untyped-def]  # as for select
    """Return the number of the row from ``begin`` that equals row ``count``, else ``count``, which is put in a table.

    rows (count + 1 or more, E), whose last has the hash ``mixed``; table: the numbers of rows, or -1.
    """
    mask = np.uint64(table.shape[0] - 1)
    place = (mixed ^ (mixed >> np.uint64(29))) & mask
    while table[place] >= 0:
        held = table[place]
        differs = held < begin
        for e in range(rows.shape[1]):
            differs |= rows[held, e] != rows[count, e]
        if not differs:
            return held
        place = (place + np.uint64(1)) & mask
    table[place] = count
    return count


@_compile
def distinct_selections(parts, codes, odd, apart, table, rows, which):  # type: ignore[no-untyped-def]  # as for select
    """Write each distinct input once into rows (R M B, E), and its number into which (R, M, B).

    parts: x (R, E) and baselines (R or 1, B, E); codes: members (M, Q) and labels (R or 1, E). table (a power of two
    above R M B,) is filled with -1, and odd (E + 1,) are odd factors. The hash of an input is the sum of those of its
    elements, which are computed once for all inputs.
    """
    x, baselines = parts
    members, labels = codes
    keep = np.empty(x.shape[1], np.bool_)
    own_hash, base_hash = np.empty(x.shape, np.uint64), np.empty(baselines.shape[1:], np.uint64)
    _hash_elements(x, odd, own_hash)
    count = 0
    for r in range(x.shape[0]):
        own = min(r, baselines.shape[0] - 1)
        by = min(r, labels.shape[0] - 1)
        if r == 0 or own > 0:
            _hash_elements(baselines[own], odd, base_hash)
        start = np.uint64(r) * odd[keep.shape[0]] if apart else np.uint64(0)
        begin = count if apart else 0
        for m in range(members.shape[0]):
            for e in range(keep.shape[0]):
                keep[e] = members[m, labels[by, e]]
            for b in range(baselines.shape[1]):
                mixed = start
                for e in range(keep.shape[0]):
                    present_hash = own_hash[r, e]
                    removed_hash = base_hash[b, e]
                    mixed += present_hash if keep[e] else removed_hash
                # Written after the last: it counts if no equal input is found.
                for e in range(keep.shape[0]):
                    present = x[r, e]
                    removed = baselines[own, b, e]
                    rows[count, e] = present if keep[e] else removed
                number = _number_of(mixed, rows, begin, count, table)
                which[r, m, b] = number
                if number == count:
                    count += 1


@_compile
def add_draws(values, which, weights, out):  # type: ignore[no-untyped-def]  # as for select
    """values (K, T), which (R, M, B), weights (B,), out (R, M, T) of zeros."""
    for r in range(which.shape[0]):
        for m in range(which.shape[1]):
            for b in range(which.shape[2]):
                number = which[r, m, b]
                for t in range(values.shape[1]):
                    out[r, m, t] += values[number, t] * weights[b]
