"""TargetSet: the numbers to explain, in the form to which every target resolves.

Each is a weighted sum over elements of one tensor, after an activation. A class score is one element with weight 1, a
margin two with weights 1 and -1, a region of a segmentation all its pixels, a cross-entropy one element of the
log-softmax with weight -1. The sums can be evaluated in numpy (:meth:`TargetSet.select`) and by graph nodes
(:meth:`TargetSet.emit`), with the same result.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, final

import numpy as np

from xaionnx.short_repr import short_repr
from xaionnx.targets.detections import emit_similarities, similarities
from xaionnx.typing import Array

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder


@final
@dataclass(frozen=True, eq=False)
class TargetTerm:
    """One target of N samples as ``sum_j coefficients[n, j] * f(tensor)[n, indices[n, j]]``.

    Attributes
    ----------
    tensor : str
        Name of the tensor, whose axes after the batch are flattened.
    activation : str
        The function f: ``identity``, ``exp``, ``sigmoid``, or over all elements of a sample ``softmax`` or
        ``log_softmax``. Or ``similarity``: a single number, see :func:`xaionnx.targets.detections.similarities`.
    indices : array of int64, (N, J)
    coefficients : array of float64, (N, J)
    reference : array of float64, (N, J), or None
        If given, ``(f(tensor) - reference) ** 2`` is summed instead; the target detection of ``similarity``.
    names : tuple of N str
        The target in words, for each sample.
    boxes : array (N, 4), or None
        The corners x0, y0, x1, y1 of the explained boxes in pixels of the model's input.
    quantity : str or None
        The quantity of the target, if it is known: see `xaionnx.targets.scores.quantity`.
    disagrees : array of bool (N,), or None
        Where the class is that of the model's label, but not the highest.
    """

    tensor: str
    activation: str
    indices: Array
    coefficients: Array
    names: tuple[str, ...]
    reference: Array | None = None
    boxes: Array | None = None
    quantity: str | None = None
    disagrees: Array | None = None

    __repr__ = short_repr

    @property
    def is_element(self) -> bool:
        """Whether the target is one element of the tensor for each sample, after the activation."""
        return self.indices.shape[1] == 1 and self.reference is None and bool((self.coefficients == 1).all())


SIMILARITY: Final = "similarity"
"""The activation of targets that compare detections."""
_ELEMENTWISE: Final[Mapping[str, str]] = {"sigmoid": "Sigmoid", "exp": "Exp"}


@final
@dataclass(frozen=True, eq=False)
class _Group:
    """Terms that differ only in their indices, evaluated together."""

    tensor: str
    activation: str
    members: tuple[int, ...]
    indices: Array  # (N, G, J)
    coefficients: Array  # (N, G, J)
    reference: Array | None

    def of_samples(self, numbers: Array) -> _Group:
        # Several times faster than dataclasses.replace, and called for each batch.
        reference = None if self.reference is None else self.reference[numbers]
        coefficients = self.coefficients if len(self.coefficients) == 1 else self.coefficients[numbers]
        return _Group(self.tensor, self.activation, self.members, self.indices[numbers], coefficients, reference)


@final
@dataclass(frozen=True, eq=False)
class TargetSet:
    """T targets of N samples.

    Parameters
    ----------
    terms : list of T TargetTerm

    Examples
    --------
    >>> scores = np.array([[1.0, 2.0, 4.0]])
    >>> term = TargetTerm("y", "identity", np.array([[2, 0]]), np.array([[1.0, -1.0]]), ("y[2] - y[0]",))
    >>> TargetSet([term]).select({"y": scores})
    array([[3.]])
    """

    terms: list[TargetTerm]
    _groups: list[_Group] = field(init=False, repr=False)

    __repr__ = short_repr

    def __post_init__(self) -> None:
        alike: dict[Hashable, list[int]] = {}
        for t, term in enumerate(self.terms):
            key = (term.tensor, term.activation, term.indices.shape[1], None if term.reference is None else t)
            alike.setdefault(key, []).append(t)
        object.__setattr__(self, "_groups", [self._group(members) for members in alike.values()])

    def _group(self, members: list[int]) -> _Group:
        terms = [self.terms[t] for t in members]
        first = terms[0]
        return _Group(
            first.tensor,
            first.activation,
            tuple(members),
            np.stack([p.indices for p in terms], axis=1),
            np.stack([p.coefficients for p in terms], axis=1),
            None if first.reference is None else first.reference[:, None, :],
        )

    def __len__(self) -> int:
        return len(self.terms)

    @property
    def tensors(self) -> list[str]:
        """The names of the tensors that are read."""
        return list(dict.fromkeys(group.tensor for group in self._groups))

    @property
    def names(self) -> Array:
        """The targets in words, (T, N)."""
        return np.array([term.names for term in self.terms])

    def of_sample(self, n: int) -> TargetSet:
        """Return the targets of sample ``n`` alone, which apply to any number of rows."""
        return self.of_samples(np.array([n]))

    def of_samples(self, numbers: Array) -> TargetSet:
        """Return the targets of these samples, in the given order; numbers may repeat."""
        listed = numbers.tolist()  # of Python's int, with which a tuple is read faster
        return TargetSet(
            [
                replace(
                    p,
                    indices=p.indices[numbers],
                    coefficients=p.coefficients[numbers],
                    names=tuple(map(p.names.__getitem__, listed)),
                    reference=None if p.reference is None else p.reference[numbers],
                    boxes=None if p.boxes is None else p.boxes[numbers],
                    disagrees=None if p.disagrees is None else p.disagrees[numbers],
                )
                for p in self.terms
            ]
        )

    @property
    def is_uniform(self) -> bool:
        """Whether the targets of all samples are the same elements, with the same weights."""
        arrays = [a for g in self._groups for a in (g.indices, g.coefficients, g.reference) if a is not None]
        return all((array == array[:1]).all() for array in arrays)

    def select(self, outputs: Mapping[str, Array], samples: Array | None = None) -> Array:
        """Return the targets' values (M, T) in float64 for outputs with M rows.

        M is N, or any number if the selection has a single sample, or if ``samples`` (M,) are the samples of the rows.
        """
        if samples is not None:
            groups = [group.of_samples(samples) for group in self._groups]
            return self._select(groups, outputs)
        return self._select(self._groups, outputs)

    def _select(self, groups: list[_Group], outputs: Mapping[str, Array]) -> Array:
        rows = len(outputs[self._groups[0].tensor])
        values = np.empty((rows, len(self)))
        for group in groups:
            if group.activation == SIMILARITY:
                assert group.reference is not None  # the target detection
                values[:, group.members[0]] = similarities(outputs[group.tensor], group.reference[:, 0])
                continue
            flat = activate(group.activation, outputs[group.tensor])
            if len(group.indices) == 1:
                # The same elements of each row.
                taken = np.take(flat, group.indices[0], axis=1).astype(np.float64)
            else:
                taken = flat[np.arange(rows)[:, None, None], group.indices].astype(np.float64)
            if group.reference is not None:
                taken = (taken - group.reference) ** 2
            if taken.shape[2] == 1:
                values[:, group.members] = (taken * group.coefficients)[:, :, 0]
                continue
            values[:, group.members] = np.einsum("mgj,mgj->mg", taken, np.broadcast_to(group.coefficients, taken.shape))
        return values

    def emit(self, g: Builder, tensors: Mapping[str, ir.Value]) -> ir.Value:
        """Add nodes that compute the values (M, T) in the graph; see :meth:`feeds` for their inputs."""
        parts: list[ir.Value] = []
        for number, group in enumerate(self._groups):
            if group.activation == SIMILARITY:
                assert group.reference is not None  # the target detection
                target = g.input(f"xaionnx_reference_{number}", np.float32, (1, 1, group.reference.shape[-1]))
                parts.append(emit_similarities(g, tensors[group.tensor], target))
                continue
            flat = emit_activation(g, group.activation, tensors[group.tensor])
            size = group.indices.shape[1:]
            indices = g.input(f"xaionnx_indices_{number}", np.int64, size)
            weights = g.input(f"xaionnx_weights_{number}", np.float32, size)
            # Gather along axis 1 serves all rows with one list of indices.
            taken = g.op("Gather", flat, indices, axis=1)
            if group.reference is not None:
                reference = g.input(f"xaionnx_reference_{number}", np.float32, size)
                difference = g.op("Sub", taken, reference)
                taken = g.op("Mul", difference, difference)
            weighted = g.op("Mul", taken, weights)
            parts.append(g.op("ReduceSum", weighted, np.array([2], dtype=np.int64), keepdims=0))
        joined = g.op("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
        order = np.argsort([member for group in self._groups for member in group.members])
        return g.op("Gather", joined, order.astype(np.int64), axis=1)

    def feeds(self) -> dict[str, Array]:
        """Return the inputs of the nodes of :meth:`emit`, for a selection of one sample."""
        return dict(self._feeds())

    def _feeds(self) -> Iterator[tuple[str, Array]]:
        for number, group in enumerate(self._groups):
            if group.activation == SIMILARITY and group.reference is not None:
                yield f"xaionnx_reference_{number}", group.reference[:1].astype(np.float32)
                continue
            yield f"xaionnx_indices_{number}", group.indices[0]
            yield f"xaionnx_weights_{number}", group.coefficients[0].astype(np.float32)
            if group.reference is not None:
                yield f"xaionnx_reference_{number}", group.reference[0].astype(np.float32)

    @property
    def structure(self) -> tuple[Hashable, ...]:
        """A key for the nodes of :meth:`emit`: two selections of equal structure share a graph."""
        return tuple(
            (g.tensor, g.activation, g.members, g.indices.shape[1:], g.reference is not None) for g in self._groups
        )


def padded_elements(chosen: Array) -> tuple[Array, Array]:
    """Return indices and weights (N, J) that add up the chosen elements of each sample, given as bools (N, S).

    Samples with fewer elements repeat one of theirs with weight 0.

    Examples
    --------
    >>> padded_elements(np.array([[True, False, True], [False, True, False]]))
    (array([[0, 2],
           [1, 1]]), array([[1., 1.],
           [1., 0.]]))
    """
    most = int(chosen.sum(axis=1).max())
    order = np.argsort(~chosen, axis=1, kind="stable")[:, :most]
    weights = np.take_along_axis(chosen, order, 1).astype(np.float64)
    return np.where(weights > 0, order, order[:, :1]), weights


def activate(activation: str, output: Array) -> Array:
    """Return the output with its axes after the batch flattened, after an activation of :class:`TargetTerm`: (M, S)."""
    flat = np.asarray(output).reshape(len(output), -1)
    if activation == "identity":
        return flat
    # Importing scipy.special would take longer than explaining a small model.
    wide = flat.astype(np.float64)
    # Infinite scores have no shares: NaN, which who reads them refuses.
    with np.errstate(invalid="ignore", over="ignore"):
        return _activated(activation, wide)


def _activated(activation: str, wide: Array) -> Array:
    if activation == "exp":
        return np.asarray(np.exp(wide))
    if activation == "sigmoid":
        small = np.exp(-np.abs(wide))  # never overflows
        return np.asarray(np.where(wide < 0, small, 1) / (1 + small))
    wide -= wide.max(axis=1, keepdims=True)
    exponentials = np.exp(wide)
    sums = exponentials.sum(axis=1, keepdims=True)
    return np.asarray(exponentials / sums if activation == "softmax" else wide - np.log(sums))


def emit_activation(g: Builder, activation: str, output: ir.Value) -> ir.Value:
    """Add nodes that compute :func:`activate` of an output in float32, and return its value (M, S)."""
    flat = g.reshape(g.op("Cast", output, to=1), np.array([0, -1], dtype=np.int64))
    if activation == "identity":
        return flat
    if activation in _ELEMENTWISE:
        return g.op(_ELEMENTWISE[activation], flat)
    return g.op({"softmax": "Softmax", "log_softmax": "LogSoftmax"}[activation], flat, axis=1)
