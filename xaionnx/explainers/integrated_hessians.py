"""Integrated Hessians: pairwise interactions that add up to integrated gradients."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from xaionnx.attribution import Attribution, PlayerValues
from xaionnx.errors import ParameterError
from xaionnx.explainers._games.interaction_indices import matrix_facts
from xaionnx.explainers._games.results import pad_maps, pad_players
from xaionnx.explainers._gradients.gradient import AtLayer, GradientExplainer, Points
from xaionnx.explainers._gradients.path_hessians import by_points, by_secants
from xaionnx.explainers._gradients.path_players import PathPlayers
from xaionnx.explainers._gradients.paths import FromBaseline, Paths, completeness
from xaionnx.explanation import ValueKind
from xaionnx.gradients.choice import validate_source
from xaionnx.gradients.target_gradients import TargetGradients
from xaionnx.gradients.target_hessians import TargetHessians
from xaionnx.parameters import integer, real
from xaionnx.perturb import features as partitions
from xaionnx.typing import FeaturesLike

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

    The product s of a and c has the density -ln s, so that the two integrals are one. Where all functions of the model
    are smooth, its Gauss rule has ``steps`` points: it is exact for polynomials f up to degree 2 ``steps``. At each
    point the Hessian is multiplied with x - b at the elements of each player, all players in one run.

    Kinks, as of ReLU and max-pooling, have no second derivative, and hold all interactions of a network of them: there
    the gradient g jumps, and the integral over a jump by D is that of a delta function::

        pair_i_j = sum over jumps of -s ln s * (D_i D_j) / sum over k of D_k
        D_i      = sum over k in i of (x_k - b_k) * jump of df/dx_k

    No point hits a jump. For such models the path has ``steps`` cells, and over each of them derivatives of the
    gradient are replaced op by op by its differences between the ends, by the rescale rules of DeepLIFT, which are
    complete: the row of a player sums to the change of its slope over the cell, whatever the number of kinks in it.
    With ``softplus=None`` the matrix approaches these jumps as the cells shrink; a kink that the path all but touches
    has a large one, so that many cells are needed. As in the paper, the slope of ReLU is therefore replaced by that of
    softplus, ``1 / (1 + exp(-softplus z))``, and likewise those of all kinks, while values and slopes of the players
    stay those of the model: the larger the number, the nearer to ReLU, and the more cells the integral needs.

    The diagnostic ``completeness_gap`` is the sum of the matrix minus f(x) - f(b), of which ``relative_gap`` is the
    share in f(x) - f(b). ``provenance["second_derivatives"]`` is ``points`` or ``secants``.

    Notes
    -----
    When to use: Differentiable models, to see which columns or words act together; it costs a run for each point of the
    path and player, where interactions of games need many more.

    When not to use: Trees and other models without gradients, for which ``shapley_interactions`` is made. Models that
    compare, sort or round, whose jumps are not seen.

    References
    ----------
    Janizek, Sturmfels and Lee, Explaining explanations: axiomatic feature interactions for deep networks, JMLR 22,
    2021, arXiv:2002.04138, equations 4 to 7 and section 4; Shrikumar, Greenside and Kundaje, Learning important
    features through propagating activation differences, ICML 2017, arXiv:1704.02685 (rescale rule).

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
    steps: int = integer(64, "number of points on the path, or of secants", low=1, high=256)
    softplus: float | None = real(
        100.0,
        "sharpness of the softplus whose slope takes the place of that of ReLU, which is kept with none",
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
        found = (
            (by_secants if hessians.secant else by_points)(hessians, paths, n, each, self.steps)
            for n, each in enumerate(players)
        )
        matrices = [(matrix + matrix.swapaxes(1, 2)) / 2 for matrix in found]
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
                "players": [one.count for one in players],
            },
            parameters={"features": players[0].features},
            facts={
                **matrix_facts("integrated_hessians"),
                "second_derivatives": "secants" if hessians.secant else "points",
                **parts.facts,
            },
        )
