"""SENN: the concepts of a self-explaining network, and what each adds to the score."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.errors import OutputError, ParameterError, UnsupportedModelError
from xaionnx.explainer import Explainer
from xaionnx.explainers._gradients.gradient import input_path, with_facts
from xaionnx.explanation import ValueKind
from xaionnx.layers.layer import layer_name
from xaionnx.parameters import name
from xaionnx.request import Request
from xaionnx.runtime.model import Model
from xaionnx.targets.resolve import ResolvedTargets
from xaionnx.targets.scores import default_output, flat
from xaionnx.typing import Array

if TYPE_CHECKING:
    from xaionnx.layers.dry_run import DryRun

# How far the sum of float32 products may lie from the score, as a share of the sum of their sizes.
_CLOSE: Final = 1e-3


@final
@dataclass(frozen=True, kw_only=True)
class SelfExplanation(Explainer):
    """What each concept h_k of a self-explaining network adds to the score of a class c::

        value_k = theta_kc(x) h_k(x)        sum over k of value_k = f_c(x)

    The network itself computes concepts and their relevances theta; nothing is estimated. The spec of the model names
    the outputs that hold them, under ``[output]``, ``concepts = "..."`` and ``relevances = "..."``, or the parameters
    do. Concepts are (N, K), relevances (N, K, C) or (N, C, K) for C classes, or (N, K) for a single score. That the
    products add up to the score is checked for each sample, and what does not add up is refused.

    ``maps`` of the result, (N, K) each:

    ``concepts``
        h_k(x), how much of a concept is there.
    ``relevances``
        theta_kc(x), what one unit of it is worth for the class.

    Diagnostics: ``conservation_gap``, the sum of the values less the score. ``xaionnx activations concepts`` draws each
    concept by the inputs of a data set in which there is most of it.

    Notes
    -----
    When to use: Self-explaining networks: it reads off the explanation by which they decide.

    When not to use: Any other model. To trust a concept's name: what a concept stands for is seen from the inputs that
    have most of it, and relevances are those of this input, not of all.

    References
    ----------
    Alvarez-Melis and Jaakkola, Towards robust interpretability with self-explaining neural networks, NeurIPS 2018,
    arXiv:1806.07538, definition 3.1.

    Raises
    ------
    UnsupportedModelError
        Nothing says which outputs are the concepts and the relevances, or their shapes do not fit.
    OutputError
        The products do not add up to the score.
    ParameterError
        The target is not the score of a class.

    Examples
    --------
    >>> import xaionnx
    >>> digits = np.load("models/data/mnist_sample.npz")["images"] / np.float32(255)
    >>> found = xaionnx.explain("models/mnist_senn.onnx", digits[:2], "senn")
    >>> found.values.shape, bool(np.allclose(found.values.sum(axis=1), found.prediction, rtol=1e-3))
    ((2, 5), True)
    """

    value_kind: ClassVar[ValueKind] = "contribution"
    needs: ClassVar[str] = "activation"
    reference: ClassVar[str] = "Alvarez-Melis and Jaakkola 2018, arXiv:1806.07538"

    concepts: str | None = name("tensor with the concepts; the one that the spec names if not given")
    relevances: str | None = name("tensor with their relevances; the one that the spec names if not given")

    def check_model(self, dry_run: DryRun) -> dict[str, str | None]:
        concept_tensors(dry_run.model, self.concepts, self.relevances)
        return {}

    def compute(self, request: Request) -> Attribution:
        concepts, relevances = concept_tensors(request.model, self.concepts, self.relevances)
        resolved, out = request.resolve(keep=[concepts, relevances]), default_output(request.model)
        h, theta = flat(resolved.outputs[concepts]).astype(np.float64), resolved.outputs[relevances]
        each = [_of_class(resolved, t, out, h, theta) for t in range(resolved.count)]
        weights = np.stack(each)
        values = weights * h
        attribution = Attribution(
            {concepts: values.astype(np.float32)},
            maps={"concepts": np.stack([h] * len(each)), "relevances": weights},
            diagnostics={"conservation_gap": values.sum(axis=2) - resolved.prediction},
            facts={"adds_up_to": "target"},
        )
        located = with_facts(input_path(request).to(concepts), attribution)
        return replace(located, facts={**located.facts, "layer": {**located.facts["layer"], "unit": "concept"}})


def concept_tensors(model: Model, concepts: str | None = None, relevances: str | None = None) -> tuple[str, str]:
    """Return the tensors of the concepts and of their relevances; those that the spec names if they are not given.

    Raises
    ------
    UnsupportedModelError, UnknownNameError
        Nothing names them, or there is no such tensor.
    """
    spec = model.spec
    h = concepts or (None if spec is None else spec.concepts)
    theta = relevances or (None if spec is None else spec.relevances)
    if h is None or theta is None:
        raise UnsupportedModelError(
            f"Nothing says which outputs of {model.name} are the concepts and the relevances of a self-explaining "
            'network. Name them in [output] of its spec: concepts = "...", relevances = "...".'
        )
    return layer_name(model, h), layer_name(model, theta)


def _of_class(resolved: ResolvedTargets, t: int, out: str, h: Array, theta: Array) -> Array:
    """The relevances (N, K) for the class of a target.

    Raises
    ------
    ParameterError, UnsupportedModelError, OutputError
        The target is not a score of a class, or shapes or sums do not fit.
    """
    term, scores, rows = resolved.terms[t], flat(resolved.outputs[resolved.terms[t].tensor]), np.arange(len(h))
    if not term.is_element or term.tensor != out or term.activation != "identity":
        raise ParameterError(
            f"A self-explaining network adds up the score of a class of '{out}', and the target is {term.names[0]}. "
            "Give a class."
        )
    count, classes = h.shape[1], scores.shape[1]
    chosen, sizes = term.indices[:, 0], tuple(size for size in theta.shape[1:] if size != 1)
    readings = []
    if theta[0].size == count and classes == 1:
        readings.append(flat(theta))
    if theta[0].size == count * classes and sizes in ((count, classes), (count,), (classes,)):
        readings.append(theta.reshape(-1, count, classes)[rows, :, chosen])
    if theta[0].size == count * classes and sizes in ((classes, count), (count,), (classes,)):
        readings.append(theta.reshape(-1, classes, count)[rows, chosen])
    if not readings:
        raise UnsupportedModelError(
            f"Relevances of {count} concepts for {classes} classes are (N, {count}, {classes}) or "
            f"(N, {classes}, {count}). Got {theta.shape} instead."
        )
    wide = [one.astype(np.float64) for one in readings]
    sums = [(one * h).sum(axis=1) for one in wide]
    own = resolved.prediction[t]
    for one, total in zip(wide, sums, strict=True):
        if (np.abs(total - own) <= _CLOSE * (np.abs(one * h).sum(axis=1) + np.abs(own))).all():
            return one
    worst = int(np.argmax(np.abs(sums[0] - own)))
    raise OutputError(
        f"Concepts times relevances add up to {sums[0][worst]:.4g} for sample {worst}, and {term.names[worst]} is "
        f"{own[worst]:.4g}. Name the scores ahead of an activation as the output, and the tensors that "
        "add up to them."
    )
