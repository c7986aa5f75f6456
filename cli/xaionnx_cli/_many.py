"""``xaionnx explain`` of many inputs: a run in a folder of parts, rather than files of each input."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from xaionnx import __version__
from xaionnx.counting import counted
from xaionnx.data.dataset import Dataset
from xaionnx.errors import DataError, UsageError
from xaionnx.explainer import Explainer
from xaionnx.runs import Engine, InProcess, Processes, RayActors, Run
from xaionnx.runs.document import RUN
from xaionnx.runs.start import make_run, why_not_in_parts
from xaionnx.runtime.model import Model
from xaionnx_cli import _report, _samples, _targets
from xaionnx_cli._drawn_rows import DrawnRows, picture_lines
from xaionnx_cli._messages import printable
from xaionnx_cli._model import open_model
from xaionnx_cli._options import MANY, Options
from xaionnx_cli._overwriting import storage_errors
from xaionnx_cli._printer import Printer
from xaionnx_cli._progress import counting_bar
from xaionnx_cli._refusals import refusals_of

# Options of pictures, which a run draws for --pictures alone.
_LOOKS: Final = ("picture", "sign", "top", "smooth", "original", "feature", "details", "theme")
_LOOK_DEFAULTS: Final = {"picture": "auto", "sign": "auto", "theme": "light"}
_OF_RUNS: Final = ("workers", "shard", "pictures", "labels")


def run_of(method: Explainer, options: Options) -> Dataset | None:
    """Return the data set of which a run is made; None where each input gets files of its own.

    Raises
    ------
    UsageError
        A run is asked for, and the other options do not allow one.
    """
    asked = _asking(options)
    reason = _no_run(method, options)
    if options.shards is False:
        if asked:
            raise UsageError(f"{asked} is of a run, which --no-shards makes none. Leave out one of them.")
        return None
    if reason:
        if asked:
            raise UsageError(f"{asked} is of a run in parts. {reason}")
        return None
    folder = Path(options.save or "")
    with storage_errors(folder):
        earlier = (folder / RUN).is_file()
    if not asked and not earlier and _all_single(options.inputs) and len(options.inputs) <= MANY:
        return None
    try:
        dataset = _dataset(options)
    except DataError:
        if asked or earlier:
            raise
        # It is refused as any input is.
        return None
    return dataset if asked or earlier or (dataset.count or 0) > MANY else None


def _asking(options: Options) -> str:
    """The first option that asks for a run; empty if there is none."""
    given = {"shards": options.shards, "ray": options.ray}
    valued = [name for name in _OF_RUNS if getattr(options, name) is not None]
    return next((f"--{name}" for name in (*(name for name, on in given.items() if on), *valued)), "")


def _no_run(method: Explainer, options: Options) -> str:
    """Why no run can be made, in a sentence; empty if one can."""
    save = options.save
    if not save or not (Path(save).is_dir() or save.endswith(("/", os.sep)) or not Path(save).suffix):
        return "It is a folder: name one with -o FOLDER."
    if _samples.by_name(options.inputs):
        return "Files that are given by the names of inputs make one sample: give a folder or a table."
    if method.compares_samples:
        return why_not_in_parts(method)
    if options.rows is not None or options.each:
        return "It explains all rows: leave out --rows and --each."
    return ""


def _all_single(inputs: Sequence[str]) -> bool:
    """Whether each input is one file of one sample, as far as its name tells."""
    return not any(Path(one).is_dir() or Path(one).suffix.lower() in _SEVERAL for one in inputs)


_SEVERAL: Final = (".csv", ".tsv", ".parquet", ".pq", ".npy", ".npz")


def _dataset(options: Options) -> Dataset:
    given = options.inputs[0] if len(options.inputs) == 1 else [Path(one) for one in options.inputs]
    return Dataset.of(given, labels=options.labels, exif=options.exif, text=options.text)


def explain(method: Explainer, options: Options, dataset: Dataset) -> int:
    """Make or continue a run, and return the exit code.

    Raises
    ------
    KeyboardInterrupt
        The arguments describe the results that were kept.
    XaionnxError
        Every input would fail for this reason.
    """
    if options.pictures is None and (given := _looks_given(options)):
        raise UsageError(
            f"--{given} is of pictures, which a run of many inputs draws for --pictures N alone. Add it, or draw rows "
            "later with 'xaionnx draw'."
        )
    model = open_model(options)
    target = _targets.target_of(options, model)
    folder, printer = Path(str(options.save)), Printer(options.as_json, saves=True)
    printer.lines(f"{printable(model.name)} on {model.provider}")
    count = dataset.count or 0
    printer.lines(
        f"{counted(count, 'input')}: a run in parts in {printable(str(folder))}; --no-shards writes files of each "
        "input instead"
    )
    try:
        with counting_bar() as bar:
            run = make_run(
                model,
                dataset,
                method,
                target,
                to=folder,
                engine=_engine(options),
                shard=options.shard,
                resume=options.resume,
                on_progress=bar,
            )
    except KeyboardInterrupt as stop:
        stop.args = _kept(folder)
        raise
    pictures = _drawn(run, options)
    return _report_run(run, model, method, options, printer, pictures)


def _looks_given(options: Options) -> str:
    return next(
        (name for name in _LOOKS if (getattr(options, name) or None) != _LOOK_DEFAULTS.get(name)),
        "",
    )


def _engine(options: Options) -> Engine:
    if options.ray:
        return RayActors(options.workers)
    return InProcess() if options.workers is None else Processes(options.workers)


def _kept(folder: Path) -> tuple[str, ...]:
    try:
        run = Run.open(folder)
    except DataError:
        return ()
    return (f"{counted(len(run), 'input is', 'inputs are')} done and saved in {folder}", "run again to go on")


def _drawn(run: Run, options: Options) -> list[str]:
    if not options.pictures:
        return []
    looks = {name: getattr(options, name) for name in _LOOKS}
    drawing = DrawnRows(run.folder, {**looks, "original": options.original or False}, options.workers)
    return drawing.save(range(min(options.pictures, len(run))), run.folder / "pictures")


def _report_run(
    run: Run, model: Model, method: Explainer, options: Options, printer: Printer, pictures: Sequence[str]
) -> int:
    refusals = refusals_of(run.refused)
    for line in refusals.lines(len(run)):
        printer.error(line)
    if options.as_json:
        document = {
            "xaionnx": __version__,
            "model": model.name,
            "model_sha256": model.sha256,
            "provider": model.provider,
            "method": method.name(),
            "complete": run.complete,
            "run": str(run.folder),
            "rows": len(run),
            "missing": run.missing,
            "pictures": list(pictures),
            "refused": [dataclasses.asdict(one) for one in run.refused],
        }
        printer.document(f"{_report.dump_json(document)}\n")
    printer.lines(run.coverage, f"saved {counted(len(run.parts), 'part')} in {printable(str(run.folder))}")
    if pictures:
        printer.lines(*picture_lines(run, range(min(options.pictures or 0, len(run))), pictures))
    elif len(run):
        printer.lines(f"draw rows with: xaionnx draw {printable(str(run.folder))} --rows 0-9 -o PICTURES/")
    if printer.lost is not None:
        raise printer.lost
    return refusals.exit_code(len(run))
