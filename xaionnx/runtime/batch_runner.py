"""Evaluation of any number of samples in batches that the model accepts."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from xaionnx.errors import MemoryLimitError, ModelFileError, UnsupportedModelError
from xaionnx.runtime.batcher import BatchSizeTuner, same_rows
from xaionnx.runtime.rows import other_number_error
from xaionnx.runtime.session import Session
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, Feeds

# Returns rows ``start`` to ``stop`` of every input; the next call may reuse the arrays.
Feed = Callable[[int, int], Feeds]


@final
@dataclass
class BatchRunner:
    """Evaluates a model in batches, of a size that is tuned for each shape of its inputs.

    Attributes
    ----------
    name : str
        The model's, for messages.
    session : callable
        Returns a session: ``"own"`` runs the model's graph, ``"free"`` the same with any number of samples.
    fixed : int or None
        Samples in one run, if the file declares a number.
    batch_size : int or None
        Samples in one run, if the user gives a number.
    one_by_one : callable
        Whether each sample needs a run of its own, since the branch of an If depends on it.
    timeout_s : float or None
        Limit for a single run, in seconds.
    allow_random : bool
        Accept outputs that vary for the same input.
    """

    name: str
    session: Callable[[str], Session]
    fixed: int | None
    batch_size: int | None
    one_by_one: Callable[[], bool]
    timeout_s: float | None
    allow_random: bool
    tuners: dict[Hashable, BatchSizeTuner] = field(default_factory=dict)
    _accepted: dict[Hashable, bool] = field(default_factory=dict)

    __repr__ = short_repr

    def batches(
        self, count: int, feed: Feed, fetch: Sequence[str], shared: Feeds, sample_bytes: int | None = None
    ) -> Iterator[tuple[int, int, dict[str, Array]]]:
        """Yield ``(start, stop, outputs)`` for ``count`` samples; see :meth:`xaionnx.runtime.model.Model.batches`."""
        own = self.session("own")
        constant = {name: own.place(array) for name, array in shared.items()}
        first = feed(0, 1)
        fed = sum(array.nbytes for array in first.values()) if sample_bytes is None else sample_bytes
        key = (tuple((name, array.shape, array.dtype.str) for name, array in sorted(first.items())), tuple(fetch))
        session, required = own, self.fixed
        if count > 1 and self.fixed in (None, 1) and self.batch_size != 1:
            session, required = self._batched(key, feed, fetch, constant)
        sizes = [size for size in (required, self.batch_size) if size is not None]
        tuner = self.tuners.setdefault((key, required), BatchSizeTuner.for_samples(fed, min(sizes, default=None)))
        start = 0
        while start < count:
            stop = start + tuner.size(count - start)
            rows = _filled(feed(start, stop), stop - start, required)
            began = time.perf_counter()
            try:
                results = session.run(fetch, {**rows, **constant}, self.timeout_s, tuner.is_brief(stop - start))
            except MemoryLimitError:
                if stop - start == 1 or (required or 0) > 1:
                    raise
                tuner.out_of_memory(stop - start)
                continue
            except UnsupportedModelError as error:
                if start or required is not None:
                    raise
                raise self._of_other_number(session, fetch, rows, constant, error) from None
            tuner.record(stop - start, time.perf_counter() - began)
            outputs = {name: np.asarray(result) for name, result in zip(fetch, results, strict=True)}
            if required is not None and required > 1:
                outputs = {name: array[: stop - start] for name, array in outputs.items()}
            yield start, stop, outputs
            start = stop

    def _of_other_number(
        self,
        session: Session,
        fetch: Sequence[str],
        rows: Feeds,
        constant: Mapping[str, object],
        error: UnsupportedModelError,
    ) -> UnsupportedModelError:
        """The error for the first rows, which says if the file is for another number of them."""
        return other_number_error(
            self.name, lambda some: session.run(fetch, {**some, **constant}, self.timeout_s), rows, error
        )

    def _batched(
        self, key: Hashable, feed: Feed, fetch: Sequence[str], constant: Mapping[str, object]
    ) -> tuple[Session, int | None]:
        """Return a session for several samples and None, or the file's session and 1 if it accepts only one."""
        kind = "free" if self.fixed == 1 else "own"
        if key not in self._accepted:
            self._accepted[key] = not self.one_by_one() and self._accepts_two(feed, fetch, constant, kind)
        return (self.session(kind), None) if self._accepted[key] else (self.session("own"), 1)

    def _accepts_two(self, feed: Feed, fetch: Sequence[str], constant: Mapping[str, object], kind: str) -> bool:
        def outputs(session: Session, rows: Feeds) -> dict[str, Array]:
            found = session.run(fetch, {**rows, **constant}, self.timeout_s)
            return {name: np.asarray(output) for name, output in zip(fetch, found, strict=True)}

        first = feed(0, 1)
        try:
            alone = outputs(self.session("own"), first)
        except UnsupportedModelError:
            # Every run fails then, and says if the file is for another number of rows.
            return True
        try:
            if any(np.shape(output)[:1] != (1,) for output in alone.values()):
                return False
            two = outputs(self.session(kind), feed(0, 2))
            if same_rows(alone, two, 2, rounding=False):
                return True
            if same_rows(alone, two, 2):
                # What is no more than rounding is the same for a copy of the row beside it.
                copies = outputs(self.session(kind), {name: np.repeat(rows, 2, axis=0) for name, rows in first.items()})
                one = {name: array[:1] for name, array in copies.items()}
                return same_rows(one, two, 2, rounding=False)
        except (UnsupportedModelError, ModelFileError):
            return False
        if not self.allow_random and not same_rows(alone, outputs(self.session("own"), first), 1):
            raise UnsupportedModelError(
                f"{self.name} returns different outputs for the same input. Export it in inference mode, "
                "or pass allow_random."
            )
        return False


def _filled(rows: Feeds, count: int, required: int | None) -> Feeds:
    """Return ``count`` rows, followed by copies of the last one if a run requires more."""
    if required is None or count >= required:
        return rows
    return {name: np.concatenate([a, np.repeat(a[-1:], required - len(a), axis=0)]) for name, a in rows.items()}
