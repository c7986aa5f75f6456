"""``xaionnx compare``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import rankdata

import xaionnx
from xaionnx.agreement import rank_agreement
from xaionnx.explainers.kernel_shap import KernelShap

MODEL, TABLE = "models/german_credit_mlp.onnx", "models/data/german_credit.csv"
METHODS = ("kernel_shap", "feature_ablation", "saliency")


def test_a_row_is_explained_by_each_method(run, tmp_path):
    place = tmp_path / "sheet.png"
    words = ("--rows", "9", "--methods", ",".join(METHODS), "--background", TABLE, "--background-size", "5")
    found = run("compare", MODEL, TABLE, *words, "-t", "good", "-o", place)
    assert found.exit_code == 0, found.stderr
    model = xaionnx.Model.load(MODEL)
    x = model.read(TABLE).arrays["features"]
    settings = {"background": x, "background_size": 5}
    known = rank_agreement(
        [xaionnx.explain(model, x[9:10], name, "good", **(settings if name != "saliency" else {})) for name in METHODS]
    )
    rows = [line.split()[2:5] for line in found.stdout.splitlines() if line[:1] in "123" and line[1:2] == " "]
    np.testing.assert_allclose(np.array(rows, float), known, atol=0.006)
    with Image.open(place) as image:
        assert image.width > 600


def test_all_rows_and_a_document(run):
    found = run("compare", MODEL, TABLE, "--rows", "0-4", "--methods", "saliency,input_x_gradient", "--json")
    assert found.exit_code == 0, found.stderr
    document = json.loads(found.stdout)
    assert document["methods"] == ["saliency", "input_x_gradient"]
    assert np.shape(document["explanations"][0]["values"]) == (5, 20)
    assert document["rank_agreement"][0][0] == pytest.approx(1)


def test_the_importance_for_all_rows_by_methods_of_rows_and_of_data_sets(run, tmp_path):
    place = tmp_path / "importance.png"
    words = ("--methods", "feature_ablation,feature_permutation,dependence", "--metric", "roc_auc")
    more = ("--labels", "creditability", "--background", TABLE, "--background-size", "3", "--rows", "0-79")
    found = run("compare", MODEL, TABLE, *words, *more, "-t", "good", "-o", place, "--json")
    assert found.exit_code == 0, found.stderr
    document = json.loads(found.stdout)
    assert [np.shape(one["values"]) for one in document["explanations"]] == [(80, 20), (1, 20), (1, 20)]
    assert document["explanations"][1]["target"] == ["roc_auc over 80 samples"]
    assert document["explanations"][2]["provenance"]["inputs"] == [TABLE]
    sizes = [np.abs(one["feature_values"]).mean(axis=0) for one in document["explanations"]]
    known = np.corrcoef([rankdata(one) for one in sizes])
    np.testing.assert_allclose(document["rank_agreement"], known, atol=1e-6)
    with Image.open(place) as image:
        assert image.width > 600


def test_a_photo_becomes_a_sheet_of_maps(run, tmp_path):
    place = tmp_path / "sheet.png"
    words = ("--methods", "occlusion,saliency", "-o", place, "-t", "3")
    np.save(tmp_path / "digit.npy", np.random.default_rng(0).normal(size=(1, 1, 8, 8)).astype(np.float32))
    found = run("compare", "models/digits_cnn.onnx", tmp_path / "digit.npy", *words)
    assert found.exit_code == 0, found.stderr
    assert place.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--methods", "lime"), "two or more methods"),
        (("--methods", "lime,lime"), "each once"),
        (("--methods", "lime,lima"), "No method named 'lima'"),
        (("--methods", "lime,saliency", "-o", "sheet.npz"), "must end in .png or .jpg"),
        (("--methods", "lime,saliency", "--rows", "5000"), "there is no row 5000"),
        (("--methods", "grad_cam,saliency"), "class activation maps need a picture"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(run, words, said):
    found = run("compare", MODEL, TABLE, *words)
    assert found.exit_code in (2, 3, 4)
    assert said in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1


def test_a_method_that_fails_leaves_the_others(run, tmp_path):
    place = tmp_path / "sheet.png"
    words = ("--rows", "9", "--methods", "saliency,grad_cam,input_x_gradient", "-o", place, "--json")
    found = run("compare", MODEL, TABLE, *words)
    assert found.exit_code == 4
    assert "1 of 3 methods failed" in found.stderr
    document = json.loads(found.stdout)
    assert document["methods"] == ["saliency", "input_x_gradient"]
    assert "class activation maps need a picture" in document["failed"][0]["message"]
    assert place.exists()


def test_an_interrupt_leaves_the_methods_that_are_done(run, tmp_path, monkeypatch):
    def interrupted(method, game):
        raise KeyboardInterrupt

    monkeypatch.setattr(KernelShap, "estimate", interrupted)
    place = tmp_path / "sheet.png"
    words = ("--rows", "9", "--methods", "saliency,input_x_gradient,kernel_shap", "--json", "-o", place)
    found = run("compare", MODEL, TABLE, *words)
    assert found.exit_code == 130
    assert found.stderr.strip() == f"xaionnx: interrupted; 2 of 3 methods are done and saved in {place}."
    document = json.loads(found.stdout)
    assert document["complete"] is False
    assert document["methods"] == ["saliency", "input_x_gradient"]
    assert place.exists()


def test_the_column_of_labels_is_no_input_of_any_method(run, tmp_path):
    table = tmp_path / "rows.csv"
    table.write_text(Path(TABLE).read_text().replace("creditability", "truth"))
    words = ("--methods", "saliency,feature_permutation", "--metric", "accuracy", "--rows", "0-19", "--json")
    found = run("compare", MODEL, table, *words, "--labels", "truth")
    known = run("compare", MODEL, TABLE, *words, "--labels", "creditability")
    assert found.exit_code == known.exit_code == 0, found.stderr
    each, other = (json.loads(one.stdout) for one in (found, known))
    assert each["explanations"][1]["values"] == other["explanations"][1]["values"]
    assert each["rank_agreement"] == other["rank_agreement"]
    assert "'truth', which the model does not use" in run("compare", MODEL, table, *words[:2]).stderr
