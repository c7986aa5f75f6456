"""Occlusion: the change of the target when a window of the picture is covered."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, final

import numpy as np
from xaionnx_kernels import masks

from xaionnx.attribution import Attribution
from xaionnx.data.sample import Sample
from xaionnx.errors import ParameterError
from xaionnx.explainers._games.game import GameExplainer
from xaionnx.explainers._games.results import GameResult
from xaionnx.graph.roles import Role
from xaionnx.parameters import choice, flag, integer, name, size
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.game import Game
from xaionnx.perturb.removal import Removal
from xaionnx.perturb.text_removal import text_removal
from xaionnx.perturb.windows import Plane, WindowOcclusion
from xaionnx.request import Request
from xaionnx.runtime.model import Model
from xaionnx.targets.scores import default_shape
from xaionnx.targets.target import Target
from xaionnx.typing import Array, TargetLike

# The window at the input, if not given.
_PIXELS = 16
# The share of a long series: of a waveform of seconds, 16 steps would be none of its parts, and tens of thousands.
_SHARE = 64
# Positions evaluated at once: bounds the memory for class probabilities, whatever the stride.
_PIECE = 4096
# Numbers by pixel and target that are computed at once.
_NUMBERS = 2**19


@final
@dataclass(frozen=True, kw_only=True)
class Occlusion(GameExplainer):
    """The drop of the target when a window is covered by the baseline, assigned to the pixels in the window::

        drop_w  = f(x) - f(x with window w covered)
        value_i = mean over the windows w that cover pixel i of drop_w      (overlap="mean")
                = sum  over them                                            (overlap="sum")

    Windows are placed at multiples of the stride until the picture is covered; the last may extend beyond the border.
    In a sequence or a table row the window slides along the last axis. A window covers all channels. In a text the
    window and the stride count words; a window is one word if not given.

    ``maps`` by window position (rows, columns), after Zeiler and Fergus, figure 7:

    ``drop`` : (N, rows, columns)
        The drop at each position.
    ``probability`` (d) : (N, rows, columns)
        The probability of the explained class with the window there, if the target is a class.
    ``top_class`` (e) : (N, rows, columns)
        The number of the most probable class with the window there.
    ``activation`` (b) : (N, rows, columns)
        The mean activation of one channel of the tensor ``activation``, by default the strongest at the input.

    With ``layer`` the windows slide over the positions of that tensor, such as a map (N, C, h, w) or a series of
    features, and cover all channels there; the part of the model after it runs, and ``baseline`` is one of the layer.

    With ``incremental``, only the values that a window changes are recomputed, on the CPU and if the model is local
    enough to gain from it. The results agree with a full run up to rounding; each recomputed part of the model has its
    own session. The diagnostic ``incremental`` names the inner tensors that were reused, or is None.

    The published figure slides a gray square; here ``baseline`` covers the window, by default zeros in the model's
    input. Captum averages overlapping windows and PAIR saliency sums them; ``overlap`` offers both.

    Notes
    -----
    When to use: Pictures and series of any model, when the result must be easy to explain: covering this window lowers
    the score by this much.

    When not to use: Evidence that occurs twice, because covering one occurrence leaves the other. Small windows on
    large pictures, because each position costs an evaluation.

    References
    ----------
    Zeiler and Fergus, Visualizing and understanding convolutional networks, ECCV 2014, arXiv:1311.2901, section 4.2.
    Nakandala, Kumar and Papakonstantinou, Incremental and approximate inference for faster occlusion-based deep CNN
    explanations, SIGMOD 2019, doi:10.1145/3299869.3319874.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[1.0, 2.0, -3.0]]))
    >>> x = np.ones((1, 3), np.float32)
    >>> xaionnx.explain(model, x, Occlusion(window=2, stride=1)).values
    array([[ 3.,  1., -1.]], dtype=float32)
    """

    axioms: ClassVar[tuple[str, ...]] = ("linearity",)
    reference: ClassVar[str] = "Zeiler and Fergus 2014, arXiv:1311.2901"
    plays_together: ClassVar[bool] = True

    window: int | tuple[int, ...] | None = size(
        None,
        "height and width of the window in pixels; 16, a 64th of a series of more than 1024 steps, a quarter of an "
        "input of at most 16 positions along each axis, or 1 position of a layer, if not given",
        optional=True,
    )
    stride: int | tuple[int, ...] | None = size(
        None, "steps of the window in pixels; half the window if not given", optional=True
    )
    overlap: str = choice("mean", ("mean", "sum"), "how overlapping windows are combined")
    class_maps: bool = flag(True, "also map the class's probability and the top class by position")
    incremental: bool = flag(False, "on the CPU, recompute only what the window changed, if that is faster")
    activation: str | None = name("also map the activation of this tensor by position")
    channel: int | None = integer(None, "channel of that tensor; the strongest if not given", low=0, optional=True)
    layer: str | None = name("slide windows over the positions of this tensor instead")

    def check_parameters(self) -> None:
        if self.incremental and self.layer is not None:
            raise ParameterError(
                "The 'incremental' parameter of Occlusion must be False with a layer: the part of the model after it "
                "runs as a whole. Got True instead."
            )

    def _window(self, sample: Sample) -> int | tuple[int, ...]:
        if self.window is not None:
            return self.window
        if self.layer is not None:
            return 1
        plane, positions = Plane(sample, "Occlusion"), sample.positions()
        if max(plane.extent) > _PIXELS:
            is_series = positions is not None and positions.role is Role.TIME
            return max(_PIXELS, max(plane.extent) // _SHARE) if is_series else _PIXELS
        # A window that covers everything does not tell where.
        lengths = plane.extent[1:] if plane.is_flat else plane.extent
        return tuple(max(1, length // 4) for length in lengths)

    def compute(self, request: Request) -> Attribution:
        games = super().compute(request)
        first = request.samples[0]
        window = self._words("window", 1) if first.text is not None and self.layer is None else self._window(first)
        return replace(games, parameters={"window": window, **games.parameters})

    @property
    def removed_layer(self) -> str | None:
        return self.layer

    def extra_targets(self, model: Model, target: TargetLike) -> list[Target]:
        further: list[Target] = []
        if self.activation is not None:
            further.append(Target.channel(self.activation, self.channel))
        if self.class_maps and len(default_shape(model)) == 2:
            further.append(Target.classes(probability=True))
        return further

    def applier(self) -> str:
        return "incremental" if self.incremental else "auto"

    def shares_players(self, sample: Sample) -> bool:
        return True

    def removal(self, sample: Sample) -> Removal:
        if sample.text is not None:
            return text_removal(sample, self.players(sample), self.replacing(sample), self.seed)
        baseline = Baseline.of(self.replacement)
        values = baseline.draws(sample, (sample.main,), self.seed, may_interpolate=True)
        interpolated = baseline.interpolates(sample.main)
        return WindowOcclusion(sample, self.players(sample), values, self._window(sample), interpolated=interpolated)

    def estimate(self, game: Game) -> GameResult:
        removal = game.removal
        if not isinstance(removal, WindowOcclusion):
            return self._over_words(game)
        stride = removal.steps(type(self).__name__, self.stride)
        corners = masks.window_corners(removal.plane.extent, removal.window, stride)
        grid = tuple(len(np.unique(corners[:, axis])) for axis in range(corners.shape[1]))
        drops = np.empty((len(corners), game.targets))
        pieces: list[dict[str, Array]] = []
        for start in range(0, len(corners), _PIECE):
            piece = slice(start, start + _PIECE)
            values, watched = game.watch(corners[piece])
            drops[piece] = game.full - values
            pieces.append(self._watched_maps(game, watched))
        values = np.empty((game.targets, *removal.plane.extent))
        some = max(1, _NUMBERS // values[0].size)
        for start in range(0, len(values), some):
            total, covered = removal.laid_over(drops.T[start : start + some], corners)
            values[start : start + some] = total / np.maximum(covered, 1) if self.overlap == "mean" else total
        maps = {"drop": drops.T, **{key: np.concatenate([s[key] for s in pieces], axis=1) for key in pieces[0]}}
        maps = {key: by_position.reshape(-1, *grid) for key, by_position in maps.items()}
        diagnostics = {"incremental": ", ".join(game.cuts) or None}
        return GameResult(values.reshape(len(values), -1), diagnostics=diagnostics, maps=maps)

    def _over_words(self, game: Game) -> GameResult:
        """The result of a text: windows of whole words."""
        length, stride = self._words("window", 1), self._words("stride", 0)
        stride = stride or max(1, length // 2)
        starts = np.arange(0, max(1, game.players - length + stride), stride)
        covered = (np.arange(game.players) >= starts[:, None]) & (np.arange(game.players) < starts[:, None] + length)
        drops = np.empty((len(covered), game.targets))
        for start in range(0, len(covered), _PIECE):
            piece = slice(start, start + _PIECE)
            drops[piece] = game.full - game.watch(~covered[piece])[0]
        total = drops.T @ covered
        return GameResult(total / np.maximum(covered.sum(axis=0), 1) if self.overlap == "mean" else total)

    def _words(self, parameter: str, default: int) -> int:
        """A length in words.

        Raises
        ------
        ParameterError
            Several numbers are given.
        """
        given = default if (value := getattr(self, parameter)) is None else value
        if isinstance(given, int):
            return given
        if len(given) == 1:
            return int(given[0])
        raise ParameterError(
            f"The '{parameter}' parameter of Occlusion must be one int for a text. Got {given} instead."
        )

    def _watched_maps(self, game: Game, watched: Array) -> dict[str, Array]:
        """Maps (R T, M) of the further targets, (M, R W)."""
        maps: dict[str, Array] = {}
        by_sample, targets = watched.reshape(len(watched), game.samples, -1), game.targets // game.samples
        first = 0
        if self.activation is not None:
            maps["activation"] = np.repeat(by_sample[:, :, 0].T, targets, axis=0)
            first = 1
        probabilities = by_sample[:, :, first:]
        if probabilities.size:
            maps["top_class"] = np.repeat(probabilities.argmax(axis=2).T, targets, axis=0)
            scores = game.selection.terms[-1].tensor
            own = game.selection.terms[:targets]
            if all(term.tensor == scores and term.indices.shape[1] == 1 for term in own):
                each = [probabilities[:, np.arange(game.samples), term.indices[:, 0]].T for term in own]
                maps["probability"] = np.stack(each, axis=1).reshape(game.targets, -1)
        return maps
