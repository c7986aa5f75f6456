"""One explained folder, whose command is killed or meets a fault, and is started again."""

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
_LIMIT_S: Final = 60
_DESTINATIONS: Final = {"folder": ("-o", "out"), "file": ("-o", "all.npz"), "document": ()}
_METHOD: Final = ("shapley_sampling", "model.onnx", "in", "--features", "grid:2", "--budget", "24")


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
        (self.work / "in").mkdir(parents=True)
        shutil.copy(MODELS / "digits_cnn.onnx", self.work / "model.onnx")
        shutil.copy(MODELS / "digits_cnn.toml", self.work / "model.toml")
        for n in range(COUNT):
            pixels = np.zeros((8, 8), np.uint8)
            pixels[1:7, n + 1] = 255
            Image.fromarray(pixels).save(self.work / "in" / f"{n}.png")

    def run(self, fault: dict[str, Any] | None = None, json_too: bool | None = None) -> Outcome:
        """Run the command, with a fault or without."""
        as_json = self._json if json_too is None else json_too
        words = ("explain", *_METHOD, *_DESTINATIONS[self.place], *(("--json",) if as_json else ()))
        for name in ("out", "err", "fired"):
            (self._streams / name).unlink(missing_ok=True)
        self._streams.mkdir(exist_ok=True)
        code = self.runner.run(words, self.work, self._streams, "file", _LIMIT_S, fault or {})
        out, err = ((self._streams / name).read_text() for name in ("out", "err"))
        return Outcome(code, out, err, (self._streams / "fired").exists())

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
            found |= {Path(name).stem: whole.sample(n) for n, name in enumerate(names)}
        return found

    def leftovers(self) -> list[str]:
        """What no result is: hidden files beside them, and temporary files."""
        return [str(path) for path in (*self.work.rglob(".*"), *(self._streams / "tmp").iterdir())]


def _load(file: Path) -> Explanation | None:
    try:
        return Explanation.load(file)
    except DataError:
        return None


def reported(outcome: Outcome) -> set[str]:
    """The inputs that a command reported as done."""
    document = outcome.document
    if document is not None:
        return {Path(one["input"]).stem for one in document["results"]}
    parts = re.split(r"^in/(\d)\.png$", outcome.out, flags=re.MULTILINE)
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
    kept = {Path(name).stem for name in document["kept"]}
    assert kept == saved
    assert {Path(one["input"]).stem: value(one) for one in document["results"]} == reference
    assert trial.leftovers() == []
    if trial.place == "folder":
        assert {path.name for path in trial.work.glob("out/*")} == {
            f"{n}.{k}" for n in range(COUNT) for k in ("png", "npz")
        }
    elif trial.place == "file":
        assert set(trial.saved()) == {str(n) for n in range(COUNT)}


def value(entry: dict[str, Any]) -> Any:
    """What two runs of the same request have in common."""
    return entry["explanation"]["prediction"], entry["explanation"]["target"], entry["top"]
