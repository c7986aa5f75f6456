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


@pytest.fixture
def digits(tmp_path):
    import numpy as np
    from PIL import Image

    data = np.load("models/data/mnist_sample.npz")
    for label in (4, 9):
        Image.fromarray(data["images"][data["labels"] == label][0, 0]).save(tmp_path / f"{label}.png")
    return tmp_path / "4.png", tmp_path / "9.png"


def test_the_cells_that_make_a_four_a_nine(run, digits, tmp_path):
    four, nine = digits
    place = tmp_path / "cells.png"
    found = run("counterfactual", "goyal", "models/mnist_cnn.onnx", four, "--distractor", nine, "-o", place)
    assert found.exit_code == 0, found.stderr
    assert "4 becomes 9" in found.stdout
    assert place.stat().st_size > 0


def test_what_is_absent_and_what_suffices_on_one_sheet(run, digits, tmp_path):
    place = tmp_path / "cem.png"
    words = ("--steps", "60", "--searches", "3", "-o", place)
    found = run("counterfactual", "cem", "models/mnist_cnn.onnx", digits[0], *words)
    assert found.exit_code == 0, found.stderr
    assert "pertinent negative: 4 becomes" in found.stdout
    assert "pertinent positive: already these parts are 4" in found.stdout


def test_several_rows_are_alternatives(run, tmp_path):
    place = tmp_path / "rows.png"
    words = ("--rows", "1", "--to", "good", "--by", "random", "--count", "3", "--steps", "10", "-o", place)
    found = run("counterfactual", "diverse", *LOANS, *words)
    assert found.exit_code == 0, found.stderr
    assert found.stdout.splitlines().count("or") == 2
    assert place.stat().st_size > 0


def test_the_distance_of_a_row_to_the_border_has_changes_in_units(run):
    found = run("counterfactual", "adversarial_distance", *LOANS, "--rows", "1", "--json")
    assert found.exit_code == 0, found.stderr
    (one,) = json.loads(found.stdout)["results"]
    assert one["valid"]
    assert one["distance"] > 0
    assert one["changes"]


def test_cells_need_another_picture(run, digits):
    found = run("counterfactual", "goyal", "models/mnist_cnn.onnx", digits[0])
    assert found.exit_code != 0
    assert "--distractor" in found.stderr


def table_with(tmp_path, line, change):
    """Three rows of the loans, one cell of which is changed."""
    from pathlib import Path

    lines = Path(LOANS[1]).read_text(encoding="utf-8").splitlines()[:4]
    cells = lines[line].split(",")
    cells[1] = change
    lines[line] = ",".join(cells)
    place = tmp_path / "loans.csv"
    place.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return place


@pytest.mark.parametrize("search", ["wachter", "adversarial_distance"])
def test_a_cell_that_cannot_be_read_costs_its_row_alone(run, tmp_path, search):
    place = table_with(tmp_path, 2, "many")
    words = ("--to", "good") if search == "wachter" else ()
    more = ("--background", LOANS[1]) if search == "wachter" else ()
    found = run("counterfactual", search, LOANS[0], place, *words, *more, "--json")
    assert found.exit_code == 4, found.stderr
    document = json.loads(found.stdout)
    assert [one["input"] for one in document["results"]] == ["loans.csv[0]", "loans.csv[2]"]
    (refused,) = document["refused"]
    assert "many" in refused["message"]
    assert f"1 of 3 {'rows' if search == 'wachter' else 'inputs'} refused" in found.stderr


def test_what_is_found_is_kept_when_a_search_of_pictures_is_stopped(run, tmp_path, digits, monkeypatch):
    from xaionnx.optimization.counterfactuals.adversarial_distance import AdversarialDistance

    whole, calls = AdversarialDistance.search, []

    def once(self, problem):
        calls.append(problem)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return whole(self, problem)

    monkeypatch.setattr(AdversarialDistance, "search", once)
    place = tmp_path / "sheet.png"
    found = run(
        "counterfactual", "adversarial_distance", "models/mnist_cnn.onnx", digits[0].parent, "-o", place, "--json"
    )
    assert found.exit_code == 130
    assert "1 of 2 inputs are done" in found.stderr
    document = json.loads(found.stdout)
    assert not document["complete"]
    assert len(document["results"]) == 1
    assert place.stat().st_size > 0
