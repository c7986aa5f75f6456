"""Commands that write all results at once: a stop, a failure or a full disk costs only what it hits."""

from __future__ import annotations

import errno
import json
import os

import numpy as np
import pytest
from xaionnx_cli import _deadline

from xaionnx.data import storage
from xaionnx.errors import OutputError
from xaionnx.evaluation.block_scoring import BlockScoring
from xaionnx.explainers.input_x_gradient import InputXGradient
from xaionnx.metrics.complexity.sparseness import Sparseness
from xaionnx.optimization import counterfactual_search

DIGITS = "models/digits_cnn.onnx"
LOANS = ("models/german_credit_mlp.onnx", "models/data/german_credit_sample.csv")
# Calls of a metric for the first method: its own scores and those of the control.
OF_FIRST = 2
METHODS = ("--methods", "saliency,input_x_gradient,feature_ablation")


@pytest.fixture
def digits(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((2, 1, 8, 8), dtype=np.float32))
    return tmp_path / "x.npy"


def fail(monkeypatch, owner, name, error, after=0):
    """Let a function raise an error, once it was called ``after`` times."""
    before, calls = getattr(owner, name), []

    def failing(*given, **options):
        calls.append(None)
        if len(calls) > after:
            raise error
        return before(*given, **options)

    monkeypatch.setattr(owner, name, failing)


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (("evaluate", "--metrics", "sparseness"), "1 of 3 methods are done"),
        (("recommend", "--metrics", "sparseness", "--budget", "60s"), "1 of 3 methods have scores"),
        (("compare",), "1 of 3 methods are done"),
    ],
    ids=lambda one: one[0] if isinstance(one, tuple) else None,
)
def test_methods_that_are_done_outlive_a_stop(run, monkeypatch, digits, words, kept):
    place = digits.with_name("out.png" if words[0] == "compare" else "out.json")
    if words[0] == "recommend":
        # All methods explain before any is scored, the cheapest first.
        fail(monkeypatch, Sparseness, "measure", KeyboardInterrupt(), after=OF_FIRST)
    else:
        fail(monkeypatch, InputXGradient, "explain", KeyboardInterrupt())
    result = run(words[0], DIGITS, digits, *METHODS, *words[1:], "-o", place, "--json")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["complete"]) == (130, False)
    assert f"interrupted; {kept}" in result.stderr
    if words[0] == "compare":
        # One method has nothing beside it.
        assert (document["methods"], document["saved"]) == (["saliency"], None)
    else:
        assert len(document["scores"]) == 1
        assert json.loads(place.read_text())["scores"] == document["scores"]


@pytest.mark.parametrize("command", ["evaluate", "recommend"])
def test_methods_that_are_done_outlive_the_time_limit(run, monkeypatch, digits, command):
    fail(monkeypatch, Sparseness, "measure", _deadline._Expired(), after=OF_FIRST)
    result = run(command, DIGITS, digits, *METHODS, "--metrics", "sparseness", "--json")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["complete"]) == (6, False)
    assert len(document["scores"]) == 1
    assert "A metric took longer than" in result.stderr


def test_a_report_of_what_was_done_names_what_was_not_reached(run, monkeypatch, digits):
    fail(monkeypatch, InputXGradient, "explain", KeyboardInterrupt())
    result = run("evaluate", DIGITS, digits, *METHODS, "--metrics", "sparseness")
    said = "without scores: input_x_gradient, feature_ablation: the command was stopped ahead of it"
    assert said in result.stdout
    assert result.stderr == "xaionnx: interrupted; 1 of 3 methods are done.\n"


def test_nothing_is_written_before_the_first_method_is_done(run, monkeypatch, digits):
    fail(monkeypatch, InputXGradient, "explain", KeyboardInterrupt())
    words = ("--methods", "input_x_gradient,saliency", "--metrics", "sparseness", "-o", digits.with_name("out.json"))
    result = run("evaluate", DIGITS, digits, *words)
    assert (result.stdout, result.stderr) == ("", "xaionnx: interrupted.\n")
    assert [path.name for path in digits.parent.iterdir()] == ["x.npy"]


@pytest.mark.parametrize("error", [MemoryError("no room"), OSError("no room")], ids=["memory", "disk"])
def test_what_one_method_lacks_costs_no_other(run, monkeypatch, digits, error):
    fail(monkeypatch, InputXGradient, "explain", error)
    result = run("evaluate", DIGITS, digits, *METHODS, "--metrics", "sparseness", "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["complete"]
    assert [one["method"] for one in document["scores"]] == ["saliency", "feature_ablation"]
    assert document["refused"]["input_x_gradient"] == "no room"


def test_no_scores_at_all_are_no_success(run, digits):
    result = run("evaluate", DIGITS, digits, "--methods", "attention_rollout", "--metrics", "sparseness")
    assert result.exit_code == 4
    assert result.stderr.startswith("xaionnx: Nothing has a score. attention_rollout: ")
    assert "without scores: attention_rollout" in result.stdout


def test_later_rounds_of_a_recommendation_that_is_stopped_leave_the_earlier_ones(run, monkeypatch, tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((4, 1, 8, 8), dtype=np.float32))
    # Two methods in the first round, each explained and scored, the better one in the second.
    fail(monkeypatch, BlockScoring, "of", KeyboardInterrupt(), after=4)
    words = ("--methods", "saliency,input_x_gradient", "--metrics", "sparseness", "--budget", "60s", "--json")
    result = run("recommend", DIGITS, tmp_path / "x.npy", *words)
    document = json.loads(result.stdout)
    assert (result.exit_code, document["complete"]) == (130, False)
    assert {(one["method"], one["samples"]) for one in document["scores"]} == {("saliency", 2), ("input_x_gradient", 2)}


def test_rows_that_have_their_counterfactuals_outlive_a_stop(run, monkeypatch, tmp_path):
    fail(monkeypatch, counterfactual_search, "_of_row", KeyboardInterrupt(), after=2)
    place = tmp_path / "out.png"
    result = run("counterfactual", "nearest_row", *LOANS, "--rows", "0-5", "--to", "good", "--json", "-o", place)
    document = json.loads(result.stdout)
    assert (result.exit_code, document["complete"], len(document["results"])) == (130, False, 2)
    assert document["saved"] == str(place)
    assert result.stderr == f"xaionnx: interrupted; 2 of 6 rows are done and saved in {place}.\n"


def test_a_row_that_fails_costs_no_other(run, monkeypatch):
    found = counterfactual_search._of_row

    def failing(model, row, *rest):
        if row[1] == 48:
            raise OutputError("Output 'logits' holds NaN.")
        return found(model, row, *rest)

    monkeypatch.setattr(counterfactual_search, "_of_row", failing)
    result = run("counterfactual", "nearest_row", *LOANS, "--rows", "0-3", "--to", "good", "--json")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["complete"]) == (4, True)
    assert [one["input"] for one in document["results"]] == [f"german_credit_sample.csv[{n}]" for n in (0, 2, 3)]
    assert [one["input"] for one in document["refused"]] == ["german_credit_sample.csv[1]"]
    assert "1 of 4 rows refused:" in result.stderr


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("evaluate", DIGITS, "x.npy", "--methods", "saliency", "--metrics", "sparseness"), "out.html"),
        (("recommend", DIGITS, "x.npy", *METHODS, "--metrics", "sparseness", "--budget", "60s"), "out.json"),
        (("compare", DIGITS, "x.npy", *METHODS, "--rows", "0"), "out.png"),
        (("counterfactual", "nearest_row", *LOANS, "--rows", "0", "--to", "good"), "out.png"),
        (("visualize", "class_score", DIGITS, "--label", "7", "--steps", "1"), "out.npz"),
    ],
    ids=lambda one: one[0] if isinstance(one, tuple) else None,
)
def test_a_full_disk_leaves_the_document(run, monkeypatch, digits, words, name):
    fail(monkeypatch, storage, "_sync", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    given = [digits if word == "x.npy" else word for word in words]
    result = run(*given, "-o", digits.with_name(name), "--json")
    assert result.exit_code == 6
    assert not json.loads(result.stdout)["saved"]
    assert "No space left on device" in result.stderr
    assert [path.name for path in digits.parent.iterdir()] == ["x.npy"]
