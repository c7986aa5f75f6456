"""What people met who ran explainers over data sets. The log is pass.toml."""

from __future__ import annotations

import gc
import re
import shutil
import tomllib
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skimage.data
from PIL import Image

import xaionnx
from models import planted
from tests.tiny import loaded, trained
from xaionnx import Dataset, InputSpec, Model, Run, Target
from xaionnx.data.folders import expand
from xaionnx.errors import DataError, ParameterError, UnknownNameError
from xaionnx.evaluation import evaluate, score_table
from xaionnx.runs import Processes, plan

REPORTS = tomllib.loads(Path(__file__).with_name("pass.toml").read_text(encoding="utf-8"))["report"]
# Beside this file, tests of the data sets and runs themselves hold a report.
ELSEWHERE = {
    **dict.fromkeys(
        (
            "test_a_mask_lies_on_the_picture",
            "test_a_mask_of_another_form_is_none_of_the_picture",
            "test_class_numbers_and_photographs_are_no_masks",
            "test_the_place_is_what_is_not_black",
            "test_what_is_no_picture_is_no_mask_and_two_pictures_are_none",
        ),
        "tests/data/test_masks.py",
    ),
    **dict.fromkeys(
        (
            "test_a_table_of_labels_without_a_header_is_refused",
            "test_labels_in_an_archive",
            "test_labels_that_count_from_one_are_refused",
            "test_labels_without_names_need_files_of_one_order",
        ),
        "tests/data/test_dataset.py",
    ),
    "test_labels_that_fit_several_files_or_none_are_refused": "tests/data/test_dataset.py",
    "test_it_may_be_stopped_between_the_files": "tests/runs/test_compaction.py",
    "test_a_parquet_file_has_the_rows_with_values_and_shapes": "tests/runs/test_compaction.py",
}


@pytest.fixture(scope="module")
def digits():
    return np.load("models/data/mnist_sample.npz")["images"][:6].astype(np.float32) / 255


@pytest.fixture(scope="module")
def model():
    return trained("mnist_cnn")


def maps(run):
    return np.concatenate([row.values for row in run])


def pictures(folder, digits, names):
    for digit, name in zip(digits, names, strict=False):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((255 * digit[0]).astype(np.uint8)).save(path)
    return folder


def test_reports_are_numbered_sorted_and_held():
    assert [report["number"] for report in REPORTS] == list(range(1, len(REPORTS) + 1))
    assert [report["link"].lower() for report in REPORTS] == sorted(report["link"].lower() for report in REPORTS)
    for report in REPORTS:
        for name in report["tests"]:
            place = Path(ELSEWHERE.get(name, __file__))
            assert re.search(rf"^def {name}\(", place.read_text(encoding="utf-8"), re.MULTILINE), name


def test_scores_and_controls_do_not_depend_on_the_parts(model, digits):
    whole = evaluate(model, digits, "saliency", "deletion", steps=4)
    for size in (1, 4):
        found = evaluate(model, Dataset.of(digits), "saliency", "deletion", steps=4, batch_size=size)
        np.testing.assert_array_equal(found.values, whole.values)
        np.testing.assert_array_equal(found.control.values, whole.control.values)


def test_more_samples_take_no_more_memory(tmp_path, model, monkeypatch):
    monkeypatch.setattr(plan, "_BYTES", 2**17)

    def peak(count, to):
        rng = np.random.default_rng(0)
        samples = (rng.random((1, 28, 28), np.float32) for _ in range(count))
        gc.collect()
        tracemalloc.start()
        run = xaionnx.explain_all(model, samples, "grad_cam", 3, to=tmp_path / to)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(run) == count
        return most

    peak(20, "first")
    # How many samples a batch holds depends on how fast the machine is at that moment.
    few, many = peak(100, "few"), min(peak(400, name) for name in ("many", "again"))
    # The further maps, as float32 in the shape of the input, take 0.94 MB.
    assert many < few + 400_000


def test_the_order_of_samples_changes_no_row(tmp_path, model, digits):
    order = [3, 0, 5, 1, 4, 2]
    one = xaionnx.explain_all(model, digits, "grad_cam", to=tmp_path / "one")
    other = xaionnx.explain_all(model, digits[order], "grad_cam", to=tmp_path / "other")
    np.testing.assert_array_equal(maps(other), maps(one)[order])
    assert [row.target[0] for row in other] == [one[n].target[0] for n in order]


def test_copies_of_a_sample_have_its_map(tmp_path, model, digits):
    run = xaionnx.explain_all(model, np.repeat(digits[2:3], 5, axis=0), "grad_cam", to=tmp_path / "run")
    found = maps(run)
    assert found[0].any()
    np.testing.assert_array_equal(found, np.repeat(found[:1], 5, axis=0))


def test_a_loader_is_read_item_by_item(tmp_path, model, digits):
    whole = maps(xaionnx.explain_all(model, digits, "grad_cam", to=tmp_path / "whole"))
    pairs = zip(digits, (7, 2, 1, 0, 4, 1), strict=True)
    run = xaionnx.explain_all(model, pairs, "grad_cam", to=tmp_path / "run")
    np.testing.assert_array_equal(maps(run), whole)
    assert run.labels == (7, 2, 1, 0, 4, 1)
    with pytest.raises(DataError, match=r"expects \(N, 1, 28, 28\) float32. Got \(1, 3, 1, 28, 28\) float32"):
        xaionnx.explain_all(model, iter([digits[:3], digits[3:]]), "grad_cam", to=tmp_path / "batches")
    assert [one.unit for one in Run.open(tmp_path / "batches").refused] == [0, 1]


def test_a_corrupted_picture_costs_no_other_one(tmp_path, model, digits):
    folder = pictures(tmp_path / "photos", digits, [f"{n}.png" for n in range(6)])
    whole = evaluate(model, Dataset.of(folder), "saliency", "sparseness").values
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:-40])
    (folder / "4.png").write_bytes(b"")
    run = xaionnx.explain_all(model, folder, "saliency", to=tmp_path / "run")
    assert [Path(one.name).name for one in run.refused] == ["2.png", "4.png"]
    table = score_table(model, Dataset.of(folder), ["saliency"], ["sparseness"])
    assert [Path(one.name).name for one in table.left_out] == ["2.png", "4.png"]
    np.testing.assert_array_equal(table.scores["saliency"]["sparseness"].values, whole[[0, 1, 3, 5]])


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_part_that_was_cut_short_is_done_again(tmp_path, model, digits, kept):
    digest = xaionnx.explain_all(model, digits, "grad_cam", to=tmp_path / "run").digest()
    part = Run.open(tmp_path / "run").parts[1].path
    part.write_bytes(part.read_bytes()[: int(kept * part.stat().st_size)])
    assert xaionnx.explain_all(model, digits, "grad_cam", to=tmp_path / "run").digest() == digest


def test_labels_of_folders_are_their_names(tmp_path, model, digits):
    folder = pictures(tmp_path / "photos", digits, ["1/a.png", "2/a.png", "10/a.png", "11/b.png", "2/b.png"])
    run = xaionnx.explain_all(model, folder, "saliency", to=tmp_path / "run")
    found = {row.provenance["inputs"][0]: label for row, label in zip(run, run.labels, strict=True)}
    assert len(found) == 5
    for name, label in found.items():
        assert Path(name).parent.name == label


def test_rows_are_in_the_order_of_the_data_whoever_is_done_first(tmp_path, model, digits):
    one = xaionnx.explain_all(model, digits, "grad_cam", to=tmp_path / "one")
    for share in (3, 1, 2):
        run = xaionnx.explain_all(model, digits, "grad_cam", to=tmp_path / "shares", shard=(share, 3))
    assert run.units.tolist() == list(range(6))
    assert run.digest() == one.digest()


def test_results_stay_with_their_names_and_labels(tmp_path, model, digits):
    names = [f"{n}.png" for n in range(6)]
    folder = pictures(tmp_path / "photos", digits, names)
    (folder / "1.png").write_text("no picture")
    (tmp_path / "labels.csv").write_text("file,label\n" + "\n".join(f"{name},label of {name}" for name in names))
    data = Dataset.of(folder, labels=tmp_path / "labels.csv")
    run = xaionnx.explain_all(model, data, "saliency", to=tmp_path / "run")
    left = [name for name in names if name != "1.png"]
    assert [Path(row.provenance["inputs"][0]).name for row in run] == left
    assert run.labels == tuple(f"label of {name}" for name in left)
    for row, name in zip(run, left, strict=True):
        np.testing.assert_array_equal(row.values, xaionnx.explain(model, folder / name, "saliency").values)


def test_what_is_written_is_never_changed(tmp_path, model, digits):
    jobs_done = xaionnx.explain_all(model, digits, "grad_cam", to=tmp_path / "run", shard=(1, 2))
    before = {part.path: (part.path.stat().st_ino, part.path.read_bytes()) for part in jobs_done.parts}
    xaionnx.explain_all(model, digits, "grad_cam", to=tmp_path / "run", shard=(2, 2))
    assert {path: (path.stat().st_ino, path.read_bytes()) for path in before} == before


def test_folders_of_splits_are_no_classes(tmp_path, model, digits):
    pictures(tmp_path / "data", digits, [f"train/{n % 3}/{n}.png" for n in range(6)])
    with pytest.raises(UnknownNameError, match=r"No label named 'train'\. Known: 0, 1, 2"):
        evaluate(model, Dataset.of(tmp_path / "data"), "saliency", "sparseness", Target.labelled())
    split = Dataset.of(tmp_path / "data" / "train")
    found = score_table(model, split, ["saliency"], ["sparseness"], Target.labelled())
    assert len(found.inputs) == 6
    assert list(split.labels_given) == ["0", "0", "1", "1", "2", "2"]


@pytest.mark.parametrize("titles", ["file_name,label,caption", "label,caption,file_name", "image,label"])
def test_a_table_of_labels_lies_among_the_pictures(tmp_path, model, digits, titles):
    folder = pictures(tmp_path / "data", digits, [f"{n}.png" for n in range(6)])
    rows = [{"file_name": f"{n}.png", "image": f"{n}.png", "label": 9 - n, "caption": "a digit"} for n in range(6)]
    lines = [titles, *(",".join(str(row[title]) for title in titles.split(",")) for row in rows)]
    (folder / "metadata.csv").write_text("\n".join(lines))
    data = Dataset.of(folder, labels=folder / "metadata.csv")
    assert data.count == 6
    assert [int(label) for label in data.labels_given] == [9, 8, 7, 6, 5, 4]
    found = evaluate(model, data, "saliency", "deletion", Target.labelled(), steps=4)
    whole = evaluate(model, Dataset.of(folder / f"{n}.png" for n in range(6)), "saliency", "deletion", 9, steps=4)
    assert found.values[0] == whole.values[0]


def test_files_that_systems_keep_beside_pictures_are_no_inputs(tmp_path, digits):
    folder = pictures(tmp_path / "data", digits, [f"{n % 2}/{n}.png" for n in range(6)])
    pictures(folder, digits[:1], ["__MACOSX/0/._0.png"])
    for name in ("Thumbs.db", "0/Thumbs.db", "1/desktop.ini", ".DS_Store"):
        (folder / name).write_bytes(b"\xd0\xcf")
    assert {Path(file).suffix for file in Dataset.of(folder).units.files} == {".png"}
    assert Dataset.of(folder).count == 6
    assert {file.suffix for file in expand(folder / "0")} == {".png"}


def test_pictures_of_different_sizes_are_scored_together(tmp_path, model, digits):
    for n, (digit, size) in enumerate(zip(digits, (28, 40, 28, 64, 17, 28), strict=True)):
        Image.fromarray((255 * digit[0]).astype(np.uint8)).resize((size, size + n)).save(tmp_path / f"{n}.png")
    found = evaluate(model, Dataset.of(tmp_path), "saliency", "deletion", steps=4)
    for n in range(6):
        alone = evaluate(model, Dataset.of([tmp_path / f"{n}.png"]), "saliency", "deletion", steps=4)
        assert alone.values[0] == found.values[n]


def test_a_folder_of_a_package_is_explained_but_for_what_is_no_picture(tmp_path, model):
    """The pictures of scikit-image, in colour, gray, with alpha and of several pages, beside arrays and texts."""
    folder = tmp_path / "data"
    shutil.copytree(Path(skimage.data.__file__).parent, folder, ignore=shutil.ignore_patterns("*.py*", "__pycache__"))
    data = Dataset.of(folder)
    run = xaionnx.explain_all(model, data, "grad_cam", to=tmp_path / "run")
    left_out = {Path(one.name).name: one.reason for one in run.refused}
    assert len(run) + len(left_out) == data.count
    assert {Path(name).suffix for name in left_out} <= {".txt", ".xml", ".npy", ".npz", ".tif"}
    assert all(name in reason for name, reason in left_out.items())
    found = score_table(model, Dataset.of(folder), ["saliency"], ["deletion"])
    assert {Path(one.name).name for one in found.left_out} == left_out.keys()
    assert len(found.inputs) == len(run)
    names = [Path(row.provenance["inputs"][0]).name for row in run]
    assert [Path(name).name for name in found.inputs] == names
    for name in ("chelsea.png", "camera.png", "logo.png", "retina.jpg"):
        row = run[names.index(name)]
        np.testing.assert_array_equal(row.values, xaionnx.explain(model, folder / name, "grad_cam").values)


@pytest.mark.parametrize("labels", [[0, 1, 1], [[0], [1], [1]], ["0", "1", "1"], [0.0, 1.0, 1.0]])
def test_a_label_is_one_value(tmp_path, labels):
    model, x = planted.load(planted.linear([[4, 3], [1, 2]])), np.float32([[1, 1], [2, 1], [1, 3]])
    expected = evaluate(model, x, "input_x_gradient", "deletion", np.array([0, 1, 1])).values
    found = evaluate(model, Dataset.of(x, labels=np.array(labels)), "input_x_gradient", "deletion", Target.labelled())
    np.testing.assert_array_equal(found.values, expected)
    one_hot = np.eye(2)[[0, 1, 1]]
    for given in (one_hot, list(one_hot)):
        with pytest.raises(ParameterError, match=r"Got 2 values instead; .* labels\.argmax"):
            Dataset.of(x, labels=given)
    with pytest.raises(ParameterError, match="A label is one value"):
        xaionnx.explain_all(model, zip(x, one_hot, strict=True), "saliency", 0, to=tmp_path / "run")
    missing = Dataset.of(x, labels=np.array([0, np.nan, 1]))
    assert list(missing.labels_given) == [0, None, 1]
    scores = evaluate(model, missing, "input_x_gradient", "deletion", Target.labelled())
    np.testing.assert_array_equal(scores.values[[0, 2]], expected[[0, 2]])
    assert scores.reasons.keys() == {1}


def test_what_has_no_items_is_refused(tmp_path):
    model, x = planted.load(planted.linear([[4, 3]])), np.ones((3, 2), np.float32)
    (tmp_path / "table.csv").write_text("a,b\n")
    np.save(tmp_path / "array.npy", x[:0])
    empty = [x[:0], [], iter([]), {"x": x[:0]}, pd.DataFrame(x[:0])]
    empty += [tmp_path / "array.npy", tmp_path / "table.csv"]
    for number, given in enumerate(empty):
        with pytest.raises(DataError, match=r"is empty|has no rows|but no rows|without samples"):
            xaionnx.explain_all(model, given, "saliency", to=tmp_path / f"run{number}")
    once = iter(x)
    assert len(xaionnx.explain_all(model, once, "saliency", to=tmp_path / "once")) == 3
    with pytest.raises(DataError, match="The data set is empty"):
        xaionnx.explain_all(model, once, "input_x_gradient", to=tmp_path / "again")
    kept = Dataset.of(iter(x))
    assert len(xaionnx.explain_all(model, kept, "saliency", to=tmp_path / "kept")) == 3
    with pytest.raises(ParameterError, match="An iterator gives its items once"):
        xaionnx.explain_all(model, kept, "input_x_gradient", to=tmp_path / "other")


@pytest.mark.parametrize("shares", [3, 4])
def test_shares_lose_and_repeat_no_sample(tmp_path, shares):
    model, x = planted.load(planted.linear([[4, 3]])), np.arange(20, dtype=np.float32).reshape(10, 2)
    sizes = [
        len(xaionnx.explain_all(model, x, "input_x_gradient", to=tmp_path / str(n), shard=(n, shares)))
        for n in range(1, shares + 1)
    ]
    assert max(sizes) - min(sizes) <= 1
    run = Run.merge(tmp_path / "whole", [tmp_path / str(n) for n in range(1, shares + 1)])
    assert run.units.tolist() == list(range(10))
    np.testing.assert_array_equal(maps(run), x * np.float32([4, 3]))


def test_rows_of_a_frame_are_samples(tmp_path):
    """16,777,217 is no number of 32 bits, and stays whole beside a column of floats."""
    model = loaded(
        "g (int64[N, 1] id, float[N, 1] x) => (double[N, 1] y) "
        "{ i = Cast<to = 11>(id)  f = Cast<to = 11>(x)  y = Add(i, f) }"
    )
    frame = pd.DataFrame({"x": [0.5, 0.25, 1.0], "id": [5, 16_777_217, 3]})
    rows = {
        "records": frame.to_dict("records"),
        "iterrows": (row for _, row in frame.iterrows()),
        "labelled": ((row, "label") for row in frame.to_dict("records")),
        "frames": [frame[n : n + 1] for n in range(3)],
    }
    for name, given in rows.items():
        run = xaionnx.explain_all(model, given, "feature_ablation", 0, to=tmp_path / name)
        assert [row.prediction[0] for row in run] == [5.5, 16_777_217.25, 4], name
    assert Run.open(tmp_path / "labelled").labels == ("label",) * 3


def test_a_picture_of_16_bits_is_that_of_8(tmp_path, model, digits):
    eight = (255 * digits[0, 0]).astype(np.uint8)
    Image.fromarray(eight).save(tmp_path / "a.png")
    Image.fromarray(eight.astype(np.uint16) * 257).save(tmp_path / "b.png")
    run = xaionnx.explain_all(model, [tmp_path / "a.png", tmp_path / "b.png"], "saliency", to=tmp_path / "run")
    np.testing.assert_array_equal(run[0].values, run[1].values)


@pytest.mark.parametrize("engine", [None, Processes(1)])
def test_tables_of_a_folder_have_one_order_of_columns(tmp_path, engine):
    model = planted.load(planted.linear([[1, 10, 100]]), spec=InputSpec(kind="table"))
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "0.csv").write_text("a,b,c\n1,2,3\n4,5,6\n")
    (folder / "1.csv").write_text("c,a,b\n3,1,2\n")
    (folder / "2.csv").write_text("a,b,c\n7,8,9\n")
    run = xaionnx.explain_all(model, folder, "input_x_gradient", 0, to=tmp_path / "run", engine=engine)
    assert [row.prediction[0] for row in run] == [321, 654, 987]
    assert run.coverage == "3 rows of 3 inputs; 1 refused"
    (refused,) = run.refused
    assert refused.reason.startswith(f"'{folder / '1.csv'}' has the columns c, a, b, and '{folder / '0.csv'}' has a, b")
    with pytest.raises(DataError, match="has the columns c, a, b"):
        xaionnx.explain(model, folder, "input_x_gradient", 0)
    # Only the second share reads no other table than those of another order.
    part = xaionnx.explain_all(model, folder, "input_x_gradient", 0, to=tmp_path / "part", shard=(2, 3))
    assert [one.reason for one in part.refused] == [refused.reason]
    named = Model.load(model.file.path, spec=InputSpec(kind="table", columns=("a", "b", "c")))
    by_name = xaionnx.explain_all(named, folder, "input_x_gradient", 0, to=tmp_path / "named")
    assert [row.prediction[0] for row in by_name] == [321, 654, 321, 987]


def test_series_of_a_folder_have_one_order_of_channels(tmp_path):
    """A channel's weight is 1, 10 or 100 at each of two steps."""
    model = loaded(
        "g (float[N, 3, 2] x) => (float[N, 1] y) { c = Conv(x, k)  y = Flatten(c) }",
        k=np.repeat(np.float32([1, 10, 100]), 2).reshape(1, 3, 2),
    )
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "0.csv").write_text("time,a,b,c\n0,1,2,3\n1,1,2,3\n")
    (folder / "1.csv").write_text("time,c,a,b\n0,3,1,2\n1,3,1,2\n")
    run = xaionnx.explain_all(model, folder, "input_x_gradient", 0, to=tmp_path / "run")
    assert [row.prediction[0] for row in run] == [642]
    assert "has the columns c, a, b" in run.refused[0].reason


@pytest.mark.parametrize("fixed", ["9", "T"])
def test_a_model_without_an_axis_of_samples_explains_several(tmp_path, fixed):
    model = loaded(
        f"g (float[{fixed}, 6] x) => (float[3] y) {{ a = Constant<value = int64[2] {{0, 1}}>()  t = Unsqueeze(x, a) "
        "c = Conv(t, k)  r = Relu(c)  p = GlobalAveragePool(r)  s = Squeeze(p)  y = MatMul(s, w) }",
        k=np.random.default_rng(0).normal(size=(4, 1, 3, 3)).astype(np.float32),
        w=np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32),
    )
    x = np.random.default_rng(2).normal(size=(5, 9, 6)).astype(np.float32)
    singles = [xaionnx.explain(model, one, "input_x_gradient", 0) for one in x]
    assert singles[0].values.shape == (9, 6)
    run = xaionnx.explain_all(model, x, "input_x_gradient", 0, to=tmp_path / "run")
    np.testing.assert_allclose(maps(run), [one.values for one in singles], atol=1e-6)
    frame = run.frame("pandas")
    np.testing.assert_allclose(frame.iloc[3, -54:].to_numpy(float), singles[3].values.ravel(), atol=1e-6)
    each = [evaluate(model, one, "input_x_gradient", "deletion", 0).values[0] for one in x]
    for given in (x, Dataset.of(x)):
        np.testing.assert_allclose(evaluate(model, given, "input_x_gradient", "deletion", 0).values, each, rtol=1e-5)


def columns_of_numbers():
    """The sum of a and 10 b."""
    spec = InputSpec(kind="table", columns=("a", "b"))
    return planted.load(planted.linear([[1.0, 10.0]]), spec=spec)


def test_numbers_coded_by_a_dictionary_stay_numbers():
    frame = pd.DataFrame({"a": pd.Categorical([7, 3, 7], categories=[3, 7]), "b": [1, 2, 3]})
    found = xaionnx.explain(columns_of_numbers(), frame, "feature_ablation", 0, baseline=0)
    np.testing.assert_array_equal(found.values, [[7, 10], [3, 20], [7, 30]])


def test_a_table_of_semicolons_and_decimal_commas_is_refused(tmp_path):
    path = tmp_path / "rows.csv"
    for text, said in (
        ("a;b\n1,5;2,5\n", "is separated by ';', not by commas"),
        ('a,b\n"1,5","2,5"\n', "Write it with a decimal point"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=said):
            xaionnx.explain(columns_of_numbers(), path, "feature_ablation", 0, baseline=0)


def test_a_blank_line_ahead_of_the_header_is_refused(tmp_path):
    (tmp_path / "rows.csv").write_text("\na,b\n1,2\n")
    with pytest.raises(DataError, match="line 1: the header is blank"):
        xaionnx.explain(columns_of_numbers(), tmp_path / "rows.csv", "feature_ablation", 0, baseline=0)
