"""Draw, save and report each finished sample while the next ones are explained."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import time
from collections import deque
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from xaionnx import __version__
from xaionnx.caveats import Findings
from xaionnx.errors import DataError, StorageError, XaionnxError
from xaionnx.explanation_file import write_fields
from xaionnx.record_joining import encode_lists
from xaionnx.request import Request
from xaionnx.runs.failures import OF_ROWS, Failures, translated
from xaionnx.runtime.model import Model
from xaionnx_cli import _report
from xaionnx_cli._archive import Archive
from xaionnx_cli._destination import Destination
from xaionnx_cli._entry_texts import EntryTexts, entry_texts
from xaionnx_cli._explained import Explained, join
from xaionnx_cli._finished import Finished, Written
from xaionnx_cli._interrupts import held
from xaionnx_cli._messages import printable
from xaionnx_cli._options import Options
from xaionnx_cli._pictures import Pictures
from xaionnx_cli._printer import Printer
from xaionnx_cli._refusals import Refusals
from xaionnx_cli._result_lines import MAX_DETAILED, ResultLines
from xaionnx_cli._samples import Sample
from xaionnx_cli._summary import Summary

# Hashes of samples, which no picture shows.
_HASHES: Final = ("input_sha256", "file_sha256", "request_sha256")

# Letters of a JSON document that are printed at once.
_GATHERED = 2**20

# Finished samples whose pictures may be pending; their results stay in memory until then.
_MAX_WAITING = 64

# Seconds of work in a part of the file of all inputs: a run that is killed loses at most this much.
_PART_S = 1.0

# Pictures drawn at once, beside the samples that are explained. More would wait for each other.
_MAX_DRAWN = 2


@dataclass(frozen=True, eq=False)
class _Pending:
    """Samples that are explained, or kept from an earlier run, and the writing of their files."""

    explained: Explained
    writing: Future[Written]


class Results:
    """The results of a command so far.

    Whatever happens to the process, a sample that is reported as done is on disk, if there is a place for it.
    """

    def __init__(self, model: Model, method: str, destination: Destination, options: Options) -> None:
        self.model, self.method, self.destination, self.options = model, method, destination, options
        self.archive = Archive(destination, options.resume)
        self.pictures = Pictures(model, destination, options)
        self.printer = Printer(options.as_json, saves=destination.kind != "nothing")
        self.refusals = Refusals()
        self.failures: Failures | None = None
        self.kept: list[str] = []
        self._lines = ResultLines(model, method, destination, self.pictures, self.printer, as_json=options.as_json)
        # Files are written while the next batch is explained.
        self._writer = ThreadPoolExecutor(min(_MAX_DRAWN, os.cpu_count() or 1), thread_name_prefix="writing")
        self._unwritten: list[Explained] = []
        self._written = time.monotonic()
        self._waiting: deque[_Pending] = deque()
        self._finished = Finished()
        # Where the picture of all rows is.
        self._joint: list[str] = []
        self._concluded = False

    @property
    def draws(self) -> bool:
        """Whether a picture of each sample is drawn."""
        return self.destination.kind in ("picture", "folder")

    @property
    def _in_folder(self) -> bool:
        return self.destination.kind == "folder"

    def add(self, explained: Explained) -> None:
        """Add the explained samples of a batch; they are reported once they are written."""
        with held():
            self._unwritten.append(explained)
            if self.destination.kind != "record" or time.monotonic() - self._written > _PART_S:
                self._write_all()
        self._report_finished()

    def _write_all(self) -> None:
        """Begin to write what is not yet being written: the files of each sample, or all samples as one part."""
        if not self._unwritten:
            return
        if not self.draws:
            self._submit(join(self._unwritten), self._put)
        for explained in self._unwritten if self.draws else ():
            if self._is_joint(explained):
                self._submit(explained, self._gather)
            else:
                for one in explained.singles():
                    self._submit(self._named(one), self._write)
        self._unwritten, self._written = [], time.monotonic()

    def _submit(self, explained: Explained, write: Callable[[Explained], Written]) -> None:
        self._waiting.append(_Pending(explained, self._writer.submit(write, explained)))

    def _is_joint(self, explained: Explained) -> bool:
        """Whether samples go into a picture of all rows."""
        return self.pictures.is_joint(explained.samples[0])

    def file_name(self, sample: Sample) -> str:
        """Return the name of the files of a sample; empty if it has none of its own."""
        own = self._in_folder or (self.draws and not self.pictures.is_joint(sample))
        return self.destination.name(sample.name) if own else ""

    def _named(self, one: Explained) -> Explained:
        """A sample with the name of its files, even if it was to go into a picture of all."""
        (sample,) = one.samples
        if sample.file:
            return one
        return dataclasses.replace(one, samples=[dataclasses.replace(sample, file=self.destination.name(sample.name))])

    def keep(self, kept: Explained) -> None:
        """Add samples with their earlier record; pictures that are missing are drawn."""
        with held():
            if not self._in_folder:
                self._submit(kept, self._gather)
            else:
                for one in kept.singles():
                    self._submit(one, self._redraw)
        self._report_finished()

    def begin(self, sample: Sample, request: Request) -> None:
        """Print the top classes of a sample, and the target that is about to be explained."""
        self.finish()
        self._lines.begin(sample, request)

    def finish(self) -> None:
        """Wait until all files are written, and report them."""
        with held():
            self._write_all()
        while self._waiting:
            self._report_first()

    def _report_finished(self) -> None:
        while self._waiting and (self._waiting[0].writing.done() or self._waits_long()):
            self._report_first()

    def _waits_long(self) -> bool:
        """Whether more samples are pending than may be, besides those of one batch."""
        later = (len(pending.explained.samples) for pending in itertools.islice(self._waiting, 1, None))
        return sum(later) > _MAX_WAITING

    def _report_first(self) -> None:
        """Report the first pending sample. A sample counts as done only when its files are saved.

        Raises
        ------
        XaionnxError
            They cannot be written, and those of all others neither.
        """
        first = self._waiting[0]
        samples, kept = first.explained.samples, first.explained.kept
        # Waiting can be interrupted, what follows cannot.
        futures.wait([first.writing])
        with held():
            self._waiting.popleft()
            try:
                written = first.writing.result()
            except OF_ROWS as error:
                for sample in samples:
                    self._fail(sample.name, not sample.several, translated(error), bool(self._finished.count))
                return
            self._finished.add([sample.place for sample in samples], written)
            self.kept += [sample.name for sample in samples] if kept else []
        if kept:
            self._lines.saved(self.pictures.drawn(written.files))
        else:
            self._lines.results(first.explained, written.files)

    def _write(self, one: Explained) -> Written:
        """Write the files of one sample.

        The record comes first: it takes the longer to make again.
        """
        (sample,) = one.samples
        records = self.archive.put([sample], one.record) if self._in_folder else []
        files = [*self.pictures.save(sample, one.record), *records]
        return Written(files, self._entries(one, files))

    def _redraw(self, one: Explained) -> Written:
        """Draw the pictures of an earlier record that are missing."""
        (sample,) = one.samples
        files = [*self.pictures.save(sample, one.record), str(self.archive.path(sample))]
        return Written(files, self._entries(one, files))

    def _put(self, explained: Explained) -> Written:
        """Keep samples on the disk until the file of all inputs is written."""
        self.archive.put(explained.samples, explained.record)
        return self._gather(explained)

    def _gather(self, explained: Explained) -> Written:
        """Keep of samples what the document and the file of all inputs need."""
        kind, record = self.destination.kind, explained.record
        entries = self._entries(explained, None)
        if kind == "nothing":
            many = not self.options.as_json and self._lines.is_gathered(explained.samples[0])
            return Written([], entries, summary=Summary.of(record) if many else None)
        drawn = explained.samples if kind == "picture" else ()
        if drawn:
            # No picture shows hashes.
            shown = {name: value for name, value in record.provenance.items() if name not in _HASHES}
            record = dataclasses.replace(record, provenance=shown)
        return Written([], entries, encode_lists(record), drawn, Findings.of(explained.record))

    def _entries(self, explained: Explained, files: list[str] | None) -> EntryTexts | None:
        """The entries of the document; arrays are left out that files have."""
        if not self.options.as_json:
            return None
        return entry_texts(explained, files, arrays=self.destination.kind in ("nothing", "picture"))

    def conclude(self, complete: bool, stop: BaseException | None = None) -> list[str]:
        """Save and print the finished samples, once; describe them if the work is not complete.

        ``stop`` is what ended the run.

        Raises
        ------
        StorageError, MemoryError
            The file of all inputs cannot be written. The document has been printed, with the arrays.
        OutputLost, ReaderLeft
            Stdout cannot be written. The files have been.
        KeyboardInterrupt
            It was pressed while a complete run was saved, and everything is done nevertheless.
        """
        if not self._concluded:
            # A run that is stopped already needs no other signal.
            with contextlib.nullcontext() if complete else contextlib.suppress(KeyboardInterrupt), held():
                self._concluded = True
                self._conclude(complete, stop)
        done = self._finished.count
        if complete or not done:
            return []
        where = "" if self.destination.kind == "nothing" else f" and saved in {self.destination.path}"
        return [f"{done} {'input is' if done == 1 else 'inputs are'} done{where}"]

    def _conclude(self, complete: bool, stop: BaseException | None) -> None:
        while not complete and self.draws and self._waiting and self._waiting[-1].writing.cancel():
            self._waiting.pop()
        self._finish_all(stop)
        self._writer.shutdown()
        saved, failure = None, None
        try:
            saved = self._save()
        except (StorageError, MemoryError) as error:
            failure = error
        for line in self.refusals.lines(self._finished.count):
            self.printer.error(line)
        self._print_document(complete, saved)
        self._lines.summary(self._finished.summary)
        if complete and self._finished.count and self.destination.kind == "nothing":
            self.printer.lines("\nnothing was saved: -o NAME.png draws a picture, -o NAME.npz saves the whole record")
        if failure is not None:
            raise failure
        if self.printer.lost is not None:
            raise self.printer.lost

    def _finish_all(self, stop: BaseException | None) -> None:
        """Report every pending sample, also after one of them raises an error; ``stop`` is what ended the run."""
        self._write_all()
        while self._waiting:
            samples = self._waiting[0].explained.samples
            try:
                self._report_first()
            except XaionnxError as error:
                # What ended the run is reported by itself, once.
                for sample in samples if str(error) != str(stop) else ():
                    self.refusals.add(sample.name, None, type(error)(f"'{sample.name}': {error}"))

    def _save(self) -> str | None:
        """Write the record or the picture of all inputs, if there is one, and return the path of a record."""
        if self.kept:
            count = f"{len(self.kept)} earlier {'result' if len(self.kept) == 1 else 'results'}"
            place = printable(str(self.destination.path))
            self.printer.lines(f"\nkept {count} of the same request in {place}; --no-resume computes anew")
        finished, rows = self._finished, self._finished.gathered
        if not rows:
            return None
        if self.destination.kind == "record":
            files = [str(write_fields(finished.fields(), self.destination.path))]
            self.archive.close()
        else:
            files = self._joint = self._save_picture()
        if rows > MAX_DETAILED and not self.options.as_json:
            self.printer.lines_once(_report.lines_of_warnings(finished.warnings()))
        self.printer.lines("")
        if self.destination.kind == "picture":
            self.printer.lines(f"{rows:,} rows in one picture; --each draws each in its own")
        self.printer.lines(*[self.destination.saved_line(file) for file in files])
        return files[0] if self.destination.kind == "record" else None

    def _save_picture(self) -> list[str]:
        """Draw all rows in one picture for each target, or one by one if they have different features."""
        samples, record = self._finished.whole()
        if self.pictures.fits_one(record):
            return self.pictures.save_joint(record)
        rows = Explained(samples, record, [[] for _ in samples])
        named = (self._named(one) for one in rows.singles())
        return [file for one in named for file in self.pictures.save(one.samples[0], one.record)]

    def _print_document(self, complete: bool, saved: str | None) -> None:
        """Print the JSON document, if it is asked for; the arrays are in it unless a file holds them.

        The entries of thousands of rows are printed when a megabyte has gathered. A smaller document is printed at
        once, so that a reader gets all of it or nothing.
        """
        if not self.options.as_json or not (self._finished.count or complete):
            return
        head = {
            "xaionnx": __version__,
            "model": self.model.name,
            "model_sha256": self.model.sha256,
            "provider": self.model.provider,
            "method": self.method,
            "complete": complete,
            "saved": saved,
        }
        tail = {"kept": self.kept, "refused": self.refusals.entries, "notes": self.printer.notes}
        gathered, size = [f'{_report.dump_json(head)[:-1]}, "results": ['], 0
        entries = self._finished.texts(_report.dump_json(self._joint), saved=saved is not None)
        for number, entry in enumerate(entries):
            if self.printer.lost is not None:
                break
            gathered.append(f"{', ' if number else ''}{entry}")
            size += len(gathered[-1])
            if size > _GATHERED:
                self.printer.document("".join(gathered))
                gathered, size = [], 0
        self.printer.document(f"{''.join(gathered)}], {_report.dump_json(tail)[1:]}\n")

    def exit_code(self) -> int:
        """Save and print everything, and return the exit code.

        Raises
        ------
        XaionnxError
            The only input failed.
        """
        if not self._finished.count and len(self.refusals.errors) == 1:
            self._concluded = True
            raise self.refusals.errors[0]
        self.conclude(complete=True)
        return self.refusals.exit_code(self._finished.count)

    def fail(self, name: str, alone: bool, error: XaionnxError) -> None:
        """Record the error of a row; raise it if every row would meet it, or if the row is ``alone``."""
        self._fail(name, alone, error, bool(self._finished.count or self._waiting or self._unwritten))

    def _fail(self, name: str, alone: bool, error: XaionnxError, finished: bool) -> None:
        """The same; ``finished`` is whether a row has come as far."""
        assert self.failures is not None  # set before the first row
        if (alone and not isinstance(error, DataError)) or self.failures.ends_run(error, finished):
            raise error
        self.refusals.add(name, None, type(error)(f"'{name}': {error}"))
