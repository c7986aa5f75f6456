"""Explain all samples of a data set into a folder of parts, resuming what an earlier run left there."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack

from xaionnx import discovery
from xaionnx.counting import counted
from xaionnx.data.block import Block, Refused
from xaionnx.data.dataset import Dataset
from xaionnx.data.listing import EMPTY
from xaionnx.data.storage import locked, sweep
from xaionnx.errors import DataError, ParameterError, StorageError, UsageError
from xaionnx.explainer import Explainer
from xaionnx.runs.document import PARTS, RUN, RunDocument
from xaionnx.runs.engines import Engine, InProcess, Lost
from xaionnx.runs.job import Job, Shard
from xaionnx.runs.part import Part, gaps, parts_in
from xaionnx.runs.plan import LIVES, Plan
from xaionnx.runs.run import Run, run_of
from xaionnx.runs.settings import settings_of
from xaionnx.runtime import progress
from xaionnx.runtime.model import Model
from xaionnx.targets.target import Target
from xaionnx.typing import ModelLike, TargetLike

if TYPE_CHECKING:
    from xaionnx.methods import Settings

# The end of an iterable, until it is known.
_NO_END: Final = 10**12 - 1
# Rows that show whether a table fits the model.
_PROBED: Final = 16
# Rounds over what an engine reported as done, but did not write.
_ROUNDS: Final = 3

Progress = Callable[[int, int | None], None]
"""Called with the number of units that are done, and of all of them, None if that is not known."""


def explain_all(  # noqa: PLR0913 - options of a public function, by keyword
    model: ModelLike,
    data: Any,  # Any: as Dataset.of takes
    method: str | Explainer,
    target: TargetLike = None,
    *,
    to: str | os.PathLike[str],
    engine: Engine | None = None,
    shard: tuple[int, int] | None = None,
    resume: bool = True,
    on_progress: Progress | None = None,
    **settings: Unpack[Settings],
) -> Run:
    """Explain all samples of a data set into a folder, whose results are the same wherever and however they were made.

    Each shard of the data set becomes a part, which is written whole or not at all. A run that was stopped, or killed,
    goes on where it was.

    Parameters
    ----------
    model : Model or path
    data : Dataset, or anything that :meth:`Dataset.of` takes
    method, target, settings
        As in :func:`xaionnx.explain`.
    to : path
        The folder; it is made if there is none.
    engine : Engine, optional
        What does the shards: this process, :class:`xaionnx.runs.Processes` or :class:`xaionnx.runs.RayActors`.
    shard : (int, int), optional
        ``(i, n)`` does the i-th of n equal parts only, counted from 1, so that n machines can share a data set.
        :meth:`Run.merge` joins the folders, unless they write to the same one.
    resume : bool
        Keep the parts of an earlier run. Otherwise they are removed.
    on_progress : callable, optional
        Called after each shard with the number of units done, and of all, None if that is not known.

    Returns
    -------
    Run

    Raises
    ------
    UsageError
        The folder holds a run with other settings, or of other data; the message says what differs.
    StorageError
        Another process writes to it, or it cannot be written.
    DataError
        Every row was refused; the run in the folder has the reasons.
    XaionnxError
        Every row would fail for this reason; what was done is kept.

    Examples
    --------
    >>> import tempfile, numpy as np, xaionnx
    >>> digits = np.zeros((100, 1, 28, 28), np.float32)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = xaionnx.explain_all("models/mnist_cnn.onnx", digits, "grad_cam", 3, to=folder)
    ...     len(run), run.complete, run[7].values.shape
    (100, True, (1, 1, 28, 28))
    """
    explainer = discovery.configured(method, settings)
    run = make_run(
        model, data, explainer, target, to=to, engine=engine, shard=shard, resume=resume, on_progress=on_progress
    )
    if run.complete and not len(run):
        raise DataError(
            f"None of {counted(len(run.refused), 'row')} has a result: {run.refused[0].reason} "
            f"Run.open({os.fspath(to)!r}).refused has all reasons."
        )
    return run


def make_run(  # noqa: PLR0913 - those of explain_all
    model: ModelLike,
    data: Any,  # Any: as Dataset.of takes
    explainer: Explainer,
    target: TargetLike = None,
    *,
    to: str | os.PathLike[str],
    engine: Engine | None = None,
    shard: tuple[int, int] | None = None,
    resume: bool = True,
    on_progress: Progress | None = None,
) -> Run:
    """Make or continue the run of :func:`explain_all`, and return it, also if it refused every row."""
    opened = model if isinstance(model, Model) else Model.load(model)
    dataset = Dataset.of(data)
    Target.check_samples(target, dataset, opened)
    if explainer.compares_samples:
        raise UsageError(why_not_in_parts(explainer))
    engine = InProcess() if engine is None else engine
    if dataset.count is None and (not engine.in_order or shard is not None):
        raise UsageError("An iterable has no parts that several workers could read. Pass a list, files or a table.")
    share = _share(shard)
    folder = Path(to)
    parts = _folder(folder) / PARTS / ("all" if shard is None else f"{shard[0]}-of-{shard[1]}")
    with _held(parts):
        # Errors of the method and the model come before any worker is started.
        bound = explainer.bind(opened)
        document = RunDocument(folder, opened.name, settings_of(opened, bound, target), dataset, resume)
        job = Job(opened, explainer, target, dataset, parts, document)
        if not resume:
            _remove_parts(parts)
        if not dataset.units.alone and dataset.count is not None:
            # So do those of a table that does not fit the model, which are no errors of single rows.
            dataset.read(opened, 0, min(_PROBED, dataset.count))
        with progress.listening(progress.Silent()):
            done = _do(job, engine, share, on_progress or _ignore)
    return run_of(folder, document.content, done)


def why_not_in_parts(explainer: Explainer) -> str:
    """Return why samples that a method compares with each other have no run, and what to do."""
    name, rows = explainer.name(), explainer.rows_parameter
    if rows is None:
        return (
            f"{name} explains all samples together, so that they cannot be explained in parts. Explain them at once, "
            "with xaionnx.explain or -o FILE.npz, and fewer if they do not fit in memory."
        )
    return (
        f"{name} compares all samples with each other, so that they cannot be explained in parts. Give other rows to "
        f"compare them with, as in {rows}='FILE'."
    )


def _ignore(done: int, count: int | None) -> None:
    del done, count


def _share(shard: tuple[int, int] | None) -> Callable[[int], range]:
    """The units of a share of a data set, from their number."""
    if shard is None:
        return range
    number, of = shard
    if not 1 <= number <= of:
        raise ParameterError(f"The 'shard' parameter must be (i, n) with 1 <= i <= n. Got {shard!r} instead.")
    return lambda count: range((number - 1) * count // of, number * count // of)


def _folder(folder: Path) -> Path:
    # A run that was killed at its very beginning leaves an empty folder of parts, and a temporary file.
    others = folder.is_dir() and any(not (path.name == PARTS or path.name.startswith(".")) for path in folder.iterdir())
    if others and not os.path.lexists(folder / RUN):
        raise UsageError(f"The folder {folder} holds other files, and no run. Choose an empty or a new one.")
    return folder


@contextlib.contextmanager
def _held(parts: Path) -> Iterator[None]:
    """Lock the folder of the parts of one process, and remove what killed ones left in it."""
    try:
        parts.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"Cannot create the folder {parts}: {error.strerror}. Choose another.") from error
    with locked(parts) as free:
        if not free:
            raise StorageError(
                f"Another process writes to {parts.parent.parent}. Wait until it has ended, or choose another folder."
            )
        sweep(parts)
        sweep(parts.parent.parent)
        yield
        # And what workers left that were killed while they wrote.
        sweep(parts)


def _remove_parts(parts: Path) -> None:
    for file in parts.iterdir():
        if file.is_dir():
            shutil.rmtree(file)
        else:
            file.unlink(missing_ok=True)


def _do(job: Job, engine: Engine, share: Callable[[int], range], on_progress: Progress) -> list[Part]:
    """Do all units that no part covers, in rounds, until all have one, and return the parts in the folder.

    Raises
    ------
    DataError
        An iterable has no items.
    StorageError
        What was written is gone.
    """
    count = job.dataset.count
    wanted = range(_NO_END) if count is None else share(count)
    done = [] if job.document.is_new else parts_in(job.folder.parent, job.fingerprint)
    for _ in range(_ROUNDS):
        left = list(gaps(done, [wanted]))
        if not left:
            return done
        missing = sum(map(len, left))
        ended = _round(job, engine, left, on_progress, (len(wanted) - missing, None if count is None else len(wanted)))
        if ended is not None:
            if not ended:
                raise DataError(EMPTY)
            wanted = range(wanted.start, ended)
        done = parts_in(job.folder.parent, job.fingerprint)
    left = list(gaps(done, [wanted]))
    if left:
        raise StorageError(
            f"The results of {sum(map(len, left)):,} units were written to {job.folder}, and are gone. Run again."
        )
    return done


def _round(
    job: Job, engine: Engine, left: Sequence[range], on_progress: Progress, begun: tuple[int, int | None]
) -> int | None:
    """Do the units that are left once, and return where an iterable ended."""
    plan, (done, count) = Plan(left), begun
    ended = None
    with engine.open(job) as pool:
        on_progress(done, count)
        while True:
            while plan.in_flight < pool.capacity and (shard := plan.next()) is not None:
                pool.submit(shard)
            if not plan.in_flight:
                return ended
            result = pool.next()
            if isinstance(result, Lost):
                given_up = plan.lost(result.shards)
                if given_up is not None:
                    _quarantine(job, given_up)
            elif plan.done(result):
                if result.stop < result.shard.stop:
                    ended = result.stop if ended is None else min(ended, result.stop)
                done += result.stop - result.shard.start
                on_progress(done, count)


def _quarantine(job: Job, shard: Shard) -> None:
    """Write that a unit is given up, unless it was done before its worker ended."""
    if not list(gaps(parts_in(job.folder.parent, job.fingerprint), [range(shard.start, shard.stop)])):
        return
    (name,) = job.dataset.units.names(shard.start, shard.stop)
    reason = (
        f"'{name}' ended the process that explained it {LIVES} times, as memory that runs out or a fault of the "
        "runtime does. Explain it alone to see why."
    )
    block = Block(shard.start, shard.stop, refused=(Refused(shard.start, name, reason),))
    Part.write(job.folder, block, None, job.fingerprint)
