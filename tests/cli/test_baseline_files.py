"""Baselines from files of data on the command line: every form that takes a file, and how near spellings are told."""

import json

import numpy as np
import pytest

from tests.tiny import linear
from xaionnx import discovery
from xaionnx.perturb.background import replacement
from xaionnx.perturb.baseline import BASELINES

ROWS = np.float32([[1, 2], [3, 2], [8, 5]])
MADE_OF_ROWS = {"background": ROWS.mean(axis=0), "mean": ROWS.mean(axis=0), "median": np.median(ROWS, axis=0)}
X = np.float32([[10, 20]])


@pytest.fixture
def files(tmp_path):
    np.save(tmp_path / "rows.npy", ROWS)
    np.save(tmp_path / "one.npy", ROWS[:1])
    np.savez(tmp_path / "rows.npz", x=ROWS)
    np.savetxt(tmp_path / "rows.csv", ROWS, delimiter=",", header="a,b", comments="")
    np.save(tmp_path / "x.npy", X)
    linear(tmp_path / "m.onnx", [[1], [100]])
    return tmp_path


def explained(run, files, baseline, *words):
    return run("explain", "feature_ablation", files / "m.onnx", files / "x.npy", "-t", "0", "--baseline", baseline,
               "--json", *words)  # fmt: skip


def test_every_form_that_takes_a_file_is_known_here():
    assert {name for name, form in BASELINES.forms().items() if "file" in form.pattern} == {*MADE_OF_ROWS}


@pytest.mark.parametrize("by_name", ["", "x="])
@pytest.mark.parametrize("suffix", ["npy", "npz", "csv"])
@pytest.mark.parametrize("form", MADE_OF_ROWS)
def test_rows_of_a_file(run, files, form, suffix, by_name):
    done = explained(run, files, f"{by_name}{form}:{files / f'rows.{suffix}'}")
    assert done.exit_code == 0, done.stderr
    values = json.loads(done.stdout)["results"][0]["explanation"]["values"]
    np.testing.assert_allclose(values, [(X[0] - MADE_OF_ROWS[form]) * [1, 100]], rtol=1e-5)


@pytest.mark.parametrize("text", ["{}", "x={}"])
def test_an_array_of_a_file(run, files, text):
    done = explained(run, files, text.format(files / "one.npy"))
    assert done.exit_code == 0, done.stderr
    values = json.loads(done.stdout)["results"][0]["explanation"]["values"]
    np.testing.assert_allclose(values, [(X[0] - ROWS[0]) * [1, 100]], rtol=1e-5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}.npy", "to average over rows of data write 'background:FILE'"),
        ("{}.csv", "Rows of data in a file are written as 'background:{}.csv', 'mean:{}.csv' or 'median:{}.csv'. Got"),
        ("rows:{}.npy", "Rows of data in a file are written as 'background:{}.npy', 'mean:{}.npy' or 'median:{}.npy'"),
        ("x=rows:{}.npz", "Rows of data in a file are written as 'background:{}.npz', "),
        ("background={}.npy", "The baseline 'background' is written with a colon: 'background:rows.csv'."),
        ("background", "must be written as 'background:rows.csv'"),
        ("background:{}x.npy", "There is no file '{}x.npy'. Check the path."),
    ],
)
def test_a_near_spelling_is_told_what_to_write(run, files, text, said):
    rows = str(files / "rows")
    done = explained(run, files, text.replace("{}", rows))
    assert done.exit_code in (2, 4)
    assert said.replace("{}", rows) in " ".join(done.stderr.split())


def test_label_maps_by_input_name(run, files):
    np.save(files / "labels.npy", np.array([4, 4]))
    done = explained(run, files, "0", "--features", f"x={files / 'labels.npy'}")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["results"][0]["explanation"]["feature_values"] == [[2010]]


@pytest.mark.parametrize("suffix", ["npy", "npz", "csv"])
def test_background_rows_of_a_file(run, files, suffix):
    done = run("explain", "kernel_shap", files / "m.onnx", files / "x.npy", "-t", "0", "--background",
               files / f"rows.{suffix}", "--background-size", "2", "--json")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    explanation = json.loads(done.stdout)["results"][0]["explanation"]
    assert explanation["provenance"]["parameters"]["background"]["given"] == len(ROWS)
    kept = replacement(discovery.method("kernel_shap")(background=ROWS, background_size=2)).bind(None).rows
    np.testing.assert_allclose(explanation["values"], [(X[0] - kept.mean(axis=0)) * [1, 100]], rtol=1e-4)
