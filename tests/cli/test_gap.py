"""Completeness gaps and approximations in the report."""

import json
import re

import numpy as np
import pytest


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        (
            "lrp",
            ("--composite", "epsilon"),
            r"\d+(\.\d+)? % (of the score was absorbed by biases or the stabiliser|more than the score)",
        ),
        ("deep_lift", (), r"gap (under )?\S+ % of the change"),
        ("integrated_gradients", ("--steps", "4"), r"gap \S+ % of the change, 4 steps"),
    ],
)
def test_the_report_tells_the_gap(run, digits, picture, method, options, said):
    lines = run("explain", method, digits, picture, "-t", "3", *options).stdout.splitlines()
    assert [line for line in lines if re.fullmatch(f"  {said}", line)] == [lines[10]]
    two = run("explain", method, digits, picture, "-t", "3", "-t", "probability:1", *options).stdout.splitlines()
    assert re.fullmatch(rf"  3 \(3\): {said}", two[10])
    assert re.fullmatch(rf"  1 \(1\), probability: {said.replace('score', 'probability')}", two[11])


def test_the_report_and_the_document_warn_of_what_is_off(run, digits, picture):
    words = ("explain", "integrated_gradients", digits, picture, "-t", "3", "--rule", "left")
    warned = [line for line in run(*words, "--steps", "2").stdout.splitlines() if "warning" in line]
    assert len(warned) == 1
    assert re.fullmatch(
        r"  warning: The values do not add up: they are off by \S+, \S+ % of the change in the prediction\. "
        r"Raise steps \(now 2\) until they do, or set --tolerance 0\.05, which refines them\.",
        warned[0],
    )
    (result,) = json.loads(run(*words, "--steps", "2", "--json").stdout)["results"]
    assert result["explanation"]["warnings"] == [
        warned[0].removeprefix("  warning: ").replace("--tolerance 0.05", "tolerance=0.05")
    ]
    assert "warning" not in run(*words, "--steps", "500").stdout


def test_a_method_without_a_gap_has_no_line(run, digits, picture):
    assert " % of the " not in run("explain", "saliency", digits, picture, "-t", "3").stdout


def test_an_option_without_a_use_is_refused(run, digits, picture):
    found = run("explain", "lrp", digits, picture, "--gamma", "5")
    assert (found.exit_code, found.stdout) == (2, "")
    assert "--gamma must be left out for --composite epsilon_plus" in found.stderr


def test_approximations_are_told_once_for_all_inputs(run, tmp_path):
    np.save(tmp_path / "two.npy", np.random.default_rng(0).random((2, 1, 28, 28)).astype(np.float32))
    lines = run("explain", "deep_lift", "models/mnist_cnn.onnx", tmp_path / "two.npy").stdout.splitlines()
    told = [place for place, line in enumerate(lines) if line.startswith("  approximations")]
    assert [lines[place] for place in told] == ["  approximations: MaxPool: a complete rule beyond the paper (2 nodes)"]
    # In the report of the first input.
    assert told[0] < lines.index(str(tmp_path / "two.npy[1]"))
    assert "  approximations" not in run("explain", "saliency", "models/mnist_cnn.onnx", tmp_path / "two.npy").stdout


def test_other_approximations_are_told_anew(run, monkeypatch, tmp_path):
    np.save(tmp_path / "five.npy", np.zeros((5, 1, 28, 28), np.float32))
    found = iter(["  approximations: A", "  approximations: A", "", "", "  approximations: B"])
    monkeypatch.setattr("xaionnx_cli._report.approximation_line", lambda result: next(found))
    lines = run("explain", "saliency", "models/mnist_cnn.onnx", tmp_path / "five.npy").stdout.splitlines()
    told = [line for line in lines if line.startswith("  approximations")]
    assert told == ["  approximations: A", "  approximations: none", "  approximations: B"]
