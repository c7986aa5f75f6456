"""What the first rows tell about a model and its file does not: whether rows are samples, and the axes of outputs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, final

from xaionnx.errors import UnsupportedModelError, XaionnxError
from xaionnx.graph.output_shapes import untold_ranks
from xaionnx.runtime.axes import other_axes, stated_ranks
from xaionnx.runtime.fixed_batch import filled, number_of_rows, suggested_batches, why_places_matter
from xaionnx.runtime.rows import MOST_COMPARED, has_one_row, other_number_error, probe_rows, rows_to_compare
from xaionnx.typing import Array, Feeds

if TYPE_CHECKING:
    from xaionnx.runtime.model import Model


@final
class FirstRows:
    """Runs the first rows through a model, at most three times for each input shape, and remembers what they tell."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._found: dict[Hashable, Model] = {}
        # How many rows of a form were found not to see each other: fewer do not either.
        self._apart: dict[Hashable, int] = {}

    @property
    def models(self) -> Collection[Model]:
        """The models that were found."""
        return self._found.values()

    def _once(self, key: Hashable, find: Callable[[], Model]) -> Model:
        if key not in self._found:
            self._found[key] = find()
        return self._found[key]

    def _divided(self, feeds: Feeds) -> tuple[Feeds, Feeds]:
        """Return the inputs with rows and those without."""
        shared = self._model.shared
        own = {name: array for name, array in feeds.items() if name not in shared}
        return own, {name: feeds[name] for name in feeds.keys() & shared}

    def with_true_ranks(self, feeds: Feeds) -> Model:
        """Return the model with the numbers of axes that its outputs have: see :meth:`Model.with_true_ranks`.

        Raises
        ------
        ParameterError
            The user states another number of axes.
        """
        return self._once("ranks", lambda: self._with_ranks_of_first_row(feeds))

    def _with_ranks_of_first_row(self, feeds: Feeds) -> Model:
        model = self._model
        untold = set() if model.is_derived else untold_ranks(model.view)
        names = sorted(untold - model.true_shapes.keys())
        if not names:
            return model
        declared = {one.name: len(one.shape) for one in model.axes.outputs}
        stated = stated_ranks(model.axes.stated)
        shapes: dict[str, Sequence[int | None]] = {}
        for name, result in self._first_results(self._in_any_order(names), feeds, names).items():
            # An output without samples has an axis for one here.
            shape = result.shape[1:] if model.axes.moved.get(name, 0) is None else result.shape
            if len(shape) != stated.get(name, len(shape)):
                raise other_axes(model.name, name, shape, stated[name])
            if len(shape) != declared[name]:
                # In a file for one sample an axis of size 1 may be that of the samples.
                shapes[name] = [size if size == 1 == model.fixed_batch else None for size in shape]
        return model.reopened(shapes={**model.true_shapes, **shapes}) if shapes else model

    def _in_any_order(self, names: Sequence[str]) -> Model:
        """Return the model with the axes of outputs in the order of the file, which need not be as many as declared."""
        model = self._model
        turned = {name: len(one.shape) for one in model.axes.outputs if model.axes.moved.get(name := one.name)}
        if turned.keys().isdisjoint(names):
            return model
        by_name = model.stated_by_name()
        by_name |= {name: " ".join(["N", *["-"] * (turned[name] - 1)]) for name in names if name in turned}
        return model.reopened(axes=by_name)

    def _first_results(self, model: Model, feeds: Feeds, names: Sequence[str]) -> dict[str, Array]:
        """Return outputs for the first row; none if the model fails, which the run that matters reports."""
        own, shared = self._divided(feeds)
        try:
            return model.run_once({**{name: array[:1] for name, array in own.items()}, **shared}, names)
        except UnsupportedModelError:
            return {}

    def probed(self, feeds: Feeds, outputs: Collection[str]) -> Model:
        """Return the model after a probe of its first rows: see :meth:`Model.probed`."""
        model = self._model
        own, _ = self._divided(feeds)
        count = min((len(array) for array in own.values()), default=0)
        doubtful = () if model.is_derived else tuple(model.axes.doubtful_outputs(outputs))
        shapes = sorted((name, array.shape[1:]) for name, array in own.items())
        if doubtful and count == 1 and model.fixed_batch == 1 and not model.axes.rows:
            return self._once(("one sample", *shapes, *doubtful), lambda: self._of_one_sample(feeds, doubtful))
        if model.is_derived or count == 0 or model.axes.rows == "joint":
            return model
        form = (*shapes, *sorted(outputs))
        key = (min(count, MOST_COMPARED), *form)
        if (model.fixed_batch or 1) > 1:
            return self._once(("fixed", count, *key), lambda: self._in_places(feeds, outputs))
        if count == 1 and not doubtful and model.batch_size is None and self._rounds_together():
            # What is removed from a sample gives rows too.
            return self._once("one by one", lambda: model.in_runs_of(1))
        # Rows that take the branch of an If are evaluated one by one.
        single = model.fixed_batch is not None or model.batch_size == 1 or model.chooses_branches
        if single:
            return model
        if model.axes.rows or (count == 1 and not doubtful):
            return self._once(("batch", *key), lambda: self._in_batches_of_the_graph(feeds, outputs))
        if count <= self._apart.get(form, 0):
            return model
        return self._once(key, lambda: self._compared(feeds, outputs, doubtful, form))

    def _run(self, model: Model, shared: Feeds, outputs: Collection[str]) -> Callable[[Feeds], dict[str, Array]]:
        """Return what runs a model once on rows, for those of some outputs that hold numbers, if any does."""
        every = [info for info in model.outputs if info.name in outputs]
        names = [info.name for info in every if info.dtype.kind in "fiub"] or [info.name for info in every]
        return lambda rows: model.run_once({**rows, **shared}, names)

    def _in_places(self, feeds: Feeds, outputs: Collection[str]) -> Model:
        """Return the model of a fixed number of rows, which are one sample together if they see each other.

        Raises
        ------
        UnsupportedModelError
            They do, and another number of them is given.
        """
        model = self._model
        if self._is_random or model.chooses_branches:
            return model
        own, shared = self._divided(feeds)
        places, given = model.fixed_batch or 1, len(next(iter(own.values())))
        # Others have no axis of samples, or are not known to have one, which matters once they are explained.
        outputs = [name for name in outputs if model.axes.moved.get(name, 0) is not None]
        if not outputs:
            return model
        try:
            why = why_places_matter(self._run(model, shared, outputs), own, places)
        except UnsupportedModelError:
            # The run that matters reports it.
            return model
        if why and self._rounds_together():
            return model.reopened(batch_size=1)
        if why and (given != places or model.axes.rows):
            main = model.input().name
            how = "each of them cannot be explained alone" if model.axes.rows else "no other number can be explained"
            raise UnsupportedModelError(
                f"{model.name} takes {places} rows of '{main}' in each run, and what it returns for a row {why}, so "
                f"{how}. Give {places} rows as one sample, with rows='joint', or export it with a free number of "
                "samples."
            )
        if not why:
            return model
        joint = model.reopened(rows="joint")
        failure = f"it takes {places} in each run, and what it returns for a row {why}"
        return replace(joint, axes=replace(joint.axes, row_failure=failure))

    def _in_batches_of_the_graph(self, feeds: Feeds, outputs: Collection[str]) -> Model:
        """Return the model in runs of as many rows as its graph is for, if it does not return one for a single one."""
        model = self._model
        own, shared = self._divided(feeds)
        run = self._run(model, shared, outputs)
        suggested = suggested_batches(model.view)
        if self._is_random or not suggested:
            return model
        try:
            alone = run(filled(own, 1))
            if has_one_row([alone], [name for name in alone if model.axes.moved.get(name, 0) == 0]):
                return model
        except UnsupportedModelError:
            pass
        return self._in_batches_found(feeds, outputs, suggested) or model

    def _in_batches_found(self, feeds: Feeds, outputs: Collection[str], suggested: Sequence[int]) -> Model | None:
        """Return the model in runs of as many rows as it runs on, if they may be any rows; None if there are none."""
        model = self._model
        own, shared = self._divided(feeds)
        run = self._run(model, shared, outputs)
        for places in number_of_rows(run, own, suggested):
            settings = [one.name for one in model.axes.inputs if one.name in shared and _has_rows(one.shape, places)]
            if settings and len(next(iter(own.values()))) == places:
                # Inputs of as many rows, such as masks, hold one for each sample.
                stated = {name: " ".join(["N", *["-"] * (shared[name].ndim - 1)]) for name in settings}
                found = model.reopened(axes={**model.stated_by_name(), **stated})
                try:
                    found = found.probed(feeds, outputs)
                except XaionnxError:
                    continue
                if found.axes.rows == model.axes.rows:
                    return found
            elif not why_places_matter(run, own, places):
                return model.in_batches_of(places)
        return None

    def _of_one_sample(self, feeds: Feeds, doubtful: Sequence[str]) -> Model:
        """Return the model of a file for one sample with the only axis of size 1 of its outputs first, if there is one.

        Outputs with more or none of them belong to the one sample as a whole.
        """
        shapes = {name: result.shape for name, result in self._first_results(self._model, feeds, doubtful).items()}
        return self._model.with_samples_at(
            {
                name: shape.index(1) if shape.count(1) == 1 else None
                for name, shape in shapes.items()
                if shape[:1] != (1,)
            }
        )

    def _compared(self, feeds: Feeds, outputs: Collection[str], doubtful: Sequence[str], form: Hashable) -> Model:
        """Return the model whose samples are what the answers for rows alone and for rows together say."""
        model = self._model
        own, shared = self._divided(feeds)
        names = [info.name for info in model.outputs if info.name in outputs and info.dtype.kind in "fiub"]
        compared = rows_to_compare(own)
        probe = probe_rows(
            self._run(model, shared, outputs),
            compared,
            [name for name in names if name not in doubtful],
            [name for name in names if name in doubtful],
            own,
        )
        if probe.joint and not probe.failure and self._rounds_together():
            # The rows of a batch share a range of integers, and so round each other's numbers, but are samples.
            return model.reopened(batch_size=1)
        if not (probe.runs_alone or self._is_random):
            suggested = [len(next(iter(own.values()))), *suggested_batches(model.view)]
            found = self._in_batches_found(feeds, outputs, [count for count in suggested if count > 1])
            if found is not None:
                return found
        if probe.joint and probe.failure and not model.allow_random:
            self._check_together(own, shared, names)
        if probe.joint and not model.allow_random:
            joint = model.reopened(rows="joint")
            return replace(joint, axes=replace(joint.axes, row_failure=probe.failure))
        if probe.compared and not (probe.joint or probe.moved):
            self._apart[form] = len(next(iter(compared.values())))
        return model.with_samples_at(probe.moved)

    def _check_together(self, own: Feeds, shared: Feeds, names: Sequence[str]) -> None:
        """Raise UnsupportedModelError if a model that does not run on a single row does not on all rows either."""
        model = self._model

        def run(rows: Feeds) -> object:
            return model.run_once({**rows, **shared}, names)

        try:
            run(own)
        except UnsupportedModelError as error:
            raise other_number_error(model.name, run, own, error) from None

    @property
    def _is_random(self) -> bool:
        return self._model.allow_random and bool(self._model.file.random_ops)

    def _rounds_together(self) -> bool:
        """Whether the rows of a batch share a range of integers."""
        return any(node.op_type == "DynamicQuantizeLinear" for node in self._model.graph.graph.node)


def _has_rows(shape: Sequence[int | str | None], count: int) -> bool:
    return len(shape) > 1 and shape[0] == count
