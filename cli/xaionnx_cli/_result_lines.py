"""The lines that a command prints of each sample, and of many rows together."""

from __future__ import annotations

from typing import Final

from xaionnx.request import Request
from xaionnx.runtime.model import Model
from xaionnx.typing import Array
from xaionnx_cli import _report
from xaionnx_cli._destination import Destination
from xaionnx_cli._explained import Explained
from xaionnx_cli._messages import printable
from xaionnx_cli._pictures import Pictures
from xaionnx_cli._printer import Printer
from xaionnx_cli._report import Score
from xaionnx_cli._samples import Sample, is_row
from xaionnx_cli._summary import Summary
from xaionnx_cli._text import text_lines

MAX_DETAILED: Final = 5
"""With more inputs than this, features are no longer listed on the terminal."""

# Of more rows of a table that are not saved, only the first ones are printed, and a summary.
_MAX_PRINTED: Final = 100


class ResultLines:
    """Prints the results of a command as lines; nothing of them if a JSON document is asked for."""

    def __init__(
        self,
        model: Model,
        method: str,
        destination: Destination,
        pictures: Pictures,
        printer: Printer,
        *,
        as_json: bool,
    ) -> None:
        self._model, self._method, self._destination = model, method, destination
        self._pictures, self._printer, self._as_json = pictures, printer, as_json
        self._begun: Sample | None = None
        self._approximations = ""
        self._reported = 0

    def begin(self, sample: Sample, request: Request) -> None:
        """Print the top classes of a sample, and the target that is about to be explained."""
        self._begun = sample
        if self.is_gathered(sample) and self._reported >= MAX_DETAILED:
            return
        (top,) = _report.top_classes(request)
        self._head(sample, top, request.resolved.names, request.resolved.prediction)

    def _head(self, sample: Sample, top: list[Score], names: Array, values: Array) -> None:
        self._printer.lines(f"\n{printable(sample.name)}", *_report.class_lines(top))
        self._printer.lines(f"  {self._method} of {_report.target_values(names, values)}")

    def results(self, explained: Explained, files: list[str]) -> None:
        """Print the results of samples; those of rows that go into one file only for the first ones."""
        count, first = len(explained.samples), explained.samples[0]
        if self.is_gathered(first):
            count = min(count, max(0, MAX_DETAILED - self._reported))
        self._reported += len(explained.samples)
        if self._as_json:
            return
        for n in range(count):
            self._result(explained.single(n), self._reported - len(explained.samples) + n + 1, files)

    def is_gathered(self, sample: Sample) -> bool:
        """Whether a sample is one of many rows without files of their own: their warnings are printed once for all."""
        kind = self._destination.kind
        together = kind in ("record", "nothing") and is_row(sample, self._model)
        most = _MAX_PRINTED if kind == "nothing" else MAX_DETAILED
        return (together or self._pictures.is_joint(sample)) and sample.count > most

    def _result(self, one: Explained, number: int, files: list[str]) -> None:
        """Print the result of one sample, the ``number``-th that is printed."""
        sample, result = one.samples[0], one.record
        if sample is not self._begun:
            self._head(sample, one.tops[0], result.target, result.prediction)
        self._printer.lines(*_report.layer_lines(result))
        self._printer.lines_once(_report.left_lines(result))
        if sample.display is None and number <= MAX_DETAILED + 1:
            main, spec = self._model.input().name, self._model.input_spec
            if result.provenance.get("spans"):
                self._printer.document("".join(f"{line}\n" for line in text_lines(result)))
            self._printer.lines(*_report.feature_lines(result, spec, sample.feeds, main))
        self._printer.lines(*_report.together_lines(result), *_report.gap_lines(result), *_report.rule_lines(result))
        if not self.is_gathered(sample):
            self._printer.lines_once(_report.warning_lines(result))
        self._printer.lines(_report.cost_line(result), *self._saved_lines(files))
        approximations = _report.approximation_line(result)
        # They depend on the model and the method, and so are usually the same for every input.
        if approximations != self._approximations:
            self._printer.lines(approximations or "  approximations: none")
            self._approximations = approximations

    def saved(self, files: list[str]) -> None:
        """Print where the files of a sample are."""
        self._printer.lines(*self._saved_lines(files))

    def _saved_lines(self, files: list[str]) -> list[str]:
        return [f"  {self._destination.saved_line(file)}" for file in files]

    def summary(self, summary: Summary | None) -> None:
        """Print a summary of many rows that are not saved, in place of lines for each."""
        if summary is None or summary.count <= MAX_DETAILED:
            return
        self._printer.lines("", f"and {summary.count - MAX_DETAILED:,} more rows, which --json prints too")
        self._printer.lines("", *summary.lines())
        self._printer.lines_once(_report.lines_of_warnings(summary.warnings))
