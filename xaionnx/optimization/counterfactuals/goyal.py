"""Goyal: which cells of another picture would have changed the answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from xaionnx.data.display import as_picture
from xaionnx.errors import DataError, UnsupportedModelError
from xaionnx.layers.default_layer import default_layer
from xaionnx.layers.layer import Layer, check_layer, layer_name
from xaionnx.optimization.contrast import Contrast, InputSearch, Problem
from xaionnx.optimization.judge import Judge
from xaionnx.parameters import choice, integer, name, real
from xaionnx.runtime.model import Model
from xaionnx.typing import Array

if TYPE_CHECKING:
    from numpy.typing import NDArray


@final
@dataclass(frozen=True, kw_only=True)
class Goyal(InputSearch):
    """The fewest cells of a layer of the picture to be replaced by cells of another one, for the class of that one::

        f* = (1 - a) f(I) + a P f(I')        a of 0 and 1, one for each cell; P a permutation of cells

    ``exhaustive`` tries each cell of the picture with each of the other one, takes the pair with the highest score, and
    goes on with those that are left until the wanted class leads; equal scores go to the lowest cell of the picture,
    then of the other. ``relaxed`` follows the gradient with a and the rows of P as softmax of free numbers, and takes
    the largest entries: one gradient a step, and no pair is tried. The model is cut at ``layer`` and only the part
    behind it runs. The wanted class is by default that of the other picture.

    ``provenance["cells"]`` are the pairs [cell, cell of the other], in the order in which they were taken, numbered by
    rows; ``scores`` the score after each. The pictures are both inputs with their cells framed, and the picture with
    those cells pasted.

    References
    ----------
    Goyal, Wu, Ernst, Batra, Parikh and Lee, Counterfactual visual explanations, ICML 2019, arXiv:1904.07451, algorithm
    1 and equation 5.
    """

    reference: ClassVar[str] = "Goyal et al. 2019, arXiv:1904.07451"
    takes_distractor: ClassVar[bool] = True

    layer: str | None = name("map whose cells are replaced; the last one before pooling if not given")
    method: str = choice("exhaustive", ("exhaustive", "relaxed"), "how a pair of cells is chosen")
    most: int | None = integer(None, "most pairs; all cells if not given", low=1, optional=True)
    steps: int = integer(100, "gradient steps for each pair, for relaxed", low=1)
    rate: float = real(0.3, "length of these steps", low=0, low_open=True)

    def search(self, problem: Problem) -> list[Contrast]:
        head = _Head.of(problem, self.layer)
        assert problem.distractor is not None  # checked before
        model, other = problem.model, problem.distractor.array
        theirs = Judge(model, other, None, keep=True) if problem.to is None else None
        judge = Judge(head.model, head.query, problem.to if theirs is None else theirs.own)
        if judge.valid(head.query[None])[0]:
            said = "the other picture is one too" if theirs is not None else "that is the wanted class"
            raise DataError(
                f"The picture is {judge.words(head.query)} already, and {said}: no cell has to change. Give a picture "
                "of another class as 'distractor'."
            )
        before = problem.judge(judge.own, keep=True)
        cells = self.cells(head, judge)
        edited = head.pasted(cells)
        scores = [float(judge.scores(head.pasted(cells[: k + 1])[None])[0]) for k in range(len(cells))]
        found = problem.contrast("pasted cells", None, before, float(len(cells)), "number of cells")
        rows, columns = head.query.shape[1:]
        pictures = {}
        if problem.sample.pixels_of(problem.sample.main) is not None:
            query, distractor = as_picture(problem.sample), as_picture(problem.distractor)
            pictures = {
                f"input, {judge.words(head.query)}": _framed(query, [i for i, _ in cells], rows, columns),
                f"other, {judge.words(head.other)}": _framed(distractor, [j for _, j in cells], rows, columns),
                f"pasted, {judge.words(edited)}": _pasted(query, distractor, cells, rows, columns),
            }
        return [
            replace(
                found,
                after=judge.words(edited),
                before=judge.words(head.query),
                valid=bool(judge.valid(edited[None])[0]),
                score=float(judge.scores(edited[None])[0]),
                pictures=pictures,
                diagnostics={"evaluations": judge.evaluations + before.evaluations},
                provenance={
                    "layer": head.layer,
                    "grid": [rows, columns],
                    "cells": [list(pair) for pair in cells],
                    "scores": scores,
                },
            )
        ]

    def cells(self, head: _Head, judge: Judge) -> list[tuple[int, int]]:
        """Return the pairs of cells until the wanted class leads, or none are left."""
        count = int(np.prod(head.query.shape[1:]))
        taken: list[tuple[int, int]] = []
        while len(taken) < min(count, self.most or count) and not judge.valid(head.pasted(taken)[None])[0]:
            free = [sorted(set(range(count)) - {pair[side] for pair in taken}) for side in (0, 1)]
            choose = self._exhaustive if self.method == "exhaustive" else self._relaxed
            taken.append(choose(head, judge, taken, free))
        return taken

    @staticmethod
    def _exhaustive(head: _Head, judge: Judge, taken: list[tuple[int, int]], free: list[list[int]]) -> tuple[int, int]:
        base, best, pair = head.pasted(taken), -np.inf, (free[0][0], free[1][0])
        theirs = head.other.reshape(len(head.other), -1)
        for i in free[0]:
            tried = np.repeat(base.reshape(len(base), -1)[None], len(free[1]), axis=0)
            tried[:, :, i] = theirs[:, free[1]].T
            scores = judge.scores(tried.reshape(-1, *base.shape))
            first = int(scores.argmax())
            if scores[first] > best:
                best, pair = float(scores[first]), (i, free[1][first])
        return pair

    def _relaxed(
        self, head: _Head, judge: Judge, taken: list[tuple[int, int]], free: list[list[int]]
    ) -> tuple[int, int]:
        """Ascent of the score in the logits of one gate over cells and of an alignment of each."""
        base = head.pasted(taken)
        flat, theirs = base.reshape(len(base), -1).astype(np.float64), head.other.reshape(len(base), -1)[:, free[1]]
        mine = flat[:, free[0]]
        gates, aligned = np.zeros(len(free[0])), np.zeros((len(free[0]), len(free[1])))
        for _ in range(self.steps):
            a, p = _softmax(gates), _softmax(aligned)
            source = theirs @ p.T  # (C, i)
            mixed = flat.copy()
            mixed[:, free[0]] = (1 - a) * mine + a * source
            slope = judge.slope(mixed.reshape(base.shape))
            if slope is None:
                raise UnsupportedModelError(f"{head.model.name} has no gradient. Take method='exhaustive'.")
            each = slope.reshape(len(base), -1)[:, free[0]]
            of_gates = (each * (source - mine)).sum(axis=0)
            of_aligned = a[:, None] * (each.T @ theirs)
            size = max(float(np.abs(of_gates).max()), 1e-12)
            gates += self.rate * a * (of_gates - a @ of_gates) * len(a) / size
            aligned += self.rate * len(a) * p * (of_aligned - (p * of_aligned).sum(1, keepdims=True)) * len(p[0]) / size
        row = int(gates.argmax())
        return free[0][row], free[1][int(aligned[row].argmax())]


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


@final
@dataclass(frozen=True, eq=False)
class _Head:
    """The part of a model behind a layer, with the values of the layer at both pictures, (C, h, w)."""

    layer: str
    model: Model
    query: Array
    other: Array

    @classmethod
    def of(cls, problem: Problem, layer: str | None) -> _Head:
        model, sample = problem.model, problem.sample
        assert problem.distractor is not None  # checked before
        if problem.distractor.array.shape != sample.array.shape:
            raise UnsupportedModelError(
                f"The distractor is {problem.distractor.array.shape}, and the picture {sample.array.shape}. Their "
                "cells must match: give pictures of one size."
            )
        if layer is None:
            layer = default_layer(model, (sample.main,), [model.output().name], sample)
        layer = layer_name(model, layer)
        check_layer(model, layer)
        both = np.stack([sample.array, problem.distractor.array])
        held = Layer.of(model, layer, {sample.main: both})
        head = held.downstream((model.output().name,))
        if len(head.inputs) != 1 or held.x.ndim != 4:
            raise UnsupportedModelError(
                f"Layer '{layer}' of {model.name} is {held.x.shape[1:]}, and what follows reads "
                f"{', '.join(info.name for info in head.inputs)}. Name a map (C, h, w) that no connection bypasses."
            )
        return cls(layer, head, held.x[0], held.x[1])

    def pasted(self, cells: list[tuple[int, int]]) -> Array:
        """The map of the picture with cells of the other one."""
        made = self.query.reshape(len(self.query), -1).copy()
        for i, j in cells:
            made[:, i] = self.other.reshape(len(self.other), -1)[:, j]
        return made.reshape(self.query.shape)


def _box(cell: int, size: tuple[int, ...], rows: int, columns: int) -> tuple[slice, slice]:
    """The pixels of a cell."""
    top, left = divmod(cell, columns)
    edges = [
        np.linspace(0, extent, count + 1).round().astype(int)
        for extent, count in zip(size, (rows, columns), strict=False)
    ]
    return slice(edges[0][top], edges[0][top + 1]), slice(edges[1][left], edges[1][left + 1])


def _framed(picture: NDArray[np.uint8], cells: list[int], rows: int, columns: int) -> NDArray[np.uint8]:
    """The picture, fainter outside some cells."""
    shown = (picture.astype(np.float64) * 0.45).astype(np.uint8)
    for cell in cells:
        box = _box(cell, picture.shape, rows, columns)
        shown[box] = picture[box]
        # A warm light on cells, also where they are black.
        shown[box][..., 0] = np.maximum(shown[box][..., 0], 90)
    return shown


def _pasted(
    query: NDArray[np.uint8], other: NDArray[np.uint8], cells: list[tuple[int, int]], rows: int, columns: int
) -> NDArray[np.uint8]:
    """The picture with the pixels of cells of the other one."""
    made = query.copy()
    for i, j in cells:
        to, of = _box(i, query.shape, rows, columns), _box(j, query.shape, rows, columns)
        height, width = (min(a.stop - a.start, b.stop - b.start) for a, b in zip(to, of, strict=True))
        made[to[0].start : to[0].start + height, to[1].start : to[1].start + width] = other[
            of[0].start : of[0].start + height, of[1].start : of[1].start + width
        ]
    return made
