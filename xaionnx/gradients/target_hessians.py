"""Products of the Hessians of the targets of a batch of samples with directions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product as product_of
from typing import TYPE_CHECKING, Final, final

import numpy as np

from xaionnx.autodiff.products import HessianProduct, hessian_product
from xaionnx.errors import OutputError, UnsupportedModelError
from xaionnx.gradients.graph import RUN_BYTES, with_activation
from xaionnx.gradients.source import GradientRequest, InputsAt
from xaionnx.graph.softplus import count_rectifiers, with_softplus
from xaionnx.runtime import progress
from xaionnx.runtime.model import Model
from xaionnx.targets.selection import TargetTerm
from xaionnx.typing import Array

if TYPE_CHECKING:
    from xaionnx.gradients.target_gradients import TargetGradients

# What a run holds for each direction, in copies of the input: the tensors of a network and of both its gradients.
_COPIES: Final = 32


@final
class TargetHessians:
    """Second derivatives of T targets of N samples with respect to float inputs, or to a layer.

    Parameters
    ----------
    gradients : TargetGradients
        The targets, and the tensors with respect to which is differentiated.
    softplus : float or None
        The sharpness of the softplus in the place of ReLU; None keeps ReLU.

    Attributes
    ----------
    targets : int
        Their number T.
    smoothed : int
        How many nodes were replaced.
    """

    def __init__(self, gradients: TargetGradients, softplus: float | None) -> None:
        path = gradients.path
        self.targets = gradients.targets
        self.smoothed = 0 if softplus is None else count_rectifiers(path.model.graph, path.model.view.types)
        resolved = replace(path.resolved, model=_smooth(path.resolved.model, softplus))
        # An input of no elements has no derivatives.
        names = tuple(name for name in gradients.names if path.feeds[name].size)
        self._request = GradientRequest(
            _smooth(path.model, softplus), path.feeds, resolved, names, gradients.samples, path.evaluations
        )
        if any(term.reference is not None for term in self._request.terms):
            raise UnsupportedModelError(
                "Second derivatives are those of sums of outputs, not of a squared distance. Explain another target."
            )

    def values(self, sample: Array, points: InputsAt) -> Array:
        """Return the values (T, M) of the targets at M points of samples (M,), with softplus."""
        found = self._request.values(
            len(sample), lambda start, stop: sample[start:stop], lambda start, stop: points(np.arange(start, stop))
        )
        return np.concatenate([values for _, _, values in found]).T

    def at(
        self, sample: int, points: Mapping[str, Array], directions: Mapping[str, Array]
    ) -> Iterator[tuple[int, Array, slice, dict[str, Array], dict[str, Array]]]:
        """Yield gradients at M points of a sample, and products of the Hessian there with U directions.

        Parameters
        ----------
        sample : int
        points : dict of arrays (M, ...) by input name
        directions : dict of arrays (U, ...) by input name

        Yields
        ------
        target : int
        places : array of int (m,)
            Indices among the points.
        some : slice
            Of the directions.
        gradients : dict of arrays (m, ...)
        products : dict of arrays (m, u, ...)

        Raises
        ------
        OutputError
            A product is NaN or infinity.
        """
        request = self._request
        directions = {name: directions[name] for name in request.names}
        count, each = (len(next(iter(one.values()))) for one in (points, directions))
        size = _COPIES * sum(4 * x[0].size for x in points.values())
        wide = min(each, max(1, RUN_BYTES // size))
        rows = max(1, RUN_BYTES // (size * wide))
        progress.expect(self.targets * count * -(-each // wide))
        for t, term in enumerate(request.terms):
            product = self._product(term)
            for first, start in product_of(range(0, each, wide), range(0, count, rows)):
                places = np.arange(start, min(count, start + rows))
                some = slice(first, min(each, first + wide))
                gradients, products = self._run(
                    product,
                    t,
                    sample,
                    {n: x[places] for n, x in points.items()},
                    {n: d[some] for n, d in directions.items()},
                )
                yield t, places, some, gradients, products

    def _run(
        self, product: HessianProduct, target: int, sample: int, points: Mapping[str, Array], some: Mapping[str, Array]
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        request = self._request
        rows = np.full(len(next(iter(points.values()))), sample)
        info = product.weights
        shape = tuple(size for size in info.shape[1:] if isinstance(size, int))
        weights, _ = request.weights(rows, np.full(len(rows), target), math.prod(shape))
        directions = {name: np.broadcast_to(d, (len(rows), *d.shape)) for name, d in some.items()}
        gradients, products = product.run(
            {**request.shared, **request.feeds_at(rows, points)},
            weights.reshape(-1, *shape).astype(info.dtype),
            directions,
        )
        if not all(np.isfinite(array).all() for array in products.values()):
            raise OutputError(
                f"A second derivative of {request.model.name} is NaN or infinity on the way from the baseline to "
                f"sample {sample}. Choose another baseline, or use shapley_interactions, which needs no derivatives."
            )
        request.evaluations.add(rows)
        request.evaluations.add_gradients(rows)
        progress.advance(len(rows))
        return gradients, products

    def _product(self, term: TargetTerm) -> HessianProduct:
        request = self._request
        model, out = with_activation(request.model, term.tensor, term.activation, None)
        return hessian_product(model, out, request.names, dict(request.feeds), several=True)


def _smooth(model: Model, softplus: float | None) -> Model:
    """The model with softplus in the place of ReLU."""
    types = model.view.types
    if softplus is None or not count_rectifiers(model.graph, types):
        return model
    return model.derived(("softplus", softplus), lambda proto: with_softplus(proto, types, softplus))
