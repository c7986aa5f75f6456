"""The explanation built from an attribution, with all that is needed to repeat it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from xaionnx.displays import displays
from xaionnx.explanation import Arrays, Explanation
from xaionnx.graph.parts import parts_of
from xaionnx.record.gradients import other_arithmetic_facts, steps_on_the_way
from xaionnx.record.hashes import sample_sha256s
from xaionnx.record.inputs import (
    axes_facts,
    columns_alone,
    left_as_is,
    nan_not_taken,
    of_all_samples,
    off_scale,
    zero_by_default,
)
from xaionnx.record.targets import box_and_label_facts, probabilities, quantity
from xaionnx.record.values import recorded_parameters, recorded_value, recorded_versions
from xaionnx.runtime.axes import in_file_order
from xaionnx.text_record import text_facts, with_words
from xaionnx.typing import Array, Document, Entry

if TYPE_CHECKING:
    from xaionnx.attribution import Attribution
    from xaionnx.explainer import Explainer
    from xaionnx.request import Request


def record(explainer: Explainer, request: Request, attribution: Attribution) -> Explanation:
    """The explanation of a request: the attribution, its cost, and all that is needed to repeat it."""
    resolved, whole = request.resolved, attribution.data_set
    attribution = with_words(attribution, request.samples, explainer.value_kind)

    def axis(array: Array) -> Array:
        return array if request.several else array[0]

    values, errors = dict(attribution.values), dict(attribution.standard_error or {})
    # Of an input without an axis of samples, several are on the first axis, and one is as the file has it.
    moved = {
        name: where
        for name, where in request.model.axes.sample_axes().items()
        if name in values and (where is not None or len(request.samples) == 1)
    }
    for name, where in moved.items():
        values[name] = in_file_order(values[name], where, 1)
        if name in errors:
            errors[name] = in_file_order(errors[name], where, 1)
    others = {info.name for info in request.model.inputs} - {request.main}
    # The explained input or a layer needs no name.
    only_name = next(iter(values)) if len(values) == 1 and others.isdisjoint(values) else None
    players = attribution.players
    error = None
    if players is not None:
        error = None if players.standard_error is None else axis(players.standard_error)
    elif only_name is not None and only_name in errors:
        error = axis(errors.pop(only_name))
    # With several inputs, each standard error becomes a map.
    maps = {**attribution.maps, **{f"standard_error_{name}": array for name, array in errors.items()}}
    arithmetic, in_floats = other_arithmetic_facts(request, attribution)
    spent = request.evaluations
    evaluations = spent.rows.tolist() if whole is None else [int(spent.rows.sum())]
    return Explanation(
        method=explainer.name(),
        values=axis(values[only_name])
        if only_name is not None
        else {name: axis(array) for name, array in values.items()},
        target=axis(resolved.names if whole is None else np.array(whole.names)[:, None]),
        prediction=axis(resolved.prediction if whole is None else np.asarray(whole.prediction)[:, None]),
        baseline_prediction=None if attribution.baseline is None else axis(attribution.baseline),
        feature_values=None if players is None else axis(players.values),
        features=None
        if players is None
        else _array_or_mapping(
            {name: in_file_order(array, moved.get(name, 0)) for name, array in players.labels.items()},
            only_name or request.main,
        ),
        standard_error=error,
        maps={key: axis(array) for key, array in maps.items()},
        display=displays(request) if whole is None else columns_alone(request),
        diagnostics={
            "evaluations": evaluations,
            **({"gradients": spent.gradients.tolist()} if spent.gradients.any() else {}),
            "seconds": request.seconds,
            **(
                {**box_and_label_facts(resolved, request.several), **probabilities(resolved, request.several)}
                if whole is None
                else {"samples": len(request.samples)}
            ),
            **{
                key: _by_sample(value, request.several)
                for key, value in {**attribution.diagnostics, **in_floats}.items()
            },
        },
        provenance={
            **_provenance(explainer, request),
            **(of_all_samples(request) if whole is not None else {}),
            **({"sample_axes": moved} if moved else {}),
            "quantity": quantity(resolved) if whole is None or whole.quantity is None else whole.quantity,
            **({"not_logits": doubtful} if (doubtful := resolved.called_logits) else {}),
            **left_as_is(request, attribution),
            **zero_by_default(explainer, request, attribution),
            **nan_not_taken(request),
            **steps_on_the_way(explainer, request, attribution),
            "parameters": recorded_parameters(explainer, {**explainer.resolved_parameters(), **attribution.parameters}),
            **arithmetic,
            **attribution.facts,
            **text_facts(request, attribution),
        },
    )


def _array_or_mapping(arrays: Mapping[str, Array], main: str) -> Arrays:
    return arrays[main] if list(arrays) == [main] else dict(arrays)


def _by_sample(value: Entry, several: bool) -> Entry:
    """A diagnostic as a list with one entry per sample; any value but an array (T, N) is returned as it is."""
    if isinstance(value, np.ndarray):
        return (value if several else value[0]).T.tolist()
    return value


def _provenance(explainer: Explainer, request: Request) -> Document:
    """Versions, hashes of model and input, device, and the targets as given."""
    model = request.model
    return {
        "value_kind": explainer.value_kind,
        **recorded_versions(),
        "model": model.name,
        "model_sha256": model.sha256,
        **({"model_parts": parts} if (parts := parts_of(model.file.proto)) else {}),
        "opset": model.file.opset,
        # There may be a thousand labels, and they are stored beside the model.
        "spec": recorded_value(None if model.spec is None else dataclasses.replace(model.spec, labels=())),
        **axes_facts(request),
        "input_sha256": sample_sha256s(request),
        **request.inputs.provenance(),
        **off_scale(model, request.feeds[request.main]),
        "provider": model.provider,
        "device": model.settings.device,
        "threads": model.settings.threads,
        "target": recorded_value(request.target),
    }
