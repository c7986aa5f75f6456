"""What inputs are for: by the graph first, by their names second, by their shapes last."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto

from tests.tiny import model, node, parsed, tensor
from xaionnx.graph.input_purposes import input_purposes
from xaionnx.graph.view import GraphView


def purposes(text, shared=(), **weights):
    found = input_purposes(GraphView(parsed(text, **weights)), shared)
    return {name: one.purpose for name, one in found.items()}


def sources(text, shared=()):
    return {name: one.source for name, one in input_purposes(GraphView(parsed(text)), shared).items()}


SCORES = "q = Gather(emb, ids)"
MASKED = {
    "equal, where": "zero = Constant<value_int = 0>()  b = Equal(m, zero)  k = Where(b, low, q)",
    "cast, where": "b = Cast<to = 9>(m)  k = Where(b, q, low)",
    "not, or": "zero = Constant<value_int = 0>()  b = Greater(m, zero)  c = Not(b)  d = Or(c, c)  k = Where(d, low, q)",
    "added": "f = Cast<to = 1>(m)  o = Sub(one, f)  l = Mul(o, low)  k = Add(q, l)",
    "subtracted": "f = Cast<to = 1>(m)  o = Sub(one, f)  l = Mul(o, high)  k = Sub(q, l)",
    "logarithm": "f = Cast<to = 1>(m)  l = Log(f)  k = Add(l, q)",
    "bias by where": "b = Cast<to = 9>(m)  l = Where(b, nothing, low)  k = Add(q, l)",
    "least": "f = Cast<to = 1>(m)  l = Mul(f, high)  k = Min(q, l)",
}


@pytest.mark.parametrize("how", MASKED)
def test_what_rules_out_numbers_of_another_input_is_a_mask(how):
    text = f"""g (int64[N,T] ids, int64[N,T] m) => (float[N,T] y)
        <float[9] emb, float one = {{1}}, float low = {{-1e9}}, float high = {{1e9}}, float nothing = {{0}}>
        {{ {SCORES}  {MASKED[how]}  y = Softmax<axis = 1>(k) }}"""
    assert purposes(text) == {"ids": "data", "m": "mask"}
    assert sources(text)["m"] == "graph"


def test_what_weighs_and_counts_positions_is_a_mask_also_in_floats():
    text = """g (float[N,T,4] x, float[N,T] w) => (float[N,4] y) <int64[1] one = {1}, int64[1] two = {2}> {
        u = Unsqueeze(w, two)  p = Mul(x, u)  s = ReduceSum<keepdims = 0>(p, one)
        c = ReduceSum<keepdims = 1>(w, one)  y = Div(s, c) }"""
    assert purposes(text) == {"x": "data", "w": "mask"}


def test_floats_that_weigh_without_being_counted_are_data():
    text = """g (float[N,T,4] x, float[N,T] w) => (float[N,4] y) <int64[1] one = {1}, int64[1] two = {2}> {
        u = Unsqueeze(w, two)  p = Mul(x, u)  y = ReduceSum<keepdims = 0>(p, one) }"""
    assert purposes(text) == {"x": "data", "w": "data"}


def test_floats_that_weigh_tokens_are_a_mask():
    text = """g (int64[N,T] ids, float[N,T] w) => (float[N,4] y)
        <float[9,4] table, int64[1] one = {1}, int64[1] two = {2}> {
        e = Gather(table, ids)  u = Unsqueeze(w, two)  p = Mul(e, u)  y = ReduceMean<axes = [1], keepdims = 0>(p) }"""
    assert purposes(text) == {"ids": "data", "w": "mask"}


@pytest.mark.parametrize(("shape", "purpose"), [("N,S,4", "data"), ("N,S,S", "mask"), ("N,1,S", "mask")])
def test_what_an_encoder_made_of_a_text_is_data(shape, purpose):
    """Tokens attend to the features of other positions, which a weight of each position is not."""
    query = "e = Gather(table, ids)"
    read = "t = Transpose<perm = [0, 2, 1]>(memory)  q = MatMul(e, t)  a = Softmax(q)" if shape == "N,S,4" else (
        "a = ReduceMean<axes = [1], keepdims = 1>(e)"
    )  # fmt: skip
    product = "y = MatMul(a, memory)" if shape == "N,S,4" else "y = MatMul(memory, e)"
    text = f"""g (int64[N,{"S" if purpose == "mask" else "T"}] ids, float[{shape}] memory) => (float[N,T,4] y)
        <float[9,4] table> {{ {query}  {read}  {product} }}"""
    assert purposes(text) == {"ids": "data", "memory": purpose}


@pytest.mark.parametrize(("output", "purpose"), [("hidden_out", "data"), ("memory_out", "state")])
def test_memory_is_a_state_if_it_is_returned(output, purpose):
    found = purposes(f"""g (float[N,3,4] x, float[N,3,4] memory) => (float[N,3,4] y, float[N,3,4] {output}) {{
        s = Add(x, memory)  y = Tanh(s)  {output} = Sub(s, y) }}""")
    assert found == {"x": "data", "memory": purpose}


@pytest.mark.parametrize("kind", ["float", "int64"])
def test_factors_of_the_edges_of_a_graph_are_data(kind):
    nodes = "h = Gather(emb, x)" if kind == "int64" else "h = MatMul(x, w)"
    found = purposes(f"""g ({kind}[{"A" if kind == "int64" else "A,9"}] x, int64[2,E] ends, float[1,E] weight)
        => (float[E,4] y)
        <float[9,4] emb, float[9,4] w, int64 first = {{0}}, int64[1] lead = {{0}}, int64[1] last = {{1}}> {{
          {nodes}  from = Gather(ends, first)  sent = Gather(h, from)
          edges = Squeeze(weight, lead)  f = Unsqueeze(edges, last)  y = Mul(sent, f) }}""")
    assert found["weight"] == "data"


def test_prices_and_quantities_are_data():
    text = """g (float[N,3] price, int64[N,3] quantity) => (float[N,3] y) {
        f = Cast<to = 1>(quantity)  y = Mul(price, f) }"""
    assert purposes(text) == {"price": "data", "quantity": "data"}


def test_one_truth_a_sample_is_data():
    text = """g (float[N,3] x, bool[N,1] member) => (float[N,3] y) <float zero = {0}> { y = Where(member, x, zero) }"""
    assert purposes(text) == {"x": "data", "member": "data"}


def test_columns_that_a_tree_of_plain_ops_compares_are_data():
    text = """g (float[N,1] age, float[N,1] income) => (float[N,1] y)
        <float[2] t = {30, 40}, float[4,1] w = {1, 2, 3, 4}> {
        a = Less(age, t)  b = Less(income, t)  f = Cast<to = 1>(a)  g2 = Cast<to = 1>(b)  c = Concat<axis = 1>(f, g2)
        y = MatMul(c, w) }"""
    assert purposes(text) == {"age": "data", "income": "data"}


def test_what_is_compared_with_positions_is_a_length():
    text = """g (float[N,T] x, int64[N] n) => (float[N,T] y)
        <int64 zero = {0}, int64 one = {1}, int64[1] ax = {1}, float z = {0}> {
        s = Shape(x)  t = Gather(s, one)  r = Range(zero, t, one)  u = Unsqueeze(n, ax)  b = Less(r, u)
        y = Where(b, x, z) }"""
    assert purposes(text) == {"x": "data", "n": "length"}


def test_what_chooses_a_position_is_a_length():
    text = """g (float[T,4] x, int64[1] n) => (float[1,4] y) <int64 one = {1}> { i = Sub(n, one)  y = Gather(x, i) }"""
    assert purposes(text) == {"x": "data", "n": "length"}


def test_operands_of_recurrent_ops():
    inputs = [
        tensor("x", ["T", "N", 3]),
        tensor("h", [1, "N", 2]),
        tensor("c", [1, "N", 2]),
        tensor("n", ["N"], TensorProto.INT32),
    ]
    nodes = [
        node("Identity", ["h"], ["h1"]),
        node("LSTM", ["x", "w", "r", "", "n", "h1", "c"], ["y"], hidden_size=2),
    ]
    weights = {"w": [[[0.0] * 3] * 8], "r": [[[0.0] * 2] * 8]}
    found = input_purposes(GraphView(model(nodes, inputs, [tensor("y", None)], weights)), ["h", "c"])
    assert {name: (one.purpose, one.source) for name, one in found.items()} == {
        "x": ("data", "shape"),
        "h": ("state", "graph"),
        "c": ("state", "graph"),
        "n": ("length", "graph"),
    }


def test_fused_embeddings_tell_their_operands():
    names = ["ids", "kinds", "valid"]
    fused = node("EmbedLayerNormalization", ["ids", "kinds", "e", "p", "k", "g", "b", "valid"], ["y", "m"])
    fused.domain = "com.microsoft"
    inputs = [tensor(name, ["N", "T"], TensorProto.INT32) for name in names]
    found = input_purposes(GraphView(model([fused], inputs, [tensor("y", None)], domains={"com.microsoft": 1})))
    assert [found[name].purpose for name in names] == ["data", "token types", "mask"]


NAMES = """g (float[N,T] x, int64[N,T] attention_mask, float[N,T] paddingMask, int64[N,T] token_type_ids,
    int64[N,T] position_ids, int64[N] input_lengths, float[N,2] im_shape, float[N,1] petal_length, float[N,1] face_mask,
    float[3] scales, int64 sr, float[N,5] more) => (float y) { y = Identity(x) }"""


def test_usual_names_tell_where_the_graph_does_not():
    assert purposes(NAMES, ["scales", "sr"]) == {
        "x": "data",
        "attention_mask": "mask",
        "paddingMask": "mask",
        "token_type_ids": "token types",
        "position_ids": "positions",
        "input_lengths": "length",
        "im_shape": "setting",
        "petal_length": "data",  # a column of a table
        "face_mask": "data",
        "scales": "setting",
        "sr": "setting",
        "more": "data",
    }
    assert sources(NAMES, ["scales", "sr"])["attention_mask"] == "name"


def test_a_state_is_returned_with_the_same_shape():
    text = """g (float[N,512] input, float[2,N,8] state, float[N,4] filter_in) =>
        (float[N,512] output, float[2,N,8] stateN, float[N,4] filter_out)
        { output = Identity(input)  stateN = Identity(state)  filter_out = Identity(filter_in) }"""
    assert purposes(text) == {"input": "data", "state": "state", "filter_in": "state"}


def test_the_state_of_a_game_and_what_is_reconstructed_are_data():
    critic = "g (float[N,4] state, float[N,2] action) => (float[N,1] q) { q = Identity(action) }"
    assert purposes(critic) == {"state": "data", "action": "data"}
    coder = """g (float[N,4] x, float[N,2] label) => (float[N,4] x_recon, float[N,2] z)
        { x_recon = Identity(x)  z = Identity(label) }"""
    assert purposes(coder) == {"x": "data", "label": "data"}


def test_one_input_is_data_whatever_it_is_called():
    assert purposes("g (float[N,4] mask) => (float[N,4] y) { y = Identity(mask) }") == {"mask": "data"}
    both = """g (int64[N,4] attention_mask, int64[N,4] position_ids) => (int64[N,4] y) {
        y = Add(attention_mask, position_ids) }"""
    assert purposes(both) == {"attention_mask": "data", "position_ids": "positions"}


def test_what_is_the_same_for_all_samples_is_a_setting():
    text = """g (float[N,4] x, float[4] threshold, float speed) => (float[N,4] y) {
        a = Mul(x, speed)  y = Sub(a, threshold) }"""
    assert purposes(text, ["threshold", "speed"]) == {"x": "data", "threshold": "setting", "speed": "setting"}


def test_what_a_branch_reads_inside_is_data():
    text = """g (float[N,4] x, float[N,4] w, bool flag) => (float[N,4] y) {
        y = If (flag) <then_branch = a () => (float[N,4] t) { t = Mul(x, w) },
                       else_branch = b () => (float[N,4] e) { e = Identity(x) }> }"""
    assert purposes(text, ["flag"]) == {"x": "data", "w": "data", "flag": "setting"}


def test_a_float_input_that_shifts_attention_weights_is_a_mask():
    text = """g (float[N, T] first, int64[N, T] second) => (float[N, 2] y) {
        e = Gather(emb, second)
        z = MatMul(e, u)
        q = Squeeze(z, two)
        k = Add(q, first)
        a = Softmax <axis = 1> (k)
        a1 = Unsqueeze(a, two)
        m0 = Mul(e, a1)
        m = ReduceSum <keepdims = 0> (m0, one)
        y = MatMul(m, w) }"""
    weights = {"emb": np.ones((9, 4)), "u": np.ones((4, 1)), "w": np.ones((4, 2))}
    proto = parsed(text, **weights, one=np.array([1]), two=np.array([2]))
    assert {name: str(found) for name, found in input_purposes(GraphView(proto)).items()} == {
        "first": "a mask",
        "second": "data",
    }


def test_a_float_input_that_shifts_the_scores_of_classes_is_data():
    text = """g (float[N, 4] x, float[N, 2] prior) => (float[N, 2] y) {
        a = MatMul(x, w)
        b = Add(a, prior)
        y = Softmax(b) }"""
    purposes = input_purposes(GraphView(parsed(text, w=np.ones((4, 2)))))
    assert all(found.is_data for found in purposes.values())
