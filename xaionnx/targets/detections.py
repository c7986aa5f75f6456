"""Detections: the boxes of a detector in one form, whatever the layout of its outputs.

A detection is a row of ``5 + K`` numbers: the corners x0, y0, x1, y1 in pixels of the model's input, the objectness
(the largest class score if the detector has none), and the K class scores, which contain the objectness as a factor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from xaionnx.typing import Array

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder

CORNERS: Final = 4
OBJECTNESS: Final = 4
SCORES: Final = 5
"""Where the parts of a detection begin."""

OVERLAP: Final = 0.5
"""The overlap from which two boxes of one class count as the same object."""


def overlaps(boxes: Array, box: Array) -> Array:
    """Return the intersection over union of boxes (..., 4) with one box (..., 4), 0 for empty boxes.

    Examples
    --------
    >>> overlaps(np.array([[0.0, 0, 2, 2], [2, 2, 4, 4]]), np.array([0.0, 0, 2, 1]))
    array([0.5, 0. ])
    """
    low = np.maximum(boxes[..., :2], box[..., :2])
    high = np.minimum(boxes[..., 2:4], box[..., 2:4])
    inside = np.prod(np.maximum(high - low, 0), axis=-1)
    areas = [np.prod(np.maximum(each[..., 2:4] - each[..., :2], 0), axis=-1) for each in (boxes, box)]
    union = areas[0] + areas[1] - inside
    return np.asarray(np.divide(inside, union, out=np.zeros(union.shape), where=union > 0))


def distinct(boxes: Array, scores: Array, classes: Array, count: int) -> list[int]:
    """Return the indices of at most ``count`` boxes in order of falling score, without doubles (greedy NMS).

    A box is left out if it overlaps a better one of its class by more than :data:`OVERLAP`.

    Parameters
    ----------
    boxes : array (B, 4)
    scores : array (B,)
    classes : array of int (B,)
    count : int
    """
    kept: list[int] = []
    waiting = np.argsort(-scores, kind="stable")
    while len(waiting) and len(kept) < count:
        best, waiting = int(waiting[0]), waiting[1:]
        kept.append(best)
        double = (classes[waiting] == classes[best]) & (overlaps(boxes[waiting], boxes[best]) > OVERLAP)
        waiting = waiting[~double]
    return kept


def similarities(detections: Array, target: Array) -> Array:
    r"""Return the similarity of a target detection to the most similar detection of each sample, (M,).

    .. math:: s(d_t, d_j) = IoU(L_t, L_j) \cdot \frac{P_t \cdot P_j}{|P_t| |P_j|} \cdot O_j,
              \qquad S(d_t, f(x)) = \max_j s(d_t, d_j)

    with the box L, the class probabilities P and the objectness O of a detection (equations 3 to 6 of D-RISE). The
    paper omits O for detectors without objectness; here the largest class score takes its place, because a detector
    that returns thousands of boxes always has one at the right position, however low its scores.

    Parameters
    ----------
    detections : array (M, B, 5 + K)
    target : array (5 + K,) or (M, 5 + K)

    References
    ----------
    Petsiuk et al., Black-box explanation of object detectors via saliency maps, CVPR 2021, arXiv:2006.03204.

    Examples
    --------
    >>> target = np.array([0.0, 0, 2, 1, 1, 3, 4])
    >>> similarities(np.array([[[0.0, 0, 2, 2, 0.5, 3, 4], [5, 5, 6, 6, 1, 3, 4]]]), target)
    array([0.25])
    """
    one = np.broadcast_to(target, (len(detections), detections.shape[-1]))[:, None].astype(np.float64)
    scores, wanted = detections[..., SCORES:].astype(np.float64), one[..., SCORES:]
    # The objectness cancels in the cosine, so scores serve as probabilities.
    products = np.sqrt((scores**2).sum(axis=-1) * (wanted**2).sum(axis=-1))
    cosines = np.divide((scores * wanted).sum(axis=-1), products, out=np.zeros(products.shape), where=products > 0)
    shared = overlaps(detections[..., :CORNERS].astype(np.float64), one[..., :CORNERS])
    best: Array = (shared * cosines * detections[..., OBJECTNESS]).max(axis=1)
    return best


def emit_similarities(g: Builder, detections: ir.Value, target: ir.Value) -> ir.Value:
    """Add nodes for :func:`similarities`: (M, 1) for detections (M, B, 5 + K) and a target (1, 1, 5 + K)."""

    def take(value: ir.Value, *columns: int) -> ir.Value:
        return g.op("Gather", value, np.array(columns, dtype=np.int64), axis=2)

    def scores_of(value: ir.Value) -> ir.Value:
        begin, end, axis = (np.array([number], dtype=np.int64) for number in (SCORES, np.iinfo(np.int64).max, 2))
        return g.op("Slice", value, begin, end, axis)

    def area(low: ir.Value, high: ir.Value) -> ir.Value:
        sides = g.op("Relu", g.op("Sub", high, low))
        return g.op("Mul", take(sides, 0), take(sides, 1))

    low, high = (take(detections, *axes) for axes in ((0, 1), (2, 3)))
    target_low, target_high = (take(target, *axes) for axes in ((0, 1), (2, 3)))
    inside = area(g.op("Max", low, target_low), g.op("Min", high, target_high))
    union = g.op("Sub", g.op("Add", area(low, high), area(target_low, target_high)), inside)
    axes = np.array([2], dtype=np.int64)
    scores, wanted = scores_of(detections), scores_of(target)
    dot = g.op("ReduceSum", g.op("Mul", scores, wanted), axes, keepdims=1)
    squares = [g.op("ReduceSum", g.op("Mul", each, each), axes, keepdims=1) for each in (scores, wanted)]
    lengths = g.op("Sqrt", g.op("Mul", *squares))
    # Where a denominator is 0, so is its numerator.
    tiny = np.array(np.finfo(np.float32).tiny, dtype=np.float32)
    shared, cosine = (g.op("Div", top, g.op("Max", bottom, tiny)) for top, bottom in ((inside, union), (dot, lengths)))
    each = g.reshape(g.op("Mul", g.op("Mul", shared, cosine), take(detections, OBJECTNESS)), np.array([0, -1]))
    best = g.op("TopK", each, np.array([1], dtype=np.int64), axis=1, outputs=2)
    return best[0]
