"""Integrated Hessians: pairwise interactions that add up to integrated gradients."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from xaionnx.attribution import Attribution, PlayerValues
from xaionnx.errors import ParameterError
from xaionnx.explainers._games.game import pad_maps, pad_players
from xaionnx.explainers._games.interaction_indices import matrix_facts
from xaionnx.explainers._gradients.gradient import AtLayer, GradientExplainer, Points
from xaionnx.explainers._gradients.logarithmic_rule import logarithmic_rule
from xaionnx.explainers._gradients.path_players import PathPlayers, members
from xaionnx.explainers._gradients.paths import FromBaseline, Paths, completeness
from xaionnx.explanation import ValueKind
from xaionnx.gradients.choice import validate_source
from xaionnx.gradients.target_gradients import TargetGradients
from xaionnx.gradients.target_hessians import TargetHessians
from xaionnx.parameters import integer, real
from xaionnx.perturb import features as partitions
from xaionnx.perturb.players import Players
from xaionnx.typing import Array, FeaturesLike

if TYPE_CHECKING:
    from xaionnx.layers.dry_run import DryRun


@final
@dataclass(frozen=True, kw_only=True)
class IntegratedHessians(FromBaseline, AtLayer, GradientExplainer):
    """Interactions of pairs of players: integrated gradients of the integrated gradients of each player::

        phi_i     = sum over k in i of (x_k - b_k) * integral over a from 0 to 1 of df/dx_k (b + a (x - b))
        pair_i_j  = phi_j of phi_i
                  = sum over k in i, l in j of (x_k - b_k) (x_l - b_l) * mean of a c d2f/dx_k dx_l (b + a c (x - b))
                    + [i = j] sum over k in i of (x_k - b_k) * mean of df/dx_k (b + a c (x - b))

    with a and c uniform in [0, 1]. ``maps["interactions"]`` (N, P, P) is that symmetric matrix: half of the interaction
    of each pair is on either side of the diagonal, the main effects are on it. Each row sums to phi of its player, its
    value, and the whole matrix to f(x) - f(b).

    The product of a and c has the density -ln s, so that the two integrals are one, whose Gauss rule has ``steps``
    points: it is exact for polynomials f up to degree 2 ``steps``. At each point the Hessian is multiplied with x - b
    at the elements of each player, all players in one run.

    A rectifier has no second derivative where it has a slope, and its kinks hold all interactions. As in the paper
    ReLU is therefore replaced by softplus, ``log(1 + exp(softplus x)) / softplus``, and with it Abs, LeakyRelu and Clip
    (ReLU6), which are sums of ReLU: the larger the number, the nearer to ReLU, and the more points the integral needs.
    Other kinks, as of max-pooling, stay, and what they hold is missing. The diagnostic ``completeness_gap`` is the sum
    of the matrix minus f(x) - f(b); ``smoothing_gap``, a part of it, is the change of the softplus network minus that
    of f. ``provenance["smoothed"]`` counts the replaced nodes.

    Notes
    -----
    When to use: Differentiable models, to see which columns or words act together; it costs a run for each point of the
    path, whatever the number of players, where interactions of games need many.

    When not to use: Trees and other models without gradients, for which ``shapley_interactions`` is made. Networks
    whose kinks are not ReLU. Networks of dozens of layers: where softplus is sharp enough to be near to ReLU, their
    second derivatives are peaks between the points, and ``completeness_gap`` does not fall with more of them.

    References
    ----------
    Janizek, Sturmfels and Lee, Explaining explanations: axiomatic feature interactions for deep networks, JMLR 22,
    2021, arXiv:2002.04138, equations 4 to 7 and section 4.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.polynomial(2, {(0, 1): 1.0}))      # x0 x1
    >>> found = xaionnx.explain(model, np.float32([[2, 4]]), IntegratedHessians())
    >>> found.values, found.maps["interactions"][0].round(4).tolist()
    (array([[4., 4.]], dtype=float32), [[2.0, 2.0], [2.0, 2.0]])
    """

    axioms: ClassVar[tuple[str, ...]] = ("linearity", "null player", "symmetry")
    reference: ClassVar[str] = "Janizek, Sturmfels and Lee 2021, arXiv:2002.04138"
    value_kind: ClassVar[ValueKind] = "contribution"

    features: FeaturesLike = partitions.parameter(
        "who the players are", "superpixels of pictures, segments of series and elements of other inputs,"
    )
    steps: int = integer(64, "number of points on the path", low=1, high=256)
    softplus: float | None = real(
        10.0,
        "sharpness of the softplus in the place of ReLU, which is kept with none",
        low=0,
        low_open=True,
        optional=True,
    )

    def check_parameters(self) -> None:
        super().check_parameters()
        if self.gradient not in ("auto", "graph"):
            raise ParameterError(
                "The 'gradient' parameter of IntegratedHessians must be auto or graph, as second derivatives are those "
                f"of a gradient graph. Got {self.gradient!r} instead."
            )

    def check_gradients(self, dry_run: DryRun, names: Sequence[str]) -> dict[str, str | None]:
        from xaionnx.autodiff.table import STANDARD

        found = super().check_gradients(dry_run, names)
        # With rules that are stated there are no finite differences in their place.
        return found if found["gradient"] == "graph" else validate_source(dry_run, names, STANDARD)

    def explain_points(self, target_gradients: TargetGradients, points: Points) -> Attribution:
        hessians = TargetHessians(target_gradients, self.softplus)
        parts = PathPlayers.of(target_gradients, self.features, self.layer)
        players = parts.players
        whole = Paths.of(target_gradients, points, self.replacement, self.seed)
        # Elements of no player stay as they are.
        paths = dataclasses.replace(whole, starts=parts.held(whole))
        baseline = paths.baseline_targets(np.arange(paths.draws))
        matrices = [self._matrices(hessians, paths, n, each) for n, each in enumerate(players)]
        sums = pad_players([matrix.sum(axis=-1)[:, None] for matrix in matrices])
        total = np.stack([matrix.sum(axis=(1, 2)) for matrix in matrices], axis=1)
        change = points.values - baseline
        spread = [
            each.spread(matrix.sum(axis=-1), {name: x[n] for name, x in points.x.items()})
            for n, (each, matrix) in enumerate(zip(players, matrices, strict=True))
        ]
        return Attribution(
            {name: np.stack([one[name] for one in spread], axis=1) for name in points.x},
            baseline,
            players=PlayerValues(
                sums, {name: np.stack([one.maps[name] for one in players]) for name in players[0].maps}
            ),
            maps={"interactions": pad_maps([matrix[:, None] for matrix in matrices])},
            diagnostics={
                **completeness(total, change),
                "smoothing_gap": self._smooth_change(hessians, paths) - change if hessians.smoothed else 0 * change,
                "players": [one.count for one in players],
            },
            parameters={"features": players[0].features},
            facts={
                **matrix_facts("integrated_hessians"),
                "smoothed": hessians.smoothed,
                **parts.facts,
            },
        )

    @staticmethod
    def _smooth_change(hessians: TargetHessians, paths: Paths) -> Array:
        """The changes (T, N) of the targets with softplus, from the baselines to the samples."""
        sample, draws = paths.points.sample, paths.draws
        starts = {name: each.reshape(-1, *each.shape[2:]) for name, each in paths.starts.items()}
        before = hessians.values(np.repeat(sample, draws), lambda rows: {n: a[rows] for n, a in starts.items()})
        after = hessians.values(sample, lambda rows: {n: a[rows] for n, a in paths.points.x.items()})
        return np.asarray(after - before.reshape(len(before), -1, draws).mean(axis=2))

    def _matrices(self, hessians: TargetHessians, paths: Paths, n: int, players: Players) -> Array:
        """The interactions of the players of one sample, (T, P, P), averaged over the baselines."""
        shares, weights = logarithmic_rule(self.steps)
        count = players.count
        found = np.zeros((hessians.targets, count, count))
        for draw in range(paths.draws):
            start = {name: each[n, draw] for name, each in paths.starts.items()}
            way = {name: paths.points.x[name][n] - each for name, each in start.items()}
            points = {name: start[name] + _column(shares, way[name]) * way[name] for name in way}
            moves = {name: members(players, name, each.shape) * each for name, each in way.items()}
            for t, places, some, gradients, products in hessians.at(n, points, moves):
                weight = weights[places] / paths.draws
                for name in products:
                    flat = moves[name].reshape(count, -1).astype(np.float64)
                    curved = np.tensordot(weight * shares[places], products[name].astype(np.float64), 1)
                    found[t, some] += curved.reshape(-1, flat.shape[1]) @ flat.T
                    if some.start == 0:
                        sloped = np.tensordot(weight, gradients[name].astype(np.float64), 1)
                        found[t][np.diag_indices(count)] += flat @ sloped.reshape(-1)
        return (found + found.swapaxes(1, 2)) / 2


def _column(shares: Array, way: Array) -> Array:
    return shares.reshape(-1, *(1,) * way.ndim).astype(way.dtype)
