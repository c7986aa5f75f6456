"""Tables with missing cells on the command line."""

from __future__ import annotations

import json

import numpy as np

from tests.tiny import linear, model, tensor, tree


def test_a_missing_cell_of_a_tree_that_routes_it(run, tmp_path):
    proto = model([tree([1, 0, 0])], [tensor("x", ["N", 2])], [tensor("y", ["N", 1])], domains={"ai.onnx.ml": 3})
    (tmp_path / "tree.onnx").write_bytes(proto.SerializeToString())
    (tmp_path / "rows.csv").write_text("a,b\n,1\nNA,2\n3,4\n")
    command = ("explain", "exact_shapley", tmp_path / "tree.onnx", tmp_path / "rows.csv", "--baseline", "1", "--json")
    done = run(*command)
    assert done.exit_code == 0
    note = "rows.csv: 2 missing cells read as NaN, which the model takes as a missing value"
    assert f"xaionnx: note: {note}\n" in done.stderr
    found = [one["explanation"] for one in json.loads(done.stdout)["results"]]
    # 10 where the value is missing; 20 at the baseline, and for 3.
    assert [one["feature_values"] for one in found] == [[[-10, 0]], [[-10, 0]], [[0, 0]]]
    assert all(note in one["provenance"]["conversions"] for one in found)


def test_a_missing_cell_of_a_model_that_takes_none(run, tmp_path):
    linear(tmp_path / "m.onnx", [[1], [2]])
    (tmp_path / "rows.csv").write_text("a,b\n,1\n3,4\n")
    done = run("explain", "exact_shapley", tmp_path / "m.onnx", tmp_path / "rows.csv", "--baseline", "1", "--json")
    assert done.exit_code == 4
    (refused,) = json.loads(done.stdout)["refused"]
    assert refused["message"] == (
        f"'{tmp_path / 'rows.csv'}', row 0 (line 2), column 'a': the cell is empty. Fill it, or remove the "
        "row, because this model takes no missing values."
    )


def test_a_missing_number_as_the_baseline(run, tmp_path):
    proto = model([tree([1, 0, 0])], [tensor("x", ["N", 2])], [tensor("y", ["N", 1])], domains={"ai.onnx.ml": 3})
    (tmp_path / "tree.onnx").write_bytes(proto.SerializeToString())
    np.save(tmp_path / "x.npy", np.float32([[3, 1], [np.nan, 1]]))
    command = ("explain", "exact_shapley", tmp_path / "tree.onnx", tmp_path / "x.npy", "--baseline", "nan", "--json")
    found = [one["explanation"] for one in json.loads(run(*command).stdout)["results"]]
    # A missing value that takes the place of a missing value changes nothing.
    assert [one["feature_values"] for one in found] == [[[10, 0]], [[0, 0]]]


def test_the_report_names_a_missing_value(run, tmp_path):
    proto = model([tree([1, 0, 0])], [tensor("x", ["N", 2])], [tensor("y", ["N", 1])], domains={"ai.onnx.ml": 3})
    (tmp_path / "tree.onnx").write_bytes(proto.SerializeToString())
    (tmp_path / "rows.csv").write_text("a,b\n,1\n")
    picture = tmp_path / "bars.png"
    words = ("exact_shapley", tmp_path / "tree.onnx", tmp_path / "rows.csv", "--baseline", "1", "-o", picture)
    report = run("explain", *words).stdout
    assert "a  missing  -10" in report
    assert picture.exists()
