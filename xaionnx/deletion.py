"""Deletion and insertion: the prediction while parts are removed or inserted in the order of their values."""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np

from xaionnx.data.display import as_picture, shrunk
from xaionnx.data.sample import Sample
from xaionnx.errors import ParameterError
from xaionnx.evaluation.evidence import Evidence
from xaionnx.explanation import Explanation
from xaionnx.metrics.faithfulness.deletion import Deletion
from xaionnx.metrics.faithfulness.insertion import Insertion
from xaionnx.perturb.baseline import Baseline
from xaionnx.record import recorded_value
from xaionnx.request import Request
from xaionnx.runtime.model import Model
from xaionnx.targets.chances import chances
from xaionnx.targets.resolve import FixedTerms
from xaionnx.typing import Array, BaselineLike, Document, InputLike, ModelLike, TargetLike

REMOVAL_STEPS: Final = 20
"""Steps from the whole input to the baseline, if none are given."""

# In pixels: the longer side of what replaces removed parts.
_SIDE: Final = 256
# The seed of the two metrics, and so of what replaces removed parts.
_SEED: Final = 0


def removal_curves(
    model: ModelLike,
    x: InputLike,
    explanation: Explanation,
    target: TargetLike = None,
    *,
    steps: int = REMOVAL_STEPS,
    baseline: BaselineLike = None,
) -> Explanation:
    """Return the record with the prediction after each step of removing and of inserting positions of the input.

    Positions go in the order of their values, summed over channels, the largest first: an explanation is the better,
    the sooner the prediction falls (``maps["deletion"]``) and rises (``maps["insertion"]``), both (N, steps + 1). Where
    it is known how scores become probabilities, these are probabilities. It takes 2 (steps + 1) evaluations a sample.
    Of a picture, ``maps["baseline"]`` is what replaces the removed parts, uint8 (N, h, w, 3), for films.
    The area below them is the metric ``deletion`` or ``insertion``; see :func:`xaionnx.evaluate`.

    Parameters
    ----------
    model, x, target
        As for the explanation; see :func:`xaionnx.explain`.
    explanation : Explanation
        The explanation of ``x``, with a value for each element of the input.
    steps : int
        Number of steps from the whole input to the baseline.
    baseline : optional
        The values that replace what is removed; zero by default.

    Raises
    ------
    ParameterError
        ``steps`` is not a positive int, or the explanation has no value for each element of the input.

    References
    ----------
    Petsiuk, Das and Saenko, RISE: Randomized input sampling for explanation of black-box models, BMVC 2018,
    arXiv:1806.07421, section 4.3.

    Examples
    --------
    >>> import xaionnx
    >>> x = np.random.default_rng(0).normal(size=(1, 1, 28, 28)).astype(np.float32)
    >>> result = xaionnx.explain("models/mnist_cnn.onnx", x, "saliency")
    >>> removal_curves("models/mnist_cnn.onnx", x, result, steps=4).maps["deletion"].shape
    (1, 5)
    """
    opened = model if isinstance(model, Model) else Model.load(model)
    return with_removal_curves(Request(opened, x, target), explanation, steps, baseline)


def with_removal_curves(
    request: Request, explanation: Explanation, steps: int = REMOVAL_STEPS, baseline: BaselineLike = None
) -> Explanation:
    """The same for a request that has been explained."""
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        raise ParameterError(
            f"The 'steps' parameter of removal_curves must be an int in [1, inf). Got {steps!r} instead."
        )
    record, resolved = explanation.samples_first(), request.resolved
    if record.samples != len(request.samples) or record.several_targets != request.several:
        raise ParameterError(
            "The 'explanation' parameter of removal_curves must be one of the same samples and targets as x and target."
        )
    given = 0.0 if baseline is None else baseline
    maps: dict[str, Array] = {}
    for name, metric in (
        ("deletion", Deletion(steps=steps, baseline=given, seed=_SEED)),
        ("insertion", Insertion(steps=steps, baseline=given, seed=_SEED)),
    ):
        curves = [metric.measure(_evidence(request, record, t)).curves for t in range(resolved.count)]
        if not all("target" in found for found in curves):
            raise ParameterError("All values are equal, so that they give no order in which parts could be removed.")
        whole = np.stack([found["target"] for found in curves])
        maps[name] = whole if record.several_targets else whole[0]
    bound = Baseline.of(given).bind(request.model)
    facts: Document = {"baseline": recorded_value(bound), "steps": steps}
    if request.samples[0].is_picture:
        rows = [bound.draws(sample, (sample.main,), _SEED)[sample.main] for sample in request.samples]
        shown = np.stack([_as_picture(*each) for each in zip(request.samples, rows, strict=True)])
        maps["baseline"] = np.broadcast_to(shown, (resolved.count, *shown.shape)) if record.several_targets else shown
        facts["rows"] = len(rows[0])
    facts["probability"] = all(chances(resolved, t) is not None for t in range(resolved.count))
    return dataclasses.replace(
        explanation,
        maps=explanation.maps | maps,
        provenance=explanation.provenance | {"removal_curves": facts},
    )


def _as_picture(sample: Sample, rows: Array) -> Array:
    """The baselines (B, ...) of a sample, over which outputs are averaged, as one picture: their mean."""
    return shrunk(as_picture(sample, sample.main, rows.mean(axis=0).astype(rows.dtype)), _SIDE)


def _evidence(request: Request, record: Explanation, t: int) -> Evidence:
    """The values of one of the targets, and its request."""
    if not record.several_targets:
        return Evidence(request, record)
    term = request.resolved.terms[t]
    values = (
        {name: array[t] for name, array in record.values.items()}
        if isinstance(record.values, dict)
        else record.values[t]
    )
    one = dataclasses.replace(
        record,
        values=values,
        target=record.target[t],
        prediction=record.prediction[t],
        baseline_prediction=None,
        feature_values=None,
        features=None,
        standard_error=None,
        maps={},
    )
    return Evidence(Request(request.model, request.inputs, FixedTerms((term,))), one)
