"""Local evidence: the target of each patch of the picture alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, final

import numpy as np
from xaionnx_kernels import masks

from xaionnx.attribution import Attribution
from xaionnx.data.sample import Sample
from xaionnx.errors import InputMismatchError, ParameterError, UnsupportedModelError
from xaionnx.explainers._games.game import GameExplainer
from xaionnx.explainers._games.results import GameResult
from xaionnx.explanation import ValueKind
from xaionnx.layers.axes import Axes, input_positions
from xaionnx.layers.spatial_map import SpatialMap
from xaionnx.layers.spatial_scores import no_scores_error, score_tensors, spatial_scores
from xaionnx.parameters import choice, flag, name, size
from xaionnx.perturb.game import Game
from xaionnx.perturb.windows import Reveal
from xaionnx.request import Request
from xaionnx.runtime import progress
from xaionnx.runtime.model import Model
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class LocalEvidence(GameExplainer):
    """The target of each q x q patch alone, assigned to the pixels of the patch::

        evidence_p = f(patch p alone)
        value_i    = mean over the patches p that cover pixel i of evidence_p

    BagNets average the scores of patches, so their map sums to the output. For other models the map shows the target of
    a patch without the rest, which may be small: evidence that needs two patches together is in neither.

    ``patches`` selects how a patch is isolated:

    ``scores``
        A tensor (N, K, h, w), ``layer`` or found by its shape, whose mean over the positions is the target's tensor, as
        before the global pooling of a BagNet. One run evaluates all patches, and the map is upsampled bilinearly. q is
        the receptive field of a position of that tensor.
    ``alone``
        The patch is cropped and used as the input, for models that take pictures of any size. It costs least.
    ``covered``
        The rest of the picture is replaced by the baseline.

    With ``relative``, f(baseline) is subtracted from the evidence of covered patches, so an uninformative patch gets 0
    even if the model assigns a class to a blank picture. ``auto`` selects ``scores`` if there is such a tensor and
    ``relative`` is False, otherwise ``covered``. Patches are placed at multiples of the stride; the last are moved to
    end at the border. In a sequence or a table row the patch slides along the last axis. ``provenance["parameters"]``
    records the choice.

    ``maps`` of the result:

    ``evidence`` : (N, rows, columns)
        The target of each patch, by its position.

    Notes
    -----
    When to use: Models that decide by local texture, such as BagNets: it shows the evidence of each patch alone.

    When not to use: Models that need the whole object: a patch alone is unlike what they were trained on.

    References
    ----------
    Brendel and Bethge, Approximating CNNs with bag-of-local-features models works surprisingly well on ImageNet,
    ICLR 2019, arXiv:1904.00760, section 3.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[1.0, 2.0, -3.0]]))
    >>> x = np.ones((1, 3), np.float32)
    >>> xaionnx.explain(model, x, LocalEvidence(window=2, stride=1)).values
    array([[ 3.,  1., -1.]], dtype=float32)
    """

    may_be_conditional: ClassVar[bool] = False
    axioms: ClassVar[tuple[str, ...]] = ("linearity",)
    reference: ClassVar[str] = "Brendel and Bethge 2019, arXiv:1904.00760"

    patches: str = choice("auto", ("auto", "scores", "alone", "covered"), "how a patch is isolated")
    window: int | tuple[int, ...] | None = size(
        None, "height and width of a patch in pixels; a quarter of the input's if not given", optional=True
    )
    stride: int | tuple[int, ...] | None = size(
        None, "steps of the patch in pixels; a quarter of the window if not given", optional=True
    )
    relative: bool = flag(False, "subtract the target at the baseline from covered patches")
    layer: str | None = name("tensor of scores by position; found by its shape if not given")

    def check_parameters(self) -> None:
        if self.relative and self.patches not in ("auto", "covered"):
            raise ParameterError(
                f"The 'relative' parameter of LocalEvidence must be False for patches='{self.patches}', which has no "
                "baseline. Got True instead."
            )
        if self.layer is not None and (self.relative or self.patches not in ("auto", "scores")):
            setting = "relative=True" if self.relative else f"patches='{self.patches}'"
            raise ParameterError(
                f"The 'layer' parameter of LocalEvidence must be None for {setting}, which uses none. "
                f"Got {self.layer!r} instead."
            )

    @property
    def value_kind(self) -> ValueKind:
        return "contribution" if self.relative else "alone"

    def compute(self, request: Request) -> Attribution:
        attribution = self._from_score_map(request)
        if attribution is not None:
            return attribution
        sample = request.samples[0]
        if self.patches == "alone":
            self._check_free(request.model, sample)
        parameters = {"patches": "alone" if self.patches == "alone" else "covered", "window": self._window(sample)}
        games = super().compute(request)
        return replace(games, parameters={**games.parameters, **parameters})

    def _from_score_map(self, request: Request) -> Attribution | None:
        """The attribution from a tensor with scores at each position; None if ``scores`` does not apply."""
        if self.patches not in ("auto", "scores") or self.relative:
            return None
        model, sample, tensors = request.model, request.samples[0], {*request.tensors}
        tensor = min(tensors)
        # Only the positions of a picture's feature map correspond to places in the input.
        found = sample.positions()
        fits = len(tensors) == 1 and found is not None and found.is_picture
        names = score_tensors(model, tensor, sample, self.layer) if fits else []
        layer_scores = spatial_scores(tensor, request.resolve(keep=names).outputs, names) if names else None
        if layer_scores is not None:
            return self._from_scores(request, tensor, *layer_scores)
        if self.patches == "scores" or self.layer is not None:
            raise no_scores_error(model, tensor, self.layer)
        return None

    def _window(self, sample: Sample) -> int | tuple[int, ...]:
        default = tuple(max(1, sample.array.shape[axis] // 4) for axis in _sides(sample))
        return default if self.window is None else self.window

    def removal(self, sample: Sample) -> Reveal:
        return Reveal(sample, self.players(sample), self.baseline_values(sample, (sample.main,)), self._window(sample))

    def estimate(self, game: Game) -> GameResult:
        reveal = game.removal
        assert isinstance(reveal, Reveal)  # self.removal makes nothing else
        stride = reveal.steps(type(self).__name__, self.stride, share=4)
        last = np.maximum(0, np.subtract(reveal.plane.extent, reveal.window))
        corners = np.minimum(masks.window_corners(reveal.plane.extent, reveal.window, stride), last).astype(np.int32)
        grid = tuple(len(np.unique(corners[:, axis])) for axis in range(corners.shape[1]))
        evidence = (self._cropped_outputs(game, reveal, corners) if self.patches == "alone" else game.values(corners)).T
        if self.relative:
            evidence = evidence - game.empty[:, None]
        total, covered = reveal.laid_over(evidence, corners)
        values = (total / covered).reshape(len(evidence), -1)
        return GameResult(values, maps={"evidence": evidence.reshape(-1, *grid)})

    def _cropped_outputs(self, game: Game, reveal: Reveal, corners: Array) -> Array:
        sample, main = reveal.sample, reveal.sample.main
        whole = sample.array.reshape(reveal.plane.view)
        shape = list(sample.array.shape)
        for axis, length in zip(_sides(sample), reveal.window[-len(_sides(sample)) :], strict=True):
            shape[axis] = min(length, shape[axis])

        def feed(start: int, stop: int) -> dict[str, Array]:
            ends = corners[start:stop] + np.array(reveal.window)
            crops = [
                whole[(slice(None), *map(slice, first, last))]
                for first, last in zip(corners[start:stop], ends, strict=True)
            ]
            others = {n: a for n, a in sample.own.items() if n != main}
            rows = {n: np.repeat(a[None], stop - start, axis=0) for n, a in others.items()}
            return {**rows, main: np.stack(crops).reshape(stop - start, *shape)}

        progress.expect(len(corners))
        return game.apart(len(corners), feed)

    def _check_free(self, model: Model, sample: Sample) -> None:
        shape = model.input().shape
        if any(isinstance(shape[axis + 1], int) for axis in _sides(sample)):
            raise UnsupportedModelError(
                f"Input '{sample.main}' of {model.name} is {model.input()}, of fixed size, so it cannot take a smaller "
                "patch. Use patches='covered'."
            )

    def _from_scores(self, request: Request, tensor: str, layer: str, scores: Array) -> Attribution:
        """The attribution of the targets at each position of scores (N, h, w, K)."""
        sample, selection = request.samples[0], request.resolved.selection
        count, height, width, classes = scores.shape
        evidence = np.stack(
            [selection.of_sample(n).select({tensor: scores[n].reshape(-1, classes)}).T for n in range(count)],
            axis=1,
        ).reshape(-1, count, height, width)
        places = input_positions(sample)
        over = (places["H"], places["W"]) if "H" in places else None
        values = SpatialMap(Axes("CHW"), (1, height, width), sample, over).spread(evidence, "bilinear")
        return Attribution(
            {request.main: values.astype(np.float32)},
            maps={"evidence": evidence},
            parameters={"patches": "scores", "layer": layer},
        )


def _sides(sample: Sample) -> tuple[int, ...]:
    """The axes along which patches are taken: those of the positions, or the columns of a row."""
    found = sample.positions()
    if found is None and sample.array.ndim == 0:
        raise InputMismatchError(
            f"Input '{sample.main}' is a single number for each sample, which has no parts to show. Use saliency, or "
            "feature_ablation."
        )
    return (sample.array.ndim - 1,) if found is None else found.axes
