"""``xaionnx counterfactual``."""

from __future__ import annotations

import json

import pytest

LOANS = ("models/german_credit_mlp.onnx", "models/data/german_credit.csv")


def test_a_refused_loan_in_words_and_as_a_picture(run, tmp_path):
    place = tmp_path / "changes.png"
    found = run("counterfactual", "wachter", *LOANS, "--rows", "1,9", "--to", "good", "-o", place)
    assert found.exit_code == 0, found.stderr
    assert "good, had these values been" in found.stdout
    assert " -> " in found.stdout
    assert place.stat().st_size > 0


def test_the_document(run):
    words = ("--rows", "1", "--to", "good", "--immutable", "age_in_years", "--down", "credit_amount", "--json")
    found = run("counterfactual", "wachter", *LOANS, *words)
    assert found.exit_code == 0, found.stderr
    (one,) = json.loads(found.stdout)["results"]
    assert one["valid"]
    assert all(change["name"] != "age_in_years" for change in one["changes"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--to", "splendid"), "splendid"),
        (("--to", "good", "--immutable", "colour"), "colour"),
        (("--to", "good", "-o", "changes.bmp"), "must end in .png"),
        ((), "--to"),
    ],
)
def test_what_does_not_fit_is_one_sentence(run, words, sentence):
    found = run("counterfactual", "wachter", *LOANS, "--rows", "1", *words)
    assert found.exit_code != 0
    assert sentence in found.stderr
    assert "Traceback" not in found.stderr
