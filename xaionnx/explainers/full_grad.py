"""FullGrad: what the input owes, and what every bias owes, drawn where it acts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np

from xaionnx import parameters
from xaionnx.attribution import Attribution
from xaionnx.autodiff import gradient
from xaionnx.explainer import Explainer
from xaionnx.explainers._gradients.biases import Bias, biases
from xaionnx.explainers._gradients.gradient import inputs_of, located
from xaionnx.explanation import ValueKind
from xaionnx.gradients.choice import validated
from xaionnx.gradients.graph import activated
from xaionnx.gradients.source import GradientRequest
from xaionnx.layers.axes import Axes, places_of
from xaionnx.layers.embeddings import differentiable
from xaionnx.layers.spatial_map import UPSAMPLING, Field
from xaionnx.request import Request
from xaionnx.runtime import progress
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

        names = differentiable(dry_run.model)
        found = biases(dry_run.model, names, dry_run.tensor)
        return validated(dry_run, [*names, *(bias.tensor for bias in found)], STANDARD)

    def compute(self, request: Request) -> Attribution:
        model, resolved = request.model, request.resolved
        names = differentiable(model, resolved.tensors)
        path = inputs_of(request)
        shape = (resolved.count, len(path.samples))
        values, sums = np.zeros((*shape, *path.samples[0].array.shape)), np.zeros(shape)
        found, labels = list[Bias](), set[str]()
        asked = GradientRequest(model, path.feeds, resolved, names, path.samples, request.evaluations)
        for t, term in enumerate(resolved.terms):
            seen, out = activated(model, term.tensor, term.activation, None)
            found = biases(model, names, term.tensor)
            slopes = gradient(seen, out, [*names, *(bias.tensor for bias in found)], None, path.feeds)
            labels.update(slopes.approximations)
            self._add(asked, t, slopes, found, values[t], sums[t])
        result = Attribution(
            {request.main: values},
            diagnostics={"completeness_gap": sums - resolved.prediction, "biases": len(found)},
            facts={"approximations": sorted(labels)},
        )
        return located(path, result)

    def _add(
        self, question: GradientRequest, t: int, slopes: Any, found: list[Bias], values: Array, sums: Array
    ) -> None:
        """Add the maps of target t to ``values`` (N, ...), and all that it owes to ``sums`` (N,)."""
        count = len(question.samples)
        info = slopes.model.input(slopes.cotangent)
        shape = tuple(int(size) for size in info.shape[1:])
        main = question.samples[0].main

        def feed(start: int, stop: int) -> dict[str, Array]:
            rows = np.arange(start, stop)
            weights, _ = question.weights(rows, np.full(len(rows), t), int(np.prod(shape, dtype=np.int64)))
            fed = question.fed(rows, {})
            fed[slopes.cotangent] = weights.reshape(len(rows), *shape).astype(info.dtype)
            return fed

        progress.expect(count)
        fetch = list(slopes.names.values())
        for start, stop, outputs in slopes.model.batches(count, feed, fetch, question.shared):
            progress.advance(stop - start)
            question.evaluations.add(np.arange(start, stop))
            question.evaluations.add_gradients(np.arange(start, stop))
            for name in question.names:
                owed = outputs[slopes.names[name]].astype(np.float64) * question.feeds[name][start:stop]
                sums[start:stop] += owed.reshape(stop - start, -1).sum(axis=1)
                if name == main:
                    values[start:stop] += self._of_input(question, _rescaled(owed))
            for bias in found:
                owed = outputs[slopes.names[bias.tensor]].astype(np.float64) * bias.over(
                    outputs[slopes.names[bias.tensor]].ndim
                )
                sums[start:stop] += owed.reshape(stop - start, -1).sum(axis=1)
                field = self._field(question, bias.tensor, owed.shape[1:])
                if field is not None:
                    planes = field.planes(_rescaled(owed)).sum(axis=1)
                    values[start:stop] += field.spread(planes, self.upsampling)

    def _of_input(self, question: GradientRequest, owed: Array) -> Array:
        over = places_of(question.model, question.samples[0])
        return owed if over is None else owed.sum(axis=over[0] + 1, keepdims=True)

    def _field(self, question: GradientRequest, tensor: str, shape: tuple[int, ...]) -> Field | None:
        sample = question.samples[0]
        axes = Axes.at(question.model, tensor, shape, sample)
        over = places_of(question.model, sample)
        return Field(axes, shape, sample, over) if "C" in axes.letters or axes.grid is not None else None


def _rescaled(owed: Array) -> Array:
    """The size of each number, from 0 to 1 within each sample."""
    size = np.abs(owed).reshape(len(owed), -1)
    size -= size.min(axis=1, keepdims=True)
    largest = size.max(axis=1, keepdims=True)
    found: Array = (size / np.where(largest == 0, 1, largest)).reshape(owed.shape)
    return found
