"""Attention, written as its products, masks and softmax.

Shapes: B samples, S queries, L keys of this call, T keys with those of the past, N heads of size H.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from xaionnx.graph.fused.quantised import floats
from xaionnx.graph.fused.rotary import count, rotate
from xaionnx.graph.fused_op import FusedNode, fused


@dataclass(frozen=True)
class _Heads:
    """Queries (B, N, S, H), keys and values (B, N, T, H), and what is added to their scores (B or 1, N or 1, S, T)."""

    queries: str
    keys: str
    values: str
    added: Sequence[str]


@fused("Attention")
def attention(f: FusedNode) -> Sequence[str]:
    """Attention between tokens, whose queries, keys and values are their products with parts of one matrix."""
    mask, past, added = f.input(3), f.input(4), f.input(5)
    return _self_attention(f, f.input(0), f.input(1), f.input(2), (mask, past, added))


@fused("QAttention")
def quantised_attention(f: FusedNode) -> Sequence[str]:
    """Attention between tokens that are integers, with a matrix of integers."""
    x, weights = floats(f, 0, 3, 6), f.array(f.input(1))
    scale, zero = f.array(f.input(4)), f.array(f.input(7)) if f.input(7) else np.zeros((), np.float32)
    if weights is None or scale is None or zero is None:
        raise f.refusal("its weights are computed")
    matrix = (weights.astype(np.float32) - zero.astype(np.float32)) * scale.astype(np.float32)
    return _self_attention(f, x, f.constant(matrix), f.input(2), (f.input(5), f.input(8), ""))


def _self_attention(f: FusedNode, x: str, weights: str, bias: str, extras: tuple[str, str, str]) -> Sequence[str]:
    mask, past, added = extras
    if f.attribute("do_rotary", 0) or f.attribute("past_present_share_buffer", 0):
        raise f.refusal("it shares buffers or turns its queries")
    heads, sizes = f.attribute("num_heads"), f.attribute("qkv_hidden_sizes")
    total = f.size(weights, 1)
    sizes = list(sizes) if sizes else [total // 3] * 3
    parts = pieces(f, weights, 1, sizes)
    shifts = pieces(f, bias, 0, sizes) if bias else ["", "", ""]
    q, k, v = (
        split_heads(f, shifted(f, f.op("MatMul", x, part), shift), heads)
        for part, shift in zip(parts, shifts, strict=True)
    )
    fresh = (k, v)
    if past:
        held = f.split(past, 0, (1, 1))
        k, v = (
            f.op("Concat", f.op("Squeeze", old, f.integers([0])), new, axis=2)
            for old, new in zip(held, fresh, strict=True)
        )
    masks = [masked_scores(f, mask, q, k)] if mask else []
    if f.attribute("unidirectional", 0):
        masks.append(later_keys(f, q, k))
    y, _ = attend(f, _Heads(q, k, v, [*masks, *([added] if added else [])]))
    present = ""
    if f.wants(1):
        first = f.integers([0])
        present = f.op("Concat", f.op("Unsqueeze", k, first), f.op("Unsqueeze", v, first), axis=0)
    return [y, present] if present else [y]


@fused("MultiHeadAttention")
def multi_head_attention(f: FusedNode) -> Sequence[str]:
    """Attention of given queries, keys and values."""
    query, key, value, bias, mask, added, past_key, past_value = (f.input(index) for index in range(8))
    heads = f.attribute("num_heads")
    if f.input(8) or f.input(9):
        raise f.refusal("it shares buffers of past keys")
    q, k, v = _given_heads(f, query, key, value, bias, heads)
    if past_key:
        k, v = f.op("Concat", past_key, k, axis=2), f.op("Concat", past_value, v, axis=2)
    masks = [masked_scores(f, mask, q, k)] if mask else []
    if f.attribute("unidirectional", 0):
        masks.append(later_keys(f, q, k))
    y, scores = attend(f, _Heads(q, k, v, [*masks, *([added] if added else [])]))
    return y, k, v, scores


def _given_heads(f: FusedNode, query: str, key: str, value: str, bias: str, heads: int) -> list[str]:
    if f.rank(query) == 5:  # (B, L, N, 3, H)
        parts = [query] * 3
        indices: Sequence[int] = (0, 1, 2)
    elif key and f.rank(key) == 5:  # (B, L, N, 2, H)
        parts, indices = [query, key, key], (-1, 0, 1)
    else:
        parts, indices = [query, key or query, value or key or query], (-1, -1, -1)
    shifts = ["", "", ""]
    if bias:
        if any(f.rank(part) == 4 for part in parts):
            raise f.refusal("its bias is for keys that are split into heads already")
        width = f.size(bias, 0)
        # Queries and keys have the same size.
        queries = heads * f.size(query, 4) if f.rank(query) == 5 else f.size(query, 2)
        shifts = pieces(f, bias, 0, [queries, queries, width - 2 * queries])
    found = []
    for part, index, shift in zip(parts, indices, shifts, strict=True):
        if f.rank(part) == 4:
            found.append(part)
            continue
        flat = part
        if index >= 0:
            picked = f.op("Gather", part, f.integers(index), axis=3)
            flat = f.op("Reshape", picked, f.integers([0, 0, -1])) if shift else picked
            if not shift:
                found.append(f.transpose(picked, 0, 2, 1, 3))
                continue
        found.append(split_heads(f, shifted(f, flat, shift), heads))
    return found


@fused("GroupQueryAttention")
def group_query_attention(f: FusedNode) -> Sequence[str]:
    """Attention in which several heads of queries share one of keys and values.

    A sample of B has ``length + 1`` keys, of which the last S are those of this call; in a first call, whose samples
    start at 0, what follows them is padding. The keys that are an output follow each sample's own past.
    """
    _check_group_query(f)
    heads, shared = f.attribute("num_heads"), f.attribute("kv_num_heads")
    query, key, value, past_key, past_value = (f.input(index) for index in range(5))
    if not key:  # queries, keys and values are packed
        size = f.size(query, 2) // (heads + 2 * shared)
        query, key, value = f.split(query, 2, (heads * size, shared * size, shared * size))
    size = f.size(query, 2) // heads
    q, k, v = split_heads(f, query, heads), split_heads(f, key, shared), split_heads(f, value, shared)
    total = f.op("Cast", f.input(6), to=TensorProto.INT64)
    total = f.op("Reshape", total, f.integers([]))
    fresh = f.op("Gather", f.op("Shape", q), f.integers(2), axis=0)
    before = f.op("Sub", total, fresh)
    lengths = None if _are_equally_long(f) else _Lengths.of(f, q, fresh)
    if f.attribute("do_rotary", 0):
        positions = f.input(9) or (lengths.queries if lengths else f.op("Add", before, count(f, q, 2)))
        angles = [f.op("Gather", f.input(index), positions) for index in (7, 8)]
        turned = 2 * f.size(f.input(7), 1)
        q, k = (rotate(f, each, angles[0], angles[1], turned) for each in (q, k))
    if past_key:
        end = f.op("Reshape", before, f.integers([1]))
        bounds = (f.integers([0]), end, f.integers([2]))
        k, v = (
            f.op("Concat", f.op("Slice", old, *bounds), new, axis=2) for old, new in ((past_key, k), (past_value, v))
        )
    repeated = [_repeat(f, each, heads // shared) for each in (k, v)]
    masks = []
    if lengths:
        masks = [lengths.masked(f, q, before if past_key else "")]
    elif f.attribute("causal", 1):
        masks = [later_keys(f, q, k, f.attribute("local_window_size", -1))]
    masks += [f.input(10)] if f.input(10) else []
    y, _ = attend(f, _Heads(q, repeated[0], repeated[1], masks))
    if lengths and past_key and (f.wants(1) or f.wants(2)):
        k, v = (lengths.placed(f, each, before) for each in (k, v))
    return y, k, v


def _check_group_query(f: FusedNode) -> None:
    if any(f.input(index) for index in range(11, 16)) or f.attribute("kv_cache_bit_width", 0):
        raise f.refusal("its keys are quantised or normalised, or it has sinks")
    if f.attribute("smooth_softmax", -1) > 0 or f.attribute("sliding_window_cache", 0):
        raise f.refusal("it has a smooth softmax or a sliding cache")


def _are_equally_long(f: FusedNode) -> bool:
    """Whether no sample of GroupQueryAttention is shorter than another, as far as the file tells."""
    shape, lengths, total = f.facts.shape(f.input(0)), f.array(f.input(5)), f.array(f.input(6))
    if lengths is not None and total is not None:
        return bool((lengths + 1 == total).all())
    return shape is not None and shape[0] == 1


@dataclass(frozen=True)
class _Lengths:
    """Samples of unequal lengths: the position (B, 1) of the last key, and those of the queries (B, S)."""

    last: str
    queries: str

    @classmethod
    def of(cls, f: FusedNode, queries: str, fresh: str) -> _Lengths:
        """Write the positions; a sample that is padded starts at 0."""
        last = f.op("Reshape", f.op("Cast", f.input(5), to=TensorProto.INT64), f.integers([-1, 1]))
        start = f.op("Max", f.op("Sub", f.op("Add", last, f.integers(1)), fresh), f.integers(0))
        return cls(last, f.op("Add", start, count(f, queries, 2)))

    def masked(self, f: FusedNode, queries: str, before: str) -> str:
        """Write the lowest number (B, 1, S, T) where a key is hidden, ``before`` being the most keys of the past."""
        keys = self.queries
        if before:
            past = f.op("Range", f.integers(0), before, f.integers(1))
            start = f.op("Gather", self.queries, f.integers([0]), axis=1)
            # Of a shorter past the end is not read.
            held = f.op("Where", f.op("Less", past, start), past, f.integers(2**31))
            keys = f.op("Concat", held, keys, axis=1)
        column, last = (f.op("Unsqueeze", value, f.integers([1, 2])) for value in (keys, self.last))
        row = f.op("Unsqueeze", self.queries, f.integers([1, 3]))
        seen, window = f.op("LessOrEqual", column, last), f.attribute("local_window_size", -1)
        if f.attribute("causal", 1):
            seen = f.op("And", seen, f.op("LessOrEqual", column, row))
            if window > 0:
                seen = f.op("And", seen, f.op("Greater", column, f.op("Sub", row, f.integers(window))))
        return _where_hidden(f, seen, _lowest(f, queries), queries)

    def placed(self, f: FusedNode, keys: str, before: str) -> str:
        """Write keys (B, N, T, H), of which the new ones follow the longest past, so that they follow each own past."""
        place, start = count(f, keys, 2), f.op("Gather", self.queries, f.integers([0]), axis=1)
        last = f.op("Sub", f.op("Gather", f.op("Shape", keys), f.integers(2), axis=0), f.integers(1))
        moved = f.op("Min", f.op("Add", f.op("Sub", place, start), before), last)
        source = f.op("Where", f.op("Less", place, start), place, moved)
        each = f.op("Expand", f.op("Unsqueeze", source, f.integers([1, 3])), f.op("Shape", keys))
        return f.op("GatherElements", keys, each, axis=2)


def _repeat(f: FusedNode, value: str, times: int) -> str:
    """Write (B, N, T, H) with each head ``times`` times in succession."""
    if times == 1:
        return value
    shape = f.op("Shape", value)
    wide = f.op("Unsqueeze", value, f.integers([2]))
    tiled = f.op("Concat", wide, *[wide] * (times - 1), axis=2)
    sizes = f.op("Slice", shape, f.integers([2]), f.integers([4]))
    return f.op("Reshape", tiled, f.op("Concat", f.integers([0]), f.integers([-1]), sizes, axis=0))


def pieces(f: FusedNode, value: str, axis: int, sizes: Sequence[int]) -> list[str]:
    """Write the parts of a tensor along an axis, as constants if it is one that the file contains."""
    array = None if f.facts.is_external(value) else f.array(value)
    if array is None:
        return f.split(value, axis, sizes)
    ends = list(np.cumsum(sizes))[:-1]
    return [f.constant(part) for part in np.split(array, ends, axis=axis)]


def shifted(f: FusedNode, value: str, shift: str) -> str:
    """Write a sum with a bias, if there is one."""
    return f.op("Add", value, shift) if shift else value


def split_heads(f: FusedNode, value: str, heads: int) -> str:
    """Write (B, S, N * H) as (B, N, S, H)."""
    return f.transpose(f.op("Reshape", value, f.integers([0, 0, heads, -1])), 0, 2, 1, 3)


def attend(f: FusedNode, heads: _Heads) -> tuple[str, str]:
    """Write the output (B, S, N * H) of attention, and the scores (B, N, S, T) whose softmax mixes the values."""
    scores = f.op("MatMul", heads.queries, f.transpose(heads.keys, 0, 1, 3, 2))
    scores, cap = _scaled(f, scores, heads.queries), f.attribute("softcap", 0.0)
    if cap:
        scores = f.op("Mul", f.op("Tanh", f.op("Div", scores, cap)), cap)
    for added in heads.added:
        scores = f.op("Add", scores, added)
    shares = f.op("Softmax", scores, axis=-1)
    mixed = f.op("MatMul", shares, heads.values)
    return f.op("Reshape", f.transpose(mixed, 0, 2, 1, 3), f.integers([0, 0, -1])), scores


def _scaled(f: FusedNode, scores: str, queries: str) -> str:
    """Write the scores times the stated factor, by default over the root of the size of a head."""
    if f.attribute("scale", 0.0):
        return f.op("Mul", scores, f.attribute("scale"))
    shape = f.facts.shape(queries)
    if shape is not None and shape[3] is not None:
        return f.op("Mul", scores, 1 / math.sqrt(shape[3]))
    size = f.op("Gather", f.op("Shape", queries), f.integers(3), axis=0)
    return f.op("Div", scores, f.op("Sqrt", f.op("CastLike", size, scores)))


def masked_scores(f: FusedNode, mask: str, queries: str, keys: str) -> str:
    """Write what a mask of any form adds to the scores: a large negative number where a key is masked."""
    rank, value = f.rank(mask), f.attribute("mask_filter_value", -10000.0)
    if rank == 1:
        seen = _between(f, mask, queries, keys)
    elif rank == 4:  # (B, 1, most, most), of which the rows and columns of this call are read
        seen = f.op("Greater", _window(f, mask, queries, keys), f.op("CastLike", f.integers(0), mask))
    else:
        kept = f.op("Unsqueeze", mask, f.integers([1, 2] if rank == 2 else [1]))
        seen = f.op("Greater", kept, f.op("CastLike", f.integers(0), mask))
    return _where_hidden(f, seen, value, queries)


def _where_hidden(f: FusedNode, seen: str, value: float, like: str) -> str:
    return f.op("Where", seen, f.numbers(0.0, like), f.numbers(value, like))


def _between(f: FusedNode, ends: str, queries: str, keys: str) -> str:
    """Write whether keys lie before the ends (B,), and for (2 B,) not before the starts that follow the ends."""
    batch = f.op("Slice", f.op("Shape", queries), f.integers([0]), f.integers([1]))
    ends = f.op("Cast", ends, to=TensorProto.INT64)
    zeros = f.op("Expand", f.integers(0), batch)
    both = f.op("Concat", ends, zeros, axis=0)
    twice = f.op("Add", batch, batch)
    place = count(f, keys, 2)
    last, first = (
        f.op("Unsqueeze", f.op("Slice", both, *bounds), f.integers([1, 2, 3]))
        for bounds in ((f.integers([0]), batch), (batch, twice))
    )
    seen = f.op("And", f.op("Less", place, last), f.op("GreaterOrEqual", place, first))
    # Inference does not know how long a slice with computed bounds is; a target of shapes it follows.
    total = f.op("Slice", f.op("Shape", keys), f.integers([2]), f.integers([3]))
    return f.op("Reshape", seen, f.op("Concat", batch, f.integers([1, 1]), total, axis=0))


def _window(f: FusedNode, mask: str, queries: str, keys: str) -> str:
    total = f.op("Slice", f.op("Shape", keys), f.integers([2]), f.integers([3]))
    fresh = f.op("Slice", f.op("Shape", queries), f.integers([2]), f.integers([3]))
    rows = f.op("Slice", mask, f.op("Sub", total, fresh), total, f.integers([2]))
    return f.op("Slice", rows, f.integers([0]), total, f.integers([3]))


def later_keys(f: FusedNode, queries: str, keys: str, window: int = -1) -> str:
    """Write the lowest number (S, T) where a key follows its query, or lies ``window`` or more keys before it."""
    total = f.op("Gather", f.op("Shape", keys), f.integers(2), axis=0)
    fresh = f.op("Gather", f.op("Shape", queries), f.integers(2), axis=0)
    row = f.op("Unsqueeze", f.op("Add", count(f, queries, 2), f.op("Sub", total, fresh)), f.integers([1]))
    column = count(f, keys, 2)
    seen = f.op("LessOrEqual", column, row)
    if window > 0:
        seen = f.op("And", seen, f.op("Greater", column, f.op("Sub", row, f.integers(window))))
    return _where_hidden(f, seen, _lowest(f, queries), queries)


def _lowest(f: FusedNode, like: str) -> float:
    return float(np.finfo(np.float16 if f.dtype(like) == TensorProto.FLOAT16 else np.float32).min)
