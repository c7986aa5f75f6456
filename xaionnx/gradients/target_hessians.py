"""Products of the Hessians of the targets of a batch of samples with directions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product as product_of
from typing import TYPE_CHECKING, Final, final

import numpy as np

from xaionnx.autodiff.products import HessianProduct, hessian_product
from xaionnx.errors import OutputError, UnsupportedModelError
from xaionnx.gradients.graph import RUN_BYTES, with_activation
from xaionnx.gradients.source import GradientRequest
from xaionnx.runtime import progress
from xaionnx.short_repr import short_repr
from xaionnx.targets.selection import TargetTerm
from xaionnx.typing import Array

if TYPE_CHECKING:
    from xaionnx.gradients.target_gradients import TargetGradients

# What a run holds for each direction, in copies of the input: the tensors of a network and of both its gradients.
_COPIES: Final = 32


@final
@dataclass(frozen=True, eq=False)
class Curvature:
    """Gradients and products of Hessians of a target, at m of M points and along u of U directions.

    Attributes
    ----------
    target : int
    places : array of int (m,)
        Indices among the points.
    some : slice
        Of the directions.
    gradients : dict of arrays (m, ...) by input name
        At the points; of secants at their ends.
    products : dict of arrays (m, u, ...) by input name
    """

    target: int
    places: Array
    some: slice
    gradients: dict[str, Array]
    products: dict[str, Array]

    __repr__ = short_repr


@final
class TargetHessians:
    """Second derivatives of T targets of N samples with respect to float inputs, or to a layer.

    Parameters
    ----------
    gradients : TargetGradients
        The targets, and the tensors with respect to which is differentiated.
    softplus : float or None
        The sharpness of the slope in the place of that of kinks, as of :func:`xaionnx.autodiff.hessian_product`.

    Attributes
    ----------
    targets : int
        Their number T.
    secant : bool
        Whether differences of gradients take the place of second derivatives, as the model has kinks.
    """

    def __init__(self, gradients: TargetGradients, softplus: float | None) -> None:
        from xaionnx.autodiff.slopes import has_kinks

        path = gradients.path
        self.targets = gradients.targets
        self.secant = has_kinks(path.model.view)
        self._softplus = softplus
        # An input of no elements has no derivatives.
        names = tuple(name for name in gradients.names if path.feeds[name].size)
        self._request = GradientRequest(
            path.model, path.feeds, path.resolved, names, gradients.samples, path.evaluations
        )
        if any(term.reference is not None for term in self._request.terms):
            raise UnsupportedModelError(
                "Second derivatives are those of sums of outputs, not of a squared distance. Explain another target."
            )

    def at(
        self, sample: int, ends: Sequence[Mapping[str, Array]], directions: Mapping[str, Array]
    ) -> Iterator[Curvature]:
        """Yield gradients at M points of a sample, and products of the Hessian there with U directions.

        Parameters
        ----------
        sample : int
        ends : sequence of dicts of arrays (M, ...) by input name
            The points; of secants where each starts and where it ends.
        directions : dict of arrays (U, ...) by input name

        Raises
        ------
        OutputError
            A product is NaN or infinity.
        """
        request = self._request
        directions = {name: directions[name] for name in request.names}
        count, each = (len(next(iter(one.values()))) for one in (ends[0], directions))
        size = _COPIES * len(ends) * sum(4 * x[0].size for x in ends[0].values())
        wide = min(each, max(1, RUN_BYTES // size))
        rows = max(1, RUN_BYTES // (size * wide))
        progress.expect(self.targets * count * -(-each // wide))
        for t, term in enumerate(request.terms):
            product = self._product(term)
            for first, start in product_of(range(0, each, wide), range(0, count, rows)):
                places = np.arange(start, min(count, start + rows))
                some = slice(first, min(each, first + wide))
                points = [{name: x[places] for name, x in end.items()} for end in ends]
                found = self._run(product, t, sample, points, {n: d[some] for n, d in directions.items()})
                yield Curvature(t, places, some, *found)

    def _run(
        self,
        product: HessianProduct,
        target: int,
        sample: int,
        ends: Sequence[Mapping[str, Array]],
        some: Mapping[str, Array],
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        request = self._request
        rows = np.full(len(next(iter(ends[0].values()))), sample)
        info = product.weights
        shape = tuple(size for size in info.shape[1:] if isinstance(size, int))
        weights, _ = request.weights(rows, np.full(len(rows), target), math.prod(shape))
        weights = weights.reshape(-1, *shape).astype(info.dtype)
        directions = {name: np.broadcast_to(d, (len(rows), *d.shape)) for name, d in some.items()}
        feeds = {**request.shared, **request.feeds_at(rows, ends[-1])}
        gradients, products = product.run(feeds, weights, directions, ends[0] if self.secant else None)
        if not all(np.isfinite(array).all() for array in products.values()):
            raise OutputError(
                f"A second derivative of {request.model.name} is NaN or infinity on the way from the baseline to "
                f"sample {sample}. Choose another baseline, or use shapley_interactions, which needs no derivatives."
            )
        for _ in ends:
            request.evaluations.add(rows)
            request.evaluations.add_gradients(rows)
        progress.advance(len(rows))
        return gradients, products

    def _product(self, term: TargetTerm) -> HessianProduct:
        request = self._request
        model, out = with_activation(request.model, term.tensor, term.activation, None)
        softplus = self._softplus if self.secant else None
        return hessian_product(
            model, out, request.names, dict(request.feeds), several=True, secant=self.secant, softplus=softplus
        )
