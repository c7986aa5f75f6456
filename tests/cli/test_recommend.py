"""``xaionnx recommend``."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from sklearn.datasets import load_digits


def test_the_answer_is_one_line_and_its_evidence_a_table(run, tmp_path):
    digits, report = tmp_path / "digits.npy", tmp_path / "report.html"
    np.save(digits, load_digits().images[:4, None].astype(np.float32))
    words = ("--methods", "saliency,input_x_gradient", "--metrics", "deletion", "--budget", "1m")
    found = run("recommend", "models/digits_cnn.onnx", digits, *words, "-o", report)
    assert found.exit_code == 0, found.stderr
    lines = found.stdout.splitlines()
    assert re.match(r"Recommended at [\d.]+ m?s an input: ", lines[0])
    # Each method with its figures, also those that are not named first.
    for method in ("saliency", "input_x_gradient"):
        assert sum(line.startswith(f"  {method}: ") and " deletion 0." in line for line in lines) == 1
    assert "in brackets the same metric for random values" in lines
    # The page has them in the same order; it was that in which they were asked for.
    saved = json.loads(report.with_suffix(".json").read_text())
    assert [row["method"] for row in saved["scores"]] == saved["ranking"] == ["input_x_gradient", "saliency"]
    cells = re.findall(r"<tr><td>(input_x_gradient|saliency)</td>", report.read_text())
    assert cells[:4] == 2 * saved["ranking"]
    assert "in the order of the recommendation" in report.read_text()
    # What is saved has the answer, not the evidence alone.
    assert f'<p class="answer">{lines[0]}</p>' in report.read_text()
    assert json.loads(report.with_suffix(".json").read_text())["choices"][-1]["method"] == "input_x_gradient"
    # Its own earlier report is replaced.
    found = run("recommend", "models/digits_cnn.onnx", digits, *words, "--json", "-o", report)
    assert found.exit_code == 0, found.stderr
    document = json.loads(found.stdout)
    assert document["choices"][-1]["method"] == "input_x_gradient"


def test_times_have_units(run, tmp_path):
    found = run("recommend", "models/digits_cnn.onnx", tmp_path / "none.npy", "--budget", "10x")
    assert found.exit_code == 2
    assert "10x" in found.stderr


@pytest.mark.parametrize("command", ["recommend", "evaluate"])
def test_a_budget_without_time_for_a_score_says_so_once_and_what_to_give(run, tmp_path, command):
    """It did not say that inputs were scored, nor that methods are not to be trusted, which nothing judged."""
    np.save(tmp_path / "digits.npy", load_digits().images[:4, None].astype(np.float32))
    words = ("--methods", "saliency,lrp,attention_rollout", "--metrics", "sparseness", "--budget", "0.0001s")
    found = run(command, "models/digits_cnn.onnx", tmp_path / "digits.npy", *words)
    assert found.exit_code == 6
    assert found.stderr == (
        "xaionnx: Nothing has a score: the time was too short for any method. Give ten times as long, --budget 1s, or "
        "name fewer methods and metrics.\n"
    )
    assert "trusted" not in found.stdout
    assert "random values" not in found.stdout


def test_each_line_of_a_text_is_an_input(run, tmp_path):
    mails = tmp_path / "mails.txt"
    mails.write_text("Claim your free prize now\nLunch tomorrow at noon?\nYou won money, click here\n")
    words = ("models/spam.onnx", mails, "--methods", "occlusion,feature_ablation")
    for command in (("recommend", *words, "--metrics", "deletion", "--budget", "1m"), ("compare", *words)):
        found = run(*command, "--lines", "--json")
        assert found.exit_code == 0, found.stderr
        inputs = json.loads(found.stdout)["inputs"]
        assert inputs == (str(mails) if command[0] == "compare" else [f"{mails}[{n}]" for n in range(3)])
    found = run("recommend", *words)
    assert found.exit_code == 2
    assert "needs two samples" in found.stderr


@pytest.mark.parametrize("command", ["recommend", "evaluate"])
def test_a_method_without_any_score_has_the_reason_of_the_metric_in_place_of_a_number(run, tmp_path, command):
    """Blank pictures times a slope are maps of zeros, whose mean over no scores was printed as nan."""
    np.save(tmp_path / "blank.npy", np.zeros((4, 1, 8, 8), np.float32))
    page = tmp_path / "page.html"
    words = ("--methods", "input_x_gradient,saliency", "--metrics", "deletion,sparseness", "-o", page)
    found = run(command, "models/digits_cnn.onnx", tmp_path / "blank.npy", *words)
    assert found.exit_code == 0, found.stderr
    for text in (found.stdout, page.read_text(), page.with_suffix(".json").read_text()):
        assert not re.search(r"\bnan\b", text, re.IGNORECASE)
        assert "all values are equal, so that they give no order" in text
    for text in (found.stdout, page.read_text()):
        assert "too short" not in text
        assert "0 inputs" not in text
        assert "0 of 4 samples alone" not in text
