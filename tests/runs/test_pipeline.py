"""Shards in this process: what is done beside the one that is explained, and what a run that stops leaves."""

from __future__ import annotations

import threading

import pytest

from xaionnx.errors import DataError, StorageError
from xaionnx.runs.engines import in_process
from xaionnx.runs.engines.in_process import Pipeline
from xaionnx.runs.job import Explained, Outcome, Shard

SHARDS = [Shard(number, number + 1) for number in range(3)]


class Told:
    """A job that tells which thread did what; reading the last shard ends when it is let."""

    def __init__(self, fails=False):
        self.threads, self.written, self.let, self.fails = {"read": set(), "write": set()}, [], threading.Event(), fails

    def read(self, shard):
        self.threads["read"].add(threading.current_thread())
        if shard is SHARDS[2]:
            self.let.wait(60)
        return []

    def explain(self, shard, blocks):
        if shard is SHARDS[1] and not self.let.is_set():
            raise DataError("every row would fail")
        return Explained(shard, blocks, 0.1)

    def write(self, explained):
        self.threads["write"].add(threading.current_thread())
        if self.fails:
            raise StorageError("the disk is full")
        self.written.append(explained.shard)
        return Outcome(explained.shard, explained.shard.stop, 1, 0, 0.1, 100)


def pipeline(monkeypatch, job, cores):
    monkeypatch.setattr(in_process, "cores", lambda: cores)
    made = Pipeline(job)
    for shard in SHARDS:
        made.submit(shard)
    return made


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (4, 2)])
def test_as_many_threads_run_as_there_are_cores(monkeypatch, cores, threads):
    job = Told()
    job.let.set()
    made = pipeline(monkeypatch, job, cores)
    assert [made.next().shard for _ in SHARDS] == SHARDS
    made.close()
    every = job.threads["read"] | job.threads["write"]
    assert len(every) == threads
    assert threading.current_thread() not in every


@pytest.mark.parametrize("fails", [False, True])
def test_what_is_explained_is_written_when_a_run_stops_while_a_shard_is_read(monkeypatch, fails):
    job = Told(fails)
    made = pipeline(monkeypatch, job, 2)
    with pytest.raises(DataError, match="every row would fail"):
        made.next()
    made.close()
    assert not job.let.is_set()
    assert job.written == ([] if fails else SHARDS[:1])
    job.let.set()
