"""Models with several inputs, each from a file of its own."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import xaionnx
from tests.tiny import loaded, parsed

BOTH = """g (float[N,1,2,2] picture, float[N,2] row) => (float[N,1] y)
    <float[4,1] a = {1, 2, 3, 4}, float[2,1] b = {10, 20}> {
    f = Flatten(picture)  p = MatMul(f, a)  q = MatMul(row, b)  y = Add(p, q) }"""
PAIR = """g (float[N,1,2,2] left, float[N,1,2,2] right) => (float[N,1] y) <float[4,1] a = {1, 2, 3, 4}> {
    f = Flatten(left)  h = Flatten(right)  d = Sub(f, h)  y = MatMul(d, a) }"""
WEIGHED = """g (float[N,2] row, float[N,1] age) => (float[N,1] y) <float[2,1] b = {10, 20}> {
    q = MatMul(row, b)  y = Sub(q, age) }"""


@pytest.fixture
def files(tmp_path):
    Image.fromarray(np.uint8([[0, 51], [102, 255]])).save(tmp_path / "a.png")
    Image.fromarray(np.uint8([[255, 0], [0, 255]])).save(tmp_path / "b.png")
    (tmp_path / "row.csv").write_text("age,sum\n1,2\n")
    for name, text in (("both", BOTH), ("pair", PAIR), ("weighed", WEIGHED)):
        (tmp_path / f"{name}.onnx").write_bytes(parsed(text).SerializeToString())
    return tmp_path


def feature_values(run, *words):
    done = run("explain", "feature_ablation", *words, "-t", "0", "--features", "elements", "--json", "--baseline", "0")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)["results"][0]


def test_a_picture_and_a_row(run, files):
    found = feature_values(run, files / "both.onnx", f"picture={files / 'a.png'}", f"row={files / 'row.csv'}")
    np.testing.assert_allclose(found["explanation"]["feature_values"], [[0, 0.4, 1.2, 4, 10, 40]], atol=1e-5)
    assert found["input"].endswith("a.png")


def test_a_second_picture_is_converted_as_the_first(run, files):
    (files / "pair.toml").write_text('[input]\nsize = [2, 2]\ncolor = "L"\nscale = 51\n')
    found = feature_values(run, files / "pair.onnx", f"right={files / 'b.png'}", f"left={files / 'a.png'}")
    np.testing.assert_allclose(found["explanation"]["feature_values"], [[0, 2, 6, 20, -5, 0, 0, -20]], rtol=1e-6)


def test_features_are_numbered_in_the_order_of_the_file():
    x = {"picture": np.ones((1, 1, 2, 2), np.float32), "row": np.float32([[1, 2]])}
    for order in (x, dict(reversed(x.items()))):
        found = xaionnx.explain(loaded(BOTH), order, "feature_ablation", 0, features="elements", baseline=0)
        np.testing.assert_allclose(found.feature_values, [[1, 2, 3, 4, 10, 40]])


def test_a_single_number_needs_no_file(run, files):
    found = feature_values(run, files / "weighed.onnx", f"row={files / 'row.csv'}", "age=3")
    np.testing.assert_allclose(found["explanation"]["feature_values"], [[10, 40, -3]], rtol=1e-6)


def test_the_same_in_python(files):
    model = xaionnx.Model.load(files / "both.onnx")
    with pytest.warns(UserWarning, match="guessed"):
        found = xaionnx.explain(
            model,
            {"picture": files / "a.png", "row": str(files / "row.csv")},
            "feature_ablation",
            0,
            features="elements",
            baseline=0,
        )
    np.testing.assert_allclose(found.feature_values, [[0, 0.4, 1.2, 4, 10, 40]], atol=1e-5)
    picture = Image.open(files / "b.png")
    read = loaded(PAIR).read({"left": np.zeros((1, 1, 2, 2), np.float32), "right": picture})
    np.testing.assert_allclose(read.arrays["right"], [[[[1, 0], [0, 1]]]])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("picture=a.png",), "Input 'row' has no file. Add row=FILE."),
        (("picture=a.png", "rwo=row.csv"), "No input named 'rwo'. Nearest: row"),
        (("picture=a.png", "row.csv"), "Either all files are given by the names of their inputs, NAME=FILE, or none."),
        (("picture=a.png", "picture=b.png"), "An input has two files"),
        (("picture=a.png", "row=none.csv"), "There is no file"),
        (("picture=a.png", "row=3"), "not the single number 3"),
    ],
)
def test_what_is_missing_is_named(run, files, monkeypatch, words, message):
    monkeypatch.chdir(files)
    done = run("explain", "feature_ablation", "both.onnx", *words, "-t", "0")
    assert done.exit_code != 0
    assert message in done.stderr
