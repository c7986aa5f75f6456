"""Data sets: whatever they are made of, their blocks hold what the model reads of the whole at once."""

from __future__ import annotations

import csv
import hashlib
import itertools
import resource
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pandas
import polars
import pytest
from PIL import Image

import xaionnx
from models import planted
from xaionnx import Dataset, InputSpec, Model, Target
from xaionnx.data import listing
from xaionnx.data.texts import TextOptions
from xaionnx.errors import DataError, ParameterError, UnknownNameError
from xaionnx.evaluation import score_table

ROWS = 1300
COLUMNS = ("age", "income", "debt")


@pytest.fixture(scope="module")
def table():
    values = np.random.default_rng(0).normal(size=(ROWS, 3)).astype(np.float32)
    return pandas.DataFrame(values.astype(np.float64), columns=COLUMNS)


@pytest.fixture(scope="module")
def linear():
    model = planted.load(planted.linear([[1.0, 2.0, -3.0]]))
    return model.reopened(spec=InputSpec(kind="table", columns=COLUMNS, ignore=("city",)))


@pytest.fixture(scope="module")
def digits():
    return Model.load("models/mnist_cnn.onnx")


def gathered(dataset, model, size=64):
    blocks = list(dataset.batches(model, size))
    covered = [(block.start, block.stop) for block in blocks]
    assert covered[0][0] == 0
    assert all(end == start for (_, end), (start, _) in itertools.pairwise(covered))
    return blocks


def joined(blocks):
    return np.concatenate([next(iter(block.inputs.arrays.values())) for block in blocks if block.inputs])


def names(blocks):
    return [name for block in blocks if block.inputs for name in block.inputs.names]


@pytest.mark.parametrize("size", [1, 7, 512, 5000])
def test_rows_of_a_csv_file_are_those_of_the_whole(tmp_path, table, linear, size):
    path = tmp_path / "rows.csv"
    table.to_csv(path, index=False)
    whole = linear.read(str(path))
    if size == 1:
        table = table[:40]
        table.to_csv(path, index=False)
        whole = linear.read(str(path))
    blocks = gathered(Dataset.of(path), linear, size)
    np.testing.assert_array_equal(joined(blocks), whole.arrays["x"])
    assert names(blocks) == list(whole.names)
    assert {digest for block in blocks for digest in block.inputs.sha256s} == {whole.sha256s[0]}


def test_faulty_rows_are_refused_with_their_own_line(tmp_path, linear):
    path = tmp_path / "rows.csv"
    lines = ["age,income,debt", *(f"{n},{n},{n}" for n in range(600))]
    lines[1 + 3] = ""
    lines[1 + 515] = "1,2"
    lines[1 + 520] = "1,two,3"
    path.write_text("\n".join(lines) + "\n")
    whole = linear.read(str(path), partial=True)
    blocks = gathered(Dataset.of(path), linear, 100)
    refused = [one for block in blocks for one in block.refused]
    assert [one.unit for one in refused] == [3, 515, 520]
    assert [one.reason for one in refused] == [str(one) for one in whole.refused]
    units = [unit for block in blocks for unit in block.units]
    assert units == [n for n in range(600) if n not in (3, 515, 520)]
    assert joined(blocks)[:, 0].tolist() == units


def test_quoted_cells_of_several_lines_and_a_mark_of_byte_order_are_read(tmp_path, linear):
    path = tmp_path / "rows.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, "city"])
        writer.writerows([n, n + 0.5, -n, f"first\nsecond, {n} é"] for n in range(ROWS))
    blocks = gathered(Dataset.of(path), linear, 300)
    np.testing.assert_array_equal(joined(blocks)[:, 0], np.arange(ROWS))
    assert blocks[-1].inputs.left["city"][-1] == f"first\nsecond, {ROWS - 1} é"


def test_a_column_of_labels_is_not_seen_by_the_model(tmp_path, table, linear):
    path = tmp_path / "rows.csv"
    labelled = table.assign(risk=["good" if n % 3 else "bad" for n in range(ROWS)])
    labelled.to_csv(path, index=False)
    with pytest.raises(DataError, match="has the column 'risk', which the model does not use"):
        list(Dataset.of(path).batches(linear))
    for given in (path, labelled, polars.DataFrame(labelled.to_dict("list"))):
        blocks = gathered(Dataset.of(given, labels="risk"), linear, 100)
        assert [label for block in blocks for label in block.labels] == labelled["risk"].tolist()
    with pytest.raises(UnknownNameError, match=r"No column of labels named 'risc'\. Nearest: risk"):
        Dataset.of(path, labels="risc")


def test_an_empty_cell_is_no_label_and_changes_no_other_one(monkeypatch, tmp_path, table):
    monkeypatch.setattr(listing, "_LABEL_ROWS", 100)
    risk = [n % 7 for n in range(ROWS)]
    some = [None if n == 700 else one for n, one in enumerate(risk)]
    for name, labels in (("all", risk), ("some", some)):
        polars.DataFrame({**table.to_dict("list"), "risk": labels}).write_csv(tmp_path / f"{name}.csv")
        read = pandas.read_csv(tmp_path / f"{name}.csv")
        assert list(Dataset.of(tmp_path / f"{name}.csv", labels="risk").labels_given) == [
            None if one is None else str(one) for one in labels
        ]
        polars.DataFrame(read.to_dict("list")).write_parquet(tmp_path / f"{name}.parquet")
        for given in (read, tmp_path / f"{name}.parquet"):
            found = list(Dataset.of(given, labels="risk").labels_given)
            assert found == labels
            assert {type(one) for one in found} <= {int, type(None)}


def test_frames_and_parquet_files_are_read_in_blocks(tmp_path, table, linear):
    path = tmp_path / "rows.parquet"
    polars.DataFrame(table.to_dict("list")).write_parquet(path, row_group_size=400)
    for given in (table, polars.DataFrame(table.to_dict("list")), path):
        whole = linear.read(given if given is not path else str(path))
        blocks = gathered(Dataset.of(given), linear, 170)
        np.testing.assert_array_equal(joined(blocks), whole.arrays["x"])
        assert names(blocks) == list(whole.names)


def test_arrays_in_files_are_read_in_blocks(tmp_path, linear):
    x = np.random.default_rng(1).normal(size=(ROWS, 3))
    x[77] = np.nan
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "big.npy", x.astype(">f8"))
    np.save(tmp_path / "columns.npy", np.asfortranarray(x))
    np.savez(tmp_path / "x.npz", x=x)
    np.savez_compressed(tmp_path / "packed.npz", x=x, y=np.arange(ROWS))
    for file in ("x.npy", "big.npy", "x.npz"):
        whole = linear.read(str(tmp_path / file), partial=True)
        blocks = gathered(Dataset.of(tmp_path / file), linear, 100)
        np.testing.assert_array_equal(joined(blocks), whole.arrays["x"])
        assert names(blocks) == list(whole.names)
        assert [one.reason for block in blocks for one in block.refused] == [str(one) for one in whole.refused]
    blocks = gathered(Dataset.of(tmp_path / "packed.npz", labels="y"), linear, 100)
    assert [label for block in blocks for label in block.labels] == [n for n in range(ROWS) if n != 77]
    assert len(joined(gathered(Dataset.of(tmp_path / "columns.npy"), linear))) == ROWS


def test_arrays_in_memory_are_read_in_blocks(linear):
    x = np.random.default_rng(1).normal(size=(200, 3)).astype(np.float32)
    for given in (x, {"x": x}):
        blocks = gathered(Dataset.of(given, labels=np.arange(200)), linear, 64)
        np.testing.assert_array_equal(joined(blocks), x)
        assert names(blocks)[64] == "x[64]"
        assert blocks[1].labels[0] == 64


def test_items_of_sequences_and_iterables_are_samples(linear):
    x = np.random.default_rng(1).normal(size=(200, 3)).astype(np.float32)
    pairs = [(row, n % 2) for n, row in enumerate(x)]
    for given in (list(x), pairs, iter(pairs), (row for row in x)):
        blocks = gathered(Dataset.of(given), linear, 64)
        np.testing.assert_array_equal(joined(blocks), x)
        assert names(blocks)[64] == "x[64]"
    assert [label for b in Dataset.of(pairs).batches(linear) for label in b.labels] == [n % 2 for n in range(200)]
    once = Dataset.of(iter(x))
    list(once.batches(linear))
    with pytest.raises(TypeError):
        len(once)
    with pytest.raises(ParameterError, match="An iterator gives its items once"):
        once.read(linear, 0, 1)


def photos(folder: Path, count: int, size=(20, 16)) -> None:
    rng = np.random.default_rng(0)
    for n in range(count):
        place = folder / ("cat" if n % 2 else "dog")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(place / f"{n:03}.png")


def test_a_folder_is_read_with_its_subfolders_as_labels(tmp_path, digits):
    photos(tmp_path / "in", 20)
    (tmp_path / "in" / "dog" / "notes.txt").write_text("no picture")
    (tmp_path / "in" / ".hidden.png").write_text("")
    dataset = Dataset.of(tmp_path / "in")
    assert dataset.count == 21
    blocks = gathered(dataset, digits, 8)
    assert [label for block in blocks for label in block.labels] == ["cat"] * 10 + ["dog"] * 10
    (refused,) = (one for block in blocks for one in block.refused)
    assert refused.unit == 20
    assert "is text, not a picture" in refused.reason
    files = sorted((tmp_path / "in").rglob("*.png"))
    whole = digits.read([file for file in files if not file.name.startswith(".")])
    np.testing.assert_array_equal(joined(blocks), whole.arrays["pixels"])
    assert names(blocks) == list(whole.names)


def test_labels_of_files_may_be_in_a_table_beside_them(tmp_path, digits):
    photos(tmp_path / "in", 4)
    listed = tmp_path / "labels.csv"
    listed.write_text("file,label\ndog/000.png,7\n001.png,3\n")
    blocks = gathered(Dataset.of(tmp_path / "in", labels=listed), digits)
    assert blocks[0].labels == ("3", None, "7", None)
    listed.write_text("file,label\nother.png,7\n")
    with pytest.raises(DataError, match="names none of the files"):
        Dataset.of(tmp_path / "in", labels=listed)
    with pytest.raises(ParameterError, match="has 4 samples or files, and 3 labels are given"):
        Dataset.of(tmp_path / "in", labels=[1, 2, 3])


def test_masks_have_the_names_of_the_files(tmp_path, digits):
    photos(tmp_path / "in", 4, size=(28, 28))
    (tmp_path / "masks" / "cat").mkdir(parents=True)
    place = np.zeros((28, 28), np.uint8)
    place[3:9, 4:12] = 255
    for name in ("001", "003"):
        Image.fromarray(place).save(tmp_path / "masks" / "cat" / f"{name}.png")
    (block,) = Dataset.of(tmp_path / "in", masks=tmp_path / "masks").batches(digits)
    assert block.units == (0, 1)
    np.testing.assert_array_equal(block.masks, np.stack([place > 0] * 2))
    assert [one.unit for one in block.refused] == [2, 3]
    assert "There is no mask of the name '000'" in block.refused[0].reason
    given = np.zeros((3, 28, 28), bool)
    with pytest.raises(ParameterError, match="has 4 units, and 3 masks are given"):
        Dataset.of(tmp_path / "in", masks=given)


def test_pictures_of_other_sizes_are_blocks_of_their_own(tmp_path):
    model = planted.load(planted.bag_of_patches())
    for n, size in enumerate((4, 4, 6, 6, 4)):
        np.save(tmp_path / f"{n}.npy", np.full((1, 3, size, size), n, np.float32))
    blocks = gathered(Dataset.of(tmp_path), model)
    assert [block.units for block in blocks if block.inputs] == [(0, 1), (2, 3), (4,)]


def test_texts_are_not_padded_for_their_neighbours(tmp_path):
    spam = Model.load("models/spam.onnx")
    table = pandas.DataFrame({"sms": ["Win a free prize now", "ok", "see you at the station tomorrow"]})
    for given in (table, ["Win a free prize now", "ok", "see you at the station tomorrow"]):
        dataset = Dataset.of(given, text=TextOptions(column=("sms",)) if given is table else None)
        read = [(text.text, len(text.ids)) for block in dataset.batches(spam) for text in block.inputs.texts]
        alone = [(one, len(spam.read([one]).texts[0].ids)) for one in table["sms"]]
        assert read == alone


def test_a_table_that_lacks_a_column_is_refused_once(tmp_path, linear):
    path = tmp_path / "rows.csv"
    path.write_text("age,income\n1,2\n3,4\n")
    with pytest.raises(DataError, match="lacks the column 'debt' that the model needs"):
        list(Dataset.of(path).batches(linear))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"a,b\n", "has a header but no rows"),
        (b"\x89PNG\r\n\x1a\n1,2", "is a picture, but the model needs rows"),
        (b"age,income,debt\n1,2,3\n\xe9,5,6\n", "line 3: the byte 0xe9 is not UTF-8"),
    ],
)
def test_a_broken_table_is_refused_as_a_whole(tmp_path, content, message):
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        Dataset.of(path)


def test_the_key_is_that_of_names_and_sizes_or_of_the_content(tmp_path, table):
    photos(tmp_path / "in", 4)
    first = Dataset.of(tmp_path / "in").units.key
    # Runs that were begun by earlier versions go on.
    names = [f"/{file.relative_to(tmp_path / 'in')}" for file in sorted((tmp_path / "in").glob("*/*"))]
    sizes = [(tmp_path / "in").joinpath(name[1:]).stat().st_size for name in names]
    listed = "".join(f"{name}\0{size}\n" for name, size in zip(names, sizes, strict=True))
    assert first == hashlib.sha256(f"files\n{listed}".encode()).hexdigest()
    (tmp_path / "in").rename(tmp_path / "moved")
    assert Dataset.of(tmp_path / "moved").units.key == first
    (tmp_path / "moved" / "cat" / "001.png").unlink()
    assert Dataset.of(tmp_path / "moved").units.key != first
    table.to_csv(tmp_path / "a.csv", index=False)
    key = Dataset.of(tmp_path / "a.csv").units.key
    table[::-1].to_csv(tmp_path / "a.csv", index=False)
    assert Dataset.of(tmp_path / "a.csv").units.key != key
    x = np.zeros((4, 3))
    assert Dataset.of(x).units.key == Dataset.of(x.copy()).units.key != Dataset.of(x + 1).units.key


def test_a_table_is_never_in_memory_as_a_whole(tmp_path, linear):
    path = tmp_path / "rows.npy"
    np.save(path, np.zeros((1_000_000, 3), np.float32))
    dataset = Dataset.of(path)
    dataset.read(linear, 0, 10)
    tracemalloc.start()
    for start in (0, 500_000, 999_000):
        (block,) = dataset.read(linear, start, start + 1000)
        assert block.units[0] == start
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6  # the file has 12 MB


@pytest.mark.slow
def test_a_folder_of_100000_pictures_starts_within_two_seconds_and_stays_within_one_gigabyte(tmp_path, digits):
    folder = tmp_path / "in"
    for group in range(100):
        # A file has 65,000 names at most.
        picture = folder / f"{group:02}" / "000.png"
        picture.parent.mkdir(parents=True)
        Image.fromarray(np.random.default_rng(group).integers(0, 256, (28, 28), np.uint8)).save(picture)
        for n in range(1, 1000):
            (picture.parent / f"{n:03}.png").hardlink_to(picture)
    digits.run(digits.read(picture).arrays)
    # Of the processor, so that other work on the machine does not count.
    began = time.process_time()
    blocks = Dataset.of(folder).batches(digits, 64)
    digits.run(next(blocks).inputs.arrays)
    assert time.process_time() - began < 2
    seen = 64
    for block in blocks:
        seen += len(block.units)
    assert seen == 100_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 2**20  # kB


def labels_file(path, *lines):
    path.write_text("\n".join(["file,label", *lines]))
    return path


def test_labels_that_fit_several_files_or_none_are_refused(tmp_path, digits):
    folder = tmp_path / "photos"
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        photos(folder / name, 2)
    name = "dog/000.png"
    with pytest.raises(DataError, match=r"may be .*a.*or.*b.*Name files with their folders"):
        Dataset.of(folder, labels=labels_file(tmp_path / "twice.csv", f"{name},cat"))
    with pytest.raises(DataError, match=r"two labels for .*, cat and dog"):
        Dataset.of(folder, labels=labels_file(tmp_path / "two.csv", f"a/{name},cat", f"a/{name},dog"))
    lines = (f"a/{name},cat", f"a/{name},cat", f"b/{name},")
    told = Dataset.of(folder, labels=labels_file(tmp_path / "one.csv", *lines))
    assert list(told.labels_given) == [None, "cat", None, None]
    for given in (folder, [folder / "a" / name], np.zeros((2, 1, 28, 28), np.float32)):
        with pytest.raises(ParameterError, match=r"There is no file 'labels\.csv'"):
            Dataset.of(given, labels="labels.csv")


def test_labels_are_the_same_in_numbers_of_python_and_of_numpy():
    x = np.zeros((3, 1, 28, 28), np.float32)
    given = ([1, 2, 3], np.array([1, 2, 3]), list(np.array([1, 2, 3])), pandas.Series([1, 2, 3]))
    assert len({Dataset.of(x, labels=labels).labels_sha256 for labels in given}) == 1
    assert Dataset.of(x, labels=[1, 2, 4]).labels_sha256 != Dataset.of(x, labels=[1, 2, 3]).labels_sha256


@pytest.mark.parametrize(
    "masks", [np.full((3, 28, 28), 0.3), np.full((3, 28, 28), np.nan), np.ones((3, 28, 28), np.uint8)]
)
def test_masks_of_numbers_are_not_taken_for_true_places(masks):
    with pytest.raises(ParameterError, match=f"array of bool.*Got {masks.dtype}"):
        Dataset.of(np.zeros((3, 1, 28, 28), np.float32), masks=masks)


def frames(folder, numbers):
    """Pictures named by their numbers, each as bright as its number."""
    folder.mkdir(parents=True)
    for n in numbers:
        Image.fromarray(np.full((28, 28), n, np.uint8)).save(folder / f"frame{n}.png")
    return folder


def test_labels_without_names_need_files_of_one_order(tmp_path, digits):
    """By letters frame10 comes before frame2, by its number after it: whose label is the third?"""
    folder = frames(tmp_path / "in", range(1, 12))
    labels, masks, target = np.arange(11) % 10, np.ones((11, 28, 28), bool), np.arange(11) % 10
    for ask in (
        lambda: Dataset.of(folder, labels=labels),
        lambda: Dataset.of(folder, masks=masks),
        lambda: Dataset.of([folder], labels=labels),
        lambda: xaionnx.explain(digits, folder, "saliency", target),
        lambda: xaionnx.explain(digits, folder, "saliency", Target.loss(target)),
        lambda: xaionnx.evaluate(digits, folder, "saliency", "deletion", target),
        lambda: xaionnx.evaluate(digits, Dataset.of(folder), "saliency", "deletion", target),
        lambda: xaionnx.evaluate(digits, folder, "saliency", "pointing_game", masks=masks),
        lambda: score_table(digits, folder, ["saliency"], ["deletion"], target),
        lambda: xaionnx.explain_all(digits, folder, "saliency", target, to=tmp_path / "run"),
    ):
        with pytest.raises(ParameterError, match=r"names are in the order .*frame11.png' may come before or after"):
            ask()
    files = [folder / f"frame{n}.png" for n in range(1, 12)]
    for given in (files, frames(tmp_path / "few", range(1, 10))):
        blocks = gathered(Dataset.of(given, labels=np.arange(len(list(given if given is files else range(9))))), digits)
        brightness = [round(255 * x[0, 0, 0]) for x in joined(blocks)]
        assert brightness == [label + 1 for block in blocks for label in block.labels]


def test_files_beside_folders_have_no_order_either(tmp_path):
    frames(tmp_path / "in", [1, 2])
    frames(tmp_path / "in" / "cat", [3])
    with pytest.raises(ParameterError, match="Labels without names are in the order"):
        Dataset.of(tmp_path / "in", labels=[1, 2, 3])
    # Names that have no common form but numbers are those of any order by letters.
    for name in ("10af", "9bc", "2"):
        frames(tmp_path / "hashes" / name, [0])
    assert Dataset.of(tmp_path / "hashes", labels=[1, 2, 3]).count == 3


def labels_of(folder, text, name="labels.csv"):
    """The labels of 3 files, a.png, b.png and c.png, from a file of labels."""
    for file in "abc":
        path = folder / "in" / f"{file}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (28, 28)).save(path)
    (folder / name).write_text(text)
    return list(Dataset.of(folder / "in", labels=folder / name).labels_given)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("image,label\na,3\nb,1\nc,2\n", ["3", "1", "2"]),
        ("file,label\n./c.png,2\n./a.png,3\n", ["3", None, "2"]),
        ("file,label\na.png,3.0\nb.png,\nc.png,2.0\n", ["3", None, "2"]),
        ("file,label\na.png,3.5\nb.png,\nc.png,2.0\n", ["3.5", None, "2.0"]),
        ("label,image\na,a\nb,b\na,c\n", ["a", "b", "a"]),
    ],
    ids=["no suffix", "this folder", "floats of pandas", "floats", "labels that are names"],
)
def test_names_of_files_in_a_table_of_labels(tmp_path, text, labels):
    assert labels_of(tmp_path, text) == labels


def test_a_table_of_labels_without_a_header_is_refused(tmp_path):
    """Its first line was taken for one, and the first file had no label."""
    with pytest.raises(DataError, match=r"line 1: 'a.png' is a file, so there is no header\. Put the names of the col"):
        labels_of(tmp_path, "a.png,3\nb.png,1\nc.png,2\n")
    with pytest.raises(ParameterError, match=r"labels.txt' is no CSV file"):
        labels_of(tmp_path, "a.png 3\nb.png 1\n", "labels.txt")
    (tmp_path / "in" / "a.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"'a' in .* may be .*a.jpg' or .*a.png'. Name files with their folders"):
        labels_of(tmp_path, "file,label\na,3\n")


def test_labels_in_an_archive(tmp_path, digits):
    """Words are labels; as many as there are samples; an array of another form is refused in its own shape."""
    x = np.zeros((3, 1, 28, 28), np.float32)
    path = tmp_path / "all.npz"
    np.savez(path, x=x, y=np.array(["cat", "dog", "cat"]))
    (block,) = Dataset.of(path, labels="y").batches(digits)
    assert block.labels == ("cat", "dog", "cat")
    np.savez(path, x=x, more=x, y=np.array(["cat", "dog", "cat"]))
    assert set(Dataset.of(path, labels="y").units.arrays) == {"x", "more"}
    for count in (2, 4):
        np.savez(path, x=x, y=np.arange(count))
        with pytest.raises(ParameterError, match=f"has 3 samples or files, and {count} labels are given"):
            Dataset.of(path, labels="y")
    np.savez(path, x=x[:, 0], y=np.arange(3))
    with pytest.raises(DataError, match=r"expects \(N, 1, 28, 28\) float32. Got \(3, 28, 28\) float32\.$"):
        list(Dataset.of(path, labels="y").batches(digits))


@pytest.mark.parametrize("kind", [int, float, str])
def test_labels_that_count_from_one_are_refused(tmp_path, kind):
    """Of three classes the labels 1, 2 and 3: two of them would be other classes, without a word."""
    model = planted.load(planted.linear(np.eye(3)))
    rows = np.eye(3, dtype=np.float32)
    data = Dataset.of(rows, labels=[kind(label) for label in (1, 2, 3)])
    for ask in (
        lambda: xaionnx.evaluate(model, data, "saliency", "deletion", Target.labelled()),
        lambda: score_table(model, data, ["saliency"], ["deletion"], Target.labelled()),
        lambda: xaionnx.explain_all(model, data, "saliency", Target.labelled(), to=tmp_path / "run"),
    ):
        with pytest.raises(ParameterError, match=r"numbers from 1 to 3, and the classes of .* from 0 to 2. If they"):
            ask()
    right = Dataset.of(rows, labels=[kind(label) for label in (0, 1, 2)])
    scores = xaionnx.evaluate(model, right, "input_x_gradient", "deletion", Target.labelled(), controls=())
    # The sum of the row's own class is all of it: removed first, the rest of the curve is 0.
    np.testing.assert_allclose(scores.values, 1 / 6)
