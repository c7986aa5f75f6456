"""The order in which few nodes wait at any time: the work that onnxruntime's sort makes of it, and what it keeps."""

import bisect

import numpy as np
import onnx
import pytest
from onnx import parser

from tests.autodiff.test_long_chains import chain
from tests.loading.files import model, node, save, tensor
from xaionnx import Model
from xaionnx.autodiff.composites import Choices, composite
from xaionnx.autodiff.gradient import first_rows, gradient_graph
from xaionnx.autodiff.lrp import table as relevance_table
from xaionnx.autodiff.table import STANDARD
from xaionnx.graph.serialize import to_bytes
from xaionnx.graph.view import reads
from xaionnx.graph.waves import MANY_NODES, sort_in_waves


def steps_of_sort(graph):
    """Steps along the list of ready nodes that a sort takes which always goes on with the first in the file."""
    maker = {name: at for at, held in enumerate(graph.node) for name in held.output}
    before = [{maker[name] for name in reads(held) if name in maker} for held in graph.node]
    after = [[] for _ in before]
    for at, needed in enumerate(before):
        for one in needed:
            after[one].append(at)
    missing = [len(needed) for needed in before]
    ready, steps, placed = [at for at, count in enumerate(missing) if not count], 0, 0
    while ready:
        placed += 1
        for at in after[ready.pop(0)]:
            missing[at] -= 1
            if not missing[at]:
                steps += len(ready)
                bisect.insort(ready, at)
    assert placed == len(before)
    return steps


@pytest.mark.parametrize("table", [STANDARD, relevance_table(composite("epsilon", Choices()))], ids=["gradient", "lrp"])
def test_the_steps_of_a_sort_grow_with_the_length_of_a_chain(tmp_path, table):
    found = []
    for length in (40, 80):
        opened = chain(tmp_path, length)
        proto = gradient_graph(opened, "y", ["x"], table, first_rows(opened))
        plain = steps_of_sort(proto.graph)
        sort_in_waves(proto.graph)
        found.append((plain, steps_of_sort(proto.graph)))
    (short, few), (long, twice) = found
    assert long > 3 * short
    assert twice < 2.2 * few


def test_nodes_and_what_bodies_read_keep_their_order(tmp_path):
    """A body reads 'late' from outside, which its node must not go ahead of."""
    proto = parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[2] x, bool c) => (float[2] y) {
            late = Neg(x)
            later = Neg(late)
            h = If(c) <
                then_branch = t () => (float[2] p) { p = Neg(later) },
                else_branch = e () => (float[2] q) { q = Abs(x) }
            >
            y = Add(h, later)
        }""")
    names = {held.output[0] for held in proto.graph.node}
    sort_in_waves(proto.graph)
    assert [held.output[0] for held in proto.graph.node] == ["late", "later", "h", "y"]
    assert {held.output[0] for held in proto.graph.node} == names


def test_a_cycle_is_left_as_it_is():
    nodes = [node("Add", "x b", "a"), node("Neg", "a", "b"), node("Neg", "x", "y")]
    graph = onnx.helper.make_graph(nodes, "g", [tensor("x", (2,))], [tensor("y", (2,))])
    sort_in_waves(graph)
    assert [held.output[0] for held in graph.node] == ["a", "b", "y"]


def test_large_derived_graphs_are_opened_in_this_order_and_answer_the_same(tmp_path):
    length = MANY_NODES // 2 + 1
    nodes = [node("Tanh", "x" if not k else f"t{k - 1}", f"t{k}") for k in range(length)]
    nodes += [node("Abs", f"t{k}", f"a{k}") for k in range(length - 1)]
    nodes.append(node("Sum", " ".join([f"t{length - 1}", *(f"a{k}" for k in range(length - 1))]), "y"))
    opened = Model.load(save(tmp_path / "m.onnx", model(nodes, [tensor("x", ("N", 2))], [tensor("y", ("N", 2))])))
    derived = opened.with_outputs(["t5"])
    kept = [held.output[0] for held in derived.graph.graph.node]
    sent = onnx.load_model_from_string(to_bytes(derived.graph, opened.file))
    assert [held.output[0] for held in sent.graph.node][:4] == ["t0", "t1", "a0", "t2"]
    assert [held.output[0] for held in derived.graph.graph.node] == kept
    x = {"x": np.float32([[1, -2]])}
    np.testing.assert_array_equal(derived.run(x, ["y"])["y"], opened.run(x)["y"])
