"""Many inputs on the command line: runs in parts, their pictures, shares and messages."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from xaionnx_cli._options import MANY

from xaionnx import Explanation, Run

MODEL = "models/mnist_cnn.onnx"


@pytest.fixture
def digits(tmp_path):
    path = tmp_path / "digits.npy"
    np.save(path, np.random.default_rng(0).random((40, 1, 28, 28)).astype(np.float32))
    return path


def test_few_inputs_get_files_of_their_own_and_many_a_run(run, tmp_path):
    x = np.random.default_rng(0).random((MANY + 1, 1, 28, 28)).astype(np.float32)
    np.save(tmp_path / "many.npy", x)
    np.save(tmp_path / "few.npy", x[:2])
    assert run("explain", "grad_cam", MODEL, tmp_path / "few.npy", "-o", tmp_path / "few/").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "few").iterdir()) == [
        "few-0.npz", "few-0.png", "few-1.npz", "few-1.png"
    ]  # fmt: skip
    done = run("explain", "grad_cam", MODEL, tmp_path / "many.npy", "-o", tmp_path / "many/")
    assert done.exit_code == 0, done.output
    assert "1,001 inputs: a run in parts in" in done.output
    assert "1,001 rows of 1,001" in done.output
    found = Run.open(tmp_path / "many")
    assert found.complete
    assert len(found) == MANY + 1
    np.testing.assert_array_equal(found[1].values, Explanation.load(tmp_path / "few" / "few-1.npz").values)


def test_a_run_is_resumed_and_another_one_refused(run, tmp_path, digits):
    folder = tmp_path / "run"
    words = ("explain", "grad_cam", MODEL, digits, "-o", folder, "--shards")
    assert run(*words).exit_code == 0
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*.npz")}
    # Its folder is known as a run without --shards.
    assert run(*words[:-1]).exit_code == 0
    assert times == {path: path.stat().st_mtime_ns for path in folder.rglob("*.npz")}
    other = run(*words, "--target", "4")
    assert other.exit_code == 2
    assert "is another one: target is not set there and Index(k=" in other.output
    next(iter(times)).write_bytes(b"damaged")
    assert run(*words).exit_code == 0
    assert len(Run.open(folder)) == 40
    anew = run(*words, "--no-resume", "--target", "4")
    assert anew.exit_code == 0
    assert Run.open(folder)[0].target[0].startswith("4")


def test_shares_are_merged(run, tmp_path, digits):
    for n in (1, 2, 3):
        done = run("explain", "saliency", MODEL, digits, "-o", tmp_path / f"share{n}", "--shard", f"{n}/3")
        assert "not done yet" in done.output
    merged = run("merge", tmp_path / "whole", *(tmp_path / f"share{n}" for n in (1, 2, 3)))
    assert merged.exit_code == 0
    assert "40 rows of 40" in merged.output
    run("explain", "saliency", MODEL, digits, "-o", tmp_path / "one", "--shards")
    assert Run.open(tmp_path / "whole").digest() == Run.open(tmp_path / "one").digest()
    assert "is not a share, such as 2/8" in run("explain", "lime", MODEL, digits, "-o", "x", "--shard", "4/3").output


def test_pictures_are_drawn_on_demand(run, tmp_path, digits):
    folder = tmp_path / "run"
    done = run("explain", "grad_cam", MODEL, digits, "-o", folder, "--pictures", "2")
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (folder / "pictures").iterdir()) == ["row-0.png", "row-1.png"]
    drawn = run("draw", folder, "--rows", "1,39", "-o", tmp_path / "drawn")
    assert drawn.exit_code == 0, drawn.output
    assert drawn.stdout.splitlines() == [
        f"saved 2 pictures in {tmp_path / 'drawn'}",
        f"  row-1.png: {digits}[1]",
        f"  row-39.png: {digits}[39]",
    ]
    assert (tmp_path / "drawn" / "row-1.png").read_bytes() == (folder / "pictures" / "row-1.png").read_bytes()
    assert (tmp_path / "drawn" / "row-39.png").exists()
    assert "there is no row 40" in run("draw", folder, "--rows", "40", "-o", tmp_path / "drawn").output


def test_the_document_of_a_run_says_what_was_refused(run, tmp_path):
    x = np.random.default_rng(0).random((12, 1, 28, 28)).astype(np.float32)
    x[[2, 7]] = np.inf
    np.save(tmp_path / "x.npy", x)
    done = run("explain", "saliency", MODEL, tmp_path / "x.npy", "-o", tmp_path / "run", "--shards", "--json")
    assert done.exit_code == 4
    told = json.loads(done.stdout)
    assert (told["rows"], told["complete"], told["missing"]) == (10, True, 0)
    assert [one["unit"] for one in told["refused"]] == [2, 7]
    assert "2 of 12 inputs refused" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "x.npz", "--shards"], "--shards is of a run in parts. It is a folder: name one with -o FOLDER."),
        (["--workers", "2"], "--workers is of a run in parts. It is a folder"),
        (["-o", "x/", "--shards", "--rows", "3"], "It explains all rows: leave out --rows"),
        (["-o", "x/", "--shards", "--sign", "positive"], "--sign is of pictures, which a run"),
        (
            ["-o", "x/", "--no-shards", "--workers", "2"],
            "--workers is of a run, which --no-shards makes none",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(run, tmp_path, digits, monkeypatch, words, message):
    from pathlib import Path

    model = Path(MODEL).resolve()
    monkeypatch.chdir(tmp_path)
    told = run("explain", "saliency", model, digits, *words)
    assert told.exit_code == 2
    assert message in told.output
    assert not (tmp_path / "x").exists()


def test_a_row_that_the_model_fails_on_is_named(run, tmp_path):
    x = np.ones((8, 3), np.float32)
    x[5] = -1
    np.save(tmp_path / "x.npy", x)
    model = tmp_path / "log.onnx"
    nodes = [helper.make_node("Log", ["x"], ["y"])]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3]) for name in "xy"]
    graph = helper.make_graph(nodes, "log", values[:1], values[1:])
    onnx.save(helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)]), model)
    words = ("--baseline", "1", "-t", "0", "--shards")
    told = run("explain", "feature_ablation", model, tmp_path / "x.npy", "-o", tmp_path / "run", *words)
    assert f"  '{tmp_path / 'x.npy'}[5]': log.onnx returns NaN or infinity" in told.stderr


def test_a_method_that_compares_samples_has_no_run(run, digits, tmp_path):
    for method, said in (
        ("tree_shap", "compares all samples with each other, so that they cannot be explained in parts. Give other rows"
         " to compare them with, as in --background FILE."),
        ("feature_permutation", "compare them with, as in --donors FILE."),
        ("dependence", "dependence explains all samples together, so that they cannot be explained in parts."),
    ):  # fmt: skip
        told = run("explain", method, MODEL, digits, "-o", tmp_path / "x", "--shards")
        assert told.exit_code == 2
        assert said in told.output


def test_a_folder_of_other_files_is_not_written_to(run, digits, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("x")
    told = run("explain", "saliency", MODEL, digits, "-o", folder, "--shards")
    assert told.exit_code == 2
    assert "holds other files, and no run" in told.output


def test_a_folder_of_many_pictures_says_how_it_would_be_a_run(run, tmp_path, monkeypatch):
    """Without a background each row is compared with all, which no run in parts can do."""
    monkeypatch.setattr("xaionnx_cli._run.MANY", 2)
    words = ("explain", "tree_shap", "models/german_credit_forest.onnx", "models/data/german_credit_sample.csv")
    said = "tree_shap compares all rows with each other here, so that 3 pictures and records are written; with --b"
    many = run(*words, "--rows", "0-2", "-o", tmp_path / "many/")
    assert many.exit_code == 0
    assert said in many.output
    few = run(*words, "--rows", "0-1", "-o", tmp_path / "few/")
    assert few.exit_code == 0
    assert "compares all rows" not in few.output
    background = ("--background", words[3])
    assert "compares all rows" not in run(*words, "--rows", "0-2", "-o", tmp_path / "other/", *background).output


def test_labels_of_a_folder_are_kept_with_its_rows(run, tmp_path):
    folder = tmp_path / "digits"
    folder.mkdir()
    for n, digit in enumerate(np.random.default_rng(0).random((5, 1, 1, 28, 28)).astype(np.float32)):
        np.save(folder / f"{n}.npy", digit)
    (folder / "2.npy").write_bytes(b"no array")
    labels = tmp_path / "labels.csv"
    labels.write_text("file,label\n" + "\n".join(f"{n}.npy,digit {n}" for n in (4, 3, 2, 0)))
    words = ("explain", "grad_cam", MODEL, folder, "-o", tmp_path / "run", "--labels", labels)
    assert run(*words).exit_code == 4
    found = Run.open(tmp_path / "run")
    assert found.units.tolist() == [0, 1, 3, 4]
    assert found.labels == ("digit 0", None, "digit 3", "digit 4")
    assert found.frame("pandas", values=False)["label"].tolist() == ["digit 0", "", "digit 3", "digit 4"]
    # Rows of other labels are no rows of this run.
    labels.write_text(labels.read_text().replace("digit 4", "digit 9"))
    other = run(*words)
    assert other.exit_code == 2
    assert "is another one: the labels of the data differ. Choose" in other.stderr
    missing = run("explain", "grad_cam", MODEL, folder, "-o", tmp_path / "other", "--labels", "nowhere.csv")
    assert missing.exit_code == 2
    assert "There is no file 'nowhere.csv'" in missing.stderr
    none = run("explain", "grad_cam", MODEL, folder, "-o", tmp_path / "other", "--labels", labels, "--no-shards")
    assert none.exit_code == 2
    assert "--labels" in none.stderr


def test_a_method_with_labels_of_its_own_keeps_its_option(run):
    help_ = run("explain", "feature_permutation", "--help").output
    assert help_.count("--labels ") == 1
    assert "subfolders" not in help_
    assert "subfolders" in run("explain", "grad_cam", "--help").output
