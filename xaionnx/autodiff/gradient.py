"""The gradient of a tensor of a model with respect to others, as a model."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

import numpy as np
import onnx

from xaionnx.errors import InputMismatchError, MemoryLimitError, ModelError, ParameterError, UnsupportedModelError
from xaionnx.graph.adapt import fix_batch, free_batch
from xaionnx.graph.canonicalize import canonicalize
from xaionnx.graph.probe import Probe, probe
from xaionnx.graph.quantised import count_rounding_ops
from xaionnx.graph.serialize import to_bytes
from xaionnx.graph.unroll import Probed
from xaionnx.graph.weight_inputs import float_weights, with_weights_as_inputs
from xaionnx.loading import read_weight
from xaionnx.runtime.model import Model
from xaionnx.runtime.session import Session, SessionSettings, simplified
from xaionnx.runtime.tensors import TensorInfo
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, Feeds

if TYPE_CHECKING:
    from xaionnx.autodiff.rule import Table

_SAMPLES = (2, 3)


@final
@dataclass(frozen=True, eq=False)
class GraphRewrite:
    """A change to a gradient graph before a session is opened on it.

    Attributes
    ----------
    key : hashable
        Identifies the rewrite: equal keys must mean equal rewrites.
    keep : tuple of str
        Tensors that the gradient graph also returns.
    rewrite : callable, optional
        Maps the gradient graph to the graph that is opened.
    """

    key: Hashable
    keep: tuple[str, ...] = ()
    rewrite: Callable[[onnx.ModelProto], onnx.ModelProto] | None = None

    __repr__ = short_repr


@final
@dataclass(frozen=True)
class Gradient:
    """A model that returns a tensor and its gradients.

    Attributes
    ----------
    model : Model
        Takes the inputs of the explained model, ``weights`` and ``cotangent``; its outputs are ``out`` and
        ``names.values()``.
    out : str
        The differentiated tensor.
    names : dict of str to str
        For each tensor of ``wrt`` the output with the gradient with respect to it.
    cotangent : str
        The input for the weights of the entries of ``out``, in its shape: one-hot rows give the gradient of single
        entries. With ``several`` it is (N, U, ...), U cotangents for each sample.
    approximations : tuple of str
        Nodes whose gradient is not their derivative, such as "QuantizeLinear: straight through (3 nodes)"; empty if
        the gradient is exact.
    several : bool
        Whether a run takes several cotangents for each sample.
    weights : dict of arrays by name
        The values in the file of those of ``wrt`` that are weights. They are inputs of ``model``, so that other values
        need no other graph.
    """

    model: Model
    out: str
    names: dict[str, str]
    cotangent: str
    approximations: tuple[str, ...] = ()
    several: bool = False
    weights: dict[str, Array] = field(default_factory=dict)

    __repr__ = short_repr

    def run(self, feeds: Feeds, cotangent: Array) -> tuple[Array, dict[str, Array]]:
        """Return ``out`` (N, ...) and the gradients of ``sum(cotangent * out)``, each in the shape of its tensor.

        The gradient of a weight is summed over the samples. With ``several`` the gradients are (N, U, ...), one for
        each cotangent, and (U, ...) of a weight.

        Parameters
        ----------
        feeds : mapping
            The inputs of the explained model, as returned by :meth:`xaionnx.Model.check`, and values of weights that
            differ from those in the file.
        cotangent : array
            In the shape of ``out``; (N, U, ...) with ``several``.
        """
        fed, fetch = {**self.weights, **feeds, self.cotangent: cotangent}, [self.out, *self.names.values()]
        outputs = self._summed(fed, fetch) if self.weights else self.model.run(fed, fetch)
        return outputs[self.out], {tensor: outputs[name] for tensor, name in self.names.items()}

    def _summed(self, feeds: Feeds, fetch: Sequence[str]) -> dict[str, Array]:
        """Outputs of as many samples at a time as fit: gradients of weights summed over them, others one after another.

        A model runs samples in batches only if all its outputs have a row for each.
        """
        rows = {name: array for name, array in feeds.items() if name not in self.model.shared}
        shared = {name: np.asarray(array) for name, array in feeds.items() if name in self.model.shared}
        count = len(feeds[self.cotangent])
        limits = [size for size in (self.model.fixed_batch, self.model.batch_size) if size is not None]
        step, start, parts = min([count, *limits]), 0, list[dict[str, Array]]()
        while start < count:
            some = {name: array[start : start + step] for name, array in rows.items()}
            try:
                parts.append(self.model.run_once({**some, **shared}, fetch))
            except MemoryLimitError:
                if step == 1 or self.model.fixed_batch is not None:
                    raise
                step = (step + 1) // 2
                continue
            start += step
        if len(parts) == 1:
            return parts[0]
        summed = {self.names[name] for name in self.weights}
        every = {name: [part[name] for part in parts] for name in fetch}
        return {n: np.sum(each, axis=0) if n in summed else np.concatenate(each) for n, each in every.items()}


def gradient(  # noqa: PLR0913 - options of a public function, by keyword
    model: Model,
    out: str,
    wrt: Sequence[str],
    rules: Table | None = None,
    sample: Feeds | None = None,
    *,
    several: bool = False,
    independent: bool = False,
    ending: GraphRewrite | None = None,
) -> Gradient:
    """Return the gradient of a tensor as a model.

    Parameters
    ----------
    model : Model
    out : str
        A float tensor of the graph, batch axis first.
    wrt : sequence of str
        Float tensors of the graph, batch axis first, and float weights (initializers or outputs of Constant nodes), on
        which ``out`` depends.
    rules : mapping of str to Rule, optional
        By default :data:`xaionnx.autodiff.table.STANDARD`; other tables replace some of its rules:
        ``STANDARD | {...}``.
    sample : mapping, optional
        Inputs as returned by :meth:`xaionnx.Model.check`, of which the first row is used. Required if the model has
        free sizes besides the batch: the gradient is correct for the sizes of the sample only.
    several : bool
        Take several cotangents for each sample in one run: the forward part runs once, the backward part once for each.
    independent : bool
        Whether ``out`` may be independent of some of ``wrt``, so that their gradients are 0.
    ending : GraphRewrite, optional
        A change to the gradient graph before a session is opened on it.

    Returns
    -------
    Gradient
        Cached with the model.

    Raises
    ------
    UnknownNameError
        There is no tensor of this name.
    UnsupportedModelError
        An op on the path has no rule, or ``out`` does not depend on one of ``wrt``, unless it may be ``independent``.
    InputMismatchError
        The model has free sizes and there is no sample.

    Examples
    --------
    >>> import numpy as np, onnx, tempfile, pathlib
    >>> from onnx import parser
    >>> from xaionnx import Model
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "square.onnx"
    >>> onnx.save(parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]>
    ... g (float[N, 2] x) => (float[N, 2] y) { y = Mul(x, x) }'''), path)
    >>> model = Model.load(path, device="cpu")
    >>> square = gradient(model, "y", ["x"])
    >>> y, gradients = square.run({"x": np.float32([[1, 3]])}, np.float32([[1, 1]]))
    >>> gradients["x"]
    array([[2., 6.]], dtype=float32)

    With respect to weights it is summed over the samples, and weights may be fed in place of those of the file:

    >>> _ = path.write_bytes(parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]>
    ... g (float[N, 2] x) => (float[N, 2] y) <float[2] w = {1, 2}> { y = Mul(x, w) }''').SerializeToString())
    >>> scaled = gradient(Model.load(path, device="cpu"), "y", ["w"])
    >>> y, gradients = scaled.run({"x": np.float32([[1, 3], [2, 4]]), "w": np.float32([5, 6])}, np.ones((2, 2), "f4"))
    >>> gradients["w"]
    array([3., 7.], dtype=float32)
    """
    from xaionnx.autodiff.backward import APPROXIMATIONS, COTANGENT, gradient_name
    from xaionnx.autodiff.several import with_several_cotangents
    from xaionnx.autodiff.table import STANDARD

    wrt = tuple(dict.fromkeys(wrt))
    if not wrt:
        raise ParameterError("The 'wrt' parameter of gradient must name at least one tensor. Got none.")
    table = STANDARD if rules is None else rules
    first = first_rows(model, sample)
    model, weights = with_fed_weights(model, wrt)
    first |= weights
    key = (
        "gradient",
        out,
        wrt,
        sizes_key(first),
        frozenset(table.items()),
        several,
        independent,
        ending and ending.key,
    )

    def built(_: onnx.ModelProto) -> onnx.ModelProto:
        keep = () if ending is None else ending.keep
        canonical = CanonicalModel.of(model, (out, *wrt, *keep), first, frozenset(weights))
        graph = canonical.gradient(out, wrt, table, keep, independent=independent)
        graph = with_several_cotangents(graph, wrt, weights) if several else graph
        return graph if ending is None or ending.rewrite is None else ending.rewrite(graph)

    derived = model.derived(key, built)
    metadata = {entry.key: entry.value for entry in derived.graph.metadata_props}
    labels = tuple(metadata.get(APPROXIMATIONS, "").splitlines())
    return Gradient(derived, out, {name: gradient_name(name) for name in wrt}, COTANGENT, labels, several, weights)


def with_fed_weights(model: Model, names: Sequence[str]) -> tuple[Model, dict[str, Array]]:
    """Return the model with those of ``names`` that are float weights as inputs, and their values in the file."""
    stored = float_weights(model.view, names)
    weights = {name: read_weight(tensor, model.path.parent) for name, tensor in stored.items()}
    if not weights:
        return model, weights
    key = ("weights as inputs", tuple(weights))
    return model.derived(key, lambda proto: with_weights_as_inputs(proto, stored), frozenset(weights)), weights


def gradient_graph(
    model: Model,
    out: str,
    wrt: Sequence[str],
    rules: Table | None,
    sample: Feeds,
    keep: Sequence[str] = (),
    *,
    independent: bool = False,
) -> onnx.ModelProto:
    """Return the graph of :func:`gradient` without opening a session on it.

    Its outputs are ``out``, ``keep`` and the gradients; see :func:`xaionnx.autodiff.backward.differentiate`.
    """
    canonical = CanonicalModel.of(model, (out, *wrt, *keep), first_rows(model, sample))
    return canonical.gradient(out, wrt, rules, keep, independent=independent)


@final
@dataclass(frozen=True, eq=False)
class CanonicalModel:
    """A model in canonical form, ready to be differentiated for samples of one size.

    Attributes
    ----------
    model : Model
    proto : onnx.ModelProto
        Its canonical graph.
    facts : Probe
        Shapes, types and constants from a run of it.
    probed : callable
        Probes a graph with the same inputs.
    weights : frozenset of str
        Inputs that are weights, whose gradients are summed over the samples.
    """

    model: Model
    proto: onnx.ModelProto
    facts: Probe
    probed: Probed
    weights: frozenset[str] = frozenset()

    __repr__ = short_repr

    @classmethod
    def of(
        cls, model: Model, keep: Sequence[str], first: Feeds, weights: frozenset[str] = frozenset()
    ) -> CanonicalModel:
        """Return the canonical form that keeps the tensors ``keep``, for one row ``first`` of each input.

        Methods that differ in their rules alone share it; making it takes runs of the model.
        """
        key = ("canonical", tuple(keep), sizes_key(first))
        return cls(model, *model.latest(key, lambda: _canonical(model, model.graph, keep, first)), weights)

    def gradient(
        self,
        out: str,
        wrt: Sequence[str],
        rules: Table | None,
        keep: Sequence[str] = (),
        *,
        independent: bool = False,
    ) -> onnx.ModelProto:
        """Return the gradient of a tensor; see :func:`gradient_graph`."""
        from xaionnx.autodiff.backward import differentiate
        from xaionnx.autodiff.steps import RECURRENT, write_out_steps
        from xaionnx.autodiff.table import STANDARD

        for name in (out, *(name for name in wrt if name not in self.weights)):
            _check_batched(self.model, self.facts, name)
        table = STANDARD if rules is None else rules
        # The rules of recurrent layers have no gradient of weights; their steps, written out, do.
        steps = {op for op in RECURRENT if op not in table or self.weights}
        proto = write_out_steps(self.proto, self.facts, steps)
        facts = self.facts if proto is self.proto else self.probed(proto)
        rounded = count_rounding_ops(self.model.view, wrt, out)
        return differentiate(proto, facts, out, wrt, table, keep, rounded, independent=independent)


def first_rows(
    model: Model, sample: Feeds | None = None, shapes: Mapping[str, Sequence[int]] | None = None
) -> dict[str, Array]:
    """Return one row of each input (all of a shared one): the first row of a sample, by default artificial values.

    Parameters
    ----------
    model : Model
    sample : mapping, optional
        Inputs as returned by :meth:`xaionnx.Model.check`.
    shapes : mapping of str to sequence of int, optional
        Shape of one sample of an input, without the batch axis, if the model leaves it free.

    Raises
    ------
    InputMismatchError
        A size is free, and neither a sample nor ``shapes`` determines it.
    """
    if sample is None:
        return {info.name: _artificial_row(model, info, (shapes or {}).get(info.name)) for info in model.inputs}
    given = {info.name: sample[info.name] for info in model.inputs}
    return {name: array if name in model.shared else array[:1] for name, array in given.items()}


def sizes_key(first: Feeds) -> tuple[Hashable, ...]:
    """Return what a graph for inputs like ``first`` depends on."""
    return tuple((name, array.shape, array.dtype.str) for name, array in first.items())


def _artificial_row(model: Model, info: TensorInfo, given: Sequence[int] | None) -> Array:
    shape = info.shape if info.name in model.shared else (1, *info.shape[1:])
    if given is not None:
        shape = (*shape[: len(shape) - len(given)], *given)
    sizes = [size for size in shape if isinstance(size, int)]
    if len(sizes) < len(shape):
        raise InputMismatchError(
            f"Input '{info.name}' of {model.name} is {info}, of free size. Give the gradient a sample of the size "
            "that will be explained."
        )
    # Positive and distinct, so that nothing is at a kink or outside the domain of a logarithm.
    if info.dtype.kind == "f":
        return np.random.default_rng(0).uniform(0.1, 0.9, sizes).astype(info.dtype)
    return np.ones(sizes, dtype=info.dtype)


def _canonical(
    model: Model, proto: onnx.ModelProto, keep: Sequence[str], first: Feeds
) -> tuple[onnx.ModelProto, Probe, Probed]:
    """The canonical graph, with free batch size if possible, its probe, and what makes the probe."""
    batched = [info for info in model.inputs if info.name not in model.shared]
    declared = {info.shape[0] for info in batched if info.shape and isinstance(info.shape[0], int)}
    if not declared or declared == {1}:
        free = free_batch(proto, [info.name for info in batched], 1) if declared else proto
        try:
            found = _canonical_with(model, free, keep, first, _SAMPLES)
        except ModelError:
            # Other inputs may be for a single sample, such as states whose batch is not their first axis.
            if next((len(a) for name, a in first.items() if name not in model.shared), 1) != 1:
                raise
        else:
            # A reshape to constant sizes, or a squeeze, may put further samples elsewhere.
            if found[1].shapes.get(keep[0], (None,))[:1] == (None,):
                return found
        if not declared:
            # A single sample cannot mix with others.
            proto = fix_batch(proto, [info.name for info in batched], 1)
    return _canonical_with(model, proto, keep, first, (max(declared, default=1),))


def _canonical_with(
    model: Model, proto: onnx.ModelProto, keep: Sequence[str], first: Feeds, counts: Sequence[int]
) -> tuple[onnx.ModelProto, Probe, Probed]:
    feeds = [
        {name: a if name in model.shared else np.repeat(a, count, axis=0) for name, a in first.items()}
        for count in counts
    ]

    def probed(graph: onnx.ModelProto) -> Probe:
        session: list[Session] = []

        def run(shown: onnx.ModelProto, values: Feeds, names: Sequence[str]) -> list[Array]:
            if not session:
                content = to_bytes(shown, model.file)
                settings = SessionSettings("cpu", model.settings.threads)
                folder, in_place = str(model.path.parent), model.share_weights()
                nodes = len(shown.graph.node)
                session.append(
                    Session(content, settings, folder=folder, name=model.name, in_place=in_place, nodes=nodes)
                )
            return session[0].run(names, values, model.timeout_s)

        return probe(graph, feeds, run)

    form = canonicalize(proto, keep, simplified, probed)
    return form, probed(form), probed


def _check_batched(model: Model, facts: Probe, name: str) -> None:
    if name not in facts.shapes or facts.dtypes[name].kind != "f":
        raise UnsupportedModelError(
            f"Tensor '{name}' of {model.name} is not a float tensor that depends on the input, so it has no gradient. "
            "Name another tensor."
        )
    sizes = facts.shapes[name]
    own = [facts.shapes[info.name] for info in model.inputs if info.name not in model.shared]
    batches = {shape[0] for shape in own if shape}
    if not sizes or (batches and sizes[0] not in ({None} if None in batches else batches)):
        raise UnsupportedModelError(
            f"Tensor '{name}' of {model.name} has no leading batch axis, so its gradient would mix samples. "
            "Name another tensor."
        )
