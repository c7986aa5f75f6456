"""Masker: the region that a class depends on, found in one run of a network that was trained for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self, final

import numpy as np

from xaionnx import masker as maskers
from xaionnx.attribution import Attribution
from xaionnx.errors import ParameterError
from xaionnx.explainer import Explainer
from xaionnx.explanation import ValueKind
from xaionnx.masker import Masker
from xaionnx.parameters import free
from xaionnx.request import Request
from xaionnx.runtime.model import Model
from xaionnx.targets.scores import default_output
from xaionnx.targets.selection import TargetTerm
from xaionnx.targets.target import Target
from xaionnx.typing import Array, MaskerLike

if TYPE_CHECKING:
    from xaionnx.layers.dry_run import DryRun


def _classes(term: TargetTerm, model: Model) -> Array:
    """The classes (N,) of a target.

    Raises
    ------
    ParameterError
        The target is not one class of each sample.
    """
    out = default_output(model)
    if not term.is_element or term.tensor != out:
        raise ParameterError(
            f"A masker explains one class of '{out}', and the target is {term.names[0]}. Give a class, or use a method "
            "without a masker: meaningful_perturbation, rise."
        )
    return term.indices[:, 0]


@final
@dataclass(frozen=True, kw_only=True)
class LearnedMask(Explainer):
    """The share of each position that a trained network keeps, so that the class is seen by it and not without it::

        value = masker(x, class)

    The network is trained once for a model, on inputs like those to be explained, by ``xaionnx masker MODEL FOLDER -o
    FILE.onnx`` or :class:`xaionnx.optimization.MaskerTraining`, which states the objective. Then a mask takes one run
    of a network of a few thousand weights, and no gradients; the model itself runs only for the prediction. The file
    also runs by itself, in any ONNX runtime.

    The values are what the network has learned to give for inputs like those of its training; no search checks them at
    the input. All of a target's forms, such as a class's probability and its logit, have the same mask. How far masks
    of classes differ depends on the training, see its ``fake`` and ``selector``.

    Diagnostics: ``area``, the mean of the mask.

    Notes
    -----
    When to use: Many pictures, or live ones, of a model for which a masker is worth its training.

    When not to use: Pictures unlike those of the training. To see what a single picture depends on for certain:
    ``extremal_masks`` and ``rise`` ask the model itself.

    References
    ----------
    Dabkowski and Gal, Real time image saliency for black box classifiers, NeurIPS 2017, arXiv:1705.07857.

    Raises
    ------
    UnsupportedModelError
        The model is not a classifier of one picture.
    InputMismatchError
        The masker explains another model, or inputs of another size.
    ParameterError
        There is no masker, or the target is not a class.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import xaionnx
    >>> from xaionnx.optimization import MaskerTraining
    >>> digits = np.load("models/data/mnist_sample.npz")["images"] / np.float32(255)
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "masker.onnx"
    >>> masker = MaskerTraining(steps=2, batch=8).train("models/mnist_cnn.onnx", digits, path)
    >>> xaionnx.explain("models/mnist_cnn.onnx", digits[:3], LearnedMask(masker=masker)).values.shape
    (3, 1, 28, 28)
    """

    value_kind: ClassVar[ValueKind] = "importance"
    needs: ClassVar[str] = "output"
    reference: ClassVar[str] = "Dabkowski and Gal 2017, arXiv:1705.07857"

    masker: MaskerLike = free(None, "a Masker, or its .onnx file", "FILE.onnx that xaionnx masker wrote for this model")

    def default_target(self, model: Model) -> Target | None:
        # As in the paper, whose objective is made of probabilities.
        known = model.spec is not None and model.spec.activation != "none"
        return Target.probability() if known else None

    def bind(self, model: Model) -> Self:
        return replace(self, masker=Masker.of_model(self.masker, model))

    def check_model(self, dry_run: DryRun) -> dict[str, str | None]:
        if dry_run.sample is not None:
            maskers.picture_positions(dry_run.model, dry_run.sample)
        return {}

    def compute(self, request: Request) -> Attribution:
        masker, resolved = Masker.of_model(self.masker, request.model), request.resolved
        positions = maskers.picture_positions(request.model, request.samples[0])
        x = request.feeds[request.main]
        masks = np.stack([masker.masks(x, _classes(term, request.model)) for term in resolved.terms])
        values = np.expand_dims(masks, tuple(axis + 2 for axis in positions.values))
        return Attribution(
            {request.main: np.broadcast_to(values, (len(masks), *x.shape)).astype(x.dtype)},
            diagnostics={"area": masks.mean(axis=(2, 3), dtype=np.float64)},
        )
