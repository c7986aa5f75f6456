"""A comparison of methods, whose command is killed and started again."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from PIL import Image

from tests.corpus.case import MODELS
from tests.corpus.runner import Runner
from tests.faults.case import Outcome, leftovers, run, write_rows

METHODS: Final = ("feature_ablation", "saliency", "lime", "input_x_gradient")
_WORDS: Final = (
    "compare", "model.onnx", "rows.csv", "--rows", "0-9", "--methods", ",".join(METHODS), "-o", "sheet.png", "--json",
)  # fmt: skip


@dataclass
class Comparison:
    """What the command leaves: its document without the times, and its sheet."""

    document: dict[str, Any]
    sheet: bytes

    @classmethod
    def of(cls, runner: Runner, folder: Path) -> Comparison:
        """Run the command undisturbed."""
        again = ComparisonTrial(runner, folder)
        outcome = again.run()
        assert outcome.code == 0, outcome.err
        return again.result(outcome)


class ComparisonTrial:
    """A folder with a model, a table, and the sheet."""

    def __init__(self, runner: Runner, folder: Path) -> None:
        self.runner, self.work, self.streams = runner, folder / "work", folder / "streams"
        self.work.mkdir(parents=True)
        for suffix in ("onnx", "toml"):
            shutil.copy(MODELS / f"german_credit_mlp.{suffix}", self.work / f"model.{suffix}")
        write_rows(self.work)

    def run(self, fault: dict[str, Any] | None = None) -> Outcome:
        """Run the command, with a fault or without."""
        return run(self.runner, _WORDS, self.work, self.streams, fault)

    def result(self, outcome: Outcome) -> Comparison:
        """What a command that has ended well left."""
        assert outcome.document is not None
        return Comparison(_without_times(outcome.document), (self.work / "sheet.png").read_bytes())

    def check_rest(self, first: Outcome, whole: Comparison) -> None:
        """What a killed command left is whole, and the next one leaves what it does undisturbed and nothing else."""
        sheet = self.work / "sheet.png"
        if sheet.exists():
            Image.open(sheet).load()
        if first.document is not None:
            self._check_document(_without_times(first.document), whole.document)
            assert sheet.exists() or len(first.document["methods"]) == 1
        again = self.run()
        assert again.code == 0, again.err
        found = self.result(again)
        assert found == whole
        assert leftovers(self.work, self.streams) == []
        assert {path.name for path in self.work.iterdir()} == {
            "model.onnx", "model.toml", "rows.csv", "typical.csv", "sheet.png",
        }  # fmt: skip

    @staticmethod
    def _check_document(found: dict[str, Any], whole: dict[str, Any]) -> None:
        """The methods that a stopped command reports have the results that they have undisturbed."""
        done = found["methods"]
        assert tuple(done) == METHODS[: len(done)]
        assert found["explanations"] == whole["explanations"][: len(done)]


def _without_times(document: dict[str, Any]) -> dict[str, Any]:
    for one in document["explanations"]:
        one["diagnostics"].pop("seconds")
    return document
