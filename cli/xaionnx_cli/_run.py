"""The work of ``xaionnx explain``: read samples, explain them in batches, and pass on each finished one."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from xaionnx import parameters
from xaionnx.data.column_order import ColumnOrder
from xaionnx.data.files import read_bytes, sha256_of
from xaionnx.data.folders import expand
from xaionnx.data.inputs import Inputs
from xaionnx.errors import DataError, UnsupportedModelError, UsageError
from xaionnx.explainer import Explainer
from xaionnx.explanation import Explanation
from xaionnx.perturb.baseline import Baseline
from xaionnx.record import without_row
from xaionnx.request import Request
from xaionnx.runs.failures import OF_ROWS, Failures, translated
from xaionnx.runs.settings import settings_of
from xaionnx.targets.kinds.top import Top
from xaionnx.targets.layout import selects_boxes
from xaionnx.targets.scores import default_output
from xaionnx.targets.target import Target
from xaionnx.typing import Document
from xaionnx_cli import _many, _progress, _report, _samples, _targets
from xaionnx_cli._archive import Requests
from xaionnx_cli._batches import MAX_ROWS, Batches, read_inputs_of, stack_feeds
from xaionnx_cli._deadline import paused, time_limit_between_runs
from xaionnx_cli._destination import Destination, check_outside
from xaionnx_cli._explained import Explained
from xaionnx_cli._messages import printable
from xaionnx_cli._model import open_model
from xaionnx_cli._options import MANY, Options, OptionValue
from xaionnx_cli._overwriting import files_in
from xaionnx_cli._reading import read_ahead
from xaionnx_cli._results import Results

# How many rows of a file are looked at to find two that differ.
_COMPARED = 64


def explain(kind: type[Explainer], **given: OptionValue) -> int:
    """Explain all inputs with a method, and return the exit code."""
    settings = {name: given.pop(name) for name in parameters.declared(kind)}
    if str(given["save"]).lower().endswith(".gif"):
        if given["picture"] not in ("auto", "deletion"):
            raise UsageError(f"A .gif shows deletion and insertion, not --picture {given['picture']}. Save a .png.")
        given["picture"] = "deletion"
    for name in ("removal_steps", "removal_baseline"):
        if given[name] is not None and given["picture"] != "deletion":
            raise UsageError(f"--{name.replace('_', '-')} is of --picture deletion. Add it, or leave this out.")
    Baseline.of(given["removal_baseline"])
    named = files_in([*settings.values(), given["target"], given["removal_baseline"]])
    method, options = kind(**settings), Options(**given)
    check_outside(options.save, options.inputs)
    if (dataset := _many.run_of(method, options)) is not None:
        return _many.explain(method, options, dataset)
    return _Job(method, options, named).run()


class _Job:
    """One run of ``xaionnx explain``."""

    def __init__(self, method: Explainer, options: Options, named: Sequence[Path]) -> None:
        """``named`` are files that options of the method name."""
        if options.output and _targets.looks_like_file(options.output) and options.save is None:
            raise UsageError(f"--output names a tensor of the model. To write {options.output}, use -o.")
        self.method, self.options = method, options
        self.by_name = _samples.by_name(options.inputs)
        self.files = expand(list(self.by_name.values()) or options.inputs)
        read = [*self.files, *named, *(Path(name) for name in (options.model, options.spec) if name)]
        # Files of several inputs make one sample.
        single_target = self.files[: 1 if self.by_name else None] if len(options.target) < 2 else []
        destination = Destination.of(options.save, read, options.force, single_target)
        self.model = open_model(options)
        if self.by_name:
            main = self.model.input().name
            _samples.check_names(self.by_name, self.model)
            self.files = [self.by_name[main]]
        self.target = _targets.target_of(options, self.model)
        self.reports = self._reported_targets()
        self.results = Results(self.model, method.name(), destination, options)
        self._named = named
        self._places = itertools.count()
        self._order = ColumnOrder()

    def _reported_targets(self) -> list[Target]:
        """What is reported besides the target: the top classes, where an output holds scores."""
        model, named = self.model, self.options.output
        outputs = [info.name for info in model.outputs]
        target = self.target or self.method.default_target(model)
        if named not in outputs and not self._has_scores():
            return []
        scores = named if named is not None and named in outputs else default_output(model)
        if target is None or isinstance(target, Top):
            _report.check_top_class(model, scores)
        return [_report.TopClasses(scores)]

    def _has_scores(self) -> bool:
        """Whether an output holds scores, or is to: a detector may return nothing but the numbers of its boxes."""
        return not selects_boxes(self.model) or any(info.dtype.kind == "f" for info in self.model.outputs)

    def run(self) -> int:
        """Explain all inputs, and return the exit code; whatever stops the run, finished results are kept.

        Raises
        ------
        KeyboardInterrupt
            The arguments describe the results that were kept.
        XaionnxError
            The only input failed, or every input would fail for this reason.
        """
        self.results.printer.lines(f"{printable(self.model.name)} on {self.model.provider}")
        try:
            with _progress.progress_bar() as bar:
                # Bound first: faulty patterns must not be reported as a fault of an input.
                with self._limited(bar):
                    self.method = self.method.bind(self.model)
                self.results.failures = Failures(self.method, self.model, self.target, len(self.files) == 1)
                batches = Batches(self.model.shared)
                for method, samples in self._groups(batches, bar):
                    for batch in batches.of(samples, together=method.compares_samples):
                        bar.start(printable(Path(batch[0].name).name), batch[0].number, batch[-1].count, len(batch))
                        with batches.timed(len(batch)):
                            self._explain(batch, method, bar)
                self.results.finish()
            return self.results.exit_code()
        except BaseException as stop:
            kept = self.results.conclude(complete=False, stop=stop)
            if isinstance(stop, KeyboardInterrupt):
                stop.args = tuple(kept)
            raise

    def _groups(
        self, batches: Batches, bar: _progress.InputListener
    ) -> Iterator[tuple[Explainer, Iterable[_samples.Sample]]]:
        """Yield the method and the samples to explain by it, without those that have an earlier record.

        If the method compares samples with each other, all of one shape that follow each other are a group.
        """
        if not self.method.compares_samples:
            yield self.method, self._missing(self._read(), Requests(self._what_all_rows_share()), batches)
            return
        for _, group in itertools.groupby(self._read(), key=batches.signature):
            samples = list(group)
            method = self._against(samples, bar)
            if method is None:
                yield self.method, samples
            else:
                rows = [self._requests_of_rows(samples), self.method.name()]
                requests = Requests(self._what_all_rows_share() | {"rows": rows})
                yield method, self._missing(samples, requests, batches)

    def _against(self, samples: Sequence[_samples.Sample], bar: _progress.InputListener) -> Explainer | None:
        """The method to explain batches of the samples by, each compared with all; None if they make one batch."""
        try:
            with self._limited(bar):
                return self.method.against(self.method.request(self.model, self._inputs(samples), self.target))
        except OF_ROWS:
            # It is met again when they are explained.
            return None

    @staticmethod
    def _requests_of_rows(samples: Sequence[_samples.Sample]) -> str:
        """The hash of all samples, on which the result of each depends."""
        digest = hashlib.sha256()
        for sample in samples:
            digest.update(Requests({}).sha256(sample.feeds).encode())
        return digest.hexdigest()

    def _inputs(self, samples: Sequence[_samples.Sample]) -> Inputs:
        return read_inputs_of(samples, self.model.shared)

    def _read(self) -> Iterator[_samples.Sample]:
        """Yield the samples of all files; record those that cannot be read as refused."""
        for number, (path, reading) in enumerate(read_ahead(self.files, self._read_file)):
            try:
                samples, refused, notes = reading.result()
                self._order.check(str(path), samples.found.by_place)
                if len(samples) > 1:
                    self._check_rows(samples)
            except DataError as error:
                self.results.refusals.add(str(path), None, error)
                continue
            except OF_ROWS as error:
                self.results.fail(str(path), len(self.files) == 1, translated(error))
                continue
            for refusal in refused:
                self.results.refusals.add(str(refusal.path), refusal.row, refusal.error)
            for note in notes:
                self.results.printer.note(note)
            count = len(self.files) + len(samples) - 1
            rows = self.method.rows_parameter
            if rows is not None and count > MANY and self.results.destination.kind == "folder":
                self.results.printer.note(
                    f"{self.method.name()} compares all rows with each other here, so that {count:,} pictures and "
                    f"records are written; with --{rows} FILE they are a run in parts, which takes a fraction."
                )
            several = len(self.files) > 1 or len(samples) + len(refused) > 1
            for row, sample in enumerate(samples):
                placed = dataclasses.replace(
                    sample, number=number + row, count=count, several=several, place=next(self._places)
                )
                yield dataclasses.replace(placed, file=self.results.file_name(placed))

    def _missing(
        self, samples: Iterable[_samples.Sample], requests: Requests, batches: Batches
    ) -> Iterator[_samples.Sample]:
        """Yield the samples without an earlier record, with the hashes of their requests, and pass on the others."""
        found: list[tuple[_samples.Sample, Explanation, int]] = []
        archive = self.results.archive

        def pass_on() -> None:
            if found:
                kept, (_, whole, _) = [sample for sample, _, _ in found], found[0]
                self._keep(kept, archive.record_of(kept, whole, [number for _, _, number in found]))
                found.clear()

        for sample in samples:
            if self.results.destination.kind != "nothing":
                sample = dataclasses.replace(sample, request=requests.sha256(sample.feeds))
            earlier = archive.find(sample)
            alike = found and earlier is not None and found[0][1] is earlier[0] and len(found) < MAX_ROWS
            if not alike or batches.signature(found[0][0]) != batches.signature(sample):
                pass_on()
            if earlier is None:
                yield sample
            else:
                found.append((sample, *earlier))
        pass_on()

    def _what_all_rows_share(self) -> Document:
        """All that the result of a row depends on besides the row itself."""
        return {
            **settings_of(self.model, self.method, self.target),
            **({"curves": self._curves} if self._needs_curves else {}),
            **{name: getattr(self.options, name) for name in ("target", "output", "axes", "rows_are", "next_token")},
            "files": [sha256_of(read_bytes(path, "file", sys.maxsize)) for path in self._named],
        }

    @property
    def _needs_curves(self) -> bool:
        """Whether the picture shows how the prediction changes as parts are removed."""
        from xaionnx.render.picture import PICTURES

        return self.options.picture != "auto" and PICTURES.find(self.options.picture).of_curves

    @property
    def _curves(self) -> Document:
        """How the picture removes parts."""
        from xaionnx.deletion import REMOVAL_STEPS

        options = self.options
        return {"steps": options.removal_steps or REMOVAL_STEPS, "baseline": options.removal_baseline}

    def _keep(self, samples: list[_samples.Sample], earlier: Explanation) -> None:
        """Pass on an earlier record; the document has the top classes too, which records lack."""
        tops: list[list[_report.Score]] = [[] for _ in samples]
        if self.options.as_json:
            try:
                request = self.method.request(self.model, self._inputs(samples), self.target, self.reports)
                tops = _report.top_classes(request)
            except OF_ROWS as error:
                if len(samples) > 1:
                    for n, sample in enumerate(samples):
                        self._keep([sample], earlier[n])
                    return
                self.results.fail(samples[0].name, not samples[0].several, translated(error))
                return
        self.results.keep(Explained(samples, earlier, tops, kept=True))

    def _read_file(self, path: Path) -> _samples.Reading:
        own = self.method.own_columns
        return _samples.read(path, self.model, self.options, self.results.draws, self.by_name, own)

    def _check_rows(self, samples: _samples.Source) -> None:
        """Check that the rows of a file are samples.

        Raises
        ------
        UnsupportedModelError
            The answer for a row depends on the other rows, or the model does not run on a single one.
        """
        compared = stack_feeds(samples.first(max(_COMPARED, self.model.fixed_batch or 1)), self.model.shared)
        read = {target.tensor(self.model) for target in Target.of(self.target)[0]} if self.target is not None else set()
        outputs = read & {info.name for info in self.model.outputs}
        try:
            probed = self.model.probed(compared, outputs or {info.name for info in self.model.outputs})
        except OF_ROWS:
            # A row that fails says nothing about the others, and is met again when it is explained.
            return
        if probed.axes.rows != self.model.axes.rows:
            fails = probed.axes.row_failure
            other = (
                "export it with a free number of samples" if fails else "to explain each alone, pass --rows-are alone"
            )
            raise UnsupportedModelError(
                f"{probed.joint_reason}. To explain the rows of a file together, pass --rows-are joint, and name the "
                f"row in --target; or {other}."
            )

    def _limited(self, bar: _progress.InputListener) -> contextlib.AbstractContextManager[None]:
        return time_limit_between_runs(self.options.timeout, "Work between two runs of the model", bar)

    def _begin(self, sample: _samples.Sample, request: Request) -> None:
        # It waits for the files of earlier samples.
        with paused():
            self.results.begin(sample, request)

    def _explain(self, batch: list[_samples.Sample], method: Explainer, bar: _progress.InputListener) -> None:
        """Explain a batch; if it fails, explain its samples one by one, to leave out only the faulty ones.

        Raises
        ------
        XaionnxError
            The only row failed, or every row would fail for this reason.
        """
        try:
            with self._limited(bar):
                request = method.request(self.model, self._inputs(batch), self.target, self.reports)
                if len(batch) == 1:
                    request.announce = lambda: self._begin(batch[0], request)
                result = method.explain(request)
                if self._needs_curves:
                    from xaionnx.deletion import with_removal_curves

                    result = with_removal_curves(request, result, **self._curves)
        except OF_ROWS as error:
            if len(batch) > 1 and not method.compares_samples:
                for sample in batch:
                    self._explain([sample], method, bar)
                return
            for sample in batch:
                self.results.fail(sample.name, not sample.several, translated(error))
            return
        tops = _report.top_classes(request)
        if result.samples < len(batch):
            # One record of a data set as a whole stands at the place of its first row.
            name = ", ".join(dict.fromkeys(without_row(sample.name) for sample in batch))
            batch, tops = [dataclasses.replace(batch[0], title=name, several=False)], [[]]
        self.results.add(Explained.of(batch, result, tops))
