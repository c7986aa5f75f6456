"""The elements that a target reads, and the tensors inside the model from which they are computed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.dependence import Dependence, DependenceWalk
from xaionnx.runtime.graph_facts import graph_fact
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.resolve import ResolvedTargets
from xaionnx.targets.selection import TargetTerm
from xaionnx.typing import Array

# Elements of a region that are followed one by one.
_ELEMENTS = 9
# Layers that a message names, and the ops whose outputs people name most.
_NAMED = 5
_LAYERS = frozenset(
    {"Relu", "Conv", "Add", "Mul", "LayerNormalization", "Gelu", "Concat", "MatMul", "Clip", "LeakyRelu"}
)


@final
@dataclass(frozen=True, eq=False)
class TargetElements:
    """The elements of a tensor that a target reads for one sample.

    Attributes
    ----------
    tensor : str
    indices : array of int, or None
        Into the flattened axes after the batch; None for all elements.
    name : str
        The target in words.
    of_box : bool
        Whether they are the score of a box of a detector.
    """

    tensor: str
    indices: Array | None = None
    name: str = ""
    of_box: bool = False

    __repr__ = short_repr

    @classmethod
    def of(cls, term: TargetTerm, number: int) -> TargetElements:
        """Return the elements that a target reads for sample ``number``."""
        name = term.names[number]
        if term.activation in ("softmax", "log_softmax"):
            return cls(term.tensor, None, name)
        read = term.coefficients[number] != 0 if term.reference is None else slice(None)
        return cls(term.tensor, np.unique(term.indices[number][read]), name, term.boxes is not None)

    @property
    def key(self) -> tuple[str, bytes | None, bool]:
        """The same for equal elements; of a region only a hash, because a key is kept for each sample's region."""
        indices = self.indices
        return self.tensor, None if indices is None else hashlib.sha256(indices.tobytes()).digest(), self.of_box


def elements_read(resolved: ResolvedTargets) -> list[list[TargetElements]]:
    """Return the elements that each of T targets reads for each of N samples; equal ones are the same object."""
    known: dict[object, TargetElements] = {}
    found = list[list[TargetElements]]()
    for term in resolved.terms:
        of_term = [TargetElements.of(term, number) for number in range(len(term.indices))]
        found.append([known.setdefault((one.key, one.name), one) for one in of_term])
    return found


def dependence(model: Model, sizes: Mapping[str, Sequence[int]], read: Sequence[TargetElements]) -> Dependence:
    """Return the tensors that some elements depend on, for inputs of the given ``sizes`` for one sample."""
    wanted: dict[str, Array | None] = {}
    for one in read:
        before = wanted.get(one.tensor, one.indices)
        whole = before is None or one.indices is None
        wanted[one.tensor] = None if whole else np.union1d(before, one.indices)  # type: ignore[arg-type]  # not None
    return _walk(model, sizes).back(wanted)


def _walk(model: Model, sizes: Mapping[str, Sequence[int]]) -> DependenceWalk:
    key = ("dependence", tuple((name, tuple(size)) for name, size in sizes.items()))
    return graph_fact(model, key, lambda view: DependenceWalk(view, sizes))


def shared_dependence(model: Model, sizes: Mapping[str, Sequence[int]], read: Sequence[TargetElements]) -> set[str]:
    """Return the names of the tensors that each of some elements depends on: of a region, evenly spaced ones."""
    walk, shared = _walk(model, sizes), None
    for one in read:
        indices, shape = one.indices, walk.shape(one.tensor)
        if indices is None:
            if shape is None:
                continue
            count = math.prod(shape[1:])
        else:
            count = len(indices)
        some = np.unique(np.linspace(0, count - 1, _ELEMENTS).astype(int)) if count else np.array([], dtype=int)
        for index in some if indices is None else indices[some]:
            found = set(walk.back({one.tensor: np.array([index])}).elements)
            shared = found if shared is None else shared & found
    return set(dependence(model, sizes, read).elements) if shared is None else shared


def check_depends(
    model: Model, layer: str, sizes: Mapping[str, Sequence[int]], read: Sequence[Sequence[TargetElements]]
) -> None:
    """Check that every target of every sample, (T, N), depends on a layer.

    Raises
    ------
    UnsupportedModelError
        One does not, so that all values there are zero; the message names layers on which it depends.
    """
    checked = set[object]()
    for of_target in read:
        for number, one in enumerate(of_target):
            if one.key in checked or layer == one.tensor:
                continue
            checked.add(one.key)
            found = dependence(model, sizes, [one])
            if layer not in found:
                raise UnsupportedModelError(_independent(model, layer, one, number, len(of_target), found))


def _independent(model: Model, layer: str, target: TargetElements, number: int, count: int, found: Dependence) -> str:
    inputs = {info.name for info in model.inputs} | {target.tensor}
    computed = model.view.descendants(info.name for info in model.inputs)
    names = [name for name in model.view.tensor_names if name in found and name in computed and name not in inputs]
    windows = [name for name in names if model.view.producers[name].op_type in _LAYERS]
    nearest = (windows or names)[: -_NAMED - 1 : -1]
    where = f" of sample {number}" if count > 1 else ""
    advice = f"Name one on which it does, such as {', '.join(nearest)}." if nearest else "Explain the input."
    return (
        f"The target '{target.name}'{where} does not depend on layer '{layer}' of {model.name}, so all values there "
        f"are zero. {advice}"
    )
