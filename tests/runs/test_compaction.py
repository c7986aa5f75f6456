"""Small parts that become large ones when shares are merged: the same rows, whatever stops it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import xaionnx
from tests.runs import jobs
from xaionnx.data import storage
from xaionnx.errors import StorageError
from xaionnx.runs import Run, compaction


def shares(folder, count=3, **options):
    places = [folder / f"share{n}" for n in range(1, count + 1)]
    for n, place in enumerate(places, 1):
        jobs.explain(place, shard=(n, count), **options)
    return places


@pytest.fixture
def whole(tmp_path):
    return jobs.explain(tmp_path / "whole")


def files(run):
    return [part.path.relative_to(run.folder / "parts").as_posix() for part in run.parts]


def test_shares_become_one_file_of_the_same_rows(tmp_path, whole):
    places = shares(tmp_path)
    before = [len(Run.open(place).parts) for place in places]
    merged = Run.merge(tmp_path / "merged", places)
    assert sum(before) > 3
    assert files(merged) == ["merged0000/000000000000-000000000060.npz"]
    assert len(list((merged.folder / "parts").rglob("*.npz"))) == 1
    assert merged.digest() == whole.digest()
    assert merged.frame("pandas", values=False).equals(whole.frame("pandas", values=False))
    for n in (0, 7, 59):
        assert merged[n].provenance == whole[n].provenance
        assert {**merged[n].diagnostics, "seconds": 0} == {**whole[n].diagnostics, "seconds": 0}
    # The shares keep theirs, and what is merged again, or gone on with, stays as it is.
    assert [len(Run.open(place).parts) for place in places] == before
    assert files(Run.merge(tmp_path / "merged", places)) == files(merged)
    assert files(jobs.explain(tmp_path / "merged")) == files(merged)


def test_files_do_not_grow_beyond_their_size(tmp_path, whole, monkeypatch):
    places = shares(tmp_path)
    size = max(part.path.stat().st_size for place in places for part in Run.open(place).parts)
    monkeypatch.setattr(compaction, "_BYTES", 2 * size)
    monkeypatch.setattr(compaction, "_FILES", 1)
    merged = Run.merge(tmp_path / "merged", places)
    assert 1 < len(merged.parts) < sum(len(Run.open(place).parts) for place in places)
    assert max(part.path.stat().st_size for part in merged.parts) <= 2 * size
    assert sum(name.startswith("merged") for name in files(merged)) > 1
    assert merged.digest() == whole.digest()


def test_shares_of_an_unfinished_run_are_linked_as_they_are(tmp_path):
    places = shares(tmp_path)[:2]
    merged = Run.merge(tmp_path / "merged", places)
    assert merged.missing == 20
    assert not any(name.startswith("merged") for name in files(merged))


def test_refused_rows_and_labels_stay_with_their_units(tmp_path):
    data = jobs.digits()
    data[[0, 30, 59]] = np.nan
    labelled = xaionnx.Dataset.of(data, labels=[f"digit {n}" for n in range(60)])
    whole = jobs.explain(tmp_path / "whole", labelled)
    merged = Run.merge(tmp_path / "merged", shares(tmp_path, data=labelled))
    assert [one.unit for one in merged.refused] == [0, 30, 59]
    assert merged.units.tolist() == whole.units.tolist()
    assert merged.labels == whole.labels == tuple(f"digit {n}" for n in range(60) if n not in (0, 30, 59))
    assert merged.digest() == whole.digest()


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("kernel_shap", {"features": "superpixels", "budget": 400}),
        ("grad_cam", {}),
        ("lime", {"features": "grid:4", "budget": 40}),
    ],
)
@pytest.mark.parametrize("target", [3, [3, 5]])
def test_rows_of_methods_with_players_maps_and_errors_are_the_same(tmp_path, method, settings, target):
    options = {"method": method, "window": None, "stride": None, "target": target, **settings}
    given = {name: value for name, value in options.items() if value is not None}
    places = []
    for n in (1, 2):
        run = xaionnx.explain_all(*(jobs.model(), jobs.digits(12)), to=tmp_path / f"{n}", shard=(n, 2), **given)
        places.append(run.folder)
    whole = xaionnx.explain_all(jobs.model(), jobs.digits(12), to=tmp_path / "whole", **given)
    merged = Run.merge(tmp_path / "merged", places)
    assert merged.digest() == whole.digest()
    # Digits have different numbers of superpixels, and records of other forms are not joined.
    assert (len(merged.parts) == 1) == (settings.get("features") != "superpixels")


def test_records_of_other_forms_are_not_joined(tmp_path):
    run = jobs.explain(tmp_path / "run", jobs.digits(4))
    part = run.parts[-1]
    other = dataclasses.replace(part.load(), feature_values=None, features=None)
    dataclasses.replace(other, provenance=other.provenance | {"part": {}}).save(part.path.with_name("other.npz"))
    odd = dataclasses.replace(part, path=part.path.with_name("other.npz"), start=4, stop=5, units=(4,))
    assert [len(group) for group in compaction._groups([*run.parts, odd])] == [len(run.parts), 1]


def test_a_full_disk_loses_nothing(tmp_path, whole, monkeypatch):
    places = shares(tmp_path)
    inner = storage.write_whole

    def full(path, *args, **options):
        if "merged0000" in str(path):
            raise StorageError("No space left on device")
        return inner(path, *args, **options)

    monkeypatch.setattr(storage, "write_whole", full)
    with pytest.raises(StorageError):
        Run.merge(tmp_path / "merged", places)
    monkeypatch.undo()
    assert Run.open(tmp_path / "merged").digest() == whole.digest()
    merged = Run.merge(tmp_path / "merged", places)
    assert len(merged.parts) == 1
    assert merged.digest() == whole.digest()


def test_it_may_be_stopped_between_the_files(tmp_path, whole, monkeypatch):
    places = shares(tmp_path)
    removed = []
    inner = type(tmp_path).unlink

    def stopped(self, *args, **options):
        if self.suffix == ".npz" and not self.name.startswith("."):
            removed.append(self)
            if len(removed) == 3:
                raise KeyboardInterrupt
        return inner(self, *args, **options)

    monkeypatch.setattr(type(tmp_path), "unlink", stopped)
    with pytest.raises(KeyboardInterrupt):
        Run.merge(tmp_path / "merged", places)
    monkeypatch.undo()
    assert Run.open(tmp_path / "merged").digest() == whole.digest()
    assert len(Run.merge(tmp_path / "merged", places).parts) == 1


def test_a_parquet_file_has_the_rows_with_values_and_shapes(tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    data = xaionnx.Dataset.of(jobs.digits(), labels=list(range(60)))
    run = jobs.explain(tmp_path / "run", data)
    table = pq.read_table(run.to_parquet(tmp_path / "run.parquet"))
    assert table.num_rows == 60
    assert table.column("unit").to_pylist() == list(range(60)) == table.column("label").to_pylist()
    for n in (0, 31, 59):
        shape = table.column("values_shape")[n].as_py()
        values = np.array(table.column("values")[n].as_py(), np.float32).reshape(shape)
        np.testing.assert_array_equal(values, run[n].values[0])
        assert table.column("prediction")[n].as_py() == run[n].prediction[0]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    "labels",
    [[7, None, 3], ["cat", None, "dog"], [0.5, None, 2.0], [True, None, False]],
    ids=["int", "str", "float", "bool"],
)
def test_a_missing_label_is_null_in_a_parquet_file_and_the_others_are_what_they_were(tmp_path, labels):
    pq = pytest.importorskip("pyarrow.parquet")
    run = jobs.explain(tmp_path / "run", xaionnx.Dataset.of(jobs.digits(3), labels=labels))
    assert pq.read_table(run.to_parquet(tmp_path / "run.parquet")).column("label").to_pylist() == labels


def test_rows_keep_the_provider_and_versions_that_made_them(tmp_path):
    run = jobs.explain(tmp_path / "run", jobs.digits(4))
    part = run.parts[-1]
    record = part.load()
    moved = dataclasses.replace(record, provenance=record.provenance | {"provider": "Other", "part": {}})
    moved.save(part.path.with_name("other.npz"))
    odd = dataclasses.replace(part, path=part.path.with_name("other.npz"), start=4, stop=5, units=(4,))
    assert [len(group) for group in compaction._groups([*run.parts, odd])] == [len(run.parts), 1]
