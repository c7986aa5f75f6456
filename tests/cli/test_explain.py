"""``xaionnx explain``: its report, its files, and the files that it does not touch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

import xaionnx
from xaionnx import discovery, parameters

MODELS = Path(__file__).resolve().parents[2] / "models"
TABLE_MODEL, TABLE = "models/german_credit_mlp.onnx", "models/data/german_credit.csv"
QUICK = ("--window", "2", "--stride", "2")


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_the_report(run, digits, picture, tmp_path):
    result = run("explain", "occlusion", digits, picture, *QUICK, "-o", tmp_path / "out.png")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[:3] == ["digits_cnn.onnx on CPUExecutionProvider", "", str(picture)]
    spec = xaionnx.InputSpec.beside(digits)
    x = spec.to_tensor([_pixels(picture)])
    scores = xaionnx.Model.load(digits).run({"pixels": x})["logits"][0].astype(float)
    chances = np.exp(scores) / np.exp(scores).sum()
    order = np.argsort(-scores)[:5]
    assert lines[3].split() == ["logit", "probability"]
    assert [line.split() for line in lines[4:9]] == [
        [str(k), f"({k})", f"{scores[k]:.4g}", f"{100 * chances[k]:.2f}", "%"] for k in order
    ]
    assert lines[9] == f"  occlusion of {order[0]} ({order[0]}) = {scores[order[0]]:.4g}"
    assert lines[10].startswith("  17 evaluations in ")
    assert lines[11:] == [f"  saved {tmp_path / 'out.png'}"]
    with Image.open(tmp_path / "out.png") as drawn:
        assert drawn.format == "PNG"


@pytest.mark.parametrize(
    ("model", "head"),
    [("german_credit_forest.onnx", ["probability"]), ("german_credit_mlp.onnx", ["logit", "probability"])],
)
def test_the_columns_of_the_classes_are_headed_by_what_they_hold(run, tmp_path, model, head):
    rows = (MODELS / "data" / "german_credit_sample.csv").read_text().splitlines()[:2]
    (tmp_path / "rows.csv").write_text("\n".join(rows) + "\n")
    words = ("explain", "feature_ablation", MODELS / model, tmp_path / "rows.csv")
    assert run(*words).stdout.splitlines()[3].split() == head
    (only,) = json.loads(run(*words, "--json").stdout)["results"]
    assert only["top"][0]["quantity"] == only["explanation"]["provenance"]["quantity"] == head[0]


def test_options_reach_the_method(run, digits, picture, tmp_path):
    words = ("--window", "2x3", "--stride", "2", "--overlap", "sum", "--no-class-maps", "--baseline", "0.5")
    result = run("explain", "occlusion", digits, picture, *words, "-t", "3", "-o", tmp_path / "e.npz")
    assert result.exit_code == 0
    spec = xaionnx.InputSpec.beside(digits)
    x = spec.to_tensor([_pixels(picture)])
    settings = {"window": (2, 3), "stride": 2, "overlap": "sum", "class_maps": False, "baseline": "0.5"}
    expected = xaionnx.explain(digits, x, "occlusion", 3, **settings)
    found = xaionnx.Explanation.load(tmp_path / "e.npz")
    np.testing.assert_array_equal(found.values, expected.values)
    assert found.provenance["parameters"] == expected.provenance["parameters"]
    assert found.target.tolist() == ["3 (3)"]


def test_several_inputs_and_targets_in_pictures(run, digits, picture, tmp_path):
    second = Path(shutil.copy(picture, tmp_path / "two.png"))
    (tmp_path / "again").mkdir()
    third = Path(shutil.copy(picture, tmp_path / "again" / "two.png"))
    words = ("-t", "top:2", *QUICK, "-o", tmp_path / "o.jpg")
    assert run("explain", "occlusion", digits, picture, second, third, *words).exit_code == 0
    written = {path.name for path in tmp_path.glob("o*.jpg")}
    assert written == {f"o-{name}-target{target}.jpg" for name in ("one", "two", "two_2") for target in (1, 2)}


def test_a_folder_keeps_pictures_and_records(run, digits, picture, tmp_path):
    result = run("explain", "occlusion", digits, picture, *QUICK, "-o", tmp_path / "new" / "results")
    assert result.exit_code == 0
    assert {p.name for p in (tmp_path / "new" / "results").iterdir()} == {"one.png", "one.npz"}


def test_rows_of_a_table(run, tmp_path):
    rows = (MODELS / "data" / "german_credit_sample.csv").read_text().splitlines()[:4]
    (tmp_path / "rows.csv").write_text("\n".join(rows) + "\n")
    model = MODELS / "german_credit_mlp.onnx"
    result = run("explain", "feature_ablation", model, tmp_path / "rows.csv", "-o", tmp_path / "rows.npz")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "  age_in_years" in result.stdout
    whole = xaionnx.Explanation.load(tmp_path / "rows.npz")
    assert whole.samples == 3
    assert whole.provenance["inputs"] == [f"{tmp_path / 'rows.csv'}[{row}]" for row in range(3)]
    assert whole.values.shape == (3, 20)
    each = ("-o", tmp_path / "b.png", "--each")
    assert run("explain", "feature_ablation", model, tmp_path / "rows.csv", *each).exit_code == 0
    assert {p.name for p in tmp_path.glob("b*")} == {"b-rows-0.png", "b-rows-1.png", "b-rows-2.png"}


def test_three_bad_files_of_ten(run, digits, picture, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for n in range(7):
        shutil.copy(picture, folder / f"{n}.png")
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("no picture\n")
    (folder / "cut.png").write_bytes(picture.read_bytes()[:60])
    result = run("explain", "occlusion", digits, folder, *QUICK, "-o", tmp_path / "out")
    assert result.exit_code == 4
    assert len(list((tmp_path / "out").glob("*.png"))) == len(list((tmp_path / "out").glob("*.npz"))) == 7
    assert result.stderr.splitlines() == [
        "xaionnx: 3 of 10 inputs refused:",
        f"xaionnx:   '{folder / 'cut.png'}' is a truncated or damaged PNG file. Copy or export it again.",
        f"xaionnx:   '{folder / 'empty.png'}' is empty (0 bytes). Copy or download it again.",
        f"xaionnx:   '{folder / 'text.png'}' is text, not a picture. "
        "Give a file of one of these formats: PNG, JPEG, WebP, BMP, TIFF, GIF.",
    ]


def test_json_is_all_of_stdout(start, digits, picture, tmp_path):
    (tmp_path / "bad.png").touch()
    process = start("explain", "occlusion", digits, picture, tmp_path / "bad.png", *QUICK, "--json")
    out, err = process.communicate(timeout=60)
    document = json.loads(out)
    assert out.count("\n") == 1
    assert process.returncode == 4
    assert err.startswith("xaionnx: 1 of 2 inputs refused:\n")
    assert document["complete"] is True
    assert document["provider"] == "CPUExecutionProvider"
    assert document["refused"] == [
        {
            "input": str(tmp_path / "bad.png"),
            "row": None,
            "message": f"'{tmp_path / 'bad.png'}' is empty (0 bytes). Copy or download it again.",
        }
    ]
    (only,) = document["results"]
    assert only["files"] == []
    assert len(only["top"]) == 5
    assert np.shape(only["explanation"]["values"]) == (1, 1, 8, 8)


def test_json_leaves_out_the_arrays_that_a_file_holds(run, digits, picture, tmp_path):
    result = run("explain", "occlusion", digits, picture, *QUICK, "--json", "-o", tmp_path / "e.npz")
    document = json.loads(result.stdout)
    assert document["saved"] == str(tmp_path / "e.npz")
    assert "values" not in document["results"][0]["explanation"]
    assert xaionnx.Explanation.load(tmp_path / "e.npz").values.shape == (1, 1, 8, 8)


def test_a_warning_that_holds_for_every_input_is_printed_once(run, bare_digits, picture, tmp_path):
    for name in ("a", "b", "c"):
        shutil.copy(picture, tmp_path / f"{name}.png")
    words = ("explain", "saliency", bare_digits, *(tmp_path / f"{name}.png" for name in "abc"), "-o", tmp_path / "out")
    told = run(*words).stdout
    assert (told.count("  warning: How files become"), told.count("  saliency of ")) == (1, 3)
    records = [xaionnx.Explanation.load(tmp_path / "out" / f"{name}.npz") for name in "abc"]
    assert all("How files become" in record.warnings[0] for record in records)


def test_a_guessed_spec_is_said(run, bare_digits, picture):
    result = run("explain", "occlusion", bare_digits, picture, *QUICK)
    assert result.exit_code == 0
    assert result.stderr == (
        "xaionnx: note: no spec beside the model, so it was guessed from its shape: "
        "NCHW, 8 x 8, L, black is 0 and white is 1\n"
    )


def test_a_spec_from_elsewhere(run, bare_digits, picture, digits):
    result = run("explain", "occlusion", bare_digits, picture, *QUICK, "--spec", digits.with_suffix(".toml"))
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize("name", ["one.png", "digits_cnn.onnx"])
def test_what_is_read_is_never_overwritten(run, bare_digits, picture, name):
    folder = picture.parent if name == "one.png" else bare_digits.parent
    before = (folder / name).read_bytes()
    place = folder if name == "one.png" else folder / name
    result = run("explain", "occlusion", bare_digits, picture, *QUICK, "-o", place)
    assert result.exit_code == 2
    assert (folder / name).read_bytes() == before
    if name == "one.png":
        assert result.stderr.endswith(
            f"xaionnx: -o would overwrite {picture}, which the command reads. Choose another name or folder.\n"
        )


def test_a_segmentation_with_an_empty_mask_asks_for_a_target(run, picture):
    model = MODELS / "selfie_segmentation.onnx"
    result = run("explain", "occlusion", model, picture)
    assert result.exit_code == 2
    assert result.stderr == (
        "xaionnx: The mask 'mask' is empty. Use --target region[:THRESHOLD] with a lower threshold.\n"
    )
    assert run("explain", "occlusion", model, picture, "--window", "128", "--stride", "128", "-t", "sum").exit_code == 0


def test_labels_of_another_model(run, bare_digits, picture):
    bare_digits.with_suffix(".toml").write_text('[input]\nsize = [8, 8]\ncolor = "L"\n[output]\nlabels = ["a", "b"]\n')
    result = run("explain", "occlusion", bare_digits, picture)
    assert result.exit_code == 2
    assert result.stderr == (
        "xaionnx: The InputSpec lists 2 labels, but the model's output has 10 classes. "
        "Give one label per class, in the order of the outputs.\n"
    )


def test_an_output_that_is_not_finite_costs_only_its_input(run, tmp_path):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])
    graph = helper.make_graph([helper.make_node("Sqrt", ["x"], ["y"])], "g", [x], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", np.array([[1, 4, 9], [1, -1, 1]], np.float32))
    result = run("explain", "feature_ablation", tmp_path / "m.onnx", tmp_path / "x.npy")
    assert result.exit_code == 4
    assert "  feature_ablation of y[2] = 3\n" in result.stdout
    assert result.stderr.splitlines() == [
        "xaionnx: 1 of 2 inputs refused:",
        f"xaionnx:   '{tmp_path / 'x.npy'}[1]': m.onnx returns NaN or infinity for row 0. Check "
        "the input's scale, and that it holds neither.",
    ]


def test_several_inputs_come_as_npz_by_name(run, tmp_path):
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in "aby"]
    graph = helper.make_graph([helper.make_node("Sub", ["a", "b"], ["y"])], "g", infos[:2], infos[2:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    np.savez(tmp_path / "x.npz", a=np.ones((2, 2), np.float32), b=np.zeros((2, 2), np.float32))
    result = run("explain", "feature_ablation", tmp_path / "m.onnx", tmp_path / "x.npz", "-o", tmp_path / "e.npz")
    assert result.exit_code == 0, result.stderr
    found = xaionnx.Explanation.load(tmp_path / "e.npz").values
    assert {name: array.shape for name, array in found.items()} == {"a": (2, 2), "b": (2, 2)}
    result = run("explain", "feature_ablation", tmp_path / "m.onnx", "x.npy")
    assert result.stderr == (
        "xaionnx: 'x.npy': m.onnx has 2 inputs. Pass a .npz file with an array for each by name: a, b.\n"
    )


def test_a_data_set_has_no_value_of_its_first_row(run):
    found = run("explain", "dependence", TABLE_MODEL, TABLE, "--rows", "0-19", "--points", "2", "-t", "good")
    assert found.exit_code == 0, found.stderr
    (line,) = [line.split() for line in found.stdout.splitlines() if line.startswith("  duration_in_month")]
    assert len(line) == 2
    assert "dependence of good (1), mean of 20 samples = " in found.stdout


def test_pairs_triples_and_groups_are_printed(run):
    """The strongest of each, with whole interactions rather than the halves of the matrix."""
    words = (TABLE_MODEL, TABLE, "--rows", "9", "--background", TABLE, "--background-size", "2", "-t", "good")
    found = run("explain", "shapley_interactions", *words, "--order", "3")
    assert found.exit_code == 0, found.stderr
    model = xaionnx.Model.load(TABLE_MODEL)
    rows = model.read(TABLE).arrays["features"]
    result = xaionnx.explain(
        model, rows[9:10], "shapley_interactions", "good", background=rows, background_size=2, order=3
    )
    matrix = 2 * np.triu(result.maps["interactions"][0], 1)
    i, j = np.unravel_index(np.abs(matrix).argmax(), matrix.shape)
    names = result.feature_names
    (pair, *_) = [line.split() for line in found.stdout.splitlines() if line.startswith("  pair ")]
    assert pair == ["pair", names[i], "+", names[j], f"{matrix[i, j]:+.4g}"]
    triples = sorted(result.diagnostics["triples"][0][0], key=lambda each: -abs(each[3]))
    (triple, *_) = [line.split() for line in found.stdout.splitlines() if line.startswith("  triple ")]
    assert triple[1::2][:3] == [names[k] for k in triples[0][:3]]
    grouped = run("explain", "partition_shap", *words[:-4], "12", "-t", "good")
    assert sum(line.startswith("  group ") for line in grouped.stdout.splitlines()) == 5


@pytest.mark.parametrize("name", discovery.methods())
def test_every_field_of_a_method_is_an_option(run, name):
    text = run("explain", name, "--help")
    assert text.exit_code == 0
    fields = parameters.declared(discovery.method(name))
    for field in fields:
        assert f"--{field.replace('_', '-')} " in text.stdout
    common = text.stdout.index("Options of all methods:")
    if fields:
        assert text.stdout.index(f"Options of {name}:") < common
    else:
        assert "Options of" not in text.stdout[:common]


def test_a_label_map_and_the_looks_of_a_picture(run, tmp_path):
    from PIL import Image

    np.save(tmp_path / "map.npy", np.repeat(np.arange(4), 7)[:, None] * np.ones(28, np.int64))
    np.save(tmp_path / "digit.npy", np.zeros((1, 28, 28), np.uint8) + np.arange(28, dtype=np.uint8) * 9)
    common = ("explain", "feature_ablation", MODELS / "mnist_cnn.onnx", tmp_path / "digit.npy")
    plain = run(*common, "--features", tmp_path / "map.npy", "-o", tmp_path / "plain.png")
    assert plain.exit_code == 0, plain.output
    assert "5 evaluations" in plain.stdout
    looks = ("--top", "1", "--sign", "absolute", "--original")
    other = run(*common, "--features", tmp_path / "map.npy", *looks, "-o", tmp_path / "other.png")
    assert other.exit_code == 0, other.output
    with Image.open(tmp_path / "plain.png") as one, Image.open(tmp_path / "other.png") as two:
        assert two.width > 1.5 * one.width
    assert run(*common, "--sign", "upside").exit_code == 2


def test_many_refused_alike_are_told_once(run):
    rows = MODELS / "data" / "german_credit_sample.csv"
    result = run("explain", "xrai", MODELS / "german_credit_mlp.onnx", rows)
    head, first, rest = result.stderr.splitlines()
    assert result.exit_code == 4
    assert head == "xaionnx: 50 of 50 inputs refused:"
    assert first.startswith(f"xaionnx:   '{rows}[0]': XRAI divides pictures")
    assert rest == f"xaionnx:   and 49 more for the same reason, up to '{rows}[49]'"


def test_the_kind_of_picture_is_named(run, digits, picture, tmp_path):
    made = run("explain", "saliency", digits, picture, "--picture", "bar", "-o", tmp_path / "bars.png")
    assert made.exit_code == 0, made.stderr
    refused = run("explain", "saliency", digits, picture, "--picture", "series", "-o", tmp_path / "series.png")
    assert refused.exit_code == 2
    assert "A picture of the kind 'series' needs an input that is a series" in refused.stderr
    unknown = run("explain", "saliency", digits, picture, "--picture", "maps", "-o", tmp_path / "maps.png")
    assert "No picture kind named 'maps'. Nearest: map, heatmap." in unknown.stderr
    words = " ".join(run("explain", "saliency", "--help").stdout.split())
    assert "map (needs a photo, and values that have places in it)" in words


def test_chosen_rows_of_a_table(run, tmp_path):
    rows = MODELS / "data" / "german_credit.csv"
    words = ("explain", "feature_ablation", MODELS / "german_credit_mlp.onnx", rows, "--baseline", "0", "--json")
    every = xaionnx.Model.load(MODELS / "german_credit_mlp.onnx").read(rows).arrays["features"]
    found = json.loads(run(*words, "--rows", "17,999,20-21").stdout)["results"]
    assert [one["input"] for one in found] == [f"{rows}[{row}]" for row in (17, 20, 21, 999)]
    (only,) = json.loads(run(*words, "--rows", "17").stdout)["results"]
    model = xaionnx.Model.load(MODELS / "german_credit_mlp.onnx")
    alone = xaionnx.explain(model, every[17:18], "feature_ablation", baseline=0)
    np.testing.assert_allclose(only["explanation"]["feature_values"], alone.feature_values, rtol=1e-6)
    assert run(*words[:-1], "--rows", "17", "-o", tmp_path / "row17.png").exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["row17.png"]
    np.save(tmp_path / "x.npy", every)
    array = (*words[:3], tmp_path / "x.npy", *words[4:])
    (same,) = json.loads(run(*array, "--rows", "17").stdout)["results"]
    assert same["explanation"]["feature_values"] == only["explanation"]["feature_values"]


@pytest.mark.parametrize(
    ("rows", "code", "message"),
    [
        ("1000", 4, "has 1000 rows, 0 to 999: there is no row 1000."),
        ("990-1005", 4, "has 1000 rows, 0 to 999: there is no row 1000."),
        ("17-", 2, "Rows are numbers from 0 and ranges of them, such as 17 or 17,20-30. Got '17-' instead."),
        ("5-3", 2, "The rows 5-3 end before they begin. Write 3-5."),
        ("alone", 2, "Rows are numbers from 0 and ranges of them, such as 17 or 17,20-30. Got 'alone' instead."),
    ],
)
def test_rows_that_are_not_there(run, rows, code, message):
    table = MODELS / "data" / "german_credit.csv"
    result = run("explain", "feature_ablation", MODELS / "german_credit_mlp.onnx", table, "--rows", rows)
    assert result.exit_code == code
    assert message in result.stderr
