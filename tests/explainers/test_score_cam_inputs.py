"""Inputs of Score-CAM: integer pictures, but no tokens; random baselines."""

import numpy as np
import pytest

import xaionnx
from tests import tiny
from tests.oracles import cam as oracle
from tests.tiny import node, tensor
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model
from xaionnx.errors import UnsupportedModelError
from xaionnx.explainers.score_cam import ScoreCam

RNG = np.random.default_rng(4)
KERNEL, HEAD = RNG.normal(size=(4, 3, 1, 1)).astype(np.float32), RNG.normal(size=(4, 3)).astype(np.float32)
BODY = [
    node("Conv", ["whole", "k"], ["z"], strides=[2, 2]),
    node("Relu", ["z"], ["a"]),
    node("GlobalAveragePool", ["a"], ["p"]),
    node("Flatten", ["p"], ["f"]),
    node("Gemm", ["f", "v"], ["y"]),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("bytes") / "bytes.onnx"
    nodes = [node("Cast", ["x"], ["float"], to=1), node("Div", ["float", "top"], ["whole"]), *BODY]
    weights = {"k": KERNEL, "v": HEAD, "top": np.float32(255)}
    inputs = [tensor("x", ["N", 3, 8, 8], 2)]
    return Model.load(tiny.saved(path, nodes, inputs, [tensor("y", ["N", 3])], weights))


def test_bytes_are_masked_to_the_nearest_byte(model):
    x = RNG.integers(0, 256, size=(1, 3, 8, 8)).astype(np.uint8)
    for base in (0, 200):
        held = model.with_outputs(["a"]).run({"x": x}, ["a"])["a"][0].astype(np.float64)
        tried = []
        for plane in held:
            mask = oracle.enlarged(plane, 8, 8)
            mask = (mask - mask.min()) / (np.ptp(mask) or 1)
            tried.append(np.rint(x[0] * mask + base * (1 - mask)).astype(np.uint8))
        scores = model.run({"x": np.stack(tried)})["y"][:, 1].astype(np.float64)
        found = xaionnx.explain(model, x, ScoreCam(layer="a", baseline=base, relu=False), 1).maps["cam"][0]
        assert_close(found, oracle.weighted(held, oracle.softmax(scores)), Tolerance.SIGNED_LAYERS)


def test_a_baseline_that_is_drawn_is_recorded_with_its_seed(tmp_path):
    nodes = [node("Identity", ["x"], ["whole"]), *BODY]
    weights = {"k": KERNEL, "v": HEAD}
    path = tiny.saved(tmp_path / "m.onnx", nodes, [tensor("x", ["N", 3, 8, 8])], [tensor("y", ["N", 3])], weights)
    x = RNG.normal(size=(2, 3, 8, 8)).astype(np.float32)
    one, again, other = (
        xaionnx.explain(Model.load(path), x, ScoreCam(layer="a", baseline="gaussian:0.5", seed=seed), 1)
        for seed in (0, 0, 1)
    )
    assert (one.values == again.values).all()
    assert not np.allclose(one.values, other.values)
    assert other.provenance["parameters"]["seed"] == 1


def test_tokens_are_refused(tmp_path):
    table = RNG.normal(size=(10, 4)).astype(np.float32)
    nodes = [
        node("Gather", ["table", "ids"], ["held"]),
        node("Tanh", ["held"], ["bent"]),
        node("ReduceMean", ["bent"], ["mean"], axes=[1], keepdims=0),
        node("MatMul", ["mean", "v"], ["y"]),
    ]
    path = tmp_path / "tokens.onnx"
    tiny.saved(path, nodes, [tensor("ids", ["N", "T"], 7)], [tensor("y", ["N", 3])], {"table": table, "v": HEAD})
    model, ids = Model.load(path), np.array([[1, 2, 3, 0, 9]])
    with pytest.raises(
        UnsupportedModelError, match=r"Input 'ids' of tokens.onnx holds whole numbers.* Use ablation_cam"
    ):
        xaionnx.explain(model, ids, "score_cam", 1, layer="bent")
    # The suggested methods work.
    assert xaionnx.explain(model, ids, "ablation_cam", 1, layer="bent").values.any()
