"""Reports of scores: what commands that score methods write and print."""

from __future__ import annotations

import csv
import importlib.util
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from xaionnx_cli import _overwriting
from xaionnx_cli._case import Case, left_out_lines
from xaionnx_cli._printer import Printer

if TYPE_CHECKING:
    from xaionnx.evaluation import ScoreTable
    from xaionnx.typing import Array, Document

SAVE_HELP: Final = (
    "The report: .html to read, with .json and .parquet beside it; or one of .json, .csv and .parquet alone."
)
_SUFFIXES: Final = (".html", ".json", ".csv", ".parquet")
_COLUMNS: Final = (
    *("method", "metric", "direction", "mean", "low", "high", "control"),
    *("p_control", "p_best", "best", "samples"),
)


@dataclass(frozen=True, kw_only=True)
class ScoringRequest(Case):
    """The options of commands that score methods."""

    methods: str
    metrics: str
    seed: int
    no_inputs: bool


@dataclass(frozen=True, kw_only=True)
class ScoreReport:
    """What a command says of a table of scores.

    Attributes
    ----------
    request : ScoringRequest
    table : ScoreTable
    photo : array of uint8 (H, W, 3) or None
        The first input, if it is a picture.
    document : dict
        What is printed and saved as JSON: the table first, by which a report is recognised that may be replaced.
    lines : sequence of str
        What is printed otherwise.
    answer : sequence of str
        Sentences above the table of the page.
    """

    request: ScoringRequest
    table: ScoreTable
    photo: Array | None
    document: Document
    lines: Sequence[str]
    answer: Sequence[str] = ()

    def save(self, place: Path) -> None:
        """Write the report as the suffix of the file says."""
        from xaionnx.render import save_page
        from xaionnx_cli._report import dump_json

        suffix = place.suffix.lower()
        if suffix == ".html":
            save_page(self._page(), place)
        elif suffix == ".json":
            save_page(dump_json(self.document) + "\n", place)
        elif suffix == ".parquet":
            _save_parquet(self.table, place)
        else:
            save_page(_csv(self.table), place)

    def _page(self) -> str:
        from xaionnx.render import score_page

        shown = not self.request.no_inputs
        title = f"Explanations of {Path(self.request.model).name}, scored on {self.request.inputs}"
        return score_page(self.table, title, self.photo if shown else None, inputs=shown, answer=self.answer)


def conclude(report: ScoreReport, places: Sequence[Path]) -> list[Path]:
    """Write the files of a report, print its document or lines, and return the files that were written."""
    from xaionnx_cli import _report
    from xaionnx_cli._ending import write_and_report
    from xaionnx_cli._messages import write_lines

    def tell(written: list[Path]) -> None:
        warnings = _report.lines_of_warnings(report.table.warnings)
        for line in [*left_out_lines(report.table)[0], *warnings]:
            Printer.error(line.lstrip())
        if report.request.as_json:
            sys.stdout.write(_report.dump_json({**report.document, "saved": list(map(str, written))}) + "\n")
        else:
            write_lines([*report.lines, *_saved_lines(written)])

    return write_and_report([(place, report.save) for place in places], tell)


def report_places(given: str | None, read: Sequence[str | None], force: bool) -> list[Path]:
    """Return the files of the report to write, if they may be written; ``read`` are those that the command reads.

    Raises
    ------
    ParameterError, UsageError, StorageError
        They may not be.
    """
    from xaionnx.errors import ParameterError
    from xaionnx_cli._destination import check_writable

    if given is None:
        return []
    place = Path(given)
    suffix = place.suffix.lower()
    if suffix not in _SUFFIXES:
        raise ParameterError(f"-o must end in {', '.join(_SUFFIXES)}. Got '{given}' instead.")
    if suffix == ".parquet" and not _has_parquet():
        raise ParameterError(f"Cannot write {given}: pyarrow is not installed. Run: pip install pyarrow")
    beside = (".json", ".parquet") if suffix == ".html" else ()
    places = [place, *(place.with_suffix(each) for each in beside if each != ".parquet" or _has_parquet())]
    check_writable(place.parent)
    for each in places:
        _overwriting.check_replaceable(each, "report", _overwriting.real_paths(filter(None, read)), force)
    return places


def _saved_lines(places: Sequence[Path]) -> list[str]:
    """What was saved, and what was not."""
    lines = [f"saved {', '.join(map(str, places))}"] if places else []
    if places and places[0].suffix.lower() == ".html" and not _has_parquet():
        lines.append("no .parquet beside it: pyarrow is not installed; pip install pyarrow")
    return lines


def _has_parquet() -> bool:
    return importlib.util.find_spec("pyarrow") is not None


def _csv(table: ScoreTable) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(table.to_dict()["scores"])
    return text.getvalue()


def _save_parquet(table: ScoreTable, place: Path) -> None:
    """Write a row for each method and metric, with the scores of all samples."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from xaionnx.data.storage import write_whole

    number, text = pa.float64(), pa.string()
    columns = {
        "method": text,
        "metric": text,
        "category": text,
        "direction": text,
        "best": pa.bool_(),
        **dict.fromkeys(("mean", "low", "high", "control", "p_control", "p_best"), number),
        "samples": pa.int64(),
        "values": pa.list_(number),
    }
    rows = [{name: row[name] for name in columns} for row in table.to_dict()["scores"]]
    made = pa.Table.from_pylist(rows, pa.schema(columns, metadata={"software": "xaionnx"}))
    write_whole(place, lambda stream: pq.write_table(made, stream, compression="zstd"))
