"""Products with the Jacobian and the Hessian of a tensor, as models: forward mode and second derivatives.

The gradient ``u' J(x)`` of a tensor is linear in its cotangent ``u``. Its own gradient with respect to ``u``, with a
tangent ``v`` as cotangent, is therefore ``J(x) v``: forward mode is reverse mode twice, by the same rules, and what it
does not need of the first gradient is left out of the graph. The gradient of the same form with respect to ``x`` is
``H(x) v``, where ``H`` is the Hessian of ``u' f``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np
import onnx

from xaionnx.autodiff.gradient import Gradient, GraphRewrite, first_rows, gradient, gradient_graph, sizes_key
from xaionnx.runtime.model import Model
from xaionnx.runtime.tensors import TensorInfo
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, Feeds

if TYPE_CHECKING:
    from xaionnx.autodiff.rule import Table

# Names of the input for the cotangent of the first gradient, and of the gradient as one row a sample.
_WEIGHTS = "xaionnx_weights"
_FLAT = "xaionnx_gradient"


@final
@dataclass(frozen=True)
class JacobianProduct:
    """A model that returns a tensor and the product of its Jacobian with tangents of other tensors.

    Attributes
    ----------
    out : str
        The differentiated tensor.
    approximations : tuple of str
        Nodes whose derivative is not that of what they compute; see :class:`xaionnx.autodiff.Gradient`.
    """

    out: str
    approximations: tuple[str, ...]
    _row: Gradient  # of the gradient as a row
    _sizes: Mapping[str, tuple[int, ...]]

    __repr__ = short_repr

    @property
    def model(self) -> Model:
        """The model that is run: it takes the tangents as rows, and returns ``out`` and the derivative."""
        return self._row.model

    def run(self, feeds: Feeds, tangents: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return ``out`` (N, ...) and its derivative along the tangents, in the same shape.

        Parameters
        ----------
        feeds : mapping
            The inputs of the model, as returned by :meth:`xaionnx.Model.check`.
        tangents : mapping of str to array
            For each tensor of ``wrt`` a direction in its shape; (N, U, ...) with ``several``, and so is the derivative.
            A tensor that is left out does not move.
        """
        flat = _joined(self._sizes, tangents, several=self._row.several)
        derivative = self._row.names[_WEIGHTS]
        found = self._row.model.run({**feeds, self._row.cotangent: flat}, [self.out, derivative])
        return found[self.out], found[derivative]


@final
@dataclass(frozen=True)
class HessianProduct:
    """A model that returns the product of a Hessian with directions.

    Attributes
    ----------
    wrt : tuple of str
        The tensors with respect to which is differentiated twice.
    approximations : tuple of str
        As of :class:`JacobianProduct`.
    """

    wrt: tuple[str, ...]
    approximations: tuple[str, ...]
    _row: Gradient  # of the gradient as a row
    _sizes: Mapping[str, tuple[int, ...]]

    __repr__ = short_repr

    @property
    def model(self) -> Model:
        """The model that is run: it takes weights, and directions as rows, and returns gradients and products."""
        return self._row.model

    @property
    def weights(self) -> TensorInfo:
        """The input for the weights of the elements of ``out``, in its shape."""
        return self._row.model.input(_WEIGHTS)

    def run(
        self, feeds: Feeds, weights: Array, directions: Mapping[str, Array], starts: Feeds | None = None
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Return the gradients of ``sum(weights * out)``, and the products of its Hessian with directions.

        Parameters
        ----------
        feeds : mapping
            The inputs of the model, as returned by :meth:`xaionnx.Model.check`.
        weights : array
            In the shape of ``out``.
        directions : mapping of str to array
            For each tensor of ``wrt`` a direction in its shape; (N, U, ...) with ``several``, and so are the products.
            A tensor that is left out has the direction 0.
        starts : mapping, optional
            Of a secant, where it starts: each tensor of ``wrt``.

        Returns
        -------
        gradients : dict of str to array
            For each tensor of ``wrt``, in its shape.
        products : dict of str to array
            For each tensor of ``wrt`` its rows of the Hessian times the directions. It is 0 for a tensor on which the
            gradient does not depend, as everywhere in a net of piecewise linear layers, but not of a secant.
        """
        from xaionnx.autodiff.reference import baseline_name

        flat = _joined(self._sizes, directions, several=self._row.several)
        fed = {**feeds, _WEIGHTS: weights, self._row.cotangent: flat}
        fed |= {baseline_name(name): starts[name] for name in self.wrt} if starts is not None else {}
        found = self._row.model.run(fed, [_FLAT, *self._row.names.values()])
        return _split(self._sizes, found[_FLAT]), {name: found[output] for name, output in self._row.names.items()}


def jacobian_product(
    model: Model, out: str, wrt: Sequence[str], sample: Feeds | None = None, *, several: bool = False
) -> JacobianProduct:
    """Return the derivative of a tensor along tangents of others, as a model: forward-mode differentiation.

    Parameters
    ----------
    model, out, wrt, sample
        As of :func:`xaionnx.autodiff.gradient`.
    several : bool
        Take several tangents for each sample in one run: the forward part runs once.

    Returns
    -------
    JacobianProduct
        Cached with the model.

    Raises
    ------
    XaionnxError
        As of :func:`xaionnx.autodiff.gradient`; even if an op of the gradient itself has no rule.

    References
    ----------
    The transposition of a transposition, which makes forward mode from reverse mode: Radul et al. 2023, "You only
    linearize once", POPL.

    Examples
    --------
    >>> import numpy as np
    >>> from models import planted
    >>> from xaionnx.autodiff import jacobian_product
    >>> model = planted.load(planted.linear([[2.0, 3.0], [0.0, 1.0]]))
    >>> along = jacobian_product(model, "y", ["x"])
    >>> y, derivative = along.run({"x": np.float32([[1, 1]])}, {"x": np.float32([[1, -1]])})
    >>> derivative
    array([[-1., -1.]], dtype=float32)
    """
    wrt = tuple(dict.fromkeys(wrt))
    form, sizes, first = _gradient_as_row(model, out, wrt, sample)
    ending = GraphRewrite(("jacobian product", out), (out,), _without_gradient)
    twice = gradient(form, _FLAT, [_WEIGHTS], sample=first, several=several, ending=ending)
    return JacobianProduct(out, twice.approximations, twice, sizes)


def hessian_product(
    model: Model,
    out: str,
    wrt: Sequence[str],
    sample: Feeds | None = None,
    *,
    several: bool = False,
    secant: bool = False,
    softplus: float | None = None,
) -> HessianProduct:
    """Return the products of a Hessian with directions, as a model.

    Parameters
    ----------
    model, out, wrt, sample
        As of :func:`xaionnx.autodiff.gradient`.
    several : bool
        Take several directions for each sample in one run: the forward part and the gradient run once.
    secant : bool
        Take differences of the gradient from a start in the place of its derivatives, op by op, by the rules of
        :mod:`xaionnx.autodiff.rescale`: the products with x - start sum to the change of the gradient, as far as these
        rules are complete. The slope of a ReLU has no derivative that is not 0, but may differ between two points.
    softplus : float, optional
        Of a secant, the sharpness of a softplus, ``log(1 + exp(softplus x)) / softplus``, whose slope takes the place
        of that of ReLU and other kinks; values stay those of the model.

    Returns
    -------
    HessianProduct
        Cached with the model.

    Raises
    ------
    XaionnxError
        As of :func:`xaionnx.autodiff.gradient`; even if an op of the gradient itself has no rule.

    References
    ----------
    Pearlmutter 1994, "Fast exact multiplication by the Hessian", Neural Computation 6(1).

    Examples
    --------
    >>> import numpy as np
    >>> from models import planted
    >>> from xaionnx.autodiff import hessian_product
    >>> model = planted.load(planted.polynomial(2, {(0, 1): 5.0}))  # 5 x0 x1
    >>> curvature = hessian_product(model, "y", ["x"])
    >>> x, along = np.float32([[2, 3]]), np.float32([[1, 0]])
    >>> gradients, products = curvature.run({"x": x}, np.ones((1, 1), np.float32), {"x": along})
    >>> gradients["x"], products["x"]
    (array([[15., 10.]], dtype=float32), array([[0., 5.]], dtype=float32))
    """
    from xaionnx.autodiff.deep_lift import TABLES
    from xaionnx.autodiff.slopes import slope_table

    wrt = tuple(dict.fromkeys(wrt))
    once, again = (slope_table(softplus), TABLES["rescale"]) if secant else (None, None)
    form, sizes, first = _gradient_as_row(model, out, wrt, sample, once)
    twice = gradient(form, _FLAT, wrt, again, first, several=several, independent=True)
    return HessianProduct(wrt, twice.approximations, twice, sizes)


def _gradient_as_row(
    model: Model, out: str, wrt: Sequence[str], sample: Feeds | None, rules: Table | None = None
) -> tuple[Model, dict[str, tuple[int, ...]], dict[str, Array]]:
    """The model that returns the gradients of all of ``wrt`` as one row (N, D), their sizes, and a row of its inputs.

    Its inputs are those of ``model``, and the weights of the elements of ``out``.
    """
    first = first_rows(model, sample)
    found: dict[str, tuple[int, ...]] = {}

    def built(_: onnx.ModelProto) -> onnx.ModelProto:
        return _with_row(gradient_graph(model, out, wrt, rules, first), wrt)

    form = model.derived(
        ("gradient as row", out, tuple(wrt), sizes_key(first), frozenset((rules or {}).items())), built
    )
    info = form.input(_WEIGHTS)
    weights = np.ones((1, *(size for size in info.shape[1:] if isinstance(size, int))), dtype=info.dtype)
    for name in wrt:
        shape = form.output(_named(name)).shape
        found[name] = tuple(size for size in shape[1:] if isinstance(size, int))
    return form, found, {**first, _WEIGHTS: weights}


def _named(tensor: str) -> str:
    return f"{_FLAT}_{tensor}"


def _with_row(proto: onnx.ModelProto, wrt: Sequence[str]) -> onnx.ModelProto:
    """A gradient graph with names of its own for the cotangent and the gradients, and these as one row too."""
    import onnx_ir as ir

    from xaionnx.autodiff.backward import COTANGENT, gradient_name
    from xaionnx.graph.builder import Builder

    model = ir.from_proto(proto)
    g = Builder(model)
    graph = model.graph
    next(value for value in graph.inputs if value.name == COTANGENT).name = _WEIGHTS
    outputs = {str(value.name): value for value in graph.outputs}
    rows = []
    for name in wrt:
        value = outputs[gradient_name(name)]
        value.name = _named(name)
        row = g.reshape(value, np.array([0, -1], dtype=np.int64))
        rows.append(g.op("Cast", row, to=ir.DataType.FLOAT))
    g.output(g.op("Concat", *rows, axis=1), _FLAT)
    return ir.to_proto(model)


def _without_gradient(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The graph without the first gradient, whose value no product with the Jacobian needs."""
    import onnx_ir as ir

    from xaionnx.autodiff.backward import prune

    model = ir.from_proto(proto)
    graph = model.graph
    graph.outputs[:] = [value for value in graph.outputs if value.name != _FLAT]
    prune(graph)
    weights = next(value for value in graph.inputs if value.name == _WEIGHTS)
    assert not weights.uses(), "a gradient is linear in its cotangent"
    graph.inputs.remove(weights)
    return ir.to_proto(model)


def _joined(sizes: Mapping[str, tuple[int, ...]], given: Mapping[str, Array], *, several: bool) -> Array:
    """Directions in the shapes of tensors as rows (N, D), or (N, U, D)."""
    lead = next(iter(given.values())).shape[: 1 + several]
    rows = [
        np.reshape(given[name], (*lead, -1)) if name in given else np.zeros((*lead, math.prod(size)))
        for name, size in sizes.items()
    ]
    return np.concatenate(rows, axis=-1, dtype=np.float32)


def _split(sizes: Mapping[str, tuple[int, ...]], rows: Array) -> dict[str, Array]:
    """Rows (N, D) in the shapes of the tensors."""
    ends = np.cumsum([math.prod(size) for size in sizes.values()])[:-1]
    parts = np.split(rows, ends, axis=-1)
    return {
        name: part.reshape(*rows.shape[:-1], *size) for (name, size), part in zip(sizes.items(), parts, strict=True)
    }
