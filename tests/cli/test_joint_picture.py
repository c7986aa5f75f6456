"""One picture of all rows of a table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xaionnx import Explanation, Model, explain

MODEL, TABLE = "models/german_credit_mlp.onnx", "models/data/german_credit.csv"


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_all_rows_are_one_beeswarm(run, tmp_path):
    place = tmp_path / "credit.png"
    found = run("explain", "feature_ablation", MODEL, TABLE, "--rows", "0-29", "-t", "good", "-o", place)
    assert found.exit_code == 0, found.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["credit.png"]
    assert "30 rows in one picture" in found.stdout
    # The rows beyond the first ones are counted, not printed.
    assert found.stdout.count("feature_ablation of good") == 5
    whole = explain(MODEL, Model.load(MODEL).read(TABLE).arrays["features"][:30], "feature_ablation", "good")
    np.testing.assert_array_equal(pixels(place).shape, np.asarray(whole.plot("beeswarm")).shape)


@pytest.mark.parametrize("kind", ["heatmap", "bar", "dependence"])
def test_the_kind_of_all_rows_is_named(run, tmp_path, kind):
    place = tmp_path / "credit.png"
    found = run("explain", "saliency", MODEL, TABLE, "--rows", "0-9", "--picture", kind, "-o", place)
    assert found.exit_code == 0, found.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["credit.png"]


@pytest.mark.parametrize("words", [("--each",), ("--picture", "bar", "--each")])
def test_each_row_has_its_own_picture_on_request(run, tmp_path, words):
    found = run(
        "explain", "feature_ablation", MODEL, TABLE, "--rows", "3,5", "-t", "good", "-o", tmp_path / "a.png", *words
    )
    assert found.exit_code == 0, found.stderr
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a-german_credit-3.png", "a-german_credit-5.png"]


def test_one_row_is_drawn_by_itself(run, tmp_path):
    found = run("explain", "saliency", MODEL, TABLE, "--rows", "17", "-o", tmp_path / "row.png")
    assert found.exit_code == 0, found.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["row.png"]
    assert "in one picture" not in found.stdout


def test_each_target_has_its_picture_and_the_document_names_them(run, tmp_path):
    words = ("--rows", "0-2", "-t", "good", "-t", "bad", "--json", "-o", tmp_path / "a.png")
    found = run("explain", "saliency", MODEL, TABLE, *words)
    assert found.exit_code == 0, found.stderr
    document = json.loads(found.stdout)
    files = [str(tmp_path / f"a-target{k}.png") for k in (1, 2)]
    assert [entry["files"] for entry in document["results"]] == [files] * 3
    assert np.shape(document["results"][0]["explanation"]["values"]) == (2, 1, 20)
    assert sorted(str(one) for one in tmp_path.iterdir()) == files


def test_rows_that_fail_are_left_out_of_the_picture(run, tmp_path):
    lines = Path(TABLE).read_text(encoding="utf-8").splitlines()
    lines[2] = lines[2].replace(",48,", ",many,", 1)
    (tmp_path / "rows.csv").write_text("\n".join(lines[:6]) + "\n", encoding="utf-8")
    found = run("explain", "saliency", MODEL, tmp_path / "rows.csv", "-o", tmp_path / "a.png")
    assert found.exit_code == 4
    assert "4 rows in one picture" in found.stdout
    assert (tmp_path / "a.png").exists()


def test_the_record_of_all_rows_stays_as_it_was(run, tmp_path):
    found = run("explain", "saliency", MODEL, TABLE, "--rows", "0-9", "-o", tmp_path / "a.npz")
    assert found.exit_code == 0, found.stderr
    assert Explanation.load(tmp_path / "a.npz").samples == 10


def test_theme_details_and_feature_are_those_of_the_picture(run, tmp_path):
    base = ("explain", "feature_ablation", MODEL, TABLE, "--rows", "0-9", "-t", "good")
    drawn = {}
    for name, words in {
        "light": (),
        "dark": ("--theme", "dark"),
        "details": ("--details",),
        "age": ("--picture", "dependence", "--feature", "age_in_years"),
        "amount": ("--picture", "dependence", "--feature", "credit_amount"),
    }.items():
        found = run(*base, *words, "-o", tmp_path / f"{name}.png")
        assert found.exit_code == 0, found.stderr
        drawn[name] = pixels(tmp_path / f"{name}.png")
    assert drawn["light"].mean() > 200 > 60 > drawn["dark"].mean()
    assert drawn["details"].shape[0] > drawn["light"].shape[0]
    assert drawn["age"].shape != drawn["amount"].shape or (drawn["age"] != drawn["amount"]).any()
    one = run(*base, "--picture", "dependence", "--feature", "agee", "-o", tmp_path / "x.png")
    assert one.exit_code == 2
    assert "agee" in one.stderr
    assert not (tmp_path / "x.png").exists()


def test_a_single_row_is_drawn_in_the_theme(run, tmp_path):
    words = ("explain", "saliency", MODEL, TABLE, "--rows", "3", "--theme", "dark", "-o", tmp_path / "row.png")
    assert run(*words).exit_code == 0
    assert pixels(tmp_path / "row.png").mean() < 60


def test_many_rows_in_one_record_are_printed_in_part_and_warned_of_once(run, tmp_path):
    place = tmp_path / "all.npz"
    words = ("kernel_shap", MODEL, TABLE, "--rows", "0-39", "--budget", "150", "-t", "good")
    found = run("explain", *words, "-o", place)
    assert found.exit_code == 0, found.stderr
    assert found.stdout.count("kernel_shap of good") == 5
    record = Explanation.load(place)
    whole = explain(MODEL, Model.load(MODEL).read(TABLE).arrays["features"][:40], "kernel_shap", "good", budget=150)
    np.testing.assert_array_equal(record.values, whole.values)
    assert record.provenance["inputs"] == [f"{TABLE}[{n}]" for n in range(40)]
    assert record.warnings == whole.warnings
    (warning,) = [line for line in whole.warnings if "which never occurs in" in line]
    assert found.stdout.count("No baseline was given") == 1
    assert warning.partition(". ")[0] in found.stdout
    document = json.loads(run("explain", *words, "--json").stdout)
    assert [one["input"] for one in document["results"]] == record.provenance["inputs"]
    assert document["results"][39]["explanation"]["feature_values"] == [whole.feature_values[39].tolist()]
