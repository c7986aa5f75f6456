"""BlockScoring: the scores of methods by metrics for one block of samples after another."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import product
from typing import Final, final

from xaionnx.counting import counted
from xaionnx.data.block import Block, Refused
from xaionnx.errors import ParameterError, TimeLimitError, XaionnxError
from xaionnx.evaluation.evidence import Evidence
from xaionnx.evaluation.few_runs import few_runs_first
from xaionnx.evaluation.joining import beside, joined
from xaionnx.evaluation.judging import NO_MASKS, KnownControls
from xaionnx.evaluation.label_matches import label_matches
from xaionnx.evaluation.method_scoring import OF_ONE, Explained, MethodScoring
from xaionnx.evaluation.metric import Metric
from xaionnx.evaluation.read_block import ReadBlock, ReadPart
from xaionnx.evaluation.samples import Blocks, by_name, name_of, numbered, refused_in_parts
from xaionnx.evaluation.score_times import ANY, Pair, ScoreTimes
from xaionnx.evaluation.table import ScoreTable
from xaionnx.evaluation.time_share import Limits
from xaionnx.explainer import Explainer
from xaionnx.record import recorded_parameters, recorded_versions
from xaionnx.request import Request
from xaionnx.runtime import progress
from xaionnx.runtime.model import Model
from xaionnx.targets.target import Target
from xaionnx.typing import Document, TargetLike

# Attributions of first samples that are kept at most.
_KEPT_BYTES: Final = 2**29
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
    late : dict of float by pair
        Those that were given up for the first samples already, because the time was too short, and how many seconds
        they are expected to take.

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
        self._methods = {
            name: MethodScoring(one, samples.attempts(one.compares_samples), times)
            for name, one in by_name(methods).items()
        }
        self._reads = samples.attempts()
        self._closes_derived = len(methods) * _file_bytes(self._model) > _OPEN_BYTES
        # Why there are no scores, of the next block.
        self._refused = {one.name(): NO_MASKS for one in metrics if "masks" in one.needs and not samples.has_masks}
        self._refused |= refused_in_parts([*methods, *metrics], samples)
        # Those of all samples, until they are compared with the classes.
        self._labels = samples.labels
        self._scored = set[Pair]()
        self.count, self.late = 0, dict[Pair, float]()
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
    def methods(self) -> tuple[str, ...]:
        """The names of the methods, those of few runs first."""
        return few_runs_first({name: one.method for name, one in self._methods.items()})

    @property
    def comparing(self) -> frozenset[Pair]:
        """Those of the scores that compare all samples with each other."""
        methods = {name for name, one in self._methods.items() if one.method.compares_samples}
        metrics = {name for name, one in self._metrics.items() if one.compares_samples}
        return frozenset(pair for pair in self.going if pair[0] in methods or pair[1] in metrics)

    @property
    def missing(self) -> frozenset[Pair]:
        """The scores that no sample has, and that no error but the time stands against."""
        return frozenset(pair for pair in {*self.going, *self.late} if pair[1] != ANY) - self._scored

    def give_up(self, pairs: Collection[Pair], error: Exception) -> None:
        """Score no further samples by some pairs of a method and a metric, because of an error."""
        for name in sorted({name for name, _ in pairs}):
            own = {pair for pair in pairs if pair[0] == name}
            if own & self._scored or {pair for pair in self.going if pair[0] == name} - own:
                self._refused |= {" by ".join(pair): self._why(error, pair in self._scored) for pair in sorted(own)}
            else:
                self._refused[name] = str(error)
        self._leave(pairs, error)

    def reasons(self) -> dict[str, str]:
        """Return why scores were given up since the last table."""
        reasons, self._refused = self._refused, {}
        return reasons

    def _give_up_method(self, name: str, pairs: Collection[Pair], error: Exception) -> None:
        """Give up a method; where only some of its scores were tried and took too long, these alone."""
        own = {pair for pair in self.going if pair[0] == name}
        tried = own & {*pairs}
        if isinstance(error, TimeLimitError) and tried and own - tried:
            self.give_up(tried, error)
            return
        self._refused[name] = self._why(error, bool(own & self._scored))
        self._leave(own | {(name, ANY)}, error)

    def _why(self, error: Exception, scored: bool) -> str:
        return f"left out after {counted(self.count, 'input')}: {error}" if scored else str(error)

    def _leave(self, pairs: Collection[Pair], error: Exception) -> None:
        self.going -= {*pairs}
        if isinstance(error, TimeLimitError):
            self.late |= dict.fromkeys({*pairs} - self._scored, math.inf if error.seconds is None else error.seconds)

    def read(self, block: Block, keeps: bool = False) -> ReadBlock:
        """Return the samples of a block that the model runs on.

        Parameters
        ----------
        block : Block
        keeps : bool
            Whether attributions are kept, because further scores of the same samples will be asked for.

        Raises
        ------
        ParameterError
            Several targets are given.
        XaionnxError
            The model does not run on the first samples, or labels are numbers that count from 1, and classes from 0.
        """
        left_out, parts = list(block.refused), list[ReadPart]()
        for part, asked in [] if block.inputs is None else self._reads.of(block, self.asked, self._model):
            if isinstance(asked, XaionnxError):
                left_out.append(Refused(part.units[0], name_of(part, 0), str(asked)))
                continue
            names = tuple(name_of(part, n) for n in range(len(asked.samples)))
            own = numbered(part, asked.inputs, self._model, len(asked.samples))
            controls = KnownControls(self._controls, self._seed, self._times)
            keeps = keeps and len(self._methods) * _bytes(asked) < _KEPT_BYTES
            matches = label_matches(asked, own, self._labels)
            self._labels = ()
            parts.append(ReadPart(names, own, asked, controls, matches, {} if keeps else None))
        return ReadBlock(parts, tuple(sorted(left_out, key=lambda one: one.unit)))

    def of(self, read: ReadBlock, pairs: Collection[Pair], limits: Limits) -> Iterator[ScoreTable]:
        """Yield the scores of samples after each method, and at last the whole table.

        Parameters
        ----------
        read : ReadBlock
        pairs : collection of pairs
            The scores to find, those that were given up too; with ANY in place of a metric a method explains alone.
        limits : Limits
        """
        self.going |= {pair for pair in pairs if pair[1] != ANY}
        self.late = {pair: seconds for pair, seconds in self.late.items() if pair not in pairs}
        done = ScoreTable({})
        for part in read.parts:
            found = ScoreTable({}, inputs=part.names, labels=part.labels)
            for scored in self._by_methods(part, pairs, limits):
                found = dataclasses.replace(scored, inputs=part.names, labels=part.labels)
                yield joined(done, found)
            done = joined(done, found)
            self._scored |= {(name, metric) for name, each in found.scores.items() for metric in each}
        yield dataclasses.replace(done, refused={**self.reasons(), **done.refused}, left_out=read.left_out)

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

    def _by_methods(self, part: ReadPart, pairs: Collection[Pair], limits: Limits) -> Iterator[ScoreTable]:
        """The scores of the samples by the methods so far."""
        asked = {name for name, _ in pairs}
        # If the time is too short, it is for the dearest ones.
        waiting = sorted((name for name in self._methods if name in asked), key=self._times.order)
        found = ScoreTable({})
        for number, name in enumerate(waiting):
            place = f"method {number + 1} of {len(waiting)}{self._samples.place(self.count)}"
            progress.phase(f"{name}, {place}")
            by = {metric for method, metric in self.going & {*pairs} if method == name}
            judges = [one for metric, one in self._metrics.items() if metric in by]
            try:
                explained = self._explained(part, name, limits)
                one, failed = self._methods[name].judged(explained, judges, part.controls, limits, place)
            except OF_ONE as error:
                self._give_up_method(name, pairs, error)
            else:
                found = beside(found, dataclasses.replace(one, refused={**one.refused, **self._refusals(name, failed)}))
                yield found
            if self._closes_derived:
                self._model.close_derived()

    def _explained(self, part: ReadPart, name: str, limits: Limits) -> Explained:
        """The attributions by a method, which are kept if further scores will be asked for."""
        method = self._methods[name]
        if part.kept is not None and name in part.kept:
            return method.of_kept(part.kept[name], part.asked)
        found = method.explained(part.block, part.asked, limits)
        if part.kept is not None:
            part.kept[name] = [(some, one.explanation if isinstance(one, Evidence) else one) for some, one in found]
        return found

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


def _bytes(asked: Request) -> int:
    """Bytes of the explanations of all samples."""
    return 2 * 8 * sum(array.size for array in asked.feeds.values())
