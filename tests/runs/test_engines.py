"""One contract of all engines: whatever ends when, the rows are those of an uninterrupted run, none lost or twice."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, deque
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import xaionnx
from tests.runs import jobs
from xaionnx import discovery
from xaionnx.data import units
from xaionnx.errors import DataError, ParameterError, UsageError
from xaionnx.record import record
from xaionnx.runs import Engine, Processes, Run, job
from xaionnx.runs.engines import Lost
from xaionnx.runs.job import Job, Shard
from xaionnx.runs.part import Part
from xaionnx.runs.settings import fingerprint

ENGINES = ["in_process", "processes", pytest.param("ray", marks=pytest.mark.ray)]
KILLS = 200


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return jobs.explain(tmp_path_factory.mktemp("whole") / "run").digest()


def check(run, whole):
    assert run.complete
    assert run.units.tolist() == list(range(jobs.ROWS))
    assert not run.refused
    assert run.digest() == whole


@pytest.mark.parametrize("name", ENGINES)
def test_rows_are_those_of_one_call(tmp_path, whole, name):
    run = jobs.explain(tmp_path / "run", name=name)
    check(run, whole)
    assert not multiprocessing.active_children()
    told = xaionnx.explain(jobs.model(), jobs.digits(), target=3, **jobs.METHOD)
    for n, row in enumerate(run):
        np.testing.assert_array_equal(row.values, told.values[n : n + 1])
        assert row.provenance["input_sha256"] == [told.provenance["input_sha256"][n]]
        assert row.target.tolist() == [told.target[n]]


@pytest.mark.parametrize("name", ENGINES[1:])
def test_a_worker_that_is_killed_is_replaced(tmp_path, whole, name):
    marks = tmp_path / "marks"
    marks.mkdir()
    run = jobs.explain(tmp_path / "run", jobs.Once(marks, [0, 17, 40]), name)
    check(run, whole)
    assert len(list(marks.iterdir())) == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ENGINES[1:])
def test_a_unit_that_ends_its_worker_three_times_is_left_out_alone(tmp_path, name):
    run = jobs.explain(tmp_path / "run", jobs.Deadly([7, 31]), name)
    assert run.complete
    assert run.units.tolist() == [n for n in range(jobs.ROWS) if n not in (7, 31)]
    assert [one.unit for one in run.refused] == [7, 31]
    assert "'x[7]' ended the process that explained it 3 times" in run.refused[0].reason
    assert run.coverage == "58 rows of 60; 2 refused"


@pytest.mark.parametrize("name", [ENGINES[0], pytest.param(ENGINES[1], marks=pytest.mark.slow)])
def test_an_error_of_every_row_ends_the_run(tmp_path, name):
    with pytest.raises(ParameterError, match="window"):
        jobs.explain(tmp_path / "run", name=name, window=(1, 2, 3))
    with pytest.raises(xaionnx.errors.XaionnxError, match="1234"):
        jobs.explain(tmp_path / "other", name=name, target=1234)


def test_a_run_without_a_result_says_why_and_keeps_its_refusals(tmp_path):
    """A share may have none: those of the others are not known."""
    broken = np.full((4, 1, 28, 28), np.nan, np.float32)
    for _ in range(2):
        with pytest.raises(DataError, match=r"None of 4 rows has a result: .* NaN .*Run\.open\('.*run'\)\.refused"):
            jobs.explain(tmp_path / "run", broken)
    assert [one.unit for one in Run.open(tmp_path / "run").refused] == [0, 1, 2, 3]
    share = jobs.explain(tmp_path / "share", np.concatenate([broken, jobs.digits(4)]), shard=(1, 2))
    assert (len(share), share.missing, len(share.refused)) == (0, 4, 4)


@pytest.mark.parametrize("name", [ENGINES[0], pytest.param(ENGINES[1], marks=pytest.mark.slow), ENGINES[2]])
def test_shares_are_merged(tmp_path, whole, name):
    shares = [tmp_path / f"share{n}" for n in range(3)]
    for n, folder in enumerate(shares):
        part = jobs.explain(folder, name=name, shard=(n + 1, 3))
        assert part.units.tolist() == list(range(20 * n, 20 * n + 20))
        assert part.missing == 40
    check(Run.merge(tmp_path / "merged", shares), whole)
    jobs.explain(tmp_path / "other", target=4, name=name)
    with pytest.raises(UsageError, match="different ones: target"):
        Run.merge(tmp_path / "merged", [tmp_path / "other"])


def test_shares_may_write_to_one_folder(tmp_path, whole):
    for n in (2, 1, 3):
        run = jobs.explain(tmp_path / "run", shard=(n, 3))
    check(run, whole)


def child(folder, name="in_process", fault=None):
    command = [sys.executable, "-m", "tests.runs.jobs", str(folder), name, json.dumps(fault or {})]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)


def kill(process):
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def begun(folder):
    """Wait for the first writing: loading the library takes most of the time."""
    deadline = time.monotonic() + 60
    while not (folder / "run.json").exists() and time.monotonic() < deadline:
        time.sleep(0.005)


@pytest.mark.sampled(percent=1)
@pytest.mark.parametrize("number", range(KILLS))
def test_a_run_that_is_killed_at_any_time_goes_on(tmp_path, whole, number):
    draw = random.Random(number)
    name = "processes" if number % 2 else "in_process"
    process = child(tmp_path / "run", name)
    begun(tmp_path / "run")
    time.sleep(draw.uniform(0, 0.5 if name == "in_process" else 4))
    kill(process)
    left = {path.name for path in (tmp_path / "run").rglob("*.npz") if not path.name.startswith(".")}
    run = jobs.explain(tmp_path / "run")
    check(run, whole)
    # Nothing is done twice, and nothing is left behind.
    assert left <= {part.path.name for part in run.parts}
    assert not list((tmp_path / "run").rglob(".*"))


def workers_of(process):
    """The worker processes of a driver."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the system does not list child processes there")
@pytest.mark.sampled(percent=1)
@pytest.mark.parametrize("number", range(KILLS))
def test_workers_that_are_killed_at_any_time_are_replaced(tmp_path, whole, number):
    draw = random.Random(number)
    process = child(tmp_path / "run", "processes")
    begun(tmp_path / "run")
    # A unit that ends three workers is left out.
    for _ in range(2):
        time.sleep(draw.uniform(0, 3))
        with suppress(OSError):
            os.kill(draw.choice(workers_of(process) or [process.pid + 2**22]), signal.SIGKILL)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    check(Run.open(tmp_path / "run"), whole)
    assert not list((tmp_path / "run").rglob(".*"))


def test_what_a_killed_worker_was_writing_is_removed_at_the_end(tmp_path):
    def digits():
        for number, digit in enumerate(jobs.digits()):
            if number == 30:
                (tmp_path / "run" / "parts" / "all" / ".xaionnx-0123456789abcdef").write_bytes(b"PK")
            yield digit

    run = jobs.explain(tmp_path / "run", digits())
    assert len(run) == jobs.ROWS
    assert not list((tmp_path / "run").rglob(".*"))


FAULTS = (
    [("write", n) for n in (1, 2, 5, 9)] + [("rename", n) for n in (1, 2, 4)] + [("sync", 2), ("run", 1), ("run", 9)]
)


@pytest.mark.sampled(percent=20)
@pytest.mark.parametrize(("kind", "n"), FAULTS)
def test_a_run_that_is_killed_at_a_write_a_rename_or_a_run_goes_on(tmp_path, whole, kind, n):
    process = child(tmp_path / "run", fault={"kind": kind, "n": n, "signal": int(signal.SIGKILL)})
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    check(jobs.explain(tmp_path / "run"), whole)
    assert not list((tmp_path / "run").rglob(".*"))


@pytest.mark.sampled(percent=34)
@pytest.mark.parametrize("kind", ["write", "rename", "sync"])
def test_a_full_disk_ends_the_run_and_what_is_done_stays(tmp_path, whole, kind):
    import errno

    process = child(tmp_path / "run", fault={"kind": kind, "n": 6, "errno": errno.ENOSPC})
    _, told = process.communicate(timeout=120)
    assert process.returncode == 1
    assert b"No space left on device" in told
    assert len(Run.open(tmp_path / "run")) > 0 or kind == "write"
    check(jobs.explain(tmp_path / "run"), whole)


class Unreliable(Engine):
    """Does shards in any order, twice, only in part, or not at all, and says of each that it was done, or lost."""

    def __init__(self, seed):
        self.draw = random.Random(seed)

    @contextmanager
    def open(self, job):
        yield _Unreliable(job, self.draw)


class _Unreliable:
    capacity = 5

    def __init__(self, job, draw):
        self.job, self.draw, self.waiting, self.told, self.lost = job, draw, [], deque(), Counter()

    def submit(self, shard):
        self.waiting.append(shard)

    def next(self):
        if self.told and self.draw.random() < 0.3:
            # What was told before is told again.
            return self.draw.choice(self.told)
        shard = self.waiting.pop(self.draw.randrange(len(self.waiting)))
        # A unit that is lost three times is given up, and not what is tried here.
        fate = self.draw.random() if self.lost[shard] < 2 else self.draw.uniform(0.3, 1)
        self.lost[shard] += fate < 0.3
        if fate < 0.15:
            return Lost([shard])
        if fate < 0.3:
            self.job.work(shard)
            return Lost([shard])
        outcome = self.job.work(shard)
        if fate < 0.4:
            self.job.work(shard)
        if fate > 0.85:
            # It was written, and is gone.
            for path in self.job.folder.glob(f"{shard.start:012}-*"):
                path.unlink()
        self.told.append(outcome)
        return outcome


@pytest.mark.sampled(percent=10)
@pytest.mark.parametrize("seed", range(20))
def test_an_engine_may_reorder_repeat_and_lose_shards(tmp_path, whole, seed):
    for again in range(10):
        # Even the rounds that look again may lose some.
        with suppress(xaionnx.errors.StorageError):
            engine = Unreliable(seed + 1000 * again)
            xaionnx.explain_all(
                jobs.model(), jobs.digits(), to=tmp_path / "run", engine=engine, target=3, **jobs.METHOD
            )
    check(Run.open(tmp_path / "run"), whole)


def test_parts_that_overlap_are_read_once(tmp_path, whole):
    run = jobs.explain(tmp_path / "run")
    job_folder = tmp_path / "run" / "parts" / "1-of-2"
    job_folder.mkdir()
    job = jobs.job(job_folder, xaionnx.Dataset.of(jobs.digits()), run.fingerprint)
    for start, stop in ((0, 5), (3, 40), (59, 60)):
        job.work(Shard(start, stop))
    again = Run.open(tmp_path / "run")
    assert len(again.parts) != len(run.parts)
    check(again, whole)
    np.testing.assert_array_equal(again[4].values, run[4].values)


def test_what_cannot_be_sent_to_workers_is_refused(tmp_path):
    with pytest.raises(UsageError, match="An iterable has no parts"):
        jobs.explain(tmp_path / "a", iter(jobs.digits()), "processes")
    with pytest.raises(ParameterError, match="cannot be sent to a worker"):
        jobs.explain(tmp_path / "b", [lambda: None] * 3, "processes")
    for workers in (0, 1.5, True):
        with pytest.raises(ParameterError, match="'workers' parameter must be an int"):
            Processes(workers)


@pytest.mark.parametrize("name", [ENGINES[0], pytest.param(ENGINES[1], marks=pytest.mark.slow), ENGINES[2]])
def test_faulty_rows_are_left_out_by_each_engine(tmp_path, name):
    data = jobs.digits()
    data[[3, 30]] = np.nan
    np.save(tmp_path / "x.npy", data)
    run = jobs.explain(tmp_path / "run", tmp_path / "x.npy", name)
    assert [one.unit for one in run.refused] == [3, 30]
    assert run.units.tolist() == [n for n in range(jobs.ROWS) if n not in (3, 30)]
    assert run.digest() == jobs.explain(tmp_path / "other", tmp_path / "x.npy", shard=(1, 1)).digest()


def test_a_row_whose_record_cannot_be_made_is_left_out_alone(tmp_path, monkeypatch):
    data = jobs.digits()
    data[[3, 30]] = 2

    def refusing(explainer, request, attribution):
        if any((x > 1).all() for x in request.feeds[request.main]):
            raise DataError("it has no record")
        return record(explainer, request, attribution)

    monkeypatch.setattr(job, "record", refusing)
    run = jobs.explain(tmp_path / "run", data)
    assert [(one.unit, one.reason) for one in run.refused] == [(3, "it has no record"), (30, "it has no record")]
    told = xaionnx.explain(jobs.model(), data[[29, 31]], target=3, **jobs.METHOD)
    for row, unit in zip(told, (29, 31), strict=True):
        np.testing.assert_array_equal(run[run.units.tolist().index(unit)].values, row.values)


def test_rows_that_fail_end_no_part(tmp_path):
    data, faulty = jobs.digits(), [*range(1, jobs.ROWS, 2)]
    data[faulty] = np.nan
    given = xaionnx.Dataset.of(data, labels=[f"digit {n}" for n in range(jobs.ROWS)])
    run = jobs.explain(tmp_path / "run", given)
    (tmp_path / "one").mkdir()
    told = jobs.job(tmp_path / "one", given, run.fingerprint).work(Shard(0, jobs.ROWS))
    assert (told.rows, told.refused, told.stop) == (30, 30, jobs.ROWS)
    (file,) = (tmp_path / "one").iterdir()
    part = Part.read(file, run.fingerprint)
    assert part.units == tuple(range(0, jobs.ROWS, 2))
    assert part.labels == tuple(f"digit {n}" for n in part.units)
    assert [refused.unit for refused in part.refused] == faulty
    good = xaionnx.explain(jobs.model(), jobs.digits()[::2], target=3, **jobs.METHOD)
    np.testing.assert_array_equal(part.load().values, good.values)
    assert part.load().provenance["input_sha256"] == good.provenance["input_sha256"]
    assert run.digest() == jobs.explain(tmp_path / "other", given, "processes").digest()


def test_a_closed_request_keeps_its_time_and_what_its_record_needs():
    explainer = discovery.configured("grad_cam", {})
    request = explainer.request(jobs.model(), jobs.digits(2))
    attribution = explainer.attribution_of(request)
    kept = set(request.resolved.outputs)
    request.close()
    seconds = request.seconds
    time.sleep(0.01)
    assert request.seconds == seconds
    assert set(request.resolved.outputs) == set(request.tensors) < kept
    made = record(explainer, request, attribution)
    assert made.diagnostics["seconds"] == seconds
    np.testing.assert_array_equal(made.values, explainer.attribute(jobs.model(), jobs.digits(2)).values)


def test_a_data_set_that_does_not_fit_the_model_is_refused(tmp_path):
    with pytest.raises(DataError, match="expects"):
        jobs.explain(tmp_path / "run", np.zeros((5, 3, 28, 28), np.float32))


def test_a_path_of_nothing_is_refused_at_once_and_one_of_several_as_its_row(tmp_path):
    with pytest.raises(DataError, match=r"There is no file or folder '.*digts'. Check the path"):
        jobs.explain(tmp_path / "run", tmp_path / "digts")
    assert not (tmp_path / "run").exists()
    Image.new("L", (28, 28)).save(tmp_path / "one.png")
    run = jobs.explain(tmp_path / "run", [tmp_path / "one.png", tmp_path / "digts.png"])
    assert [one.unit for one in run.refused] == [1]
    with pytest.raises(TypeError, match=r"a row of a run is chosen by an int, as in run\[3\], and got slice"):
        run[:1]
    assert run[np.int64(0)].samples == 1


# A document whose hash is not that of its settings.
WRONG = '{"format": 1, "model": "mnist_cnn.onnx", "fingerprint": "", "settings": {}}'


@pytest.mark.parametrize("damage", ["{", WRONG, "[" * 100_000])
def test_parts_outlive_a_damaged_document(tmp_path, whole, damage):
    jobs.explain(tmp_path / "run")
    document, part = tmp_path / "run" / "run.json", next(tmp_path.glob("run/parts/*/*.npz"))
    document.write_text(damage)
    with pytest.raises(DataError, match="Remove it and run again: the parts that are finished are kept"):
        jobs.explain(tmp_path / "run")
    document.unlink()
    began = part.stat().st_mtime_ns
    check(jobs.explain(tmp_path / "run"), whole)
    assert part.stat().st_mtime_ns == began


def test_settings_of_a_file_have_the_hash_that_they_had(tmp_path):
    settings = {"parameters": {"seed": 0, "share": 0.1}, "words": {10: "a", 9: "b"}, "shape": (1, 2)}
    assert fingerprint(json.loads(json.dumps(settings))) == fingerprint(settings)


@pytest.mark.parametrize("name", ENGINES)
def test_each_row_has_the_target_of_its_label(tmp_path, name):
    labels = (np.arange(jobs.ROWS) * 7 % 10).tolist()
    given = jobs.explain(tmp_path / "given", name=name, target=np.array(labels))
    data = xaionnx.Dataset.of(jobs.digits(), labels=labels)
    labelled = jobs.explain(tmp_path / "labelled", data, name, target=xaionnx.Target.labelled())
    for n, (one, other) in enumerate(zip(given, labelled, strict=True)):
        assert one.target.tolist() == other.target.tolist() == [f"{labels[n]} ({labels[n]})"]
        np.testing.assert_array_equal(one.values, other.values)


def test_a_run_without_results_is_begun_anew(tmp_path):
    """Such as one whose parts were removed, after which its settings were mended."""
    folder = tmp_path / "run"
    jobs.explain(folder, window=14)
    for part in (folder / "parts" / "all").iterdir():
        part.unlink()
    made = jobs.explain(folder)
    assert made.complete
    with pytest.raises(UsageError, match="is another one"):
        jobs.explain(folder, window=14)


def test_a_run_that_ends_before_its_first_part_leaves_no_document(tmp_path):
    with pytest.raises(DataError):
        jobs.explain(tmp_path / "run", np.zeros((5, 3, 28, 28), np.float32))
    assert not (tmp_path / "run" / "run.json").exists()
    assert jobs.explain(tmp_path / "run").complete


def test_the_document_is_on_the_disk_before_any_part_and_the_data_are_asked_after_the_first_is_explained(
    tmp_path, monkeypatch
):
    seen, size_of, write, attribute = [], units.size_of, Part.write, Job.explain
    monkeypatch.setattr(units, "size_of", lambda file: seen.append("size") or size_of(file))
    monkeypatch.setattr(Job, "explain", lambda *given: (attribute(*given), seen.append("explained"))[0])
    monkeypatch.setattr(
        Part, "write", lambda *given: seen.append((tmp_path / "run" / "run.json").exists()) or write(*given)
    )
    for number in range(3):
        np.save(tmp_path / f"{number}.npy", jobs.digits(1))
    folder = [tmp_path / f"{number}.npy" for number in range(3)]
    made = jobs.explain(tmp_path / "run", folder)
    assert made.complete
    assert seen.index("explained") < seen.index("size")
    assert True in seen
    assert False not in seen
    # What is there is compared with before anything is explained.
    seen.clear()
    np.save(folder[0], jobs.digits(2))
    with pytest.raises(UsageError, match="the data differ"):
        jobs.explain(tmp_path / "run", folder)
    assert "explained" not in seen


def test_of_two_that_begin_one_folder_with_other_settings_the_later_one_is_refused(tmp_path, monkeypatch):
    explain, begun = Job.explain, []

    def slow(*given):
        if not begun:
            begun.append(True)
            jobs.explain(tmp_path / "run", shard=(2, 2))
        return explain(*given)

    monkeypatch.setattr(Job, "explain", slow)
    with pytest.raises(UsageError, match="is another one"):
        jobs.explain(tmp_path / "run", shard=(1, 2), window=14)
    assert not list(tmp_path.glob("run/parts/1-of-2/[!.]*"))
    monkeypatch.undo()
    assert jobs.explain(tmp_path / "run", shard=(1, 2)).complete
