"""The job of the tests of runs, and data that end or stop the process that reads them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np

import xaionnx
from xaionnx import discovery
from xaionnx.runs import InProcess, Processes, RayActors
from xaionnx.runs.job import Job

ROWS = 60
METHOD = {"method": "occlusion", "window": 7, "stride": 7}


def digits(count=ROWS):
    return np.random.default_rng(0).random((count, 1, 28, 28)).astype(np.float32)


def model():
    return xaionnx.Model.load("models/mnist_cnn.onnx", threads=1)


def engine(name):
    return {"in_process": InProcess(), "processes": Processes(2), "ray": RayActors(2)}[name]


def explain(folder, data=None, name="in_process", **options):
    given = digits() if data is None else data
    return xaionnx.explain_all(model(), given, to=folder, engine=engine(name), **{**METHOD, "target": 3, **options})


def job(folder, data, fingerprint):
    """The job of `explain`, whose shards are done one by one."""
    settings = {name: value for name, value in METHOD.items() if name != "method"}
    document = SimpleNamespace(fingerprint=fingerprint)
    return Job(model(), discovery.configured(METHOD["method"], settings), 3, data, folder, document)


class Deadly(Sequence):
    """Digits, some of which end the process that reads them, unless it is the first one."""

    def __init__(self, deadly, count=ROWS):
        self.deadly, self.digits, self.first = frozenset(deadly), digits(count), os.getpid()

    def __len__(self):
        return len(self.digits)

    def __getitem__(self, number):
        if number in self.deadly and os.getpid() != self.first:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.digits[number]


class Once(Sequence):
    """Digits of which some end the first process that reads them, and no other."""

    def __init__(self, folder, numbers):
        self.folder, self.numbers, self.digits, self.first = Path(folder), frozenset(numbers), digits(), os.getpid()

    def __len__(self):
        return len(self.digits)

    def __getitem__(self, number):
        mark = self.folder / f"{number}"
        if number in self.numbers and not mark.exists() and os.getpid() != self.first:
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.digits[number]


def main(folder, name, fault):
    import json

    from tests.faults import faults

    given = json.loads(fault)
    if given:
        faults.install(given, Path(folder).parent)
    explain(folder, name=name)


if __name__ == "__main__":
    main(*sys.argv[1:])
