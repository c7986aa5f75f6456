"""BlockScoring: the scores of methods by metrics for one block of samples after another."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import product
from typing import Final, final

from xaionnx.counting import counted
from xaionnx.data.block import Block, Refused
from xaionnx.errors import ParameterError, TimeLimitError, XaionnxError
from xaionnx.evaluation.joining import beside, joined
from xaionnx.evaluation.judging import NO_MASKS, KnownControls
from xaionnx.evaluation.method_scoring import OF_ONE, MethodScoring
from xaionnx.evaluation.metric import Metric
from xaionnx.evaluation.samples import Blocks, by_name, name_of, numbered, refused_in_parts
from xaionnx.evaluation.score_times import Pair, ScoreTimes
from xaionnx.evaluation.table import ScoreTable
from xaionnx.evaluation.time_share import TimeShare
from xaionnx.explainer import Explainer
from xaionnx.layers.dry_run import DryRun
from xaionnx.record import recorded_parameters, recorded_versions
from xaionnx.request import Request
from xaionnx.runtime import progress
from xaionnx.runtime.model import Model
from xaionnx.targets.target import Target
from xaionnx.typing import Document, TargetLike

# Size of the weights of one model for each method: from here on the graphs of one method are closed before the next.
_OPEN_BYTES: Final = 2**26


@final
class BlockScoring:
    """Scores methods on one block after another; what does not apply, or takes too long, is given up.

    Parameters
    ----------
    samples : Blocks
        The blocks that will be scored.
    methods : sequence of Explainer
    metrics : sequence of Metric
    target : optional
        One target; the top class of each sample if None.
    controls : sequence of str
    seed : int
        That of the controls.
    times : ScoreTimes
        Measures what each score costs.

    Attributes
    ----------
    count : int
        How many samples were scored before.
    going : set of pairs
        The scores, a method and a metric each, that are not given up.
    late : set of pairs
        Those that were given up for the first samples already, because the time was too short.

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
        *,
        controls: Sequence[str],
        seed: int,
        times: ScoreTimes,
    ) -> None:
        self._samples, self._model, self._times = samples, samples.model, times
        self._target, self._controls, self._seed = target, controls, seed
        self._metrics = by_name(metrics)
        self._methods = {name: MethodScoring(one, samples.attempts(), times) for name, one in by_name(methods).items()}
        self._reads = samples.attempts()
        self._applicable: Mapping[str, bool] | None = None
        self._closes_derived = len(methods) * _file_bytes(self._model) > _OPEN_BYTES
        # Why there are no scores, of the next block.
        self._refused = {one.name(): NO_MASKS for one in metrics if "masks" in one.needs and not samples.has_masks}
        self._refused |= refused_in_parts([*methods, *metrics], samples)
        self._scored = set[Pair]()
        self.count, self.late = 0, set[Pair]()
        self.going = {pair for pair in product(self._methods, self._metrics) if not {*pair} & {*self._refused}}

    @property
    def provenance(self) -> Document:
        """What is needed to score the same again."""
        methods = {name: one.method for name, one in self._methods.items()}
        return {
            "model": self._model.name,
            "model_sha256": self._model.sha256,
            "provider": self._model.provider,
            **recorded_versions(),
            "controls": list(self._controls),
            "seed": self._seed,
            "methods": {name: recorded_parameters(one, {}) for name, one in methods.items()},
            "metrics": {name: recorded_parameters(one, {}) for name, one in self._metrics.items()},
        }

    @property
    def comparing(self) -> frozenset[Pair]:
        """Those of the scores that compare all samples with each other."""
        methods = {name for name, one in self._methods.items() if one.method.compares_samples}
        metrics = {name for name, one in self._metrics.items() if one.compares_samples}
        return frozenset(pair for pair in self.going if pair[0] in methods or pair[1] in metrics)

    def give_up(self, pairs: Collection[Pair], error: Exception) -> None:
        """Score no further samples by some pairs of a method and a metric, because of an error."""
        for pair in pairs:
            self._refused[" by ".join(pair)] = self._why(error, pair in self._scored)
        self._leave(pairs, error)

    def _give_up_method(self, name: str, pairs: Collection[Pair], error: Exception) -> None:
        """Give up a method; where only some of its scores were tried and took too long, these alone."""
        own = {pair for pair in self.going if pair[0] == name}
        if isinstance(error, TimeLimitError) and own - {*pairs}:
            self.give_up(own & {*pairs}, error)
            return
        self._refused[name] = self._why(error, bool(own & self._scored))
        self._leave(own, error)

    def _why(self, error: Exception, scored: bool) -> str:
        return f"left out after {counted(self.count, 'input')}: {error}" if scored else str(error)

    def _leave(self, pairs: Collection[Pair], error: Exception) -> None:
        self.going -= {*pairs}
        if isinstance(error, TimeLimitError):
            self.late |= {*pairs} - self._scored

    def of(self, block: Block, pairs: Collection[Pair], time_left: TimeShare) -> Iterator[ScoreTable]:
        """Yield the scores of the samples of a block after each method, and at last the whole table.

        Parameters
        ----------
        block : Block
        pairs : collection of pairs
            The scores to find, those that were given up too.
        time_left : TimeShare

        Raises
        ------
        ParameterError
            Several targets are given.
        XaionnxError
            The model does not run on the first samples.
        """
        self.going |= {*pairs}
        self.late -= {*pairs}
        left_out, done = list(block.refused), ScoreTable({})
        for part, asked in [] if block.inputs is None else self._reads.of(block, self.asked, self._model):
            if isinstance(asked, XaionnxError):
                left_out.append(Refused(part.units[0], name_of(part, 0), str(asked)))
                continue
            names = tuple(name_of(part, n) for n in range(len(asked.samples)))
            own, found = numbered(part, asked.inputs, self._model, len(asked.samples)), ScoreTable({}, inputs=names)
            for scored in self._by_methods(own, asked, {*pairs} & self.going, time_left):
                found = dataclasses.replace(scored, inputs=names)
                yield joined(done, found)
            done = joined(done, found)
            self._scored |= {(name, metric) for name, each in found.scores.items() for metric in each}
        refused, self._refused = {**self._refused, **done.refused}, {}
        yield dataclasses.replace(done, refused=refused, left_out=tuple(sorted(left_out, key=lambda one: one.unit)))

    def asked(self, block: Block) -> Request:
        """Return the request of the samples of a block, whose target is resolved.

        Raises
        ------
        ParameterError
            Several targets are given.
        XaionnxError
            The model does not run on the samples.
        """
        assert block.inputs is not None  # others are not asked for
        target = Target.of_block(self._target, block, self._samples.samples.count)
        asked = Request(self._model, block.inputs, target)
        if asked.several:
            raise ParameterError("A metric judges one target at a time. Got a list of targets instead.")
        _ = asked.resolved
        return asked

    def _by_methods(
        self, block: Block, asked: Request, pairs: Collection[Pair], time_left: TimeShare
    ) -> Iterator[ScoreTable]:
        """The scores of the samples of a request by the methods so far; ``block`` numbers its units from 0."""
        waiting = [name for name in self._methods if any(name == method for method, _ in pairs)]
        controls, found = KnownControls(self._controls, self._seed, self._times), ScoreTable({})
        for number, name in enumerate(waiting):
            place = f"method {number + 1} of {len(waiting)}{self._samples.place(self.count)}"
            progress.phase(f"{name}, {place}")
            judges = [one for metric, one in self._metrics.items() if (name, metric) in pairs]
            try:
                share = self._share(time_left, waiting[number:])
                one, failed = self._methods[name].of(block, asked, judges, controls, share, place)
            except OF_ONE as error:
                self._give_up_method(name, pairs, error)
            else:
                found = beside(found, dataclasses.replace(one, refused={**one.refused, **self._refusals(name, failed)}))
                yield found
            if self._closes_derived:
                self._model.close_derived()

    def _share(self, time_left: TimeShare, waiting: Sequence[str]) -> TimeShare:
        """The share of the first of some methods; those that the model does not allow take no time."""
        if time_left.end is None:
            return time_left
        if self._applicable is None:
            self._applicable = _applicable({name: one.method for name, one in self._methods.items()}, self._model)
        return time_left.of(max(1, sum(self._applicable[name] for name in waiting)))

    def _refusals(self, name: str, failed: Mapping[str, Exception]) -> dict[str, str]:
        """Why a method has no scores by some metrics; what failed only for these samples is not given up."""
        refused = dict[str, str]()
        for metric, error in failed.items():
            pair = (name, metric)
            if isinstance(error, TimeLimitError) or pair not in self._scored:
                self._leave([pair], error)
                refused[" by ".join(pair)] = self._why(error, pair in self._scored)
            else:
                refused[" by ".join(pair)] = str(error)
        return refused


def _file_bytes(model: Model) -> int:
    return sum(path.stat().st_size for path in (model.file.path, *model.file.external))


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
