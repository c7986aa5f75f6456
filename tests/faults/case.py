"""One explained folder or table, whose command is killed or meets a fault, and is started again."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from tests.corpus.case import MODELS
from tests.corpus.runner import Runner
from xaionnx import Explanation
from xaionnx.errors import DataError

PLACES: Final = ("folder", "file", "document")
COUNT: Final = 6
TABLE: Final = "table"
"""The place of a file of all rows of a table, which are explained in batches."""
ROWS: Final = 300
_LIMIT_S: Final = 60
_DESTINATIONS: Final = {"folder": ("-o", "out"), "file": ("-o", "all.npz"), TABLE: ("-o", "all.npz"), "document": ()}
_METHOD: Final = ("shapley_sampling", "model.onnx", "in", "--features", "grid:2", "--budget", "24")
_METHOD_OF_TABLE: Final = (
    "shapley_sampling",
    "model.onnx",
    "rows.csv",
    "--budget",
    "820",
    "--background",
    "typical.csv",
)


@dataclass
class Outcome:
    """What a command left.

    Attributes
    ----------
    code : int or None
        The exit code; None if it did not end in time.
    out, err : str
    fired : bool
        Whether the fault happened.
    """

    code: int | None
    out: str
    err: str
    fired: bool

    @property
    def document(self) -> dict[str, Any] | None:
        """The JSON document, or None if there is none."""
        return json.loads(self.out) if self.out.startswith("{") else None


class Trial:
    """A folder with a model and pictures, and its results in one of :data:`PLACES`."""

    def __init__(self, runner: Runner, folder: Path, place: str, json_too: bool) -> None:
        self.runner, self.place = runner, place
        self.work, self._streams = folder / "work", folder / "streams"
        self._json = json_too or place == "document"
        self.work.mkdir(parents=True)
        model = "german_credit_mlp" if place == TABLE else "digits_cnn"
        for suffix in ("onnx", "toml"):
            shutil.copy(MODELS / f"{model}.{suffix}", self.work / f"model.{suffix}")
        if place == TABLE:
            write_rows(self.work)
            return
        (self.work / "in").mkdir()
        for n in range(COUNT):
            pixels = np.zeros((8, 8), np.uint8)
            pixels[1:7, n + 1] = 255
            Image.fromarray(pixels).save(self.work / "in" / f"{n}.png")

    @property
    def count(self) -> int:
        """The number of inputs."""
        return ROWS if self.place == TABLE else COUNT

    def run(self, fault: dict[str, Any] | None = None, json_too: bool | None = None) -> Outcome:
        """Run the command, with a fault or without."""
        as_json = self._json if json_too is None else json_too
        method = _METHOD_OF_TABLE if self.place == TABLE else _METHOD
        words = ("explain", *method, *_DESTINATIONS[self.place], *(("--json",) if as_json else ()))
        return run(self.runner, words, self.work, self._streams, fault)

    def saved(self) -> dict[str, Explanation]:
        """The records on disk by the name of their input."""
        if self.place == "folder":
            files = [*self.work.glob("out/[!.]*.npz")]
        else:
            files = [*self.work.glob("all.npz"), *self.work.glob(".xaionnx-parts-*/[!.]*.npz")]
        found = {}
        for file in files:
            whole = _load(file)
            names = [] if whole is None else whole.provenance["inputs"]
            found |= {key(name): whole.sample(n) for n, name in enumerate(names)}
        return found

    def leftovers(self) -> list[str]:
        """What no result is: hidden files beside them, and temporary files."""
        return leftovers(self.work, self._streams)


def run(runner: Runner, words: tuple[str, ...], work: Path, streams: Path, fault: dict[str, Any] | None) -> Outcome:
    """Run a command in ``work``, with a fault or without."""
    for name in ("out", "err", "fired"):
        (streams / name).unlink(missing_ok=True)
    streams.mkdir(exist_ok=True)
    code = runner.run(words, work, streams, "file", _LIMIT_S, fault or {})
    out, err = ((streams / name).read_text() for name in ("out", "err"))
    return Outcome(code, out, err, (streams / "fired").exists())


def leftovers(work: Path, streams: Path) -> list[str]:
    """What no result is: hidden files beside them, and temporary files."""
    return [str(path) for path in (*work.rglob(".*"), *(streams / "tmp").iterdir())]


def write_rows(work: Path) -> None:
    """Write a table of different rows, and its first rows as a background."""
    head, *rows = (MODELS / "data" / "german_credit.csv").read_text().splitlines()
    (work / "rows.csv").write_text("\n".join([head, *rows[:ROWS]]) + "\n")
    (work / "typical.csv").write_text("\n".join([head, *rows[:4]]) + "\n")


def key(name: str) -> str:
    """What an input is called here: the number of its row, or the stem of its file."""
    row = re.search(r"\[(\d+)\]$", name)
    return row[1] if row else Path(name).stem


def _load(file: Path) -> Explanation | None:
    try:
        return Explanation.load(file)
    except DataError:
        return None


def reported(outcome: Outcome) -> set[str]:
    """The inputs that a command reported as done."""
    document = outcome.document
    if document is not None:
        return {key(one["input"]) for one in document["results"]}
    parts = re.split(r"^(?:in/|rows\.csv\[)(\d+)(?:\.png|\])$", outcome.out, flags=re.MULTILINE)
    return {name for name, text in zip(parts[1::2], parts[2::2], strict=True) if " evaluations in " in text}


def check_message(outcome: Outcome) -> None:
    """No traceback, and at most one message besides the list of what failed."""
    assert outcome.code is not None, "the command did not end"
    assert "Traceback" not in outcome.err + outcome.out, outcome.err
    lines = messages(outcome)
    assert len(lines) <= 2, outcome.err
    assert all(line.startswith("xaionnx: ") for line in lines), outcome.err


def messages(outcome: Outcome) -> list[str]:
    """The lines on stderr besides notes, warnings and the list of what failed."""
    return [line for line in outcome.err.splitlines() if not re.match(r"xaionnx: (warning: |note: |  )", line)]


def check_rerun(trial: Trial, first: Outcome, reference: dict[str, Any]) -> None:
    """The next run keeps all that was finished, computes the rest, and leaves no temporary files."""
    finished = reported(first)
    saved = set(trial.saved())
    if trial.place != "document":
        assert finished <= saved
    again = trial.run(json_too=True)
    assert again.code == 0, again.err
    document = again.document
    assert document is not None
    kept = {key(name) for name in document["kept"]}
    assert kept == saved
    assert {key(one["input"]): value(one) for one in document["results"]} == reference
    assert trial.leftovers() == []
    if trial.place == "folder":
        assert {path.name for path in trial.work.glob("out/*")} == {
            f"{n}.{k}" for n in range(COUNT) for k in ("png", "npz")
        }
    elif trial.place in ("file", TABLE):
        assert set(trial.saved()) == {str(n) for n in range(trial.count)}


def value(entry: dict[str, Any]) -> Any:
    """What two runs of the same request have in common."""
    return entry["explanation"]["prediction"], entry["explanation"]["target"], entry["top"]
