"""Owen values from all orders in which groups stay together, for a game as a dict of frozensets."""

from itertools import permutations, product

import numpy as np


def orders(group):
    """All orders of a nested list of players in which each list stays together."""
    if isinstance(group, int):
        yield [group]
        return
    for arrangement in permutations(group):
        for parts in product(*(list(orders(part)) for part in arrangement)):
            yield [player for part in parts for player in part]


def owen(v, hierarchy, players):
    """The mean contribution of each player over these orders, (P,)."""
    total, count = np.zeros(players), 0
    for order in orders(hierarchy):
        before = frozenset()
        for player in order:
            total[player] += v[before | {player}] - v[before]
            before |= {player}
        count += 1
    return total / count
