"""What the axes of a model's inputs and outputs mean: samples, channels, space, time, tokens, features, ...

A role comes from the first source that knows it: the user, the name of the dimension, the ops of the graph, or the
number of axes. Sources that contradict each other are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final, Protocol, final

from xaionnx.errors import ParameterError, UnknownNameError, UnsupportedModelError
from xaionnx.graph.axis_propagation import seen_roles
from xaionnx.graph.op import find_op
from xaionnx.graph.roles import RECURRENT, Evidence, Role, Roles, SeenRoles
from xaionnx.short_repr import short_repr, short_sizes

if TYPE_CHECKING:
    from xaionnx.data.spec import InputSpec
    from xaionnx.graph.view import GraphView

Dims = Sequence[int | str | None]

FIRST_AXIS: Final = "first axis"
"""The source of a role that nothing but its place suggests."""


_WORDS: Final[Mapping[str, Role]] = {
    **{role.value: role for role in Role},
    "n": Role.SAMPLE,
    "b": Role.SAMPLE,
    "batch": Role.SAMPLE,
    "c": Role.CHANNEL,
    "d": Role.SPACE,
    "h": Role.SPACE,
    "w": Role.SPACE,
    "s": Role.SPACE,
    "t": Role.TIME,
    "l": Role.TOKEN,
    "f": Role.FEATURE,
    "k": Role.CLASS,
}

# Names that exporters and their users give to free dimensions. The first that fits counts.
_NAMES: Final = (
    (Role.SAMPLE, r"n|b|bs|bsz|batch|batch_?(size|dim|axis)?|.*batch(_?size|_?dim)?|num_?samples|n_?samples|nsamples"),
    (Role.BOX, r"(num_?)?(boxes|anchors|detections|dets|proposals|rois|queries)"),
    (Role.CLASS, r"(num_?|n_?)?(classes|labels|logits)"),
    (Role.TOKEN, r"(num_?)?(tokens|words)|(sequence|seq|token|text)(_?len(gth)?)?|max_?len(gth)?"),
    (
        Role.TIME,
        r"t|time.*|.*time|(num_?|n_?)?(time_?)?(steps|frames?)|audio.*|.*len(gth)?",
    ),
    (Role.SPACE, r"h|w|(in_?|out_?|image_?|img_?|input_?|output_?)?(height|width|depth)"),
    (Role.CHANNEL, r"c|(num_?|in_?|n_?)?channels?|bands"),
    (Role.FEATURE, r"f|(num_?|n_?)?(features?|columns|mels|mel_bins|feat.*)"),
)

# Names of the axis of a waveform, if another axis is that of the samples of the batch.
_AUDIO: Final = r"(num_?|n_?|audio_?)?samples"


@final
@dataclass(frozen=True)
class AxisRole:
    """The role of one axis, and where it is known from; unknown roles have no source.

    Examples
    --------
    >>> print(AxisRole(Role.TIME, "LSTM 'h'"))
    time (LSTM 'h')
    """

    role: Role
    source: str = ""

    def __str__(self) -> str:
        return f"{self.role.value} ({self.source})" if self.source else self.role.value


@final
@dataclass(frozen=True)
class TensorAxes:
    """The roles of the axes of a tensor.

    Attributes
    ----------
    axes : tuple of AxisRole
        In the order of the tensor's axes.

    Examples
    --------
    >>> axes = TensorAxes.stated("T N F")
    >>> axes.sample, axes.words()
    (1, 'time sample feature')
    """

    axes: tuple[AxisRole, ...]

    __repr__ = short_repr

    @classmethod
    def stated(cls, text: str, source: str = "stated") -> TensorAxes:
        """Return the axes that a user states, by letters or words: ``N C H W``, ``N,T,F`` or ``sample time feature``.

        Raises
        ------
        UnknownNameError
            A word is none of the roles.
        ParameterError
            There are two sample axes.
        """
        words = [word for word in re.split(r"[\s,]+", text.strip()) if word]
        if len(words) == 1 and len(words[0]) > 1 and words[0].lower() not in _WORDS:
            words = list(words[0])
        roles = []
        for word in words:
            if word.lower() not in _WORDS:
                raise UnknownNameError.among("role of an axis", word, [*_WORDS])
            roles.append(_WORDS[word.lower()])
        if roles.count(Role.SAMPLE) > 1:
            raise ParameterError(f"Axes have at most one sample axis. Got {text!r} instead.")
        return cls(tuple(AxisRole(role, source if role is not Role.UNKNOWN else "") for role in roles))

    @property
    def roles(self) -> Roles:
        """The roles alone."""
        return tuple(axis.role for axis in self.axes)

    @property
    def sample(self) -> int | None:
        """The axis of the samples."""
        return self.roles.index(Role.SAMPLE) if Role.SAMPLE in self.roles else None

    def batch_first(self) -> TensorAxes:
        """Return the axes with that of the samples moved to the front, or added there."""
        rest = tuple(axis for axis in self.axes if axis.role is not Role.SAMPLE)
        first = self.axes[self.sample] if self.sample is not None else AxisRole(Role.SAMPLE, "added")
        return replace(self, axes=(first, *rest))

    def of_sample(self) -> TensorAxes:
        """Return the axes without that of the samples."""
        return replace(self, axes=tuple(axis for axis in self.axes if axis.role is not Role.SAMPLE))

    def words(self) -> str:
        """Return the roles on one line."""
        return " ".join(role.value for role in self.roles)

    def __str__(self) -> str:
        return ", ".join(map(str, self.axes))


def named_role(dim: int | str | None) -> Role:
    """Return the role that the name of a free dimension suggests.

    Examples
    --------
    >>> [named_role(name).value for name in ("batch_size", "seq_len", "H", "s0", 3)]
    ['sample', 'token', 'space', '-', '-']
    """
    if isinstance(dim, str):
        name = dim.strip().lower().replace(" ", "_")
        for role, pattern in _NAMES:
            if re.fullmatch(pattern, name):
                return role
    return Role.UNKNOWN


def tensor_axes(
    what: str, dims: Dims, told: TensorAxes | None, seen: Callable[[int], Evidence | None], sample: int | None
) -> TensorAxes:
    """Return the axes of an input from all sources.

    Parameters
    ----------
    what : str
        The input in messages, such as ``Input 'x' of m.onnx``.
    dims : sequence of int, str or None
        The shape that the file declares.
    told : TensorAxes or None
        What the user or the spec states.
    seen : callable
        Returns what the ops of the graph say about an axis.
    sample : int or None
        The axis of the samples; see :func:`sample_axis`.

    Raises
    ------
    UnsupportedModelError
        Two sources contradict each other.
    """
    axes = [_axis_role(what, axis, dims[axis], told, seen(axis), axis == sample) for axis in range(len(dims))]
    return TensorAxes(tuple(axes))


def sample_axis(dims: Dims, seen: Callable[[int], Evidence | None]) -> int | None:
    """Return the axis of the samples: named, fixed by an op, or the first unless it is something else."""
    named = [axis for axis, dim in enumerate(dims) if named_role(dim) is Role.SAMPLE]
    if named:
        return min(named, key=lambda axis: ("batch" not in str(dims[axis]).lower(), axis))
    evidence = [seen(axis) for axis in range(len(dims))]
    for axis, one in enumerate(evidence):
        if one is not None and one.role is Role.SAMPLE and not one.may_be_steps:
            return axis
    if not dims or named_role(dims[0]) is not Role.UNKNOWN:
        return None
    first = evidence[0]
    if first is None or first.role is Role.SAMPLE:
        return 0
    # What multiplies the only axis by weights has features there.
    return None if first.firm or len(dims) == 1 else 0


def _axis_role(
    what: str, axis: int, dim: int | str | None, told: TensorAxes | None, seen: Evidence | None, is_sample: bool
) -> AxisRole:
    stated = told.axes[axis] if told is not None else AxisRole(Role.UNKNOWN)
    named = AxisRole(named_role(dim), f"name '{dim}'")
    if not is_sample and re.fullmatch(_AUDIO, str(dim).lower()):
        # Behind the axis of samples, those of a waveform.
        named = AxisRole(Role.TIME, f"name '{dim}'")
    elif named.role is Role.SAMPLE and not is_sample:
        named = AxisRole(Role.UNKNOWN)
    fixed = AxisRole(Role.UNKNOWN)
    if seen is not None and (seen.role is not Role.SAMPLE or is_sample):
        fixed = AxisRole(seen.role, str(seen))
    default = AxisRole(Role.SAMPLE, FIRST_AXIS) if is_sample else AxisRole(Role.UNKNOWN)
    known = [source for source in (stated, named, fixed, default) if source.role is not Role.UNKNOWN]
    if not known:
        return AxisRole(Role.UNKNOWN)
    firm = seen is not None and seen.firm and not seen.may_be_steps and fixed.role is not Role.UNKNOWN
    if firm and not known[0].role.agrees_with(fixed.role):
        raise UnsupportedModelError(
            f"{what}: axis {axis} is {known[0].role.value} by its {_source_words(known[0])}, but {fixed.role.value} "
            f"by {fixed.source}. State the right one, for example with axes='{_example(told, axis, fixed.role)}'."
        )
    # An op says more than a name: space, time and tokens are all called length.
    return fixed if firm and known[0] is named else known[0]


def _source_words(source: AxisRole) -> str:
    return source.source if source.source.startswith("name") else f"statement ({source.source})"


def _example(told: TensorAxes | None, axis: int, role: Role) -> str:
    if told is None:
        return "N T F"
    roles = list(told.roles)
    if role in roles:
        # Two axes were confused.
        roles[roles.index(role)] = roles[axis]
    roles[axis] = role
    return " ".join(one.value for one in roles)


def _dims_words(dims: Dims) -> str:
    return f"({', '.join('?' if dim is None else str(dim) for dim in short_sizes(dims))})"


class Declared(Protocol):
    """An input or output as the file declares it, such as a TensorInfo."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int | str | None, ...]: ...


@final
class AxisFinder:
    """Finds the axes of a model's inputs and outputs; the graph is walked when an answer first needs it.

    Parameters
    ----------
    view : GraphView
    inputs, outputs : sequence of Declared
    told : mapping of str to TensorAxes
        What the user or the spec states, by name.
    model : str
        Name of the model in messages.

    Raises
    ------
    UnknownNameError
        Axes are stated for a tensor that is neither an input nor an output.
    """

    def __init__(
        self,
        view: GraphView,
        inputs: Sequence[Declared],
        outputs: Sequence[Declared],
        told: Mapping[str, TensorAxes],
        model: str,
    ) -> None:
        self._view, self._inputs, self._outputs, self._told, self._model = view, inputs, outputs, told, model
        names = [one.name for one in (*inputs, *outputs)]
        for name in told:
            if name not in names:
                raise UnknownNameError.among("input or output", name, names)
        self._found: dict[str, TensorAxes] = {}
        self._seen: dict[str, SeenRoles] = {}

    __repr__ = short_repr

    def input(self, one: Declared) -> TensorAxes:
        """Return the axes of an input.

        Raises
        ------
        UnsupportedModelError
            Two sources contradict each other.
        """
        if one.name not in self._found:
            told = self._told.get(one.name)
            what = f"Input '{one.name}' of {self._model}"
            self._found[one.name] = tensor_axes(what, one.shape, told, self._roles(one).of, self.sample(one))
        return self._found[one.name]

    def sample(self, one: Declared) -> int | None:
        """Return the axis of the samples of an input; None if it has none.

        Raises
        ------
        ParameterError
            Another number of axes is stated than the input has.
        """
        told = self._told.get(one.name)
        if told is not None:
            if len(told.axes) != len(one.shape):
                raise ParameterError(
                    f"Input '{one.name}' of {self._model} has {len(one.shape)} axes, {_dims_words(one.shape)}, but "
                    f"{len(told.axes)} are stated: {told.words()}. State one role per axis."
                )
            return told.sample
        if one.shape[:1] == (1,) and not self._is_recurrent and not self._has_one_channel(one):
            return 0
        return sample_axis(one.shape, lambda axis: self._roles(one).of(axis))

    def _has_one_channel(self, one: Declared) -> bool:
        """Whether the graph adds an axis to an input and then shows that the first, of size 1, is not the samples."""
        if not _adds_axis(self._view, one.name):
            return False
        seen = self._roles(one)
        first = seen.of(0)
        return first is not None and first.firm and not seen.is_ever(0, Role.SAMPLE)

    @cached_property
    def _is_recurrent(self) -> bool:
        return any(node.op_type in RECURRENT for node in self._view.nodes)

    def output(self, one: Declared) -> TensorAxes:
        """Return the axes of an output: those of inputs that the graph carries there, and named ones."""
        told = self._told.get(one.name)
        if told is not None:
            return told
        rank = len(one.shape)
        axes = [AxisRole(Role.UNKNOWN)] * rank
        samples = {one.name: self.sample(one) for one in self._inputs}
        names = {one.shape[axis] for one in self._inputs if (axis := samples[one.name]) is not None}
        for axis, dim in enumerate(one.shape):
            role = Role.SAMPLE if isinstance(dim, str) and dim in names else named_role(dim)
            if role is not Role.UNKNOWN and not (role is Role.SAMPLE and Role.SAMPLE in {a.role for a in axes}):
                axes[axis] = AxisRole(role, f"name '{dim}'")
        if rank and one.shape[0] == 1 and not self._is_recurrent:
            axes[0] = AxisRole(Role.SAMPLE, FIRST_AXIS)
        if not any(axis.role is Role.SAMPLE for axis in axes):
            self._carry(one, axes)
        leading = {one.shape[axis] for one in self._inputs if (axis := samples[one.name]) is not None}
        if leading == {1} and one.shape.count(1) == 1 and not any(axis.role is Role.SAMPLE for axis in axes):
            axes[one.shape.index(1)] = AxisRole(Role.SAMPLE, "only axis of size 1")
        # A file for one sample may declare an output without samples, such as (K,).
        is_single = leading == {1} and isinstance(one.shape[0], int) if rank else True
        if not is_single and not any(axis.role is Role.SAMPLE for axis in axes) and axes[0].role is Role.UNKNOWN:
            axes[0] = AxisRole(Role.SAMPLE, FIRST_AXIS)
        if is_single and rank == 1 and axes[0].role is Role.UNKNOWN:
            axes[0] = AxisRole(Role.CLASS, "only axis")
        if rank == 2 and axes[0].role is Role.SAMPLE and axes[1].role is Role.UNKNOWN:
            axes[1] = AxisRole(Role.CLASS, "last of two axes")
        return TensorAxes(tuple(axes))

    def _carry(self, output: Declared, axes: list[AxisRole]) -> None:
        """Fill in the roles of the axes of inputs that reach an output."""
        for one in self._inputs:
            known = self.input(one)
            for axis, source in enumerate(self._roles(one).carried(output.name, len(axes))):
                if source is None or axes[axis].role is not Role.UNKNOWN:
                    continue
                role = known.roles[source]
                if role is Role.SAMPLE and Role.SAMPLE in {a.role for a in axes}:
                    continue
                if not role.counts_values:
                    axes[axis] = AxisRole(role, f"axis {source} of '{one.name}'")

    def _roles(self, one: Declared) -> SeenRoles:
        if one.name not in self._seen:
            sizes = self._sizes()
            self._seen[one.name] = seen_roles(self._view, one.name, sizes[one.name], self._view.shapes(sizes))
        return self._seen[one.name]

    def _sizes(self) -> dict[str, tuple[int, ...]]:
        """Return sizes for all axes: free ones of one name have one size, which other axes do not have."""
        by_name: dict[str, int] = {}
        sizes = {}
        for one in self._inputs:
            shape = list[int]()
            for axis, dim in enumerate(one.shape):
                if isinstance(dim, int):
                    shape.append(dim)
                    continue
                name = dim or f"{one.name} {axis}"
                # Sizes of pictures are often multiples of 32.
                size = _SAMPLES if named_role(dim) is Role.SAMPLE else _SIDE * (2 * len(by_name) + 3)
                shape.append(by_name.setdefault(name, size))
            sizes[one.name] = tuple(shape)
        return sizes


def _adds_axis(view: GraphView, name: str) -> bool:
    """Whether an axis is added to an input before an op that shows what its axes mean."""
    waiting, seen = [name], {name}
    while waiting:
        for node in view.consumers.get(waiting.pop(), ()):
            if node.op_type == "Unsqueeze":
                return True
            if find_op(node.op_type).roles is None:
                new = [result for result in node.output if result not in seen]
                seen.update(new)
                waiting += new
    return False


# Sizes that stand for free dimensions while the graph is walked.
_SAMPLES, _SIDE = 2, 32


def stated_axes(given: str | Mapping[str, str] | None, main: str) -> dict[str, TensorAxes]:
    """Return the axes that a user states, by name; a text is for the input ``main``.

    Examples
    --------
    >>> {name: axes.words() for name, axes in stated_axes("N T F", "x").items()}
    {'x': 'sample time feature'}
    """
    if given is None:
        return {}
    named = {main: given} if isinstance(given, str) else given
    return {name: TensorAxes.stated(text) for name, text in named.items()}


def spec_axes(spec: InputSpec | None, main: str, ranks: Mapping[str, int]) -> dict[str, TensorAxes]:
    """Return the axes of the input ``main`` that a spec states, by its axes or by the layout of a picture."""
    if spec is None or spec.guessed or main not in ranks:
        return {}
    if spec.axes is not None:
        return {main: TensorAxes.stated(spec.axes, "spec")}
    if spec.kind == "picture" and ranks[main] == _PICTURE_RANK:
        return {main: TensorAxes.stated(" ".join(spec.layout), f"spec layout {spec.layout}")}
    return {}


_PICTURE_RANK: Final = 4
