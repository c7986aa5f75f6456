"""Tensors in the layout NCHWc of onnxruntime's optimised files for CPUs, and how many channels they really have.

The channels are split into blocks of 8 or 16, and the channels of a block are the last axis: in memory a tensor is
(N, C / c, H, W, c), although its declared shape is (N, C, H, W). Its channels are filled up with zeros to whole blocks,
and so are the weights that compute and read them. The file does not say how many were added, except where a tensor
leaves the layout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import onnx

from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.view import DEFAULT_DOMAINS, GraphView

if TYPE_CHECKING:
    from xaionnx.graph.tensor_facts import TensorFacts
    from xaionnx.graph.view import Attributes
    from xaionnx.typing import Array

_DOMAIN = "com.microsoft.nchwc"
_SIZES = (8, 16)


@dataclass(eq=False)
class _Channels:
    """What is known of the channels of some tensors that all have the same."""

    real: int | None = None
    # The number of channels of zeros at the end in each set of weights that computes or reads the tensors.
    zeros: list[int] = field(default_factory=list)
    # Tensors of the usual layout with the same channels.
    plain: list[str] = field(default_factory=list)
    whole: bool = False

    def take(self, other: _Channels) -> None:
        self.real = self.real or other.real
        self.zeros += other.zeros
        self.plain += other.plain
        self.whole |= other.whole


class BlockedLayout:
    """The blocked tensors of a graph.

    Parameters
    ----------
    view : GraphView
    load : callable
        Returns the numbers of a weight.
    own_block : callable
        Returns the number of channels in a block on this machine.
    """

    def __init__(
        self, view: GraphView, load: Callable[[onnx.TensorProto], Array], own_block: Callable[[], int]
    ) -> None:
        self._view = view
        self._load = load
        self._own_block = own_block
        self._weights: dict[tuple[str, int], Array] = {}

    @cached_property
    def block(self) -> int:
        """The number of channels in a block."""
        return self._own_block()

    def check(self) -> None:
        """Check that the blocks of the file are those of this machine.

        Raises
        ------
        UnsupportedModelError
            They are not, and onnxruntime would compute something else than the source of the file does.
        """
        evidence = list(self._evidence())
        if not evidence:
            return
        possible = [size for size in _SIZES if all(_fits(*each, size) for each in evidence)]
        if self.block not in possible:
            wanted = " or ".join(map(str, possible)) or "an unknown number of"
            raise UnsupportedModelError(
                f"onnxruntime optimised this file for processors with blocks of {wanted} channels, and with the "
                f"{self.block} of this one it computes something else. Optimise the source again on this machine, or "
                "use the source."
            )

    def _evidence(self) -> Iterator[tuple[int, bool]]:
        """Yield numbers of channels in whole blocks, and numbers of zeros that were added to a block."""
        for node in self._view.nodes:
            if node.domain == _DOMAIN and node.op_type == "Conv":
                weights = self._view.constants.get(node.input[1])
                if weights is not None:
                    yield weights.dims[0], False
            elif node.domain == _DOMAIN and node.op_type == "ReorderOutput":
                maker = self._view.producers.get(node.input[0])
                if maker is not None and maker.op_type == "Conv" and maker.input[1] in self._view.constants:
                    filters = self._view.constants[maker.input[1]].dims[0]
                    yield filters - self._view.attributes(node).get("channels", 0), True

    def weights(self, node: onnx.NodeProto) -> Array | None:
        """Return the weights of a Conv of the layout in their usual order, with zeros; None if they are computed."""
        tensor, group = self._view.constants.get(node.input[1]), self._view.attributes(node).get("group", 1)
        if tensor is None:
            return None
        key = (node.input[1], group)
        if key not in self._weights:
            self._weights[key] = plain_weights(self._load(tensor), group, self.block)
        return self._weights[key]

    def end(self, name: str, facts: TensorFacts) -> int | None:
        """Return the end of the channels of a blocked tensor before the added zeros, as of a slice."""
        found = self._channels[name]
        if found.real or found.whole:
            return found.real
        for plain in found.plain:
            shape = facts.shape(plain)
            if shape is not None and len(shape) > 1 and shape[1] is not None:
                return shape[1]
        zeros = min(found.zeros, default=0)
        return None if not zeros else -zeros

    def regroups(self, node: onnx.NodeProto) -> bool:
        """Whether a Reshape only makes the blocks of a blocked tensor an axis of their own, or removes that axis."""
        return (
            node.op_type == "Reshape"
            and node.domain in DEFAULT_DOMAINS
            and node.input[0] in self._channels
            and node.output[0] in self._channels
        )

    @cached_property
    def _channels(self) -> dict[str, _Channels]:
        found: dict[str, _Channels] = {}
        for node in self._view.nodes:
            if node.domain == _DOMAIN:
                self._enter(node, found, self._view.attributes(node))
            elif node.domain in DEFAULT_DOMAINS and any(name in found for name in node.input):
                # onnxruntime lets element-wise ops, Concat and regrouping Reshapes read blocked tensors.
                blocked = [name for name in node.input if name in found]
                if node.op_type == "Concat":
                    for name in blocked:
                        found[name].whole = True
                    found[node.output[0]] = _Channels(whole=True)
                elif node.op_type != "Reshape" or self._is_regrouping(node):
                    found[node.output[0]] = _united(found, blocked)
        return found

    def _enter(self, node: onnx.NodeProto, found: dict[str, _Channels], stated: Attributes) -> None:
        source, made = node.input[0], node.output[0]
        if node.op_type == "ReorderOutput":
            found.setdefault(source, _Channels()).real = stated.get("channels") or None
        elif node.op_type == "ReorderInput":
            found[made] = _Channels(plain=[] if stated.get("channels_last") else [source])
        elif node.op_type == "Conv":
            self._enter_conv(node, found, stated.get("group", 1))
        else:
            found[made] = found.setdefault(source, _Channels())

    def _enter_conv(self, node: onnx.NodeProto, found: dict[str, _Channels], group: int) -> None:
        source, made, weights = node.input[0], node.output[0], self.weights(node)
        added = [node.input[3]] if len(node.input) > 3 and node.input[3] in found else []
        if weights is None:
            found[made] = _Channels(whole=True)
            return
        depthwise = group == len(weights) and group > 1
        same = [*added, *([source] if depthwise and source in found else [])]
        found[made] = _united(found, same) if same else _Channels()
        bias = self._view.constants.get(node.input[2]) if len(node.input) > 2 else None
        rows = weights.reshape(len(weights), -1)
        filters = rows if bias is None else np.column_stack([rows, self._load(bias)])
        found[made].zeros.append(self._zeros_at_end(filters))
        if group == 1 and source in found:
            found[source].zeros.append(self._zeros_at_end(np.moveaxis(weights, 1, 0)))
        elif not depthwise and group > 1:
            found[made].whole = True
            found.setdefault(source, _Channels()).whole = True

    def _zeros_at_end(self, array: Array) -> int:
        """Return how many entries along the first axis, fewer than a block, are zero at its end."""
        used = np.flatnonzero(np.any(array.reshape(len(array), -1), axis=1))
        last = int(used[-1]) + 1 if len(used) else 0
        return min(len(array) - last, self.block - 1)

    def _is_regrouping(self, node: onnx.NodeProto) -> bool:
        target = self._view.small(node.input[1])
        return target is not None and len(target) in (4, 5) and target[0] == target[2] == target[3] == 0


def plain_weights(weights: Array, group: int, block: int) -> Array:
    """Return weights (O, I, H, W) from their blocked order.

    In memory they are (O / c, I, H, W, c) if the input is not blocked or each channel has its own filter, and else
    (O / c, I / c, H, W, c, c), the inputs of a block before its outputs.
    """
    filters, channels, height, width = weights.shape
    outer = filters // block
    if (group == 1 and channels < block) or (group == filters and channels == 1):
        blocked = weights.reshape(outer, channels, height, width, block)
        return np.moveaxis(blocked, -1, 1).reshape(weights.shape)
    blocked = weights.reshape(outer, channels // block, height, width, block, block)
    return blocked.transpose(0, 5, 1, 4, 2, 3).reshape(weights.shape)


def _united(found: dict[str, _Channels], names: Sequence[str]) -> _Channels:
    """Let tensors share what is known of their channels, and return it."""
    shared = found[names[0]]
    for other in names[1:]:
        old = found[other]
        if old is not shared:
            shared.take(old)
            for name, held in found.items():
                if held is old:
                    found[name] = shared
    return shared


def _fits(channels: int, is_rest: bool, block: int) -> bool:
    """Whether a number of channels is a multiple of the block, or what zeros added to one may be."""
    return 0 <= channels < block if is_rest else channels % block == 0
