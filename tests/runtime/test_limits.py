"""A run of a model and its limits: time, Ctrl-C and memory."""

import os
import re
import signal
import threading
import time

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from tests import tiny
from tests.tiny import endless, node, normal, tensor
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model
from xaionnx.errors import (
    MemoryLimitError,
    TimeLimitError,
)
from xaionnx.runtime import session as session_module
from xaionnx.runtime import worker as worker_module
from xaionnx.runtime.session import Session, SessionSettings, simplified
from xaionnx.runtime.worker import current_worker


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


def test_large_graphs_open_without_what_takes_longer_than_in_proportion(tmp_path, monkeypatch):
    """The plan of buffers and the optimisers take time that grows with the square of the number of nodes."""
    path = tiny.linear(tmp_path / "linear.onnx", [[1.0], [2.0]])
    x = np.float32([[3, 4]])
    disabled, whole = [], ort.InferenceSession

    def opened(*given, disabled_optimizers, **named):
        disabled.append(len(disabled_optimizers))
        return whole(*given, disabled_optimizers=disabled_optimizers, **named)

    monkeypatch.setattr(session_module.ort, "InferenceSession", opened)
    plans, levels, results = [], [], []
    for nodes in (1, 4_000, 6_000, 20_000):
        session = Session(str(path), SessionSettings("cpu"), nodes=nodes)
        options = session._session.get_session_options()
        plans.append((options.enable_mem_reuse, options.enable_mem_pattern))
        levels.append(options.graph_optimization_level)
        results.append(session.run(["y"], {"x": x})[0])
    assert plans == [(True, True), (False, False), (False, False), (False, False)]
    assert disabled[:2] == [0, 0]
    assert disabled[2] > 30
    every, no = ort.GraphOptimizationLevel.ORT_ENABLE_ALL, ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    assert levels == [every, every, every, no]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_a_graph_is_simplified_without_a_plan_of_buffers(tmp_path, monkeypatch):
    """Its session is never run, and the plan takes time that grows with the square of the number of nodes."""
    plans, whole = [], ort.InferenceSession

    def opened(content, options, **named):
        plans.append((options.enable_mem_reuse, options.enable_mem_pattern))
        return whole(content, options, **named)

    monkeypatch.setattr(session_module.ort, "InferenceSession", opened)
    path = tiny.linear(tmp_path / "linear.onnx", [[1.0], [2.0]])
    assert onnx.load_model_from_string(simplified(path.read_bytes())).graph.node
    assert plans == [(False, False)]


@pytest.fixture
def impatient(monkeypatch):
    """No patience with work that was stopped, and no thread left of it."""
    monkeypatch.setattr(worker_module, "_PATIENCE_S", 0.01)
    yield
    worker_module.wait_for_abandoned()
    assert not worker_module.has_abandoned()


@pytest.mark.usefixtures("impatient")
def test_work_that_cannot_be_stopped_goes_on_in_its_thread(monkeypatch):
    end, stopped = threading.Event(), []
    worker = current_worker()
    with pytest.raises(worker_module.Expired):
        worker.call(end.wait, lambda: stopped.append(True), 0.01)
    assert stopped
    assert worker_module.has_abandoned()
    assert current_worker() is not worker
    end.set()


@pytest.mark.usefixtures("impatient")
def test_whatever_ends_the_wait_stops_the_work():
    class Ended(BaseException):
        pass

    def raise_(*_):
        raise Ended

    end = threading.Event()
    before = signal.signal(signal.SIGALRM, raise_)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(Ended):
            current_worker().call(lambda: end.wait(20), end.set, 30.0)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert end.is_set()
