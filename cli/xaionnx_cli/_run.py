"""The work behind ``xaionnx explain``: file by file, sample by sample, each finished one kept."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xaionnx import __version__, parameters
from xaionnx.data.files import expand
from xaionnx.data.sample import split
from xaionnx.data.spec import InputSpec
from xaionnx.errors import DataError, UsageError
from xaionnx.explainer import Explainer
from xaionnx.explanation import Explanation
from xaionnx.runtime.model import Model
from xaionnx.typing import Document
from xaionnx_cli import _joining, _progress, _report, _samples, _targets
from xaionnx_cli._destination import Destination
from xaionnx_cli._report import plain

# Of more inputs than these the features are not listed; the record holds them.
_FEW = 5

# So many inputs that are refused for the same reason are all named.
_ALIKE = 5


@dataclass(frozen=True)
class Request:
    """What was asked for, in the words of the command line."""

    model: str
    inputs: tuple[str, ...]
    save: str | None
    target: tuple[str, ...]
    output: str | None
    device: str
    threads: int | None
    batch_size: int | None
    timeout: float | None
    spec: str | None
    exif: bool
    allow_random: bool
    sign: str
    top: int | None
    original: bool
    picture: str
    force: bool
    as_json: bool


def explain(kind: type[Explainer], **given: Any) -> int:
    """Explain all inputs with a method; the exit code."""
    settings = {name: given.pop(name) for name in parameters.declared(kind)}
    named = [Path(value) for value in settings.values() if isinstance(value, str)]
    return _Job(kind(**settings), Request(**given), named).run()


class _Job:
    """One command: what it works with, and what it has done so far."""

    def __init__(self, method: Explainer, request: Request, named: Sequence[Path]) -> None:
        """``named`` are files that the method reads."""
        if request.output and _targets.looks_like_file(request.output) and request.save is None:
            raise UsageError(f"--output names a tensor of the model. To write {request.output} use -o.")
        self.method, self.request = method, request
        self.files = expand(request.inputs)
        read = [*self.files, *named, *(Path(name) for name in (request.model, request.spec) if name)]
        alone = self.files if len(request.target) < 2 else []
        self.destination = Destination.of(request.save, read, request.force, alone)
        self.model = Model.load(
            request.model,
            request.device,
            request.batch_size,
            threads=request.threads,
            timeout_s=request.timeout,
            spec=None if request.spec is None else InputSpec.read(request.spec),
            allow_random=request.allow_random,
        )
        self.spec = self.model.input_spec
        self.target = _targets.targets(request.target, request.output, self.model) or self.method.default_target(
            self.model
        )
        self.names: list[str] = []
        self.records: list[Explanation] = []
        self.results: list[Document] = []
        self.refused: list[Document] = []
        self.errors: list[DataError] = []
        self.notes: list[str] = []
        self.approximations = ""

    def run(self) -> int:
        """Do all of it.

        Raises
        ------
        KeyboardInterrupt
            With what was kept, in words.
        DataError
            The one input there is was refused.
        """
        self._say(f"{plain(self.model.name)} on {self.model.provider}")
        try:
            with _progress.shown() as bar:
                # Faulty patterns are no fault of the inputs.
                self.method = self.method.bind(self.model)
                for number, path in enumerate(self.files):
                    self._file(path, number, bar)
        except KeyboardInterrupt:
            kept = self._conclude(complete=False)
            raise KeyboardInterrupt(*kept) from None
        if not self.names and len(self.errors) == 1:
            raise self.errors[0]
        self._conclude(complete=True)
        for line in self._refusals():
            sys.stderr.write(f"xaionnx: {plain(line)}\n")
        return DataError.exit_code if self.errors else 0

    def _file(self, path: Path, number: int, bar: _progress.Inputs) -> None:
        try:
            samples, refused, notes = _samples.read(path, self.model, self.request.exif)
        except DataError as error:
            self._refuse(str(path), None, error)
            return
        for refusal in refused:
            self._refuse(str(refusal.path), refusal.row, refusal.error)
        for note in notes:
            self._note(note)
        several = len(self.files) > 1 or len(samples) + len(refused) > 1
        for place, sample in enumerate(samples):
            bar.start(plain(Path(sample.name).name), number + place, len(self.files) + len(samples) - 1)
            try:
                self._sample(sample, several)
            except DataError as error:
                self._refuse(sample.name, None, type(error)(f"'{sample.name}': {error}"))

    def _sample(self, sample: _samples.Sample, several: bool) -> None:
        found = _report.preview(self.model, sample.feeds, self.target, self.request.output)
        self._say(f"\n{plain(sample.name)}", *_report.class_lines(found))
        self._say(f"  {self.method.name()} of {_report.explained(found)}")
        result = self.method.attribute(self.model, sample.feeds, self.target)
        result = dataclasses.replace(result, provenance=result.provenance | sample.provenance)
        self._say(*_report.layer_lines(result))
        files = self._save(sample, result, several)
        place = self.destination
        evaluations, seconds = sum(result.diagnostics["evaluations"]), result.diagnostics["seconds"]
        if self.request.as_json:
            arrays = place.kind in ("nothing", "picture")
            self.results.append(
                {
                    "input": sample.name,
                    "input_sha256": sample.sha256,
                    "top": [dataclasses.asdict(score) for score in found.top],
                    "files": files,
                    "explanation": _report.record(result, arrays=arrays),
                }
            )
        if sample.display is None and len(self.names) <= _FEW:
            self._say(*_report.feature_lines(result, self.spec, sample.feeds[self.model.input().name][0]))
        self._say(*_report.gap_lines(result), *_report.warning_lines(result))
        rate = f"{evaluations / max(seconds, 1e-9):,.0f}/s"
        source = result.diagnostics.get("gradient", "graph")
        by = "" if source == "graph" else f", gradients by {plain(source)}"
        self._say(f"  {evaluations:,} evaluations in {seconds:.2f} s ({rate}){by}")
        self._say(*(f"  {place.saved(file)}" for file in files))
        approximations = _report.approximation_line(result)
        # They are those of the model and the method, and so, as a rule, the same for every input.
        if approximations != self.approximations:
            self._say(approximations or "  approximations: none")
            self.approximations = approximations

    def _save(self, sample: _samples.Sample, result: Explanation, several: bool) -> list[str]:
        """Save one result; the files. Only what is saved counts as done."""
        place, files = self.destination, []
        x = sample.feeds[self.model.input().name][0]
        if place.kind in ("picture", "folder"):
            name = place.name(sample.name)
            targets = len(result.target) if result.several_targets else 1
            for target in range(targets):
                path = place.picture(name, several, target if targets > 1 else None)
                files.append(str(_drawn(result, sample, x, self.model, self.spec, target, path, self.request)))
            if place.kind == "folder":
                files.append(str(result.save(place.record(name))))
        self.names.append(sample.name)
        if place.kind == "record":
            self.records.append(result)
        return files

    def _conclude(self, complete: bool) -> list[str]:
        """Save and print what is done; in words where that is not all."""
        if self.records:
            whole = self.records[0] if len(self.records) == 1 else _joining.joined(self.records, self.names)
            self._say(f"\n{self.destination.saved(whole.save(self.destination.path))}")
        if self.request.as_json and (self.results or complete):
            document = {
                "xaionnx": __version__,
                "model": self.model.name,
                "model_sha256": self.model.sha256,
                "provider": self.model.provider,
                "method": self.method.name(),
                "complete": complete,
                "saved": str(self.destination.path) if self.records else None,
                "results": self.results,
                "refused": self.refused,
                "notes": self.notes,
            }
            sys.stdout.write(_report.dumps(document) + "\n")
            sys.stdout.flush()
        done = len(self.names)
        if complete and done and self.destination.kind == "nothing":
            self._say("\nnothing was saved: -o NAME.png makes a picture, -o NAME.npz keeps the whole record")
        if complete or not done:
            return []
        where = "" if self.destination.kind == "nothing" else f" and saved in {self.destination.path}"
        return [f"{done} {'input is' if done == 1 else 'inputs are'} done{where}"]

    def _refusals(self) -> list[str]:
        count, every = len(self.errors), len(self.errors) + len(self.names)
        if not count:
            return []
        alike: dict[str, list[Document]] = {}
        for one in self.refused:
            alike.setdefault(one["message"].replace(one["input"], ""), []).append(one)
        lines = [f"{count} of {every} inputs refused:"]
        for group in alike.values():
            shown = group if len(group) <= _ALIKE else group[:1]
            lines += [f"  {one['message']}" for one in shown]
            if len(shown) < len(group):
                lines.append(f"  and {len(group) - 1} more for the same reason, up to '{group[-1]['input']}'")
        return lines

    def _refuse(self, name: str, row: int | None, error: DataError) -> None:
        self.errors.append(error)
        self.refused.append({"input": name, "row": row, "message": str(error)})

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)
            sys.stderr.write(f"xaionnx: note: {plain(text)}\n")

    def _say(self, *lines: str) -> None:
        # With --json nothing but the document may appear on stdout.
        if not self.request.as_json:
            sys.stdout.write("".join(line + "\n" for line in lines))
            # Whoever reads a pipe waits for these lines during a long run.
            sys.stdout.flush()


def _drawn(
    result: Explanation,
    sample: _samples.Sample,
    x: Any,
    model: Model,
    spec: InputSpec,
    target: int,
    path: Path,
    request: Request,
) -> Path:
    """The picture of one target; ``x`` is the explained input of the sample, without the batch axis."""
    from xaionnx import render
    from xaionnx.layers.series import series

    name = model.input().name
    over = series(model, split(sample.feeds, name, spec, model.shared)[0])
    picture = render.picture(
        result,
        request.picture,
        photo=sample.display,
        stretched=spec.resize == "stretch",
        signal=None if over is None else x,
        channel=0 if over is None else over.channel,
        names=_report.part_names(result, x, spec),
        input=name,
        target=target,
        sign=request.sign,
        top=request.top,
        original=request.original,
    )
    return render.save(picture, path)
