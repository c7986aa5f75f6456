"""Neuron conductance: the share of a neuron's conductance that comes from each element of the input."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.errors import ParameterError
from xaionnx.explainers._gradients.gradient import GradientExplainer, Points
from xaionnx.explainers._gradients.layer_paths import LayerPaths
from xaionnx.explainers._gradients.paths import FromBaseline, Paths, add_up
from xaionnx.explainers.integrated_gradients import path
from xaionnx.explanation import ValueKind
from xaionnx.gradients.target_gradients import TargetGradients
from xaionnx.layers.default_layer import default_layer
from xaionnx.parameters import choice, free, integer
from xaionnx.runtime.evaluations import Evaluations
from xaionnx.targets.kinds.channel import Channel
from xaionnx.targets.kinds.index import neuron as read_neuron
from xaionnx.targets.selection import TargetSet, TargetTerm
from xaionnx.targets.target import Target
from xaionnx.typing import Array, NeuronLike

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xaionnx.layers.dry_run import DryRun
    from xaionnx.layers.path import LayerPath


def _check_neuron(given: object) -> None:
    if not isinstance(given, (Target, str)):
        raise ParameterError(
            "The 'neuron' parameter of NeuronConductance must be a Target such as Target.neuron('relu', (3, 7, 7)), or "
            f"a text such as 'relu:3,7,7'. Got {given!r} instead."
        )
    _read(given)


def _read(given: Target | str) -> Target:
    try:
        return read_neuron(given) if isinstance(given, str) else given
    except ValueError as error:
        raise ParameterError(
            f"The 'neuron' parameter of NeuronConductance must have the form TENSOR:I,J,... Got {given!r} instead."
        ) from error


@final
@dataclass(frozen=True, kw_only=True)
class NeuronConductance(FromBaseline, GradientExplainer):
    """The contribution of each element of the input through one neuron h_j, from the baseline b to the input x::

        value_i = (x_i - b_i) * integral over a from 0 to 1 of df/dh_j * dh_j/dx_i,      at b + a (x - b)

    The values sum to the conductance of the neuron; summed over all neurons of a layer that no connection passes by,
    they are integrated gradients. The integral is a weighted sum over ``steps`` points of the path, which runs in the
    input, or in the embedding of tokens. With several baselines, values are averaged over them.

    ``neuron`` is a target that reads one element of a tensor inside the model, such as ``Target.neuron("relu", (3, 7,
    7))``, ``Target.channel("relu", 3, peak=True)`` or ``Target.where(choose, output="relu")``; it is chosen once, at
    the input. By default it is the most active element of the default layer, see
    :class:`~xaionnx.explainers.conductance.Conductance`. The diagnostic ``neuron`` names it for each sample.

    Notes
    -----
    When to use: To find what in the input a unit reads when it speaks for or against a target.

    When not to use: To find the units that matter, use ``conductance``. For what drives a unit whatever the target,
    explain the unit: ``integrated_gradients`` of ``Target.neuron``.

    References
    ----------
    Dhamdhere, Sundararajan and Yan, How important is a neuron?, ICLR 2019, arXiv:1805.12233, section 2.
    Shrikumar, Su and Kundaje, Computationally efficient measures of internal neuron importance, 2018,
    arXiv:1807.09946.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model, x = planted.load(planted.net_a()), np.float32([[20, 50, 30]])
    >>> xaionnx.explain(model, x, NeuronConductance(neuron="linear1:0", steps=100, rule="middle"), 0).values
    array([[18., 45., 27.]], dtype=float32)
    """

    value_kind: ClassVar[ValueKind] = "contribution"
    axioms: ClassVar[tuple[str, ...]] = ("linearity", "null player")
    reference: ClassVar[str] = "Dhamdhere, Sundararajan and Yan 2019, arXiv:1805.12233"

    neuron: NeuronLike = free(
        None,
        "a Target, or a text such as relu:3,7,7",
        "TENSOR:I,J,..., an element of a tensor in the model; the most active one of the default layer if not given",
        resolver=_check_neuron,
    )
    steps: int = integer(64, "number of points on the path", low=2, high=2**20)
    rule: str = choice(
        "gauss_legendre",
        ("gauss_legendre", "trapezoid", "left", "middle", "right"),
        "positions and weights of the points",
    )

    def check_gradients(self, dry_run: DryRun, names: Sequence[str]) -> dict[str, str | None]:
        if self.neuron is None and dry_run.sample is not None:
            default_layer(dry_run.model, names, [dry_run.tensor], dry_run.sample)
        return super().check_gradients(dry_run, names)

    def explain_points(self, target_gradients: TargetGradients, points: Points) -> Attribution:
        inputs, shared = target_gradients.path, path(self.rule, self.steps)
        target, layer = self._target(inputs)
        neuron = _term(target, inputs, layer)
        at_layer = TargetGradients(layer, self.gradient)
        layer_paths = LayerPaths.of(at_layer, Points.of(layer), self.replacement, self.seed)
        of_neuron = TargetGradients(_path_to(neuron, inputs, layer), self.gradient)
        paths = Paths.of(of_neuron, points, self.replacement, self.seed)
        values = {name: np.zeros((target_gradients.targets, *x.shape)) for name, x in points.x.items()}
        for point, draw in np.ndindex(len(points.sample), paths.draws):
            slopes = self._slopes(layer_paths, neuron, point, draw)
            weights = shared[1] / paths.draws
            every = np.full(self.steps, draw)
            for _, _, place, found in paths.contributions(np.array([0]), np.array([point]), every, shared[0]):
                for name, parts in found.items():
                    weighted = (slopes * weights)[:, place].reshape(-1, len(place), *(1,) * (parts.ndim - 2))
                    add_up(values[name], np.arange(len(slopes)), np.full(len(place), point), weighted * parts)
        inputs.evaluations.rows += of_neuron.path.evaluations.rows
        return Attribution(values, parameters={"neuron": target}, diagnostics={"neuron": _names(neuron, layer)})

    def _target(self, inputs: LayerPath) -> tuple[Target, LayerPath]:
        """The neuron as a target, and the path to its tensor."""
        target: Target = Channel(None, inputs.default_layer(), peak=True) if self.neuron is None else _read(self.neuron)
        name = target.tensor(inputs.model)
        layer = inputs.at(name)
        if layer.layer is None:
            raise ParameterError(
                f"The 'neuron' parameter of NeuronConductance must be inside the model, but '{name}' is its input."
            )
        return target, layer

    def _slopes(self, paths: LayerPaths, neuron: TargetTerm, point: int, draw: int) -> Array:
        """The slopes of the targets at the neuron along a path, (T, steps)."""
        shares, _ = path(self.rule, self.steps)
        slopes = np.zeros((paths.gradients.targets, self.steps))
        element = int(neuron.indices[paths.points.sample[point], 0])
        for first, last in paths.pieces(self.steps):
            held = paths.layer_inputs(point, draw, shares[first:last])
            for some, number, gradient in paths.gradients_at(point, held, np.arange(last - first)):
                slopes[np.ix_(some, first + number)] = gradient.reshape(*gradient.shape[:2], -1)[:, :, element]
        return slopes


def _term(target: Target, inputs: LayerPath, layer: LayerPath) -> TargetTerm:
    """The neuron as a term of its tensor."""
    (name,) = layer.names
    terms = target.terms(layer.feeds[name], inputs.model)
    if len(terms) != 1 or terms[0].indices.shape[1] != 1 or terms[0].activation != "identity":
        raise ParameterError(
            f"The 'neuron' parameter of NeuronConductance must be one element of '{name}', but this is "
            f"{terms[0].names[0]}. Name one, such as Target.channel('{name}', 0, peak=True)."
        )
    return terms[0]


def _names(neuron: TargetTerm, layer: LayerPath) -> list[str]:
    """The neuron of each sample by its indices."""
    shape = layer.feeds[neuron.tensor].shape[1:]
    places = np.stack(np.unravel_index(neuron.indices[:, 0], shape), axis=1)
    return [f"{neuron.tensor}[{', '.join(map(str, place))}]" for place in places.tolist()]


def _path_to(neuron: TargetTerm, inputs: LayerPath, layer: LayerPath) -> LayerPath:
    """The path at the inputs with the neuron as the only target; its gradients are not those of the request."""
    assert layer.layer is not None  # the neuron is inside the model
    values = {neuron.tensor: layer.feeds[neuron.tensor]}
    selection = TargetSet([neuron])
    resolved = replace(
        inputs.resolved,
        # In this form of the model the samples are on the first axis of the layer.
        model=layer.layer.model.with_outputs([neuron.tensor]),
        selection=selection,
        values=selection.select(values).T,
        count=1,
        sizes=(1,),
        outputs=values,
    )
    return replace(inputs, resolved=resolved, evaluations=Evaluations(len(inputs.samples)))
