"""FullGrad: what the input owes, and what every bias owes, drawn where it acts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from xaionnx import parameters
from xaionnx.attribution import Attribution
from xaionnx.explainer import Explainer
from xaionnx.explainers._gradients.biases import Bias, biases
from xaionnx.explainers._gradients.gradient import inputs_of, located
from xaionnx.explanation import ValueKind
from xaionnx.gradients.choice import validate_source
from xaionnx.gradients.target_gradients import TargetGradients
from xaionnx.layers.axes import Axes, input_axes
from xaionnx.layers.embeddings import differentiable_inputs
from xaionnx.layers.path import LayerPath
from xaionnx.layers.spatial_map import UPSAMPLING, SpatialMap
from xaionnx.request import Request
from xaionnx.targets.selection import TargetSet
from xaionnx.typing import Array

if TYPE_CHECKING:
    from xaionnx.layers.dry_run import DryRun


@final
@dataclass(frozen=True, kw_only=True)
class FullGrad(Explainer):
    """The input times its slope, and every bias times its slope, as maps on top of each other::

        y = sum_i x_i dy/dx_i + sum_l sum_j b_l[j] dy/dz_l[j]        z_l = (...) + b_l
        map = psi(x dy/dx) + sum_l sum_k psi(b_l dy/dz_l)_k          psi: absolute, rescaled to [0, 1], enlarged

    The first line holds for piecewise linear models (ReLU, max pooling) of which every bias is found: those of Conv,
    ConvTranspose, Gemm, BatchNormalization, and constants that are added. ``diagnostics["completeness_gap"]`` tells
    by how much the sum misses the target, as at saturated or smooth activations, and ``biases`` how many were found.
    Biases of layers without places, as of the last linear one, count in the sum and have no place in the map.

    Notes
    -----
    When to use: Rectifier networks with many biases, when the map should account for the whole score.

    When not to use: Smooth activations, for which the decomposition does not hold. The map is absolute and rescaled, so
    it does not tell evidence for from evidence against.

    References
    ----------
    Srinivas and Fleuret, Full-gradient representation for neural network visualization, NeurIPS 2019,
    arXiv:1905.00780, proposition 1 and equation 6.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    >>> found = xaionnx.explain(planted.load(planted.net_b()), x, "full_grad", 0)
    >>> found.diagnostics["completeness_gap"], found.diagnostics["biases"]
    ([0.0], 1)
    """

    value_kind: ClassVar[ValueKind] = "importance"
    needs: ClassVar[str] = "gradient"
    reference: ClassVar[str] = "Srinivas and Fleuret 2019, arXiv:1905.00780"

    upsampling: str = parameters.choice("bilinear", UPSAMPLING, "how the maps of biases are enlarged to the input")

    def check_model(self, dry_run: DryRun) -> dict[str, str | None]:
        from xaionnx.autodiff.table import STANDARD

        names = differentiable_inputs(dry_run.model)
        found = biases(dry_run.model, names, dry_run.tensor)
        return validate_source(dry_run, [*names, *(bias.tensor for bias in found)], STANDARD)

    def compute(self, request: Request) -> Attribution:
        model, resolved = request.model, request.resolved
        names = differentiable_inputs(model, resolved.tensors)
        path = inputs_of(request)
        shape = (resolved.count, len(path.samples))
        values, sums = np.zeros((*shape, *path.samples[0].array.shape)), np.zeros(shape)
        found, labels = list[Bias](), set[str]()
        for tensor in resolved.tensors:
            mine = [t for t, term in enumerate(resolved.terms) if term.tensor == tensor]
            found = biases(model, names, tensor)
            selection = TargetSet([resolved.terms[t] for t in mine])
            part = dataclasses.replace(resolved, selection=selection, values=resolved.prediction[mine], count=len(mine))
            read = (*names, *(bias.tensor for bias in found))
            slopes = TargetGradients(dataclasses.replace(path, names=read, resolved=part), "graph")
            labels.update(slopes.source.approximations)
            target = np.repeat(np.arange(len(mine))[:, None], shape[1], axis=1)
            for some, rows, gradients in slopes.at(np.arange(shape[1]), target, lambda _: {}):
                place = np.ix_(np.array(mine)[some], rows)
                inputs = {name: gradients[name].astype(np.float64) * path.feeds[name][rows] for name in names}
                for drawn, owed in self._owed(path, inputs, gradients, found):
                    sums[place] += owed.reshape(*owed.shape[:2], -1).sum(axis=2)
                    if drawn is not None:
                        values[place] += drawn
        result = Attribution(
            {request.main: values},
            diagnostics={"completeness_gap": sums - resolved.prediction, "biases": len(found)},
            facts={"approximations": sorted(labels)},
        )
        return located(path, result)

    def _owed(
        self, path: LayerPath, inputs: dict[str, Array], gradients: dict[str, Array], found: list[Bias]
    ) -> Iterator[tuple[Array | None, Array]]:
        """A map over the input, None of what has no places there, and what is owed, of each input and each bias."""
        sample = path.samples[0]
        over = input_axes(path.model, sample)
        for name, owed in inputs.items():
            small = _rescaled(owed)
            joined = small if over is None else small.sum(axis=over[0] + 2, keepdims=True)
            yield joined if name == sample.main else None, owed
        for bias in found:
            slope = gradients[bias.tensor].astype(np.float64)
            owed = slope * bias.over(slope.ndim - 1)
            shape = owed.shape[2:]
            axes = Axes.at(path.model, bias.tensor, shape, sample)
            if "C" in axes.letters or axes.grid is not None:
                field = SpatialMap(axes, shape, sample, over)
                yield field.spread(field.planes(_rescaled(owed)).sum(axis=-3), self.upsampling), owed
            else:
                yield None, owed


def _rescaled(owed: Array) -> Array:
    """The size of each number (u, m, ...), from 0 to 1 for each target of each sample."""
    size, each = np.abs(owed), tuple(range(2, owed.ndim))
    size -= size.min(axis=each, keepdims=True)
    largest = size.max(axis=each, keepdims=True)
    return np.asarray(size / np.where(largest == 0, 1, largest))
