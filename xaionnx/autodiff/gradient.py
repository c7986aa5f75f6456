"""The gradient of one tensor of a model with respect to others, as a model."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np
import onnx

from xaionnx.errors import InputMismatchError, ModelError, ParameterError, UnsupportedModelError
from xaionnx.graph.adapt import free_batch
from xaionnx.graph.canonicalize import canonicalize
from xaionnx.graph.probe import Probe, probe
from xaionnx.graph.serialize import to_bytes
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
class Ending:
    """What a gradient graph is made into.

    Attributes
    ----------
    key : hashable
        Equal where all the rest is.
    keep : tuple of str
        Tensors that are outputs too.
    rewrite : callable, optional
        From the graph to the one that is opened.
    """

    key: Hashable
    keep: tuple[str, ...] = ()
    rewrite: Callable[[onnx.ModelProto], onnx.ModelProto] | None = None

    __repr__ = short_repr


@final
@dataclass(frozen=True)
class Gradient:
    """A model that answers a tensor and its gradients.

    Attributes
    ----------
    model : Model
        Takes the inputs of the explained model and ``cotangent``; fetch ``out`` and ``names[w]``.
    out : str
        The tensor that is differentiated.
    names : dict of str to str
        For each tensor w of ``wrt`` the output that holds the gradient with respect to it.
    cotangent : str
        The input, in the shape of ``out``, that says how much each of its numbers counts: one-hot rows give the
        gradient of single numbers. Where ``several`` it is (N, U, ...), U cotangents for each sample.
    approximations : tuple of str
        What in the gradient is no derivative of what the model computes, such as "QuantizeLinear: straight through
        (3 nodes)"; empty where it is one.
    several : bool
        Whether a run takes several cotangents.
    """

    model: Model
    out: str
    names: dict[str, str]
    cotangent: str
    approximations: tuple[str, ...] = ()
    several: bool = False

    __repr__ = short_repr

    def run(self, feeds: Feeds, cotangent: Array) -> tuple[Array, dict[str, Array]]:
        """``out`` (N, ...) and the gradients of ``sum(cotangent * out)``, each in the shape of its tensor.

        Where ``several`` the gradients are (N, U, ...), one for each cotangent.

        Parameters
        ----------
        feeds : mapping
            The inputs of the explained model, as :meth:`xaionnx.Model.check` makes them.
        cotangent : array
            In the shape of ``out``; (N, U, ...) where ``several``.
        """
        outputs = self.model.run({**feeds, self.cotangent: cotangent}, [self.out, *self.names.values()])
        return outputs[self.out], {tensor: outputs[name] for tensor, name in self.names.items()}


def gradient(
    model: Model,
    out: str,
    wrt: Sequence[str],
    rules: Table | None = None,
    sample: Feeds | None = None,
    *,
    several: bool = False,
    ending: Ending | None = None,
) -> Gradient:
    """Build the gradient of a tensor as a model.

    Parameters
    ----------
    model : Model
    out : str
        Any float tensor of the graph with the batch axis first.
    wrt : sequence of str
        Any float tensors of the graph with the batch axis first that ``out`` depends on.
    rules : mapping of str to Rule, optional
        By default :data:`xaionnx.autodiff.table.STANDARD`; others are made from it with ``STANDARD | {...}``.
    sample : mapping, optional
        Inputs as :meth:`xaionnx.Model.check` makes them, of which the first row is used. Needed where the model leaves
        sizes other than the batch's free: the gradient is right for these sizes alone.
    several : bool
        Take several cotangents of each sample in one run: the forward part runs once, and the way back once for each.
    ending : Ending, optional
        What is done with the graph before it is opened.

    Returns
    -------
    Gradient
        Kept with the model, so that asking again costs nothing.

    Raises
    ------
    UnknownNameError
        No tensor has this name.
    UnsupportedModelError
        An op on the way has no rule, or ``out`` does not depend on one of ``wrt``.
    InputMismatchError
        Sizes are free and there is no sample.

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
    >>> y, slopes = square.run({"x": np.float32([[1, 3]])}, np.float32([[1, 1]]))
    >>> slopes["x"]
    array([[2., 6.]], dtype=float32)
    """
    from xaionnx.autodiff.backward import APPROXIMATIONS, COTANGENT, gradient_name
    from xaionnx.autodiff.several import for_several
    from xaionnx.autodiff.table import STANDARD

    wrt = tuple(dict.fromkeys(wrt))
    if not wrt:
        raise ParameterError("The 'wrt' parameter of gradient must name at least one tensor. Got none.")
    table = STANDARD if rules is None else rules
    first = first_rows(model, sample)
    shapes = tuple((name, array.shape, array.dtype.str) for name, array in first.items())
    key = ("gradient", out, wrt, shapes, frozenset(table.items()), several, ending and ending.key)

    def built(_: onnx.ModelProto) -> onnx.ModelProto:
        graph = gradient_graph(model, out, wrt, table, first, () if ending is None else ending.keep)
        graph = for_several(graph, wrt) if several else graph
        return graph if ending is None or ending.rewrite is None else ending.rewrite(graph)

    derived = model.derived(key, built)
    told = {entry.key: entry.value for entry in derived.graph.metadata_props}
    labels = tuple(told.get(APPROXIMATIONS, "").splitlines())
    return Gradient(derived, out, {name: gradient_name(name) for name in wrt}, COTANGENT, labels, several)


def gradient_graph(
    model: Model, out: str, wrt: Sequence[str], rules: Table | None, sample: Feeds, keep: Sequence[str] = ()
) -> onnx.ModelProto:
    """The graph behind :func:`gradient`, which no session was opened on.

    Its outputs are ``out``, the tensors of ``keep``, and the gradients; see
    :func:`xaionnx.autodiff.backward.differentiate`.
    """
    return Form.of(model, (out, *wrt, *keep), first_rows(model, sample)).gradient(out, wrt, rules, keep)


@final
@dataclass(frozen=True, eq=False)
class Form:
    """A model in the form that is differentiated, for samples of one size.

    Attributes
    ----------
    model : Model
    proto : onnx.ModelProto
        Its canonical graph.
    facts : Probe
        What a run of it told.
    """

    model: Model
    proto: onnx.ModelProto
    facts: Probe

    __repr__ = short_repr

    @classmethod
    def of(cls, model: Model, keep: Sequence[str], first: Feeds) -> Form:
        """The form in which the tensors of ``keep`` are still there, for one row ``first`` of each input."""
        return cls(model, *_probed(model, model.graph, keep, first))

    def gradient(self, out: str, wrt: Sequence[str], rules: Table | None, keep: Sequence[str] = ()) -> onnx.ModelProto:
        """The gradient of one of its tensors; see :func:`gradient_graph`."""
        from xaionnx.autodiff.backward import differentiate
        from xaionnx.autodiff.table import STANDARD

        for name in (out, *wrt):
            _check_batched(self.model, self.facts, name)
        return differentiate(self.proto, self.facts, out, wrt, STANDARD if rules is None else rules, keep)


def first_rows(
    model: Model, sample: Feeds | None = None, shapes: Mapping[str, Sequence[int]] | None = None
) -> dict[str, Array]:
    """One row of each input (a shared one whole): that of a sample where one is given, else made up.

    Parameters
    ----------
    model : Model
    sample : mapping, optional
        Inputs as :meth:`xaionnx.Model.check` makes them.
    shapes : mapping of str to sequence of int, optional
        The size of one sample of an input, without the batch axis, where the model leaves it free.

    Raises
    ------
    InputMismatchError
        Sizes are free, and neither a sample nor ``shapes`` tells them.
    """
    if sample is None:
        return {info.name: _made_up(model, info, (shapes or {}).get(info.name)) for info in model.inputs}
    given = {info.name: sample[info.name] for info in model.inputs}
    return {name: array if name in model.shared else array[:1] for name, array in given.items()}


def _made_up(model: Model, info: TensorInfo, given: Sequence[int] | None) -> Array:
    shape = info.shape if info.name in model.shared else (1, *info.shape[1:])
    if given is not None:
        shape = (*shape[: len(shape) - len(given)], *given)
    sizes = [size for size in shape if isinstance(size, int)]
    if len(sizes) < len(shape):
        raise InputMismatchError(
            f"Input '{info.name}' of {model.name} is {info}, of free size. Give the gradient a sample of the size "
            "that will be explained."
        )
    # Positive and all different, so that nothing is at a kink or out of the range of a logarithm.
    if info.dtype.kind == "f":
        return np.random.default_rng(0).uniform(0.1, 0.9, sizes).astype(info.dtype)
    return np.ones(sizes, dtype=info.dtype)


def _probed(model: Model, proto: onnx.ModelProto, keep: Sequence[str], first: Feeds) -> tuple[onnx.ModelProto, Probe]:
    """The canonical graph, of free batch where the model can, and what a run of it tells."""
    batched = [info for info in model.inputs if info.name not in model.shared]
    declared = {info.shape[0] for info in batched if isinstance(info.shape[0], int)}
    if not declared or declared == {1}:
        free = free_batch(proto, [info.name for info in batched], 1) if declared else proto
        try:
            return _probe_with(model, free, keep, first, _SAMPLES)
        except ModelError:
            if not declared:
                raise
    return _probe_with(model, proto, keep, first, (max(declared),))


def _probe_with(
    model: Model, proto: onnx.ModelProto, keep: Sequence[str], first: Feeds, counts: Sequence[int]
) -> tuple[onnx.ModelProto, Probe]:
    feeds = [
        {name: a if name in model.shared else np.repeat(a, count, axis=0) for name, a in first.items()}
        for count in counts
    ]

    def probed(graph: onnx.ModelProto) -> Probe:
        session: list[Session] = []

        def run(shown: onnx.ModelProto, values: Feeds, names: Sequence[str]) -> list[Array | None]:
            if not session:
                content = to_bytes(shown, model.file)
                settings = SessionSettings("cpu", model.settings.threads)
                folder, in_place = str(model.path.parent), model.share_weights()
                session.append(Session(content, settings, folder=folder, name=model.name, in_place=in_place))
            # numpy has no bfloat16; rules that work in it ask for no shapes.
            wide = {info.name for info in session[0].outputs if info.type != "tensor(bfloat16)"}
            fetch = [name for name in names if name in wide]
            answers = dict(zip(fetch, session[0].run(fetch, values, model.timeout_s), strict=True))
            return [answers.get(name) for name in names]

        return probe(graph, feeds, run)

    form = canonicalize(proto, keep, simplified, probed)
    return form, probed(form)


def _check_batched(model: Model, facts: Probe, name: str) -> None:
    if name not in facts.shapes or facts.dtypes[name].kind != "f":
        raise UnsupportedModelError(
            f"Tensor '{name}' of {model.name} holds no floats that depend on the input, so it has no gradient. "
            "Name another tensor."
        )
    sizes = facts.shapes[name]
    others = [facts.shapes[info.name] for info in model.inputs if info.name not in model.shared]
    if not sizes or (sizes[0] is not None and any(shape[0] is None for shape in others)):
        raise UnsupportedModelError(
            f"Tensor '{name}' of {model.name} has no batch axis in front, so its gradient would mix samples. "
            "Name another tensor."
        )
