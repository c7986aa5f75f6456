"""A tensor inside a model: which one it is, what it holds, and the two parts that it cuts the model into."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
import numpy.typing as npt

from xaionnx.errors import UnknownNameError, UnsupportedModelError
from xaionnx.explainers._axes import Axes
from xaionnx.explainers._told import told
from xaionnx.graph.cut import ancestors, cut, descendants, ordered, shapes, tensor_names
from xaionnx.model import Model
from xaionnx.perturb.sample import Sample

if TYPE_CHECKING:
    import onnx

Array = npt.NDArray[Any]

# These bring token numbers into the form in which they are looked up.
_CARRYING = frozenset({"Cast", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"})


@final
@dataclass(frozen=True, eq=False)
class Layer:
    """A float tensor with the batch axis first, inside a model.

    Attributes
    ----------
    name : str
    model : Model
        The model that it lies in.
    x : array (N, ...)
        What it holds at the samples.
    """

    name: str
    model: Model
    x: Array

    @classmethod
    def of(cls, model: Model, name: str, feeds: Mapping[str, Array], held: Array | None = None) -> Layer:
        """The tensor called ``name``, at N samples, where it is known to hold ``held``.

        Raises
        ------
        UnknownNameError
            There is none.
        UnsupportedModelError
            It holds no floats, has no batch axis in front, or does not depend on the input.
        """
        check_layer(model, name)
        layer = cls(name, model, np.empty(0))
        count = next(len(array) for name, array in feeds.items() if name not in model.shared)
        x = layer.lifted(feeds) if held is None else layer._batched(held, count)
        if x.dtype.kind != "f":
            raise UnsupportedModelError(
                f"Layer '{name}' of {model.name} holds {x.dtype}, not floats. Name a layer of floats."
            )
        return cls(name, model, x)

    def lifted(self, feeds: Mapping[str, Array]) -> Array:
        """What it holds, (N, ...), at other inputs of the model."""
        below = _part(self.model, ("below", self.name), lambda graph: cut(graph, [], [self.name]))
        taken = {info.name for info in below.inputs}
        own = {name: array for name, array in feeds.items() if name in taken}
        count = next(len(array) for name, array in own.items() if name not in below.shared)
        return self._batched(below.run(own, [self.name])[self.name], count)

    def _batched(self, x: Array, count: int) -> Array:
        if x.ndim == 0 or len(x) != count:
            raise UnsupportedModelError(
                f"Layer '{self.name}' of {self.model.name} has no batch axis in front: it holds {x.shape} for {count} "
                f"sample{'s' if count > 1 else ''}. Name another."
            )
        return x

    def behind(self, tensors: Iterable[str]) -> Model:
        """The part of the model that makes ``tensors`` of it: the layer is an input, as is what goes around it.

        Raises
        ------
        UnsupportedModelError
            One of ``tensors`` does not depend on it.
        """
        outputs = tuple(dict.fromkeys(tensors))
        reached = told(self.model, ("reached", self.name), lambda graph: descendants(graph, [self.name]))
        for tensor in outputs:
            if tensor not in reached:
                how = "is that layer" if tensor == self.name else f"does not depend on layer '{self.name}'"
                raise UnsupportedModelError(
                    f"The target is read from '{tensor}' of {self.model.name}, which {how}. "
                    f"Name a layer between the input and '{tensor}'."
                )
        lead = self.model.input().shape[0]
        kind = _type(self.x.dtype, (lead if isinstance(lead, int) else "N", *self.x.shape[1:]))
        return _part(
            self.model,
            ("behind", self.name, outputs, str(kind)),
            lambda graph: cut(graph, [self.name], outputs, {self.name: kind}),
        )


def check_layer(model: Model, name: str) -> None:
    """Refuse a name that is no tensor made from the input.

    Raises
    ------
    UnknownNameError
        There is none.
    UnsupportedModelError
        It does not depend on the input.
    """
    known = told(model, "tensors", tensor_names)
    if name not in known:
        raise UnknownNameError.among("layer", name, known)
    inputs = {info.name for info in model.inputs if info.name not in model.shared}
    if not told(model, ("above", name), lambda graph: ancestors(graph, [name])) & inputs:
        raise UnsupportedModelError(f"Layer '{name}' of {model.name} does not depend on the input. Name another.")


def _part(model: Model, key: Any, rewrite: Callable[[onnx.ModelProto], onnx.ModelProto]) -> Model:
    # What the spec says of the input holds for the model as a whole.
    return dataclasses.replace(model.derived(key, rewrite), spec=None)


def _graph(model: Model) -> onnx.ModelProto:
    return model.graph or model.file.proto


def _type(dtype: np.dtype[Any], shape: Sequence[int | str]) -> onnx.TypeProto:
    from onnx import helper

    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(dtype), shape)


def embeddings(model: Model) -> list[str]:
    """The tensors into which the tokens of the explained input are looked up, or spread as one-hot."""
    proto, found = _graph(model), list[str]()
    tokens, data = {model.input().name}, {info.name for info in model.inputs}
    data |= descendants(proto, data)
    for node in ordered(proto.graph):
        if node.op_type in _CARRYING and node.input[0] in tokens:
            tokens.update(node.output)
            continue
        one_hot = node.op_type == "OneHot" and node.input[0] in tokens
        if one_hot or (node.op_type == "Gather" and node.input[1] in tokens and node.input[0] not in data):
            found.append(node.output[0])
    return found


def usual_layer(model: Model, start: Sequence[str], tensors: Sequence[str], sample: Sample) -> str:
    """The layer that is explained where none is named, on the way from ``start`` to ``tensors``.

    The last map over the picture, or the series, of more than one channel, before pooling; where attention follows it,
    or there is none, the tokens that enter the last attention, which are the last sum of two branches before it:
    nothing goes around that. Else the last tensor before the target.

    Raises
    ------
    UnsupportedModelError
        There is nothing between the two.
    """
    sizes = {name: (1, *x.shape) for name, x in sample.own.items()}
    key = ("usual", tuple(start), tuple(tensors), tuple(sizes.items()), sample.main, sample.picture_axes)

    def letters(name: str, shape: Sequence[int]) -> str:
        return Axes.at(model, name, shape, sample).letters

    chosen = told(model, key, lambda graph: _usual(graph, start, tensors, sizes, letters))
    if not chosen:
        raise UnsupportedModelError(
            f"Nothing lies between the input of {model.name} and '{tensors[0]}'. Explain the input itself: "
            "saliency, integrated_gradients."
        )
    return chosen


def _usual(
    proto: onnx.ModelProto,
    start: Sequence[str],
    tensors: Sequence[str],
    sizes: Mapping[str, tuple[int, ...]],
    letters_of: Callable[[str, Sequence[int]], str],
) -> str:
    between = descendants(proto, start) & ancestors(proto, tensors) - set(tensors)
    known = shapes(proto, sizes)
    last = field = tokens = attended = ""
    for node in ordered(proto.graph):
        moved = between.intersection(node.input) | set(start).intersection(node.input)
        for name in (made for made in node.output if made in between):
            last, shape = name, [size or 0 for size in known.get(name, ())]
            letters = letters_of(name, shape[1:])
            # One channel is the answer of a segmentation before its last step, or a gate, no features.
            if "C" in letters and (shape[1 + letters.index("C")] > 1 or not field):
                field, attended = name, ""
            if node.op_type in ("Softmax", "Attention"):
                attended = tokens
            if node.op_type == "Add" and len(moved) == 2 and len(shape) == 3:
                tokens = name
    return attended or field or tokens or last


def normalised(model: Model, tokens: str, tensors: Sequence[str]) -> str:
    """The form in which attention reads tokens (N, T, D): behind the normalisation, where there is one.

    Normalisation forgets the size of a token, so that the slope ahead of it is at right angles to the token, and
    products of the two cancel.
    """
    return told(model, ("normalised", tokens, *tensors), lambda graph: _normalised(graph, tokens, tensors))


def _normalised(proto: onnx.ModelProto, tokens: str, tensors: Sequence[str]) -> str:
    moving = descendants(proto, [tokens]) & ancestors(proto, tensors)
    nodes = [node for node in ordered(proto.graph) if not moving.isdisjoint(node.output)]
    softmax = next((node for node in nodes if node.op_type == "Softmax"), None)
    if softmax is None:
        return tokens
    within = ancestors(proto, softmax.output) & moving | {tokens}
    readers = Counter(name for node in nodes if not within.isdisjoint(node.output) for name in node.input)
    still = {tokens: readers[tokens]}
    for node in nodes:
        if within.isdisjoint(node.output) or node.op_type == "MatMul":
            break
        for name in node.input:
            if name in still:
                still[name] -= 1
        still |= {name: readers[name] for name in node.output}
        alone = [name for name, count in still.items() if count] == [node.output[0]]
        ends = node.op_type == "LayerNormalization" or (node.op_type == "Add" and len(within & {*node.input}) == 1)
        # All that attention reads of the tokens goes through this one.
        if alone and ends:
            return str(node.output[0])
    return tokens
