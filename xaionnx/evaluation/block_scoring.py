"""BlockScoring: the scores of methods by metrics for one block of samples after another."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Final, final

import numpy as np

from xaionnx.counting import counted
from xaionnx.data.block import Block, Refused
from xaionnx.data.listing import EMPTY
from xaionnx.errors import DataError, ParameterError, TimeLimitError, XaionnxError
from xaionnx.evaluation.evidence import Evidence
from xaionnx.evaluation.joining import Chain, followed_by, joined
from xaionnx.evaluation.judging import NO_MASKS, KnownControl, evidence_of, with_known_controls
from xaionnx.evaluation.metric import Metric
from xaionnx.evaluation.samples import Blocks, by_name, check_in_parts, name_of, numbered
from xaionnx.evaluation.scores import Scores, not_measured
from xaionnx.evaluation.table import ScoreTable
from xaionnx.evaluation.time_share import TimeShare
from xaionnx.explainer import Explainer
from xaionnx.layers.dry_run import DryRun
from xaionnx.record import recorded_parameters, recorded_versions
from xaionnx.request import Request
from xaionnx.runtime import progress
from xaionnx.runtime.model import Model
from xaionnx.targets.resolve import FixedTerms
from xaionnx.targets.target import Target
from xaionnx.typing import Document, TargetLike

OnTable = Callable[[Callable[[], ScoreTable]], object]
"""Called with a function that returns the table so far: joining it takes longer the more samples there are."""

# Size of the weights of one model for each method: from here on the graphs of one method are closed before the next.
_OPEN_BYTES: Final = 2**26

# Seconds that building the graphs of a method may take, which its first samples pay for.
_BUILDING: Final = 10.0

# What costs one method or one score, and not the others.
_OF_ONE: Final = (XaionnxError, MemoryError, OSError)


def scores_in_parts(blocks: Blocks, scored: Callable[[Block], Scores]) -> Scores:
    """Return the scores of all blocks as one; those of samples that cannot be scored are NaN.

    Raises
    ------
    DataError
        No sample can be read.
    XaionnxError
        No sample can be scored.
    """
    attempts, refused = blocks.attempts(), list[Refused]()
    chain, failed = Chain(followed_by, _size), list[tuple[int, str]]()
    like: Scores | None = None
    for block, _ in blocks.found:
        refused += block.refused
        for part, found in [] if block.inputs is None else attempts.of(block, scored, blocks.model):
            if isinstance(found, Scores):
                like = found
            else:
                failed.append((_count(part, blocks.model), str(found)))
            if like is not None:
                for count, why in failed:
                    chain.add(not_measured(like, count, why))
                failed.clear()
            if isinstance(found, Scores):
                chain.add(found)
    if not chain.parts:
        raise _nothing_read(refused)
    whole = chain.whole()
    if not refused:
        return whole
    listed = [dataclasses.asdict(one) for one in refused]
    return dataclasses.replace(whole, provenance={**whole.provenance, "left_out": listed})


def _size(scores: Scores) -> int:
    return len(scores.values)


def _samples_of(table: ScoreTable) -> int:
    return len(table.inputs) + len(table.left_out)


def _nothing_read(refused: Sequence[Refused]) -> DataError:
    return DataError(refused[0].reason if refused else EMPTY)


def _count(block: Block, model: Model) -> int:
    return 0 if block.inputs is None else len(model.samples(block.inputs.arrays))


def table_of(  # noqa: PLR0913 - what scores depend on
    blocks: Blocks,
    methods: Sequence[Explainer],
    metrics: Sequence[Metric],
    target: TargetLike,
    *,
    controls: Sequence[str],
    seed: int,
    time_left: TimeShare,
    on_progress: OnTable | None = None,
) -> ScoreTable:
    """Return the scores of methods by metrics for all samples of some blocks; see `score_table`."""
    scoring = BlockScoring(blocks, methods, metrics, target, controls, seed)
    tell = on_progress or _ignore
    for block, left in blocks.found:
        try:
            share = time_left.of(left) if blocks.several else time_left
        except TimeLimitError as error:
            scoring.stop(str(error))
            break
        further = bool(scoring.count)
        scoring.add(block, share, _ignore if further else tell)
        if further:
            tell(scoring.so_far())
    progress.phase("")
    return scoring.so_far()()


def _ignore(so_far: Callable[[], ScoreTable]) -> None:
    del so_far


@final
class BlockScoring:
    """Scores the methods on one block after another; what does not apply, or takes too long, is not tried again.

    Parameters
    ----------
    samples : Blocks
        The blocks that will be added.
    methods : sequence of Explainer
    metrics : sequence of Metric
    target : optional
        One target; the top class of each sample if None.
    controls : sequence of str
    seed : int
        That of the controls.

    Attributes
    ----------
    count : int
        How many samples have been scored.

    Raises
    ------
    ParameterError
        Two methods or two metrics have the same name.
    """

    def __init__(
        self,
        samples: Blocks,
        methods: Sequence[Explainer],
        metrics: Sequence[Metric],
        target: TargetLike,
        controls: Sequence[str],
        seed: int,
    ) -> None:
        self._samples, self._model = samples, samples.model
        self._target, self._controls, self._seed = target, controls, seed
        self._metrics = [*by_name(metrics).values()]
        self._running = by_name(methods)
        self._attempts = {name: self._samples.attempts() for name in self._running}
        self._reads = self._samples.attempts()
        self._applicable = dict[str, bool]()
        self._given_up_pairs = set[tuple[str, str]]()
        self._place = ""
        self._prices = dict[str, float]()
        self._closes_derived = len(self._running) * _file_bytes(self._model) > _OPEN_BYTES
        self._stopped = ""
        # The methods, and the pairs of a method and a metric, with scores; and why others have none, of the next part.
        self._scored_so_far, self._refused = set[str | tuple[str, str]](), dict[str, str]()
        self._chain = Chain(joined, _samples_of)
        self._chain.add(ScoreTable({}, provenance=self._provenance(methods, metrics)))
        self.count = 0
        if not samples.has_masks:
            self._metrics = [one for one in metrics if "masks" not in one.needs]
            self._refused = {one.name(): NO_MASKS for one in metrics if "masks" in one.needs}
        for method in methods:
            if self._compares(method):
                del self._running[method.name()]
        self._metrics = [one for one in self._metrics if not self._compares(one)]

    def _provenance(self, methods: Sequence[Explainer], metrics: Sequence[Metric]) -> Document:
        """What is needed to score the same again."""
        return {
            "model": self._model.name,
            "model_sha256": self._model.sha256,
            "provider": self._model.provider,
            **recorded_versions(),
            "controls": list(self._controls),
            "seed": self._seed,
            "methods": {one.name(): recorded_parameters(one, {}) for one in methods},
            "metrics": {one.name(): recorded_parameters(one, {}) for one in metrics},
        }

    def _compares(self, one: Explainer | Metric) -> bool:
        """Whether a method or a metric needs all samples at once, where they are in parts; it is refused then."""
        try:
            check_in_parts(one, self._samples)
        except ParameterError as error:
            self._refused[one.name()] = str(error)
            return True
        return False

    def add(self, block: Block, time_left: TimeShare, tell: OnTable) -> None:
        """Add the scores of the samples of a block; ``tell`` is called after each method.

        Raises
        ------
        ParameterError
            Several targets are given.
        XaionnxError
            The model does not run on the first samples.
        """
        left_out = list(block.refused)
        if block.inputs is not None:
            for part, asked in self._reads.of(block, self._asked, self._model):
                if isinstance(asked, XaionnxError):
                    left_out.append(Refused(part.units[0], name_of(part, 0), str(asked)))
                else:
                    names = tuple(name_of(part, n) for n in range(len(asked.samples)))
                    own = numbered(part, asked.inputs, self._model, len(asked.samples))
                    found = ScoreTable({}, inputs=names)
                    for scored in self._scored(own, asked, time_left):
                        found = dataclasses.replace(scored, inputs=names)
                        tell(self.so_far(found))
                    self._add(found)
        self._add(ScoreTable({}, left_out=tuple(sorted(left_out, key=lambda one: one.unit))))

    def _add(self, table: ScoreTable) -> None:
        self._chain.add(dataclasses.replace(table, refused={**self._refused, **table.refused}))
        self._refused = {}
        self.count += len(table.inputs)
        self._scored_so_far |= {*table.scores, *((name, one) for name, each in table.scores.items() for one in each)}

    def stop(self, why: str) -> None:
        """Note that no further samples are scored, and why."""
        self._stopped = why

    def so_far(self, further: ScoreTable | None = None) -> Callable[[], ScoreTable]:
        """Return what returns the table so far, with ``further`` scores.

        It is without the reasons of what has scores for all of its samples. The function raises DataError if no sample
        could be read.
        """
        parts = (*self._chain.parts, ScoreTable({}, {**self._refused}), *([] if further is None else [further]))
        running, given_up = {*self._running}, {f"{name} by {metric}" for name, metric in self._given_up_pairs}
        stopped = self._stopped

        def table() -> ScoreTable:
            whole = reduce(joined, parts)
            if not whole.inputs and whole.left_out:
                raise _nothing_read(whole.left_out)
            scored = {f"{name} by {metric}" for name, each in whole.scores.items() for metric in each} - given_up
            scored |= {name for name in running if whole.scores.get(name)}
            refused = {name: why for name, why in whole.refused.items() if name not in scored}
            return dataclasses.replace(whole, refused=refused, stopped=stopped)

        return table

    def _asked(self, block: Block) -> Request:
        """The request of the samples of a block, whose target is resolved."""
        assert block.inputs is not None  # others are not asked for
        target = Target.of_block(self._target, block, self._samples.samples.count)
        asked = Request(self._model, block.inputs, target)
        if asked.several:
            raise ParameterError("A metric judges one target at a time. Got a list of targets instead.")
        _ = asked.resolved
        return asked

    def _scored(self, block: Block, asked: Request, time_left: TimeShare) -> Iterator[ScoreTable]:
        """The scores of the samples of a request by the methods so far; ``block`` numbers its units from 0."""
        if time_left.end is not None and not self._applicable:
            self._applicable = _applicable(self._running, self._model)
        waiting, known, found = [*self._running], dict[KnownControl, Scores](), ScoreTable({})
        for number, name in enumerate(waiting):
            self._place = f"method {number + 1} of {len(waiting)}{self._samples.place(self.count)}"
            progress.phase(f"{name}, {self._place}")
            try:
                share = time_left.of(max(1, sum(self._applicable.get(one, True) for one in waiting[number:])))
                one = self._by(name, block, asked, share, known)
            except _OF_ONE as error:
                del self._running[name]
                self._refused[name] = self._given_up(str(error), name in self._scored_so_far)
            else:
                found = ScoreTable(
                    {**found.scores, **one.scores}, {**found.refused, **one.refused}, {**found.seconds, **one.seconds}
                )
                yield found
            if self._closes_derived:
                self._model.close_derived()

    def _given_up(self, why: str, scored: bool) -> str:
        return f"left out after {counted(self.count, 'input')}: {why}" if scored else why

    def _by(
        self, name: str, block: Block, asked: Request, share: TimeShare, known: dict[KnownControl, Scores]
    ) -> ScoreTable:
        """The scores of one method; the controls that are the same for all are in ``known``."""

        def explained(some: Block) -> Evidence:
            assert some.inputs is not None  # each part has samples
            fixed = FixedTerms.of_rows(asked.resolved, np.unique(some.units))[0]
            with share.of(2).limit():
                found = evidence_of(asked.model, some.inputs, self._running[name], fixed, some.masks)
            found.check_of_inputs()
            return found

        parts = self._attempts[name].of(block, explained, self._model)
        table = ScoreTable({})
        for some, evidence in parts:
            if isinstance(evidence, XaionnxError):
                found = ScoreTable({name: {}}, {name: str(evidence)})
            else:
                found = self._judged(name, evidence, share, known if len(parts) == 1 else {}, len(parts) == 1)
            table = joined(table, dataclasses.replace(found, inputs=("",) * len({*some.units})))
        if name in table.seconds:
            price = self._price(name, table.seconds[name], block, explained)
            table = dataclasses.replace(table, seconds={name: price})
        return table

    def _price(self, name: str, seconds: float, block: Block, explained: Callable[[Block], Evidence]) -> float:
        """Seconds of a method for a sample, of which the first ones paid for building its graphs too."""
        known = self._prices.get(name, seconds)
        count = len({*block.units})
        if name not in self._prices and count * seconds <= _BUILDING and not self._running[name].compares_samples:
            first = block.within(block.units[0], block.units[0] + 1, self._model.shared)
            with contextlib.suppress(TimeLimitError):
                known = explained(first).explanation.diagnostics["seconds"]
        self._prices[name] = min(known, seconds)
        return self._prices[name]

    def _judged(
        self, name: str, evidence: Evidence, share: TimeShare, known: dict[KnownControl, Scores], whole: bool
    ) -> ScoreTable:
        """The scores by all metrics; ``whole`` is whether the evidence is that of all samples of the block."""
        scores, refused = dict[str, Scores](), dict[str, str]()
        judges = [one for one in self._metrics if (name, one.name()) not in self._given_up_pairs]
        for done, judge in enumerate(sorted(judges, key=_cost)):
            pair = f"{name} by {judge.name()}"
            progress.phase(f"{pair}, {self._place}")
            try:
                if judge.compares_samples and not whole:
                    raise ParameterError("It compares all samples with each other, and some have no explanation.")
                with share.of(len(judges) - done).limit():
                    scores[judge.name()] = with_known_controls(judge, evidence, self._controls, self._seed, known)
            except _OF_ONE as error:
                before = (name, judge.name()) in self._scored_so_far
                refused[pair] = str(error)
                if isinstance(error, TimeLimitError) or not before:
                    self._given_up_pairs.add((name, judge.name()))
                    refused[pair] = self._given_up(str(error), before)
        price = evidence.explanation.diagnostics["seconds"] / len(evidence.samples)
        ordered = {one.name(): scores[one.name()] for one in judges if one.name() in scores}
        return ScoreTable({name: ordered}, refused, {name: price})


def _file_bytes(model: Model) -> int:
    return sum(path.stat().st_size for path in (model.file.path, *model.file.external))


def _cost(judge: Metric) -> tuple[bool, bool]:
    """An order of metrics by what they cost: without evaluations, with some, and those that explain again."""
    return "method" in judge.needs, judge.category() not in ("complexity", "localisation")


def _applicable(methods: Mapping[str, Explainer], model: Model) -> dict[str, bool]:
    """Which methods the model seems to allow: the others will take no time."""
    dry_run, found = DryRun.of(model), dict[str, bool]()
    for name, method in methods.items():
        try:
            method.validate(dry_run)
        except XaionnxError:
            found[name] = False
        else:
            found[name] = True
    return found
