"""Attention and embeddings compute the same in plain ops."""

import itertools

import numpy as np
import pytest
from onnx import TensorProto

from tests.graph.fused.unfused import compare, of_op, reason, run, seeded, written
from tests.tolerances import Tolerance, assert_close
from xaionnx.graph.landmarks import attentions
from xaionnx.graph.view import GraphView

N, S, HEADS, SIZE = 3, 5, 2, 16
WIDTH = HEADS * SIZE
X = seeded(N, S, 6)
W, B = seeded(6, 3 * WIDTH), seeded(3 * WIDTH)
FLOAT = TensorProto.FLOAT
MASKS = {
    "none": None,
    "keys": np.int32([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 1, 1, 1, 1]]),
    "queries and keys": np.int32(np.random.default_rng(1).integers(0, 2, (N, S, S)) | np.eye(S, dtype=np.int64)),
    "ends": np.int32([5, 3, 4]),
    "ends and starts": np.int32([5, 3, 5, 0, 0, 2]),
}


def attention(mask=None, past=0, added=None, x=X, w=W, b=B, present=False, **stated):
    feeds, weights = {"x": x}, {"w": w, "b": b}
    inputs = ["x", "w", "b", "", "", ""]
    for index, (name, array) in enumerate((("m", mask), ("p", past), ("a", added)), 3):
        if isinstance(array, np.ndarray):
            inputs[index] = name
            feeds[name] = array
    outputs = [("y", FLOAT), ("present", FLOAT)] if present else [("y", FLOAT)]
    return compare("Attention", inputs, feeds, weights, outputs=outputs, num_heads=HEADS, **stated)


@pytest.mark.parametrize(("name", "is_causal"), list(itertools.product(MASKS, (0, 1))))
def test_with_masks_of_all_forms(name, is_causal):
    plain = attention(MASKS[name], unidirectional=is_causal)
    (layer,) = attentions(GraphView(plain))
    assert layer.tokens == "x"


@pytest.mark.parametrize("is_causal", [0, 1])
def test_with_keys_of_the_past(is_causal):
    past = seeded(2, N, HEADS, 2, SIZE, seed=2)
    attention(past=past, present=True, unidirectional=is_causal)
    attention(past=past, mask=np.ones((N, S + 2), np.int32), present=True, unidirectional=is_causal)


def plain_output(mask, bias):
    """The output of plain ops for what the kernel for CPUs does not take: a square mask, or no bias."""
    feeds = {"x": X} | ({} if mask is None else {"m": mask})
    inputs = ["x", "w", "b" if bias else "", *feeds.keys() - {"x"}]
    weights = {"w": W} | ({"b": B} if bias else {})
    return run(written(of_op("Attention", inputs, feeds, weights, num_heads=HEADS)), feeds, optimise=False)[0]


def test_with_a_square_mask_for_the_longest_text():
    square = np.int32(np.random.default_rng(0).integers(0, 2, (N, 1, 8, 8)) | np.eye(8, dtype=np.int64))
    ours, theirs = plain_output(square, True), plain_output(np.ascontiguousarray(square[:, 0, :S, :S]), True)
    np.testing.assert_array_equal(ours, theirs)


def test_without_a_bias():
    zeros = of_op("Attention", ["x", "w", "b"], {"x": X}, {"w": W, "b": np.zeros_like(B)}, num_heads=HEADS)
    assert_close(plain_output(None, False), run(zeros, {"x": X})[0], Tolerance.SIGNED_SUMS)


@pytest.mark.parametrize("shape", [(1, 1, S, S), (N, 1, S, S), (N, HEADS, S, S)])
def test_with_something_added_to_the_scores(shape):
    attention(added=seeded(*shape))


def test_with_scale_filter_and_sizes():
    attention(MASKS["keys"], scale=0.7, mask_filter_value=-3.0)
    sizes = {"w": seeded(6, 2 * WIDTH + 6), "b": seeded(2 * WIDTH + 6)}
    attention(qkv_hidden_sizes=[WIDTH, WIDTH, 6], **sizes)


def test_shared_buffers_are_refused():
    feeds, weights = {"x": X}, {"w": W, "b": B}
    said = reason("Attention", ["x", "w", "b"], feeds, weights, num_heads=HEADS, do_rotary=1)
    assert said == "it shares buffers or turns its queries"


def multi_head(feeds, inputs, weights=None, outputs=("y",), **stated):
    named = [(name, FLOAT) for name in outputs]
    return compare("MultiHeadAttention", inputs, feeds, weights, outputs=named, num_heads=HEADS, **stated)


Q, K, V = seeded(N, S, WIDTH), seeded(N, 7, WIDTH, seed=1), seeded(N, 7, 6, seed=2)


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("mask", [None, np.int32([7, 3, 4]), np.int32(np.tri(N, 7, 4))])
def test_of_given_queries_keys_and_values(has_bias, mask):
    weights = {"b": seeded(2 * WIDTH + 6)} if has_bias else {}
    feeds = {"q": Q, "k": K, "v": V} | ({} if mask is None else {"m": mask})
    inputs = ["q", "k", "v", "b" if has_bias else "", *([] if mask is None else ["m"])]
    multi_head(feeds, inputs, weights)


@pytest.mark.parametrize("is_causal", [0, 1])
def test_of_given_tensors_with_a_past(is_causal):
    past = {"pk": seeded(N, HEADS, 2, SIZE, seed=3), "pv": seeded(N, HEADS, 2, SIZE, seed=4)}
    feeds = {"q": Q, "k": seeded(N, S, WIDTH, seed=1), "v": seeded(N, S, WIDTH, seed=2)} | past
    inputs = ["q", "k", "v", "", "", "", "pk", "pv"]
    multi_head(feeds, inputs, outputs=("y", "present_k", "present_v"), unidirectional=is_causal, scale=0.3)


def test_of_keys_that_are_split_into_heads():
    feeds = {"q": Q, "k": seeded(N, HEADS, 7, SIZE, seed=1), "v": seeded(N, HEADS, 7, SIZE, seed=2)}
    multi_head(feeds, ["q", "k", "v"])


@pytest.mark.parametrize("has_added", [True, False])
def test_the_scores_are_an_output_too(has_added):
    feeds = {"q": Q, "k": K, "v": V} | ({"a": seeded(1, HEADS, S, 7)} if has_added else {})
    inputs = ["q", "k", "v", "", "", "a" if has_added else ""]
    multi_head(feeds, inputs, outputs=("y", "", "", "qk"))


ANGLES = np.outer(np.arange(16), 0.7 ** np.arange(SIZE // 2)).astype(np.float32)
CACHES = {"cos": np.cos(ANGLES), "sin": np.sin(ANGLES)}


@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("positions", [np.int64([3]), np.int64(np.arange(N * S).reshape(N, S))])
@pytest.mark.parametrize("shape", [(N, S, WIDTH), (N, HEADS, S, SIZE)])
def test_rotary_embedding(interleaved, positions, shape):
    feeds = {"x": seeded(*shape), "p": positions}
    compare("RotaryEmbedding", ["x", "p", "cos", "sin"], feeds, CACHES, interleaved=interleaved)


@pytest.mark.parametrize("interleaved", [0, 1])
def test_rotary_embedding_of_a_part_of_each_head(interleaved):
    half = {name: array[:, :1] for name, array in CACHES.items()}
    feeds = {"x": seeded(N, S, WIDTH), "p": np.int64([0])}
    stated = {"interleaved": interleaved, "num_heads": HEADS, "rotary_embedding_dim": 2}
    compare("RotaryEmbedding", ["x", "p", "cos", "sin"], feeds, half, **stated)


INT = TensorProto.INT32


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("window", [-1, 2])
@pytest.mark.parametrize("turned", [0, 1])
@pytest.mark.parametrize("softcap", [0.0, 2.0])
def test_heads_that_share_keys(packed, window, turned, softcap):
    parts = {"q": seeded(N, S, 2 * WIDTH), "k": seeded(N, S, WIDTH, seed=1), "v": seeded(N, S, WIDTH, seed=2)}
    feeds = {"q": np.concatenate(list(parts.values()), -1)} if packed else parts
    feeds |= {"length": np.full(N, S - 1, np.int32), "total": np.array(S, np.int32)}
    inputs = ["q", *([] if packed else ["k", "v"]), *(["", ""] if packed else []), "", "", "length", "total"]
    compare(
        "GroupQueryAttention", [*inputs, *(["cos", "sin"] if turned else [])], feeds, CACHES if turned else {},
        outputs=[("y", FLOAT), ("k2", FLOAT), ("v2", FLOAT)], num_heads=2 * HEADS, kv_num_heads=HEADS,
        local_window_size=window, do_rotary=turned, softcap=softcap, tolerance=Tolerance.SIGNED_SUMS,
    )  # fmt: skip


def test_heads_that_share_keys_of_the_past():
    feeds = {"q": seeded(1, 1, 2 * WIDTH), "k": seeded(1, 1, WIDTH, seed=1), "v": seeded(1, 1, WIDTH, seed=2)}
    feeds |= {"pk": seeded(1, HEADS, 3, SIZE), "pv": seeded(1, HEADS, 3, SIZE, seed=3)}
    feeds |= {"length": np.int32([3]), "total": np.array(4, np.int32)}
    compare(
        "GroupQueryAttention", ["q", "k", "v", "pk", "pv", "length", "total", "cos", "sin"], feeds, CACHES,
        outputs=[("y", FLOAT), ("k2", FLOAT), ("v2", FLOAT)], num_heads=2 * HEADS, kv_num_heads=HEADS, do_rotary=1,
    )  # fmt: skip


@pytest.mark.parametrize("window", [-1, 2])
@pytest.mark.parametrize("turned", [0, 1])
def test_padded_samples_that_share_keys(turned, window):
    feeds = {"q": seeded(N, S, 2 * WIDTH), "k": seeded(N, S, WIDTH, seed=1), "v": seeded(N, S, WIDTH, seed=2)}
    feeds |= {"length": np.int32([4, 3, 2]), "total": np.array(S, np.int32)}
    proto = of_op(
        "GroupQueryAttention", ["q", "k", "v", "", "", "length", "total", *(["cos", "sin"] if turned else [])], feeds,
        CACHES if turned else {}, outputs=[("y", FLOAT), ("k2", FLOAT), ("v2", FLOAT)],
        num_heads=2 * HEADS, kv_num_heads=HEADS, local_window_size=window, do_rotary=turned,
    )  # fmt: skip
    ours, theirs = run(written(proto), feeds, optimise=False)[0], run(proto, feeds)[0]
    for sample, length in enumerate(feeds["length"]):
        assert_close(ours[sample, : length + 1], theirs[sample, : length + 1], Tolerance.SIGNED_SUMS)
        if window < 0 and not turned:  # What padding answers is defined, too.
            assert_close(ours[sample], theirs[sample], Tolerance.SIGNED_SUMS)


@pytest.mark.parametrize("window", [-1, 2])
def test_pasts_of_unequal_lengths_that_share_keys(window):
    feeds = {"q": seeded(N, 1, 2 * WIDTH), "k": seeded(N, 1, WIDTH, seed=1), "v": seeded(N, 1, WIDTH, seed=2)}
    feeds |= {"pk": seeded(N, HEADS, 4, SIZE), "pv": seeded(N, HEADS, 4, SIZE, seed=3)}
    feeds |= {"length": np.int32([4, 1, 2]), "total": np.array(5, np.int32)}
    proto = of_op(
        "GroupQueryAttention", ["q", "k", "v", "pk", "pv", "length", "total", "cos", "sin"], feeds, CACHES,
        outputs=[("y", FLOAT), ("k2", FLOAT), ("v2", FLOAT)], num_heads=2 * HEADS, kv_num_heads=HEADS,
        do_rotary=1, local_window_size=window,
    )  # fmt: skip
    ours, theirs = run(written(proto), feeds, optimise=False), run(proto, feeds)
    assert_close(ours[0], theirs[0], Tolerance.SIGNED_SUMS)
    for found, expected in zip(ours[1:], theirs[1:], strict=True):
        for sample, length in enumerate(feeds["length"]):
            # The new key follows the sample's own past; nothing is defined after it.
            assert_close(found[sample, :, : length + 1], expected[sample, :, : length + 1], Tolerance.SIGNED_SUMS)


@pytest.mark.parametrize(("segments", "mask", "positions"), list(itertools.product((True, False), repeat=3)))
def test_embeddings_of_words_positions_and_segments(segments, mask, positions):
    generator = np.random.default_rng(0)
    feeds = {"ids": generator.integers(0, 9, (N, S)).astype(np.int32)}
    weights = {"word": seeded(9, 8), "place": seeded(7, 8), "g": seeded(8), "b": seeded(8, seed=1)}
    inputs = ["ids", "", "word", "place", "", "g", "b", "", ""]
    if segments:
        inputs[1], inputs[4] = "kinds", "kind"
        feeds["kinds"], weights["kind"] = generator.integers(0, 2, (N, S)).astype(np.int32), seeded(2, 8)
    if mask:
        inputs[7], feeds["m"] = "m", np.int32([[1] * 5, [1] * 3 + [0] * 2, [1] + [0] * 4])
    if positions:
        inputs[8], feeds["at"] = "at", generator.integers(0, 7, (N, S)).astype(np.int32)
    outputs = [("y", FLOAT), ("words", INT), ("sum", FLOAT)]
    compare("EmbedLayerNormalization", inputs, feeds, weights, outputs=outputs, epsilon=1e-5)
