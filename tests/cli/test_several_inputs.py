"""Models with several inputs on the command line."""

from __future__ import annotations

import json

import numpy as np

from tests.tiny import parsed, row

# The sum of the numbers that the mask keeps.
KEPT = """g (float[N,3] x, bool[N,3] m) => (float[N,1] y) <float zero = {0}, int64[1] one = {1}> {
    k = Where(m, x, zero)  y = ReduceSum(k, one) }"""


def saved(tmp_path, text, *samples):
    (tmp_path / "m.onnx").write_bytes(parsed(text).SerializeToString())
    for number, feeds in enumerate(samples):
        np.savez(tmp_path / f"{number}.npz", **feeds)
    return tmp_path / "m.onnx", *(tmp_path / f"{number}.npz" for number in range(len(samples)))


def test_the_report_and_inspect_tell_what_is_left(run, tmp_path):
    model, sample = saved(tmp_path, KEPT, {"x": row(1, 2, 4), "m": np.array([[True, True, False]])})
    report = run("explain", "feature_ablation", model, sample, "-t", "0").stdout.splitlines()
    assert "  left as it is: m (a mask)" in report
    inspected = run("inspect", model, "--limit", "0").stdout.splitlines()
    assert "input   m (N, 3) bool  (a mask, as its use says: left as it is)" in inspected
    facts = json.loads(run("inspect", model, "--json", "--limit", "0").stdout)
    assert [one["purpose"] for one in facts["inputs"]] == ["data", "mask"]


def test_samples_with_other_settings_are_not_explained_together(run, tmp_path):
    text = "g (float[N,2] x, float[1] rate) => (float[N,2] y) { y = Mul(x, rate) }"
    settings = [{"x": row(1, 2), "rate": np.float32([rate])} for rate in (1, 10, 100)]
    model, *samples = saved(tmp_path, text, *settings)
    printed = json.loads(run("explain", "feature_ablation", model, *samples, "-t", "1", "--json").stdout)
    values = [one["explanation"]["feature_values"] for one in printed["results"]]
    assert values == [[[0, 2]], [[0, 20]], [[0, 200]]]


WEIGHED = """g (float[N,1,2,2] picture, float[N,2] row) => (float[N,1] y)
    <float[4,1] a = {1, 2, 3, 4}, float[2,1] b = {10, 20}> {
    f = Flatten(picture)  p = MatMul(f, a)  q = MatMul(row, b)  y = Add(p, q) }"""


def values(run, tmp_path, *words):
    feeds = {"picture": np.ones((1, 1, 2, 2), np.float32), "row": row(1, 2)}
    model, sample = saved(tmp_path, WEIGHED, feeds)
    done = run("explain", "feature_ablation", model, sample, "-t", "0", "--features", "elements", "--json", *words)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)["results"][0]["explanation"]["feature_values"]


def test_the_strongest_columns_of_all_rows_are_listed(run, tmp_path):
    text = """g (float[N,2] row, float[N,1] age) => (float[N,1] y) <float[2,1] b = {10, 20}> {
        q = MatMul(row, b)  y = Sub(q, age) }"""
    model, sample = saved(tmp_path, text, {"row": row(1, 2), "age": row(3)})
    report = run("explain", "feature_ablation", model, sample, "-t", "0", "--baseline", "0").stdout.splitlines()
    place = next(i for i, line in enumerate(report) if "row[1]" in line)
    assert report[place : place + 3] == ["  row[1]  2  +40", "  row[0]  1  +10", "  age     3  -3"]


def test_baselines_by_input_name(run, tmp_path):
    assert values(run, tmp_path, "--baseline", "picture=2,row=3") == [[-1, -2, -3, -4, -20, -20]]
    np.savez(tmp_path / "starts.npz", picture=np.full((1, 2, 2), 2, np.float32), row=np.float32([0, 2]))
    assert values(run, tmp_path, "--baseline", tmp_path / "starts.npz") == [[-1, -2, -3, -4, 10, 0]]


def test_rows_of_data_by_input_name(run, tmp_path):
    pictures = np.stack([np.zeros((1, 2, 2)), np.full((1, 2, 2), 4)]).astype(np.float32)
    np.savez(tmp_path / "rows.npz", picture=pictures, row=np.float32([[0, 0], [1, 1]]))
    for kind in ("background", "mean", "median"):
        assert values(run, tmp_path, "--baseline", f"{kind}:{tmp_path / 'rows.npz'}") == [[-1, -2, -3, -4, 5, 30]]


def test_features_by_input_name(run, tmp_path):
    found = values(run, tmp_path, "--features", "picture=grid:1x2,row=elements", "--baseline", "0")
    assert found == [[4, 6, 10, 40]]
    np.savez(tmp_path / "labels.npz", picture=np.zeros((2, 2), int), row=np.array([0, 5]))
    # One player is the picture with the first column.
    assert values(run, tmp_path, "--features", tmp_path / "labels.npz", "--baseline", "0") == [[20, 40]]


def test_columns_of_the_file_of_an_input_have_their_names(run, tmp_path):
    model, _ = saved(tmp_path, WEIGHED, {})
    np.save(tmp_path / "picture.npy", np.ones((1, 1, 2, 2), np.float32))
    (tmp_path / "row.csv").write_text("age,fare\n1,2\n")
    given = (f"picture={tmp_path / 'picture.npy'}", f"row={tmp_path / 'row.csv'}", "-t", "0", "--baseline", "0")
    report = run("explain", "feature_ablation", model, *given, "--features", "picture=grid:1,row=elements", "--json")
    record = json.loads(report.stdout)["results"][0]["explanation"]
    assert record["provenance"]["feature_names"][1:] == ["age", "fare"]
    assert record["feature_values"] == [[10, 10, 40]]
