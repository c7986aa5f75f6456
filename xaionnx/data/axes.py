"""What the axes of a model's inputs and outputs mean: samples, channels, space, time, tokens, features, ...

A role comes from the first source that knows it: the user, the name of the dimension, the ops of the graph, or the
number of axes. Sources that contradict each other are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, final

from xaionnx.errors import ParameterError, UnknownNameError, UnsupportedModelError
from xaionnx.graph.roles import Evidence, Role, Roles
from xaionnx.short_repr import short_repr, short_sizes

if TYPE_CHECKING:
    from xaionnx.data.spec import InputSpec

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


def dims_words(dims: Dims) -> str:
    """Return a shape in words, with a question mark for sizes without a name."""
    return f"({', '.join('?' if dim is None else str(dim) for dim in short_sizes(dims))})"


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
    """Return the axes of the input ``main`` that a spec states, by its axes, the layout of a picture, or its kind."""
    if spec is None or spec.guessed or main not in ranks:
        return {}
    if spec.axes is not None:
        return {main: TensorAxes.stated(spec.axes, "spec")}
    if spec.kind == "series" and ranks[main] == _ROWS_RANK:
        return {main: TensorAxes.stated("N T", "spec kind series")}
    if spec.kind == "picture" and ranks[main] == _PICTURE_RANK:
        return {main: TensorAxes.stated(" ".join(spec.layout), f"spec layout {spec.layout}")}
    return {}


_PICTURE_RANK: Final = 4
_ROWS_RANK: Final = 2
