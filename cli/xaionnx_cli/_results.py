"""Draw, save and report each finished sample while the next ones are explained."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from xaionnx import __version__
from xaionnx.errors import DataError, StorageError, XaionnxError
from xaionnx.explanation import Explanation
from xaionnx.request import Request
from xaionnx.runtime.model import Model
from xaionnx.typing import Array, Document
from xaionnx_cli import _joining, _report
from xaionnx_cli._destination import Destination
from xaionnx_cli._failures import Failures, translated
from xaionnx_cli._messages import for_shell, printable, sentence
from xaionnx_cli._options import Options
from xaionnx_cli._report import Score
from xaionnx_cli._samples import Sample
from xaionnx_cli._streams import OutputLost, ReaderLeft

# With more inputs than this, features are no longer listed on the terminal.
_MAX_DETAILED = 5

# Up to this many inputs refused for the same reason are all listed.
_MAX_ALIKE = 5

# Finished samples whose pictures may be pending; their results stay in memory until then.
_MAX_WAITING = 64

# Pictures drawn at once, beside the samples that are explained. More would wait for each other.
_MAX_DRAWN = 2


class Results:
    """The results of a command so far, in order."""

    def __init__(self, model: Model, method: str, destination: Destination, options: Options) -> None:
        self.model, self.method, self.destination, self.options = model, method, destination, options
        self.names: list[str] = []
        self.records: list[Explanation] = []
        self.results: list[Document] = []
        self.refused: list[Document] = []
        self.errors: list[XaionnxError] = []
        self.failures: Failures | None = None
        # Why stdout can no longer be written.
        self._lost: ReaderLeft | OutputLost | None = None
        self.notes: list[str] = []
        self.approximations = ""
        self._told: set[str] = set()
        self._begun: Sample | None = None
        # Pictures are drawn while the next batch is explained.
        self._drawing = ThreadPoolExecutor(min(_MAX_DRAWN, os.cpu_count() or 1), thread_name_prefix="drawing")
        self._waiting: deque[tuple[Sample, Explanation, list[Score], Future[list[str]]]] = deque()

    @property
    def draws(self) -> bool:
        """Whether a picture of each sample is drawn."""
        return self.destination.kind in ("picture", "folder")

    @property
    def _in_folder(self) -> bool:
        return self.destination.kind == "folder"

    def add(self, sample: Sample, result: Explanation, top: list[Score]) -> None:
        """Add a finished sample; it is reported once its files are written."""
        if self.draws:
            # Named here, so that names do not depend on which picture is finished first.
            name = self.destination.name(sample.name)
            writing = self._drawing.submit(self._write_files, name, sample, result)
        else:
            writing = Future()
            writing.set_result([])
        self._waiting.append((sample, result, top, writing))
        while self._waiting and (self._waiting[0][3].done() or len(self._waiting) > _MAX_WAITING):
            self._report_first()

    def begin(self, sample: Sample, request: Request) -> None:
        """Print the top classes of a sample, and the target that is about to be explained."""
        self.finish()
        self._begun = sample
        (top,) = _report.top_classes(request)
        self._print_head(sample, top, request.resolved.names, request.resolved.prediction)

    def _print_head(self, sample: Sample, top: list[Score], names: Array, values: Array) -> None:
        self.echo(f"\n{printable(sample.name)}", *_report.class_lines(top))
        self.echo(f"  {self.method} of {_report.target_values(names, values)}")

    def finish(self) -> None:
        """Wait until all files are written, and report them."""
        while self._waiting:
            self._report_first()

    def _report_first(self) -> None:
        """Report the first pending sample. A sample counts as done only when its files are saved.

        Raises
        ------
        XaionnxError
            They cannot be written, and those of all others neither.
        """
        sample, result, top, writing = self._waiting[0]
        try:
            files = writing.result()
        except (XaionnxError, MemoryError) as error:
            self._waiting.popleft()
            self.fail(sample.name, not sample.several, translated(error))
            return
        self._waiting.popleft()
        self.names.append(sample.name)
        if self.destination.kind == "record":
            self.records.append(result)
        if sample is not self._begun:
            self._print_head(sample, top, result.target, result.prediction)
        self.echo(*_report.layer_lines(result), *self._untold(_report.left_lines(result)))
        if self.options.as_json:
            self.results.append(
                {
                    "input": sample.name,
                    "input_sha256": sample.sha256,
                    "top": [dataclasses.asdict(score) for score in top],
                    "files": files,
                    # The record itself, whose arrays are needed only if no file holds them.
                    "explanation": _report.json_record(result, arrays=False) if self._in_folder else result,
                }
            )
        if sample.display is None and len(self.names) <= _MAX_DETAILED + 1:
            main = self.model.input().name
            self.echo(*_report.feature_lines(result, self.model.input_spec, sample.feeds, main))
        self.echo(
            *_report.gap_lines(result),
            *self._untold(_report.warning_lines(result)),
            _report.cost_line(result),
            *self._saved_lines(files),
        )
        approximations = _report.approximation_line(result)
        # They depend on the model and the method, and so are usually the same for every input.
        if approximations != self.approximations:
            self.echo(approximations or "  approximations: none")
            self.approximations = approximations

    def _untold(self, lines: Sequence[str]) -> list[str]:
        """Those lines that were not printed for an earlier input, since most warnings hold for all inputs."""
        new = [line for line in lines if line not in self._told]
        self._told.update(new)
        return new

    def _saved_lines(self, files: list[str]) -> list[str]:
        return [f"  {self.destination.saved_line(file)}" for file in files]

    def _write_files(self, name: str, sample: Sample, result: Explanation) -> list[str]:
        """Write the files ``name`` of one sample and return their paths."""
        place, files = self.destination, []
        targets = len(result.target) if result.several_targets else 1
        for target in range(targets):
            path = place.picture(name, sample.several, target if targets > 1 else None)
            files.append(str(self._draw(sample, result, target, path)))
        if place.kind == "folder":
            files.append(str(result.save(place.record(name))))
        return files

    def _draw(self, sample: Sample, result: Explanation, target: int, path: Path) -> Path:
        """Draw and save the picture of one target."""
        from xaionnx import render
        from xaionnx.layers.series import series

        model, options = self.model, self.options
        name, spec = model.input().name, model.input_spec
        x = sample.feeds[name][0]
        over = series(model.samples(sample.feeds, name)[0])
        picture = render.picture(
            result,
            options.picture,
            photo=sample.display,
            stretched=spec.resize == "stretch",
            signal=None if over is None else x,
            channel=0 if over is None else over.channel,
            names=_report.bar_names(result, x, spec),
            input=name,
            target=target,
            sign=options.sign,
            top=options.top,
            original=options.original,
        )
        return render.save(picture, path)

    def conclude(self, complete: bool) -> list[str]:
        """Save and print the finished samples; describe them if the work is not complete.

        Raises
        ------
        StorageError, MemoryError
            The file of all inputs cannot be written. The document has been printed, with the arrays.
        OutputLost, ReaderLeft
            Stdout cannot be written. The files have been.
        """
        while not complete and self._waiting and self._waiting[-1][3].cancel():
            self._waiting.pop()
        self._finish_all()
        self._drawing.shutdown()
        saved, failure = None, None
        try:
            saved = self._save()
        except (StorageError, MemoryError) as error:
            failure = error
        for line in self._refusal_lines():
            sys.stderr.write(f"xaionnx: {sentence(line)}\n")
        self._print_document(complete, saved)
        if failure is not None:
            raise failure
        if self._lost is not None:
            raise self._lost
        done = len(self.names)
        if complete and done and self.destination.kind == "nothing":
            self.echo("\nnothing was saved: -o NAME.png draws a picture, -o NAME.npz saves the whole record")
        if complete or not done:
            return []
        where = "" if self.destination.kind == "nothing" else f" and saved in {self.destination.path}"
        return [f"{done} {'input is' if done == 1 else 'inputs are'} done{where}"]

    def _finish_all(self) -> None:
        """Report every pending sample, also after one of them raises an error."""
        while self._waiting:
            name = self._waiting[0][0].name
            try:
                self._report_first()
            except XaionnxError as error:
                self.refuse(name, None, type(error)(f"'{name}': {error}"))

    def _save(self) -> str | None:
        """Write the record of all inputs, if there is one, and return its path."""
        if not self.records:
            return None
        whole = self.records[0] if len(self.records) == 1 else _joining.join_records(self.records, self.names)
        path = whole.save(self.destination.path)
        self.echo(f"\n{self.destination.saved_line(path)}")
        return str(path)

    def _print_document(self, complete: bool, saved: str | None) -> None:
        """Print the JSON document, if it is asked for; the arrays are in it unless a file holds them."""
        if not self.options.as_json or not (self.results or complete):
            return
        for entry in self.results:
            if not self._in_folder:
                entry["explanation"] = _report.json_record(entry["explanation"], arrays=saved is None)
        document = {
            "xaionnx": __version__,
            "model": self.model.name,
            "model_sha256": self.model.sha256,
            "provider": self.model.provider,
            "method": self.method,
            "complete": complete,
            "saved": saved,
            "results": self.results,
            "refused": self.refused,
            "notes": self.notes,
        }
        self._write(_report.dump_json(document) + "\n")

    def exit_code(self) -> int:
        """Save and print everything, and return the exit code.

        Raises
        ------
        XaionnxError
            The only input failed.
        """
        if not self.names and len(self.errors) == 1:
            raise self.errors[0]
        self.conclude(complete=True)
        codes = {error.exit_code for error in self.errors}
        if not codes:
            return 0
        return codes.pop() if not self.names and len(codes) == 1 else DataError.exit_code

    def _refusal_lines(self) -> list[str]:
        count, every = len(self.errors), len(self.errors) + len(self.names)
        if not count:
            return []
        alike: dict[str, list[Document]] = {}
        for one in self.refused:
            alike.setdefault(one["message"].replace(one["input"], ""), []).append(one)
        word = "refused" if all(isinstance(error, DataError) for error in self.errors) else "failed"
        lines = [f"{count} of {every} inputs {word}:"]
        for group in alike.values():
            shown = group if len(group) <= _MAX_ALIKE else group[:1]
            lines += [f"  {one['message']}" for one in shown]
            if len(shown) < len(group):
                lines.append(f"  and {len(group) - 1} more for the same reason, up to '{group[-1]['input']}'")
        return lines

    def fail(self, name: str, alone: bool, error: XaionnxError) -> None:
        """Record the error of a row; raise it if every row would meet it, or if the row is ``alone``."""
        finished = bool(self.names or self._waiting)
        assert self.failures is not None  # set before the first row
        if (alone and not isinstance(error, DataError)) or self.failures.ends_run(error, finished):
            raise error
        self.refuse(name, None, type(error)(f"'{name}': {error}"))

    def refuse(self, name: str, row: int | None, error: XaionnxError) -> None:
        """Record that an input was refused."""
        self.errors.append(error)
        self.refused.append({"input": name, "row": row, "message": for_shell(str(error))})

    def note(self, text: str) -> None:
        """Print a note about a conversion, once."""
        if text not in self.notes:
            self.notes.append(text)
            sys.stderr.write(f"xaionnx: note: {sentence(text)}\n")

    def echo(self, *lines: str) -> None:
        """Print lines, unless --json reserves stdout for the document."""
        if not self.options.as_json:
            # A blank line before a head is part of the layout; names were escaped before.
            self._write("".join(f"{printable(part)}\n" for line in lines for part in line.split("\n")))

    def _write(self, text: str) -> None:
        """Write to stdout. If that fails, the run goes on as long as there are files to write."""
        try:
            sys.stdout.write(text)
            # Flushed, so that the reader of a pipe sees these lines during a long run.
            sys.stdout.flush()
        except (ReaderLeft, OutputLost) as loss:
            self._lost = loss
            if self.destination.kind == "nothing":
                raise
