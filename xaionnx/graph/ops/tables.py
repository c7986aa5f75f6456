"""Ops of ``ai.onnx.ml`` that prepare the columns of a table."""

from __future__ import annotations

import numpy as np

from xaionnx.graph.dependence import Elements, ElementStep, Operands, same_elements
from xaionnx.graph.op import Kind, Op
from xaionnx.typing import Array


def _one_hot_elements(step: ElementStep) -> Operands:
    """The categories of a number are on a further, last axis."""
    return Operands({0: None if step.elements is None else step.elements[:-1]})


def _extracted_elements(step: ElementStep) -> Operands:
    """Entries of the last axis, chosen by constant indices."""
    held, indices = step.shape(), step.array(1)
    if held is None or indices is None:
        return Operands({0: None, 1: None}, certain=indices is not None)
    chosen = indices.reshape(-1)
    wanted = step.elements
    last = None if wanted is None else wanted[-1]
    entries: Array = np.zeros(held[-1], dtype=bool)
    entries[chosen if last is None else chosen[last]] = True
    before = (None,) * (len(held) - 1) if wanted is None or len(wanted) != len(held) else wanted[:-1]
    return Operands({0: (*before, entries)})


def _listed_elements(step: ElementStep) -> Operands | None:
    """Columns of several tables beside each other."""
    sizes = [step.shape(number) for number in range(len(step.node.input))]
    if step.elements is None or any(shape is None or len(shape) != 2 for shape in sizes):
        return None
    columns, first, found = step.elements[-1], 0, dict[int, Elements]()
    for number, shape in enumerate(sizes):
        assert shape is not None  # checked above
        found[number] = (None, None if columns is None else columns[first : first + shape[-1]])
        first += shape[-1]
    return Operands(found)


OPS = (
    *(
        Op(name, Kind.OTHER, elements=same_elements)
        for name in ("Scaler", "Imputer", "Binarizer", "LabelEncoder", "CategoryMapper")
    ),
    Op("OneHotEncoder", Kind.OTHER, elements=_one_hot_elements),
    Op("ArrayFeatureExtractor", Kind.OTHER, elements=_extracted_elements),
    Op("FeatureVectorizer", Kind.OTHER, elements=_listed_elements),
)
