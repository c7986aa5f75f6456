"""The Shapley values of a sum of terms as nodes of a graph.

Terms of one feature are there already. Those of several are computed again, for each of their features from copies of
the nodes ahead of them, on background rows with the feature taken from the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from xaionnx.errors import UnsupportedModelError
from xaionnx.explainers._additive.compute import AdditiveGame, BackgroundRows, Coalition
from xaionnx.explainers._closed_forms.graph_values import GraphValues
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array

_BODIES = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)


def sum_values(game: AdditiveGame, background: BackgroundRows, prefix: str, limit: float) -> GraphValues:
    """Return the nodes that compute the values of a game for any rows.

    Raises
    ------
    UnsupportedModelError
        The weights and background rows pass the limit, or a term of several features is behind a branch or loop.
    """
    (weights, *_), (shift, *_) = game.combinations()
    mean = background.weights @ game.evaluated(background.feeds)
    count, targets = game.players.count, weights.shape[1]
    shares = game.shares()
    writing = _Writing(game, background, prefix)
    nodes, parts = game.source.sums(f"{prefix}sum")
    means, products = [mean], [shares[-1][:, :, None] * weights[:, None]]
    for number, (coalition, share) in enumerate(zip(game.together, shares[:-1], strict=True)):
        tensors, columns = _needed(game, share)
        parts.append(writing.mean(number, coalition, tensors))
        means.append(mean[columns])
        products.append(share[columns][:, :, None] * weights[columns][:, None])
    joined = np.concatenate(products)
    size = joined.size * 4 + sum(tensor.ByteSize() for tensor in writing.constants)
    if size > limit:
        raise UnsupportedModelError(
            f"The weights of {game.request.model.name} and the background rows would take {size / 1e6:,.0f} MB, and "
            f"at most {limit / 1e6:,.0f} MB may be added (max_added_mb). Allow more, name some "
            "targets, or use fewer background rows."
        )
    constants: dict[str, Array] = {
        "mean": np.concatenate(means).astype(np.float32),
        "weights": joined.reshape(len(joined), -1).astype(np.float32),
        "shape": np.array([-1, count, targets], np.int64),
    }
    nodes += [
        *writing.nodes,
        helper.make_node("Concat", parts, [f"{prefix}terms"], axis=1),
        helper.make_node("Sub", [f"{prefix}terms", f"{prefix}mean"], [f"{prefix}changes"]),
        helper.make_node("MatMul", [f"{prefix}changes", f"{prefix}weights"], [f"{prefix}flat"]),
        helper.make_node("Reshape", [f"{prefix}flat", f"{prefix}shape"], [f"{prefix}values"]),
    ]
    held = [*writing.constants, *(numpy_helper.from_array(a, f"{prefix}{name}") for name, a in constants.items())]
    return GraphValues(nodes, held, f"{prefix}values", count, mean @ weights + shift, game.source.scores.link)


def _needed(game: AdditiveGame, share: Array) -> tuple[list[str], Array]:
    """The tensors with terms for which a coalition counts, and the numbers of all their terms."""
    outputs = {**game.request.feeds, **game.resolved.outputs}
    counts = np.abs(share).max(axis=1) > 0
    tensors, columns, first = list[str](), [np.zeros(0, np.int64)], 0
    for name in game.source.tensors:
        size = outputs[name][0].size
        if counts[first : first + size].any():
            tensors.append(name)
            columns.append(np.arange(first, first + size))
        first += size
    return tensors, np.concatenate(columns)


@final
@dataclass
class _Writing:
    """Collects the nodes and constants of means over background rows."""

    game: AdditiveGame
    background: BackgroundRows
    prefix: str
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)
    known: dict[str, str] = field(default_factory=dict)

    __repr__ = short_repr

    def mean(self, number: int, coalition: Coalition, tensors: Sequence[str]) -> str:
        """Write the mean (N, .) of some tensors over background rows where only a coalition is present."""
        start = f"{self.prefix}present_{number}/"
        view = self.game.request.model.view
        copied, names = view.needed((), tensors)
        feeds = self.game.request.feeds
        if any(attribute.type in _BODIES for node in copied for attribute in node.attribute):
            raise UnsupportedModelError(
                f"'{tensors[0]}' of {self.game.request.model.name} depends on several features behind a branch or "
                "loop, and cannot be compiled. Use xaionnx explain."
            )
        renamed = {name: start + name for node in copied for name in node.output if name}
        for name in feeds.keys() & names:
            if name not in self.game.request.model.shared:
                renamed[name] = self._hybrid(start, name, coalition)
        for node in copied:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.name = ""
            copy.input[:] = [renamed.get(name, name) for name in node.input]
            copy.output[:] = [renamed.get(name, name) for name in node.output]
            self.nodes.append(copy)
        parts = []
        for place, tensor in enumerate(tensors):
            parts.append(f"{start}terms_{place}")
            self._add("Cast", [renamed[tensor]], f"{parts[-1]}/floats", to=TensorProto.FLOAT)
            self._add("Flatten", [f"{parts[-1]}/floats"], parts[-1])
        self._add("Concat", parts, f"{start}terms", axis=1)
        size = sum(self._size(tensor) for tensor in tensors)
        by_row = self._constant("by_row", np.array([-1, len(self.background.weights), size]), size)
        self._add("Reshape", [f"{start}terms", by_row], f"{start}by_row")
        weights = self._constant("background_weights", self.background.weights[None].astype(np.float32))
        self._add("MatMul", [weights, f"{start}by_row"], f"{start}mean")
        flat = self._constant("flat_shape", np.array([-1, size]), size)
        self._add("Reshape", [f"{start}mean", flat], f"{start}flat")
        return f"{start}flat"

    def _hybrid(self, start: str, name: str, coalition: Coalition) -> str:
        """Write an input of N * B rows: background rows, with the elements of a coalition from each row."""
        x, players = self.game.request.feeds[name], self.game.players
        mask = np.ones(x.shape[1:], dtype=bool)
        others = x[:1]
        if name in players.maps:
            mask = np.isin(np.broadcast_to(players.maps[name], x.shape[1:]), sorted(coalition))
            others = self.background.feeds[name]
        apart = self._constant(f"apart/{name}", np.array([-1, 1, *x.shape[1:]]))
        rows = self._constant(f"rows/{name}", np.array([-1, *x.shape[1:]]))
        if len(others) == 1 < len(self.background.weights):
            others = np.repeat(others, len(self.background.weights), axis=0)
        known = self._constant(f"background/{name}", others[None].astype(x.dtype, copy=False))
        self._add("Reshape", [name, apart], f"{start}{name}/apart")
        chosen = self._constant(f"{start.removeprefix(self.prefix)}mask/{name}", mask)
        self._add("Where", [chosen, f"{start}{name}/apart", known], f"{start}{name}/both")
        self._add("Reshape", [f"{start}{name}/both", rows], f"{start}{name}/rows")
        return f"{start}{name}/rows"

    def _size(self, tensor: str) -> int:
        outputs = {**self.game.request.feeds, **self.game.resolved.outputs}
        return int(outputs[tensor][0].size)

    def _add(self, op_type: str, inputs: list[str], output: str, **attributes: int) -> None:
        node = helper.make_node(op_type, inputs, [output])
        node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
        self.nodes.append(node)

    def _constant(self, name: str, array: Array, *key: int) -> str:
        """A constant, written once for each name and key."""
        whole = f"{self.prefix}{name}" + "".join(f"_{part}" for part in key)
        if whole not in self.known:
            self.known[whole] = whole
            self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), whole))
        return whole
