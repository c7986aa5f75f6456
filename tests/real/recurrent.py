"""LSTM and GRU as LRP sees them: linear recurrences, with gates and the ratios of activations held constant.

Of a gate times a signal the signal takes all relevance (Arras et al. 2017, arXiv:1706.07206), and an activation passes
it as if it were its output over its input, times its input. Gates are computed by hand, from the definition of the
layers in ONNX.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper

Array = np.ndarray[Any, Any]
RECURRENT = ("LSTM", "GRU")
# Attributes that change nothing here, or are read below; of others there is no linear form here.
READ = {"hidden_size", "direction", "linear_before_reset", "layout", "input_forget"}


class NotLinearError(Exception):
    """The layer has options that are not written down here."""


@dataclass
class Recurrence:
    """Writes one layer step by step.

    Attributes
    ----------
    node : onnx.NodeProto
    values : mapping of str to array
        All tensors at the sample.
    reached : set of str
        Tensors that move; the others add constants, which drop out of differences.
    name : str
        Prefix of new names.
    """

    node: onnx.NodeProto
    values: Mapping[str, Array]
    reached: set[str]
    name: str
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    count: int = 0

    def write(self) -> tuple[list[onnx.NodeProto], dict[str, Array]]:
        """The nodes and constants of the linear recurrence."""
        stated = {each.name: helper.get_attribute_value(each) for each in self.node.attribute}
        x = self._value(0)
        lengths, peepholes = self._value(4), self._value(7)
        self.count = 0 if x is None else x.shape[1]
        plain = set(stated) <= READ and not (stated.get("layout") or stated.get("input_forget")) and peepholes is None
        if not plain or x is None or (lengths is not None and (lengths != len(x)).any()):
            raise NotLinearError(f"{self.node.op_type} with {', '.join(sorted(set(stated) - READ)) or 'lengths'}")
        after = bool(stated.get("linear_before_reset", 0))
        directions = {b"forward": [1], b"reverse": [-1], b"bidirectional": [1, -1]}[stated.get("direction", b"forward")]
        ends = [self._direction(d, way, after) for d, way in enumerate(directions)]
        for place, stacks in enumerate(zip(*ends, strict=True)):
            if place >= len(self.node.output) or not self.node.output[place]:
                continue
            if place == 0:  # (T, D, N, H)
                steps = [[self._wide(h, 2) for h in at] for at in zip(*stacks, strict=True)]
                wide = [self.op("Concat", *each, axis=1) for each in steps]
            else:  # (D, N, H)
                wide = [self._wide(h, 1) for h in stacks]
            self.nodes.append(helper.make_node("Concat", wide, [self.node.output[place]], axis=0))
        return self.nodes, self.constants

    def _wide(self, tensor: str, axes: int) -> str:
        """(N, H) with axes of size 1 in front."""
        return self.op("Reshape", tensor, self.constant(np.array([1] * axes + [self.count, -1]), np.int64))

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{self.name}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, array: Array, kind: Any = np.float32) -> str:
        name = f"{self.name}_c{len(self.constants)}"
        self.constants[name] = np.asarray(array, dtype=kind)
        return name

    def _value(self, place: int) -> Array | None:
        held = place < len(self.node.input) and self.node.input[place]
        return self.values[self.node.input[place]] if held else None

    def _direction(self, d: int, way: int, after: bool) -> tuple[Any, ...]:
        x = self._value(0)
        w, r = (np.asarray(self._value(place), dtype=np.float64)[d] for place in (1, 2))
        given = self._value(3)
        hidden = r.shape[1]
        biases = np.zeros(2 * len(w)) if given is None else np.asarray(given, dtype=np.float64)[d]
        assert x is not None
        states = [self._state(place, d, x.shape[1], hidden) for place in (5, 6)]
        steps = list(range(len(x)))[::way]
        step = self._lstm_step if self.node.op_type == "LSTM" else self._gru_step
        found: dict[int, str] = {}
        for t in steps:
            inputs = self.op("Gather", self.node.input[0], self.constant(np.array(t), np.int64), axis=0)
            states = step(inputs, np.float64(x[t]), states, (w, r, biases), after)
            found[t] = states[0][0]
        return [found[t] for t in range(len(x))], states[0][0], states[1][0]

    def _state(self, place: int, d: int, count: int, hidden: int) -> tuple[str, Array]:
        """The name and the numbers of a first state."""
        value = self._value(place)
        if value is None:
            zeros = np.zeros((count, hidden))
            return self.constant(zeros), zeros
        if self.node.input[place] not in self.reached:
            return self.constant(value[d]), np.float64(value[d])
        return self.op("Gather", self.node.input[place], self.constant(np.array(d), np.int64), axis=0), np.float64(
            value[d]
        )

    def _times(self, tensor: str, factor: Array) -> str:
        return self.op("Mul", tensor, self.constant(factor))

    def _product(self, tensor: str, weights: Array) -> str:
        return self.op("MatMul", tensor, self.constant(weights.T))

    def _lstm_step(self, tensor: str, x: Array, states: Any, weights: Any, after: bool) -> Any:
        (h_name, h), (c_name, c) = states
        w, r, b = weights
        z = x @ w.T + h @ r.T + b[: len(w)] + b[len(w) :]
        i, o, f, g = np.split(z, 4, axis=1)
        i, o, f = sigmoid(i), sigmoid(o), sigmoid(f)
        new_c = f * c + i * np.tanh(g)
        of_g = [np.split(part, 4)[3] for part in (w, r)]
        signal = self.op("Add", self._product(tensor, of_g[0]), self._product(h_name, of_g[1]))
        c_name = self.op("Add", self._times(c_name, f), self._times(signal, i * ratio(g)))
        return (self._times(c_name, o * ratio(new_c)), o * np.tanh(new_c)), (c_name, new_c)

    def _gru_step(self, tensor: str, x: Array, states: Any, weights: Any, after: bool) -> Any:
        (h_name, h), rest = states
        (wz, wr, wh), (rz, rr, rh) = (np.split(part, 3) for part in weights[:2])
        bz, br, bh, cz, cr, ch = np.split(weights[2], 6)
        z = sigmoid(x @ wz.T + h @ rz.T + bz + cz)
        reset = sigmoid(x @ wr.T + h @ rr.T + br + cr)
        back = reset * (h @ rh.T + ch) if after else (reset * h) @ rh.T + ch
        inner = x @ wh.T + bh + back
        old = self._times(self._product(h_name, rh), reset) if after else self._product(self._times(h_name, reset), rh)
        signal = self.op("Add", self._product(tensor, wh), old)
        new = self.op("Add", self._times(signal, (1 - z) * ratio(inner)), self._times(h_name, z))
        return (new, (1 - z) * np.tanh(inner) + z * h), rest


def sigmoid(x: Array) -> Array:
    found: Array = 1 / (1 + np.exp(-x))
    return found


def ratio(x: Array) -> Array:
    """The hyperbolic tangent of x over x."""
    found: Array = np.divide(np.tanh(x), x, out=np.zeros_like(x), where=x != 0)
    return found
