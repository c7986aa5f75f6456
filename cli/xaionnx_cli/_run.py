"""The work behind ``xaionnx explain``: samples are read, explained in batches, and each finished one is kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from xaionnx import parameters
from xaionnx.data.files import expand
from xaionnx.data.spec import InputSpec
from xaionnx.errors import DataError, UsageError
from xaionnx.explainer import Explainer
from xaionnx.explanation import Explanation
from xaionnx.runtime.model import Model
from xaionnx.targets.kinds.top import Top
from xaionnx_cli import _progress, _report, _samples, _targets
from xaionnx_cli._batches import Batches, stacked
from xaionnx_cli._destination import Destination
from xaionnx_cli._options import Options
from xaionnx_cli._report import plain
from xaionnx_cli._results import Results


def explain(kind: type[Explainer], **given: Any) -> int:
    """Explain all inputs with a method; the exit code."""
    settings = {name: given.pop(name) for name in parameters.declared(kind)}
    named = [Path(value) for value in settings.values() if isinstance(value, str)]
    return _Job(kind(**settings), Options(**given), named).run()


class _Job:
    """One command: what it works with."""

    def __init__(self, method: Explainer, options: Options, named: Sequence[Path]) -> None:
        """``named`` are files that the method reads."""
        if options.output and _targets.looks_like_file(options.output) and options.save is None:
            raise UsageError(f"--output names a tensor of the model. To write {options.output} use -o.")
        self.method, self.options = method, options
        self.files = expand(options.inputs)
        read = [*self.files, *named, *(Path(name) for name in (options.model, options.spec) if name)]
        alone = self.files if len(options.target) < 2 else []
        destination = Destination.of(options.save, read, options.force, alone)
        self.model = Model.load(
            options.model,
            options.device,
            options.batch_size,
            threads=options.threads,
            timeout_s=options.timeout,
            spec=None if options.spec is None else InputSpec.read(options.spec),
            allow_random=options.allow_random,
        )
        self.target = _targets.targets(options.target, options.output, self.model)
        known = [info.name for info in self.model.outputs]
        usual = self.target or method.default_target(self.model)
        scores = self.model.output(options.output if options.output in known else None).name
        if usual is None or isinstance(usual, Top):
            _report.refuse_no_classes(self.model, scores)
        self.report = _report.TopClasses(scores)
        self.results = Results(self.model, method.name(), destination, options)

    def run(self) -> int:
        """Do all of it.

        Raises
        ------
        KeyboardInterrupt
            With what was kept, in words.
        DataError
            The one input there is was refused.
        """
        self.results.say(f"{plain(self.model.name)} on {self.model.provider}")
        try:
            with _progress.shown() as bar:
                # Faulty patterns are no fault of the inputs.
                self.method = self.method.bind(self.model)
                batches = Batches()
                for batch in batches.of(self._read()):
                    bar.start(plain(Path(batch[0].name).name), batch[0].number, batch[-1].count)
                    with batches.timed(len(batch)):
                        self._explain(batch)
                self.results.finish()
        except KeyboardInterrupt:
            kept = self.results.conclude(complete=False)
            raise KeyboardInterrupt(*kept) from None
        return self.results.exit_code()

    def _read(self) -> Iterator[_samples.Sample]:
        """The samples of all files; what cannot be read is refused."""
        for number, path in enumerate(self.files):
            try:
                samples, refused, notes = _samples.read(path, self.model, self.options.exif)
            except DataError as error:
                self.results.refuse(str(path), None, error)
                continue
            for refusal in refused:
                self.results.refuse(str(refusal.path), refusal.row, refusal.error)
            for note in notes:
                self.results.note(note)
            count = len(self.files) + len(samples) - 1
            several = len(self.files) > 1 or len(samples) + len(refused) > 1
            for place, sample in enumerate(samples):
                yield dataclasses.replace(sample, number=number + place, count=count, several=several)

    def _explain(self, batch: list[_samples.Sample]) -> None:
        """Explain a batch; where it is refused, sample by sample, so that only the one at fault is left out."""
        try:
            feeds = stacked(batch, self.model.shared)
            request = self.method.request(self.model, feeds, self.target, [self.report])
            if len(batch) == 1:
                request.announce = lambda: self.results.begin(batch[0], request)
            result = self.method.explain(request)
        except DataError as error:
            if len(batch) > 1:
                for sample in batch:
                    self._explain([sample])
                return
            self.results.refuse(batch[0].name, None, type(error)(f"'{batch[0].name}': {error}"))
            return
        tops = _report.top_classes(request)
        for n, (sample, top) in enumerate(zip(batch, tops, strict=True)):
            self.results.add(sample, _alone(result, n, sample.provenance), top)


def _alone(result: Explanation, n: int, origin: dict[str, Any]) -> Explanation:
    """The record of one sample of a batch, with its share of the time."""
    one = result.sample(n)
    seconds = round(result.diagnostics["seconds"] / result.samples, 6)
    return dataclasses.replace(
        one, diagnostics=one.diagnostics | {"seconds": seconds}, provenance=one.provenance | origin
    )
