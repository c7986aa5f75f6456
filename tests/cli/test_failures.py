"""An error of one row costs that row alone; an error that every row would meet ends the run at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from xaionnx_cli import _results
from xaionnx_cli._deadline import paused, time_limit

import xaionnx
from tests.cli.conftest import MODELS, ROOT
from tests.tiny import parsed
from xaionnx.errors import DeviceError, StorageError, TimeLimitError
from xaionnx.record import values
from xaionnx.runtime.session import Session

GOOD = [[0, 1, 2], [1, 1, 4], [2, 3, 4]]
WIDE = [9, 9, 9]
LARGE = [1, 2, 1e15]


def _save(path: Path, nodes: Sequence[onnx.NodeProto], **tensors: np.ndarray) -> Path:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])
    held = [numpy_helper.from_array(array, name) for name, array in tensors.items()]
    graph = helper.make_graph(nodes, "g", [x], [y], held)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture
def lookup(tmp_path) -> Path:
    """A model that looks its three numbers up in a table of five rows, and fails for those beyond."""
    nodes = [
        helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "i"], ["e"]),
        helper.make_node("ReduceMean", ["e"], ["y"], axes=[1], keepdims=0),
    ]
    return _save(tmp_path / "lookup.onnx", nodes, table=np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32))


@pytest.fixture
def greedy(tmp_path) -> Path:
    """A model that needs as many numbers as the largest of its input."""
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0),
        helper.make_node("Cast", ["m"], ["size"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["size", "one"], ["sizes"]),
        helper.make_node("ConstantOfShape", ["sizes"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["zero"], keepdims=0),
        helper.make_node("Add", ["x", "zero"], ["same"]),
        helper.make_node("MatMul", ["same", "w"], ["y"]),
    ]
    return _save(tmp_path / "greedy.onnx", nodes, one=np.array([1]), w=np.float32([[1, 2], [3, 4], [5, 6]]))


@pytest.fixture
def endless(tmp_path) -> Path:
    """A model that repeats a step as often as the largest of its input says."""
    step = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["go"]), helper.make_node("Add", ["before", "zero"], ["after"])],
        "step",
        [
            helper.make_tensor_value_info("n", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, None),
        ],
    )
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0),
        helper.make_node("Cast", ["m"], ["times"], to=TensorProto.INT64),
        helper.make_node("MatMul", ["x", "w"], ["start"]),
        helper.make_node("Loop", ["times", "", "start"], ["y"], body=step),
    ]
    return _save(tmp_path / "endless.onnx", nodes, zero=np.float32(0), w=np.float32([[1, 2], [3, 4], [5, 6]]))


def _rows(folder: Path, rows: Sequence[Sequence[float]], name: str = "x") -> Path:
    np.save(folder / f"{name}.npy", np.array(rows, np.float32))
    return folder / f"{name}.npy"


@pytest.mark.parametrize(
    ("model", "bad", "more", "told", "place"),
    [
        *[("lookup", WIDE, (), "lookup.onnx failed while running: ", place) for place in (0, 1, 3)],
        *[("greedy", LARGE, (), "One batch of greedy.onnx does not fit into memory", place) for place in (0, 1, 3)],
        ("endless", LARGE, ("--timeout", "0.5"), "One run of endless.onnx took longer than 0.5 s", 1),
    ],
)
def test_a_row_that_fails_costs_only_itself(run, request, tmp_path, model, bad, more, told, place):
    rows = [*GOOD[:place], bad, *GOOD[place:]]
    words = ("explain", "feature_ablation", request.getfixturevalue(model), _rows(tmp_path, rows), *more)
    result = run(*words, "-o", tmp_path / "all.npz")
    assert result.exit_code == 4
    head, line = result.stderr.splitlines()
    assert head == "xaionnx: 1 of 4 inputs failed:"
    assert line.startswith(f"xaionnx:   '{tmp_path / 'x.npy'}[{place}]': {told}")
    found = xaionnx.Explanation.load(tmp_path / "all.npz")
    assert found.provenance["inputs"] == [f"{tmp_path / 'x.npy'}[{n}]" for n in range(4) if n != place]
    if place == 1:
        document = json.loads(run(*words, "--json").stdout)
        assert document["complete"] is True
        assert [one["input"] for one in document["results"]] == found.provenance["inputs"]
        assert [one["input"] for one in document["refused"]] == [f"{tmp_path / 'x.npy'}[1]"]


def test_the_code_is_that_of_the_errors_where_no_row_is_explained(run, lookup, tmp_path):
    result = run(
        "explain", "feature_ablation", lookup, _rows(tmp_path, [WIDE]), _rows(tmp_path, [[8, 8, 8]], "z"), "--json"
    )
    assert (result.exit_code, len(json.loads(result.stdout)["refused"])) == (3, 2)


def test_a_single_row_ends_with_its_own_error(run, lookup, tmp_path):
    result = run("explain", "feature_ablation", lookup, _rows(tmp_path, [WIDE]), "--json")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith("xaionnx: lookup.onnx failed while running: ")


@pytest.mark.parametrize("more", [("-t", "7"), ("-t", "cat"), ("--features", "grid:9")])
def test_an_error_of_every_row_ends_the_run_at_the_first(run, lookup, tmp_path, monkeypatch, more):
    runs, before = [], Session.run
    monkeypatch.setattr(Session, "run", lambda *a, **k: runs.append(1) or before(*a, **k))
    result = run("explain", "feature_ablation", lookup, _rows(tmp_path, GOOD * 300), *more, "--json")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert len(runs) < 20


def test_a_method_that_refuses_the_model_ends_the_run_at_the_first_row(run, monkeypatch):
    runs, before = [], Session.run
    monkeypatch.setattr(Session, "run", lambda *a, **k: runs.append(1) or before(*a, **k))
    result = run("explain", "grad_cam", MODELS / "german_credit_mlp.onnx", MODELS / "data" / "german_credit_sample.csv")
    assert result.exit_code == 3
    assert result.stderr.count("\n") == 1
    assert len(runs) < 20


def test_a_picture_without_the_target_costs_only_itself(run, tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "a_blank.png")
    photo = MODELS / "photos" / "astronaut.jpg"
    words = ("--window", "128", "--stride", "128", "--json")
    result = run("explain", "occlusion", MODELS / "selfie_segmentation.onnx", tmp_path / "a_blank.png", photo, *words)
    assert result.exit_code == 4, result.stderr
    document = json.loads(result.stdout)
    assert [one["input"] for one in document["results"]] == [str(photo)]
    assert "is empty" in document["refused"][0]["message"]


def test_a_file_in_the_way_costs_only_its_row(run, lookup, tmp_path):
    (tmp_path / "out" / "x-1.png").mkdir(parents=True)
    result = run("explain", "feature_ablation", lookup, _rows(tmp_path, GOOD), "-o", tmp_path / "out")
    assert result.exit_code == 4
    assert "x-1.png exists and is not a file" in result.stderr
    assert {path.name for path in (tmp_path / "out").glob("x-[02]*")} == {
        f"x-{n}.{k}" for n in "02" for k in ("png", "npz")
    }


@pytest.mark.parametrize(
    ("error", "code"), [(DeviceError("The device is gone."), 6), (ValueError("a fault of our own"), None)]
)
def test_what_ends_a_run_in_the_middle_leaves_what_is_finished(run, lookup, tmp_path, monkeypatch, error, code):
    before = Session.run

    def failing(self, fetch, feeds, *more):
        if any(np.asarray(array).max() == 4 for array in feeds.values()):
            raise error
        return before(self, fetch, feeds, *more)

    # More rows than are compared with each other before any is explained.
    rows = _rows(tmp_path, [*[[0, 1, 2], [1, 2, 3], [2, 3, 1]] * 4, [1, 1, 4], [2, 3, 1]])
    monkeypatch.setattr(Session, "run", failing)
    result = run("explain", "feature_ablation", lookup, rows, "-o", tmp_path / "all.npz", "--json")
    document = json.loads(result.stdout)
    assert document["complete"] is False
    found = xaionnx.Explanation.load(tmp_path / "all.npz")
    assert len(document["results"]) == found.samples > 0
    if code is None:
        assert result.exception is error
    else:
        assert (result.exit_code, result.stderr) == (code, "xaionnx: The device is gone.\n")


def test_a_last_save_that_fails_leaves_the_arrays_in_the_document(run, lookup, tmp_path, monkeypatch):
    def full(*_):
        raise StorageError("The disk is full.")

    monkeypatch.setattr(xaionnx.Explanation, "save", full)
    monkeypatch.setattr(_results, "write_fields", full)
    words = ("explain", "feature_ablation", lookup, _rows(tmp_path, GOOD), "-o", tmp_path / "all.npz", "--json")
    result = run(*words)
    assert (result.exit_code, result.stderr) == (6, "xaionnx: The disk is full.\n")
    document = json.loads(result.stdout)
    assert document["saved"] is None
    assert [np.shape(one["explanation"]["values"]) for one in document["results"]] == [(1, 3)] * 3


@pytest.mark.sampled(percent=50)
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")  # noqa: PTH110
@pytest.mark.parametrize("more", [(), ("--json",)])
@pytest.mark.parametrize(("stdout", "code"), [("full", 6), ("broken", 141)])
def test_files_are_written_whole_where_stdout_fails(lookup, tmp_path, more, stdout, code):
    words = ("explain", "feature_ablation", lookup, _rows(tmp_path, GOOD * 50), "-o", tmp_path / "all.npz", *more)
    if stdout == "full":
        stream = os.open("/dev/full", os.O_WRONLY)
    else:
        read, stream = os.pipe()
        os.close(read)
    path = os.pathsep.join(str(ROOT / folder) for folder in ("", "kernels", "cli"))
    done = subprocess.run(
        [sys.executable, "-m", "xaionnx_cli", *map(str, words)],
        env={**os.environ, "PYTHONPATH": path},
        stdout=stream,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(stream)
    assert (done.returncode, done.stderr.count("\n")) == (code, int(stdout == "full"))
    assert xaionnx.Explanation.load(tmp_path / "all.npz").samples == 150


def test_a_disk_that_fails_costs_the_row_that_it_hits(run, lookup, tmp_path, monkeypatch):
    failures = [OSError(5, "Input/output error")]

    def version(package):
        if failures:
            raise failures.pop()
        return f"{package} 1"

    monkeypatch.setattr(values, "_version", version)
    result = run("explain", "feature_ablation", lookup, _rows(tmp_path, GOOD), "--json")
    assert result.exit_code == 4
    assert "A file cannot be read or written: [Errno 5] Input/output error." in result.stderr
    assert len(json.loads(result.stdout)["results"]) == 2


def test_the_time_of_a_limit_is_not_that_of_files():
    with time_limit(0.2, "Work"), paused():
        time.sleep(0.4)
    with pytest.raises(TimeLimitError, match="Work took longer"), time_limit(0.1, "Work"):
        _work_after_a_pause()


def _work_after_a_pause():
    with paused():
        time.sleep(0.05)
    time.sleep(1)


@pytest.mark.parametrize(
    ("words", "every", "told"),
    [
        (("occlusion", "--window", "2x2x2"), True, "--window must be an int or 2 ints for this input"),
        (("occlusion", "--window", "4", "--stride", "5"), True, "--stride must not exceed the window 4"),
        (("feature_ablation", "--features", "grid:20"), False, "A grid of 20 by 20 cells does not fit a picture of 16"),
        (("exact_shapley", "--features", "pixels"), False, "ExactShapley takes at most 16 features. Got 256 instead"),
    ],
)
def test_a_parameter_that_fits_no_size_ends_the_run_at_the_first_row(run, tmp_path, words, every, told):
    model = parsed(
        """g (float[N, 3, H, W] x) => (float[N, 2] y) {
            p = GlobalAveragePool(x)  f = Flatten(p)  y = MatMul(f, w) }""",
        w=np.ones((3, 2)),
    )
    onnx.save(model, tmp_path / "free.onnx")
    (tmp_path / "free.toml").write_text('[input]\nkind = "picture"\nlayout = "NCHW"\n')
    for name in "abc":
        Image.new("RGB", (16, 16), "white").save(tmp_path / f"{name}.png")
    result = run("explain", words[0], tmp_path / "free.onnx", *(tmp_path / f"{n}.png" for n in "abc"), *words[1:])
    assert result.exit_code == 2, result.stderr
    assert result.stderr.count(told) == (1 if every else 3)
