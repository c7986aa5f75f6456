"""FullGrad: the contributions of the input and of every bias, as one map."""

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
from xaionnx.explainers._gradients.gradient import input_path, with_facts
from xaionnx.explanation import ValueKind
from xaionnx.gradients.choice import validate_source
from xaionnx.gradients.target_gradients import TargetGradients
from xaionnx.layers.axes import Axes, input_positions
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
    """The sum of maps of the input and of every bias, each times its gradient::

        y = sum_i x_i dy/dx_i + sum_l sum_j b_l[j] dy/dz_l[j]        z_l = (...) + b_l
        map = psi(x dy/dx) + sum_l sum_k psi(b_l dy/dz_l)_k
        psi: absolute, rescaled to [0, 1], enlarged

    The first line holds for piecewise linear models (ReLU, max pooling) if every bias is found: those of Conv,
    ConvTranspose, Gemm, BatchNormalization, and added constants. Diagnostics: ``completeness_gap``, by how much the sum
    misses the target, for example with saturated or smooth activations; ``biases``, how many were found. Biases of
    layers without spatial positions, such as the last linear layer, count in the sum but not in the map.

    Notes
    -----
    When to use: Rectifier networks with many biases, when the map should account for the whole score.

    When not to use: Smooth activations, for which the decomposition does not hold. The map is absolute and rescaled, so
    it does not separate evidence for the target from evidence against it.

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

    upsampling: str = parameters.choice("bilinear", UPSAMPLING, "how the maps of biases are upsampled to the input")

    def check_model(self, dry_run: DryRun) -> dict[str, str | None]:
        from xaionnx.autodiff.table import STANDARD

        names = differentiable_inputs(dry_run.model)
        model_biases = biases(dry_run.model, names, dry_run.tensor)
        return validate_source(dry_run, [*names, *(bias.tensor for bias in model_biases)], STANDARD)

    def compute(self, request: Request) -> Attribution:
        model, resolved = request.model, request.resolved
        names = differentiable_inputs(model, resolved.tensors)
        path = input_path(request)
        shape = (resolved.count, len(path.samples))
        values, sums = np.zeros((*shape, *path.samples[0].array.shape)), np.zeros(shape)
        model_biases, labels = list[Bias](), set[str]()
        for tensor in resolved.tensors:
            own_targets = [t for t, term in enumerate(resolved.terms) if term.tensor == tensor]
            model_biases = biases(model, names, tensor)
            selection = TargetSet([resolved.terms[t] for t in own_targets])
            part = dataclasses.replace(
                resolved, selection=selection, values=resolved.prediction[own_targets], count=len(own_targets)
            )
            tensors = (*names, *(bias.tensor for bias in model_biases))
            target_gradients = TargetGradients(dataclasses.replace(path, names=tensors, resolved=part), "graph")
            labels.update(target_gradients.source.approximations)
            target = np.repeat(np.arange(len(own_targets))[:, None], shape[1], axis=1)
            for which, rows, gradients in target_gradients.at(np.arange(shape[1]), target, lambda _: {}):
                place = np.ix_(np.array(own_targets)[which], rows)
                inputs = {name: gradients[name].astype(np.float64) * path.feeds[name][rows] for name in names}
                for spatial_map, contribution in self._contributions(path, inputs, gradients, model_biases):
                    sums[place] += contribution.reshape(*contribution.shape[:2], -1).sum(axis=2)
                    if spatial_map is not None:
                        values[place] += spatial_map
        result = Attribution(
            {request.main: values},
            diagnostics={"completeness_gap": sums - resolved.prediction, "biases": len(model_biases)},
            facts={"approximations": sorted(labels)},
        )
        return with_facts(path, result)

    def _contributions(
        self, path: LayerPath, inputs: dict[str, Array], gradients: dict[str, Array], model_biases: list[Bias]
    ) -> Iterator[tuple[Array | None, Array]]:
        """For each input and bias, a map over the input (None without spatial positions) and the contribution."""
        sample = path.samples[0]
        places = {*input_positions(sample).values()}
        for name, contribution in inputs.items():
            rescaled = _rescale(contribution)
            values = tuple(axis + 2 for axis in range(sample.array.ndim) if places and axis not in places)
            channel_sum = rescaled.sum(axis=values, keepdims=True) if values and name == sample.main else rescaled
            yield channel_sum if name == sample.main else None, contribution
        for bias in model_biases:
            slope = gradients[bias.tensor].astype(np.float64)
            contribution = slope * bias.over(slope.ndim - 1)
            shape = contribution.shape[2:]
            field = SpatialMap.at(Axes.at(path.model, bias.tensor, shape, sample), shape, sample)
            if field is not None and field.over is not None:
                yield field.spread(field.planes(_rescale(contribution)).sum(axis=-3), self.upsampling), contribution
            else:
                yield None, contribution


def _rescale(contribution: Array) -> Array:
    """Absolute values (u, m, ...), rescaled to [0, 1] for each target and sample."""
    size, each = np.abs(contribution), tuple(range(2, contribution.ndim))
    if not size.size:
        return np.asarray(size)  # of an empty input
    size -= size.min(axis=each, keepdims=True)
    largest = size.max(axis=each, keepdims=True)
    return np.asarray(size / np.where(largest == 0, 1, largest))
