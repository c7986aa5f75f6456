"""A run of a model and its limits: time, Ctrl-C and memory."""

import os
import re
import signal
import threading
import time

import numpy as np
import pytest
from onnx import TensorProto

from tests import tiny
from tests.tiny import node, normal, tensor
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model
from xaionnx.errors import (
    MemoryLimitError,
    TimeLimitError,
)
from xaionnx.runtime.session import Session, SessionSettings


def endless(tmp_path):
    """A loop that never ends: its condition stays true and it has no trip count."""
    from onnx import helper

    body = helper.make_graph(
        [node("Identity", ["keep_in"], ["keep_out"]), node("Sin", ["v_in"], ["v_out"])],
        "body",
        [
            tensor("i", [], TensorProto.INT64),
            tensor("keep_in", [], TensorProto.BOOL),
            tensor("v_in", None),
        ],
        [tensor("keep_out", [], TensorProto.BOOL), tensor("v_out", None)],
    )
    return tiny.saved(
        tmp_path / "endless.onnx",
        [helper.make_node("Loop", ["", "true", "x"], ["y"], body=body)],
        [tensor("x", ["N", 2])],
        [tensor("y", ["N", 2])],
        {"true": np.array(True)},
    )


def test_a_run_that_does_not_end_is_stopped_by_its_time_limit(tmp_path):
    model = Model.load(endless(tmp_path), timeout_s=0.3)
    began = time.perf_counter()
    with pytest.raises(
        TimeLimitError, match=re.escape("One run of endless.onnx took longer than 0.3 s and was stopped")
    ):
        model.run({"x": np.zeros((1, 2), np.float32)})
    assert time.perf_counter() - began < 1.5


def test_ctrl_c_stops_a_run_within_a_second(tmp_path):
    model = Model.load(endless(tmp_path))
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    began = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        model.run({"x": np.zeros((1, 2), np.float32)})
    assert time.perf_counter() - began < 1.5


def test_when_memory_runs_out_the_batch_is_halved_and_nothing_is_lost(tmp_path, monkeypatch):
    run, refused = Session.run, []

    def small_machine(self, fetch, feeds, *rest):
        if len(feeds["x"]) > 3:
            refused.append(len(feeds["x"]))
            raise MemoryLimitError("One batch of linear.onnx does not fit into memory.")
        return run(self, fetch, feeds, *rest)

    monkeypatch.setattr(Session, "run", small_machine)
    weights, x = normal(4, 3), normal(40, 4)
    model = Model.load(tiny.linear(tmp_path / "linear.onnx", weights), batch_size=16)
    assert_close(model.run({"x": x})["y"], x @ weights, Tolerance.SUMS)
    assert refused == [16, 8, 4]


def test_what_does_not_fit_at_one_sample_is_refused(tmp_path):
    path = tiny.saved(
        tmp_path / "huge.onnx",
        [node("Expand", ["x", "shape"], ["big"]), node("ReduceSum", ["big"], ["y"], keepdims=0)],
        [tensor("x", [1])],
        [tensor("y", [])],
        {"shape": np.array([2**20, 2**20], dtype=np.int64)},
    )
    with pytest.raises(
        MemoryLimitError, match=r"One batch of huge.onnx does not fit into memory \([\d,]+ bytes requested\)"
    ):
        Model.load(path).run({"x": np.zeros(1, np.float32)})


def test_large_graphs_open_without_a_plan_of_buffers(tmp_path):
    """The plan takes time that grows with the square of the number of nodes."""
    path = tiny.linear(tmp_path / "linear.onnx", [[1.0], [2.0]])
    x = np.float32([[3, 4]])
    plans, results = [], []
    for nodes in (1, 4000):
        session = Session(str(path), SessionSettings("cpu"), nodes=nodes)
        plans.append(session._session.get_session_options().enable_mem_reuse)
        results.append(session.run(["y"], {"x": x})[0])
    assert plans == [True, False]
    np.testing.assert_array_equal(results[0], results[1])
