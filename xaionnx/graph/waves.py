"""The order of a graph's nodes in which few wait at any time, which onnxruntime opens fastest.

onnxruntime sorts the nodes of a graph again and again while it opens it: once for each of some fifty optimisers. It
keeps the nodes that are ready in a sorted list, always takes the one that comes first in the file, and counts through
the list for each that it puts in. A gradient graph lists its forward part first; all that can be computed from it then
waits for the end of the forward part, and the time grows with the square of the number of nodes.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import onnx

from xaionnx.graph.view import reads

# Sorting smaller graphs takes longer than it saves.
MANY_NODES: Final = 3_000


def sort_in_waves(graph: onnx.GraphProto) -> None:
    """Sort the nodes of a graph in the order in which what they read becomes ready.

    A graph with a cycle is left as it is.

    Parameters
    ----------
    graph : onnx.GraphProto
        Changed in place; the bodies of If, Loop and Scan are not.

    Examples
    --------
    >>> from onnx import parser
    >>> model = parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]>
    ... g (float[N] x) => (float[N] y) { a = Neg(x) b = Neg(a) c = Neg(b) d = Abs(a) e = Add(b, d) y = Add(c, e) }''')
    >>> sort_in_waves(model.graph)
    >>> [node.output[0] for node in model.graph.node]
    ['a', 'b', 'd', 'c', 'e', 'y']
    """
    nodes = list(graph.node)
    maker = {name: at for at, node in enumerate(nodes) for name in node.output if name}
    readers: list[list[int]] = [[] for _ in nodes]
    missing = [0] * len(nodes)
    for at, node in enumerate(nodes):
        for before in {maker[name] for name in reads(node) if name in maker}:
            readers[before].append(at)
            missing[at] += 1
    ready = deque(at for at, count in enumerate(missing) if not count)
    rank: dict[str, int] = {}
    while ready:
        at = ready.popleft()
        rank[_key(nodes[at])] = len(rank)
        for after in readers[at]:
            missing[after] -= 1
            if not missing[after]:
                ready.append(after)
    if len(rank) == len(nodes):
        # Moves the nodes; a list of copies would take their memory twice.
        graph.node.sort(key=lambda node: rank[_key(node)])


def _key(node: onnx.NodeProto) -> str:
    """What tells a node from others: its first output."""
    return next((name for name in node.output if name), "")
