"""Coalitions of KernelSHAP: distinct, balanced, one of each pair of complements, packed 8 players to a byte.

The public functions, and the reasons for the design, are in ``coalitions``.
"""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np
import numpy.typing as npt

from xaionnx_kernels import counter

# One stream for each coalition size; players are far fewer than 2^32.
_CHUNKS_STREAM = 0x11 << 32
_ORDER_STREAM = 0x12 << 32
_DECKS_STREAM = 0x13 << 32


# More coalitions than any budget.
_COUNTLESS = 2**62


@functools.lru_cache(maxsize=8192)
def count_pairs(players: int, size: int) -> int:
    """Return the number of pairs of a coalition of ``size`` players and its complement, at most 2^62."""
    if size * math.log2(players / size) >= 62:  # comb(P, h) >= (P / h)^h
        return _COUNTLESS
    count = math.comb(players, size)
    return min(_COUNTLESS, count // 2 if 2 * size == players else count)


def deal_sizes(seed: int, players: int, sizes: npt.NDArray[np.intp]) -> npt.NDArray[np.uint8]:
    """Return one coalition of each of the sizes, all different, from one chain of permutations."""
    coalitions = np.zeros((len(sizes), players), np.bool_)
    seen: set[bytes] = set()
    hand = np.empty(0, np.intp)
    decks = 0
    for row, size in enumerate(sizes.tolist()):
        key = None
        while key is None or key in seen:
            if len(hand) < size:
                deck = np.argsort(counter.bits(seed, _DECKS_STREAM, decks, decks + 1, players)[0], kind="stable")
                decks += 1
                # The players still in hand go last in the new deck, so that no coalition gets a player twice.
                again = np.isin(deck, hand)
                hand = np.concatenate([hand, deck[~again], deck[again]])
            coalitions[row] = False
            coalitions[row, hand[:size]] = True
            hand = hand[size:]
            if 2 * size == players and not coalitions[row, 0]:
                coalitions[row] = ~coalitions[row]  # see _chunks
            key = coalitions[row].tobytes()
        seen.add(key)
    return np.packbits(coalitions, axis=1)


def deal_size(seed: int, players: int, size: int, count: int) -> npt.NDArray[np.uint8]:
    """Return ``count`` packed coalitions of one size, of which no two are equal or complements."""
    available = count_pairs(players, size)
    if 2 * count <= available:
        return _distinct_chunks(seed, players, size, count)
    # At half size, the coalitions with player 0 come first.
    every = np.packbits(coalitions_of_size(players, size)[:available], axis=1)
    if count == available:
        return every
    # More than half of them: draw the ones to omit, balanced, so that the rest is balanced too.
    omitted = _distinct_chunks(seed, players, size, available - count)
    kept = every[~np.isin(_as_keys(every), _as_keys(omitted))]
    keys = counter.bits(seed, _ORDER_STREAM | size, 0, len(kept), 1)[:, 0]
    return kept[np.argsort(keys, kind="stable")]


def _distinct_chunks(seed: int, players: int, size: int, count: int) -> npt.NDArray[np.uint8]:
    """Return the first ``count`` different coalitions of the chain of chunks; at most half of all coalitions."""
    wanted = count
    while True:
        packed = np.packbits(_chunks(seed, players, size, wanted), axis=1)
        _, first = np.unique(_as_keys(packed), return_index=True)
        if len(first) >= count:
            return packed[np.sort(first)[:count]]
        wanted += 2 * (count - len(first)) + 8


def _chunks(seed: int, players: int, size: int, count: int) -> npt.NDArray[np.bool_]:
    """Return the first ``count`` chunks of ``size`` players from a chain of permutations.

    A chunk that spans two permutations could contain a player twice, so the second permutation puts the players of
    the unfinished chunk last. After size / gcd(size, P) permutations a chunk ends together with a permutation. The
    permutations up to that point form a link of the chain; links are independent and computed together.
    """
    length = size // math.gcd(size, players)  # permutations of a link
    links = -(-count * size // (players * length))
    needed = min(length, -(-count * size // players))  # a single link may need fewer
    rows = needed if links == 1 else links * length
    # 63 bits of key; the top bit marks players of the unfinished chunk.
    keys = counter.bits(seed, _CHUNKS_STREAM | size, 0, rows, players).reshape(links, -1, players) >> np.uint64(1)
    line = np.empty((links, needed, players), np.intp)
    for t in range(needed):
        line[:, t] = np.argsort(keys[:, t], axis=1, kind="stable")
        unfinished = (t + 1) * players % size
        if unfinished and t + 1 < needed:
            late = line[:, t, players - unfinished :]
            np.put_along_axis(
                keys[:, t + 1], late, np.take_along_axis(keys[:, t + 1], late, axis=1) | np.uint64(2**63), axis=1
            )
    whole = needed * players // size
    members = line.reshape(links, needed * players)[:, : whole * size].reshape(links * whole, size)
    coalitions = _coalitions_from_members(members[:count], players)
    if 2 * size == players:
        coalitions ^= ~coalitions[:, :1]  # the one with player 0 represents both a coalition and its complement
    return coalitions


def coalitions_of_size(players: int, size: int) -> npt.NDArray[np.bool_]:
    """Return every coalition of one size, in lexicographic order of members."""
    count = math.comb(players, size)
    members = itertools.chain.from_iterable(itertools.combinations(range(players), size))
    return _coalitions_from_members(np.fromiter(members, np.intp, count * size).reshape(count, size), players)


def _coalitions_from_members(members: npt.NDArray[np.intp], players: int) -> npt.NDArray[np.bool_]:
    coalitions = np.zeros((len(members), players), np.bool_)
    np.put_along_axis(coalitions, members, True, axis=1)
    return coalitions


def _as_keys(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.void] | npt.NDArray[np.uint64]:
    """Return each row as one sortable item: a 64-bit word for up to 64 players, which is many times faster."""
    width = packed.shape[1]
    if width > 8:
        return np.ascontiguousarray(packed).view(np.dtype((np.void, width)))[:, 0]
    padded = np.zeros((len(packed), 8), np.uint8)
    padded[:, :width] = packed
    return padded.view(np.uint64)[:, 0]
