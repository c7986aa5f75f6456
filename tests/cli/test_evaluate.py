"""``xaionnx evaluate``."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest
from sklearn.datasets import load_digits
from xaionnx_cli.evaluate import without_scores_lines

import xaionnx
from models import planted
from xaionnx.evaluation import Scores, ScoreTable

MODEL = "models/digits_cnn.onnx"


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    place = tmp_path_factory.mktemp("digits") / "digits.npy"
    np.save(place, load_digits().images[:8, None].astype(np.float32))
    return place


def test_methods_are_scored_beside_controls(run, digits, tmp_path):
    place = tmp_path / "scores.csv"
    words = ("--methods", "saliency,input_x_gradient", "--metrics", "deletion,sparseness", "-o", place)
    found = run("evaluate", MODEL, digits, *words)
    assert found.exit_code == 0, found.stderr
    known = xaionnx.evaluate(MODEL, np.load(digits), "saliency", "deletion")
    with place.open() as stream:
        rows = {(row["method"], row["metric"]): row for row in csv.DictReader(stream)}
    assert float(rows["saliency", "deletion"]["mean"]) == pytest.approx(known.mean)
    assert float(rows["saliency", "deletion"]["control"]) == pytest.approx(known.control.mean)
    assert rows["input_x_gradient", "deletion"]["best"] == "True"
    assert "deletion, sparseness: input_x_gradient is better than every other method." in found.stdout


@pytest.mark.parametrize("given", ["array", "csv", "folders"])
def test_the_class_of_each_label_is_explained(run, digits, tmp_path, given):
    x, classes = np.load(digits), np.array([3, 1, 2, 0, 7, 5, 9, 4])
    known = xaionnx.evaluate(MODEL, x, "saliency", "deletion", classes)
    place, words = tmp_path / "digits.npz", ["--labels", "classes"]
    if given == "array":
        np.savez(place, images=x, classes=classes)
    else:
        place, words = tmp_path / "arrays", ["--labels", tmp_path / "labels.csv"] if given == "csv" else []
        for n, (one, k) in enumerate(zip(x, classes, strict=True)):
            folder = place if given == "csv" else place / str(k)
            folder.mkdir(parents=True, exist_ok=True)
            np.save(folder / f"{n}.npy", one[None])
        lines = ["file,label", *(f"{n}.npy,{k}" for n, k in enumerate(classes))]
        (tmp_path / "labels.csv").write_text("\n".join(lines))
    common = ("--methods", "saliency", "--metrics", "deletion", "--target", "labelled", "--json")
    found = run("evaluate", MODEL, place, *words, *common)
    assert found.exit_code == 0, found.stderr
    document = json.loads(found.stdout)
    [row] = document["scores"]
    assert sorted(row["values"]) == pytest.approx(sorted(known.values))
    # The digits are 0 to 7, of which the model takes the 5 for a 9.
    assert document["labels"] == {"top_class": 2, "another_class": 6, "no_class": 0, "one_less": 0, "missing": 0}
    refused = run("evaluate", MODEL, digits, *common)
    assert refused.exit_code == 2
    assert "there is none. Name the labels: --labels" in refused.stderr


@pytest.mark.parametrize("command", ["evaluate", "recommend"])
def test_labels_are_compared_with_the_top_class(run, digits, tmp_path, command):
    """A file that names few of the inputs, or another class than the model sees, does not pass unnoticed."""
    for n, one in enumerate(np.load(digits)):
        np.save(tmp_path / f"{n}.npy", one[None])
    (tmp_path / "labels.csv").write_text("file,label\n3.npy,3\n4.npy,7\n")
    common = (MODEL, tmp_path, "--methods", "saliency,input_x_gradient", "--metrics", "sparseness")
    found = run(command, *common, "--labels", tmp_path / "labels.csv")
    assert found.exit_code == 0, found.stderr
    lines = found.stdout.split("\n")
    assert "The label is the top class of 1 of 2 inputs." in lines
    assert "6 inputs have no label." in lines


def test_rows_pick_their_labels_and_masks(run, digits, tmp_path):
    x, classes, rows = np.load(digits), np.array([3, 1, 2, 0, 7, 5, 9, 4]), [1, 4, 5, 6]
    masks = x[:, 0] > 8
    np.savez(tmp_path / "digits.npz", pixels=x, classes=classes)
    np.save(tmp_path / "masks.npy", masks)
    words = ("--methods", "saliency", "--metrics", "deletion,pointing_game", "--target", "labelled", "--json")
    given = ("--labels", "classes", "--masks", tmp_path / "masks.npy", "--rows", "1,4-6")
    found = run("evaluate", MODEL, tmp_path / "digits.npz", *words, *given)
    assert found.exit_code == 0, found.stderr
    document = json.loads(found.stdout)
    assert document["inputs"] == [f"{tmp_path / 'digits.npz'}[{row}]" for row in rows]
    for score in document["scores"]:
        known = xaionnx.evaluate(MODEL, x[rows], "saliency", score["metric"], classes[rows], masks=masks[rows])
        assert score["values"] == pytest.approx(known.values)


def test_what_does_not_apply_is_left_out_with_its_reason(run, digits):
    found = run("evaluate", MODEL, digits, "--methods", "saliency,tree_shap", "--metrics", "focus,entropy", "--json")
    assert found.exit_code == 0, found.stderr
    document = json.loads(found.stdout)
    assert [(row["method"], row["metric"]) for row in document["scores"]] == [("saliency", "entropy")]
    assert "no tree ensemble" in document["refused"]["tree_shap"]
    assert "ground-truth masks" in document["refused"]["focus"]


def test_the_report_is_a_page_that_loads_nothing(run, digits, tmp_path):
    place, masks = tmp_path / "report.html", tmp_path / "ink.npy"
    np.save(masks, np.load(digits)[:, 0] > 8)
    words = ("--methods", "saliency", "--metrics", "deletion,pointing_game", "--masks", masks, "-o", place)
    found = run("evaluate", MODEL, digits, *words)
    assert found.exit_code == 0, found.stderr
    text = place.read_text()
    assert "<svg" in text
    assert "pointing_game" in text
    assert "<script" not in text
    assert not re.search(r"(src|href)=.(https?:)?//", text)
    assert json.loads((tmp_path / "report.json").read_text())["scores"][0]["metric"] == "deletion"
    parquet = tmp_path / "report.parquet"
    assert parquet.exists() == ("no .parquet beside it: pyarrow is not installed" not in found.stdout)
    # Its own earlier report is replaced, another file is not.
    assert run("evaluate", MODEL, digits, *words).exit_code == 0
    (tmp_path / "notes.html").write_text("mine")
    refused = run("evaluate", MODEL, digits, *words[:-1], tmp_path / "notes.html")
    assert refused.exit_code == 2
    assert "not a report written by xaionnx" in refused.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--methods", "salience"), "Nearest: saliency"),
        (("--methods", "saliency", "--metrics", "deletion,deletion"), "each once"),
        (("--methods", "saliency", "--controls", "noise"), "No control named 'noise'"),
        (("--methods", "saliency", "-o", "report.pdf"), "-o must end in .html, .json, .csv, .parquet"),
    ],
)
def test_errors(run, digits, words, said):
    found = run("evaluate", MODEL, digits, *words)
    assert found.exit_code == 2
    assert said in found.stderr


def test_pictures_of_inputs_are_left_out_on_request(run, digits, tmp_path):
    words = ("--methods", "saliency", "--metrics", "parameter_randomisation")
    for options, shown in (((), True), (("--no-inputs",), False)):
        place = tmp_path / f"{shown}.html"
        found = run("evaluate", MODEL, digits, *words, *options, "-o", place)
        assert found.exit_code == 0, found.stderr
        assert ("<img" in place.read_text()) == shown


def test_a_parquet_report_has_a_row_for_each_method_and_metric(run, digits, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    place = tmp_path / "report.parquet"
    words = ("--methods", "saliency,input_x_gradient", "--metrics", "sparseness,entropy", "-o", place)
    for _ in range(2):  # its own earlier report is replaced
        assert run("evaluate", MODEL, digits, *words).exit_code == 0
    table = pq.read_table(place)
    assert table.column("method").to_pylist() == ["saliency", "input_x_gradient"] * 2
    known = xaionnx.evaluate(MODEL, np.load(digits), "saliency", "sparseness")
    assert table.column("values")[0].as_py() == known.values.tolist()
    pq.write_table(table.replace_schema_metadata({}), place)
    assert run("evaluate", MODEL, digits, *words).exit_code == 2


def test_what_has_no_scores_is_a_line_for_each_reason(run, digits):
    words = ("--methods", "saliency,tree_shap", "--metrics", "focus,pointing_game,entropy")
    lines = [line for line in run("evaluate", MODEL, digits, *words).stdout.splitlines() if "without scores" in line]
    assert len(lines) == 2
    assert lines[0].startswith("without scores: focus, pointing_game: the metric needs ground-truth masks.")
    assert lines[1].startswith("without scores: tree_shap: digits_cnn.onnx has no tree ensemble")


def test_of_many_scores_that_are_missing_the_first_are_named():
    refused = {f"lrp by m{number}": "too slow" for number in range(1200)} | {"lime": "too slow"}
    assert without_scores_lines(ScoreTable({}, refused)) == [
        "without scores: lrp by m0, lrp by m1, lrp by m2, lrp by m3, lrp by m4, lrp by m5 and 1,194 more: too slow",
        "without scores: lime: too slow",
    ]


def test_a_metric_that_most_methods_lack_for_one_reason_is_named_alone():
    """Each method by it was listed, of texts four for each metric of robustness."""
    one = Scores("deletion", "lime", np.array([0.5, 0.25]), "lower", (0, 1))
    scored = {"lime": {"deletion": one}, "lrp": {"deletion": one}, "cam": {}}
    refused = dict.fromkeys(("lime by road", "lrp by road", "lime by focus", "lrp by irof"), "text") | {"cam": "text"}
    refused |= {"lrp by focus": "another reason"}
    assert without_scores_lines(ScoreTable(scored, refused)) == [
        "without scores: road, cam: text",
        "without scores: lime by focus, lrp by irof: text",
        "without scores: lrp by focus: another reason",
    ]


def test_a_method_with_scores_of_the_first_inputs_has_no_further_ones():
    one = Scores("sparseness", "lime", np.array([0.5, 0.25]), "higher", (0, 1))
    names = ("rise", "lime", "sparseness", "lime by road", "lime by sparseness")
    table = ScoreTable({"lime": {"sparseness": one}}, dict.fromkeys(names, "too slow"))
    assert without_scores_lines(table) == [
        "without scores: rise: too slow",
        "without further scores: lime, sparseness: too slow",
        "without scores: lime by road: too slow",
        "without further scores: lime by sparseness: too slow",
    ]


def test_an_error_names_the_options_that_the_command_has(run, digits):
    """``evaluate`` has no option for the patterns, and ``explain`` has."""
    found = run("evaluate", MODEL, digits, "--methods", "pattern_net", "--metrics", "sparseness")
    assert (found.exit_code, "--patterns" in found.stderr) == (4, False)
    assert "Nothing has a score. pattern_net: The 'patterns' parameter must be Patterns" in found.stderr
    found = run("explain", "pattern_net", MODEL, digits)
    assert "xaionnx: --patterns must be Patterns" in found.stderr


@pytest.fixture
def folder(tmp_path, digits):
    place = tmp_path / "digits"
    place.mkdir()
    for n, picture in enumerate(np.load(digits)):
        np.save(place / f"{n}.npy", picture[None])
    return place


def test_a_folder_is_scored_and_what_cannot_be_read_is_listed(run, digits, folder):
    words = ("--methods", "saliency", "--metrics", "sparseness", "--json")
    found = run("evaluate", MODEL, folder, *words)
    assert found.exit_code == 0, found.stderr
    (row,) = json.loads(found.stdout)["scores"]
    assert row["values"] == xaionnx.evaluate(MODEL, np.load(digits), "saliency", "sparseness").values.tolist()
    (folder / "3.npy").write_bytes(b"no array")
    broken = run("evaluate", MODEL, folder, *words)
    assert broken.exit_code == 4
    assert "1 of 8 inputs refused" in broken.stderr
    assert "3.npy" in broken.stderr
    document = json.loads(broken.stdout)
    assert [one["unit"] for one in document["left_out"]] == [3]
    assert document["scores"][0]["values"] == [value for n, value in enumerate(row["values"]) if n != 3]


def test_masks_may_be_pictures_of_the_same_names(run, digits, folder, tmp_path):
    from PIL import Image

    masks, ink = tmp_path / "masks", np.load(digits)[:, 0] > 8
    masks.mkdir()
    for n, mask in enumerate(ink):
        Image.fromarray((255 * mask).astype(np.uint8)).save(masks / f"{n}.png")
    words = ("--methods", "saliency", "--metrics", "pointing_game", "--json", "--masks")
    found = run("evaluate", MODEL, folder, *words, masks)
    assert found.exit_code == 0, found.stderr
    known = xaionnx.evaluate(MODEL, np.load(digits), "saliency", "pointing_game", masks=ink)
    assert json.loads(found.stdout)["scores"][0]["values"] == known.values.tolist()
    refused = run("evaluate", MODEL, digits, *words, masks, "--rows", "0-3")
    assert refused.exit_code == 2
    assert "--masks FILE.npy" in refused.stderr


def test_what_is_scored_is_kept_when_the_command_is_stopped(run, digits, folder, tmp_path, monkeypatch):
    from xaionnx.evaluation import samples
    from xaionnx.evaluation.block_scoring import BlockScoring

    monkeypatch.setattr(samples, "_FILES", 3)
    inner, parts = BlockScoring.of, []

    def of(self, block, *rest):
        if len(parts) == 2:
            raise KeyboardInterrupt
        parts.append(block)
        return inner(self, block, *rest)

    monkeypatch.setattr(BlockScoring, "of", of)
    place = tmp_path / "scores.json"
    found = run("evaluate", MODEL, folder, "--methods", "saliency", "--metrics", "sparseness", "-o", place)
    assert found.exit_code == 130
    assert "6 inputs are scored" in found.stderr
    known = xaionnx.evaluate(MODEL, np.load(digits)[:6], "saliency", "sparseness")
    assert json.loads(place.read_text())["scores"][0]["values"] == known.values.tolist()


def test_a_background_replaces_what_methods_and_metrics_remove(run, tmp_path):
    """Also if its rows are those of the inputs, whose column of labels the model does not read."""
    rows = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    model, table = planted.load(planted.linear([[1.0, 2.0, -3.0], [0.0, 1.0, 1.0]])), tmp_path / "rows.csv"
    (tmp_path / "linear.onnx").write_bytes(model.file.proto.SerializeToString())
    (tmp_path / "linear.toml").write_text('[input]\nkind = "table"\ncolumns = ["a", "b", "c"]')
    lines = ["a,b,c,kind", *(",".join([*map(str, row), str(n % 2)]) for n, row in enumerate(rows.tolist()))]
    table.write_text("\n".join(lines))
    words = ("--methods", "feature_ablation", "--metrics", "deletion", "-t", "0", "--labels", "kind", "--json")
    common = (tmp_path / "linear.onnx", table, *words, "--background", table, "--background-size", "5")
    settings = {"background": rows, "background_size": 5}
    method = xaionnx.discovery.configured("feature_ablation", settings)
    for command in (("evaluate", *common), ("recommend", *common, "--budget", "1m")):
        found = run(*command)
        assert found.exit_code == 0, found.stderr
        document = json.loads(found.stdout)
        steps = {"steps": 16} if command[0] == "recommend" else {}
        known = xaionnx.evaluate(model, rows, method, "deletion", 0, **settings, **steps)
        [row] = document["scores"]
        assert row["values"] == pytest.approx(known.values)
        for kind, name in (("methods", "feature_ablation"), ("metrics", "deletion")):
            recorded = document["provenance"][kind][name]
            assert recorded["background_size"] == 5
            assert [one["shape"] for one in recorded["background"].values()] == [[12, 3]]


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        (("--methods", "saliency", "--metrics", "sparseness"), None),
        (("--methods", "all", "--metrics", "sparseness"), 3600),
        (("--methods", "saliency", "--metrics", " all"), 3600),
        (("--methods", "all", "--metrics", "all", "--budget", "90s"), 90),
    ],
)
def test_all_methods_or_metrics_have_an_hour(run, digits, monkeypatch, words, seconds):
    import xaionnx.evaluation

    given = []

    def score_table(*_, budget_s, **options):
        given.append(budget_s)
        raise KeyboardInterrupt

    monkeypatch.setattr(xaionnx.evaluation, "score_table", score_table)
    assert run("evaluate", MODEL, digits, *words).exit_code == 130
    assert given == [seconds]
