"""``--gradient`` chooses the source of gradients, and the report names it."""

import json

import numpy as np
import onnx

from tests.tolerances import Tolerance, assert_close
from xaionnx import Model
from xaionnx.autodiff import gradient


def test_differences_from_the_command_line(run, digits, tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((1, 1, 8, 8)).astype(np.float32))
    said = run("explain", "saliency", digits, tmp_path / "x.npy", "--gradient", "finite_differences:grid:2:random:9")
    assert said.exit_code == 0, said.stderr
    assert "  19 evaluations in " in said.stdout
    assert ", gradients by finite_differences\n" in said.stdout
    plain = run("explain", "saliency", digits, tmp_path / "x.npy")
    assert "  1 evaluation in " in plain.stdout
    assert "gradients by" not in plain.stdout


def test_a_gradient_model_from_the_command_line(run, digits, tmp_path):
    model = Model.load(digits)
    onnx.save(gradient(model, model.output().name, [model.input().name]).model.graph, tmp_path / "slopes.onnx")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((1, 1, 8, 8)).astype(np.float32))
    words = ("explain", "saliency", digits, tmp_path / "x.npy", "--json", "--gradient")
    values = []
    for source in (tmp_path / "slopes.onnx", "graph"):
        result = run(*words, source)
        assert result.exit_code == 0, result.stderr
        told = json.loads(result.stdout)["results"][0]["explanation"]
        values.append(np.array(told["values"]))
        assert told["diagnostics"]["gradient"] in ("slopes.onnx", "graph")
    assert_close(values[0], values[1], Tolerance.ORDER_ONE)


def test_what_is_no_source_is_refused(run, digits):
    result = run("explain", "saliency", digits, digits, "--gradient", "finite_diferences")
    assert result.exit_code == 2
    assert "--gradient must be one of auto, graph, finite_differences[" in result.stderr
