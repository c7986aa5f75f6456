"""Target: the number of the output that is explained.

A target is given by the user. With a model and its outputs it resolves to a
:class:`~xaionnx.targets.selection.TargetSet`, which can be evaluated.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
import numpy.typing as npt

from xaionnx.data.dataset import Dataset, order_check
from xaionnx.data.labels import class_word
from xaionnx.errors import ParameterError
from xaionnx.hooks import hook
from xaionnx.registry import Form, Registry, Shorthand
from xaionnx.runtime.model import Model
from xaionnx.targets.scores import ahead_of_argmax, default_output, is_int, whole
from xaionnx.targets.selection import TargetTerm
from xaionnx.typing import Array, Feeds, TargetLike

if TYPE_CHECKING:
    from xaionnx.data.block import Block
    from xaionnx.targets.in_graph import Aim


class Target(ABC):
    """The number to explain. Use the constructors: ``Target.index(281)``, ``Target.margin(3, 5)``, ...

    Examples
    --------
    >>> Target.of(None)
    ([Top(rank=0, as_probability=False, output=None)], False)
    >>> Target.of([3, Target.margin(3, 5)])[1]
    True
    """

    output: str | None
    # Whether it stands for more than one target.
    several: ClassVar[bool] = False
    # Text forms of the kind for the command line; none by default.
    forms: ClassVar[tuple[Form[Target], ...]] = ()

    @property
    @hook
    def of_classes(self) -> bool:
        """Whether it names or ranks classes, along the only axis of a tensor."""
        return False

    @classmethod
    def of(cls, given: TargetLike) -> tuple[list[Target], bool]:
        """Return the targets that a shorthand stands for, and whether they are several.

        ``None`` is the top class of each sample, an int a class, an array of N ints one class per sample, a str a
        label, and a list several targets at once.

        Raises
        ------
        ParameterError
            The shorthand is none of these.
        """
        if isinstance(given, list):
            targets = [target for item in given for target in cls.of(item)[0]]
            if not targets:
                raise ParameterError("The 'target' parameter must name at least one target. Got [] instead.")
            return targets, True
        if isinstance(given, Target):
            return [given], given.several
        from xaionnx.targets.kinds.index import Index
        from xaionnx.targets.kinds.top import Top

        if given is None:
            return [Top()], False
        if isinstance(given, str) or is_int(given):
            return [Index(given if isinstance(given, str) else int(given))], False
        if isinstance(given, np.ndarray) and given.ndim == 1 and given.dtype.kind in "iu":
            return [Index(tuple(int(i) for i in given), each=True)], False
        advice = ""
        if isinstance(given, tuple) and given and all(is_int(i) for i in given):
            listed = ", ".join(map(str, given))
            advice = f" Use Target.index(({listed})) for one element, or [{listed}] for several classes."
        raise ParameterError(
            "The 'target' parameter must be None, an int, an array of one int per sample, a label, a Target, "
            f"or a list of these. Got {given!r} instead.{advice}"
        )

    @classmethod
    def of_block(cls, given: TargetLike, block: Block, count: int | None) -> TargetLike:
        """Return what is explained of a block of the ``count`` units of a data set, None if that is not known.

        Raises
        ------
        ParameterError
            The target is of another number of samples.
        """
        if given is None:
            return None
        units, labels = labels_of_samples(block)
        targets, several = cls.of(given)
        found = [target.of_units(units, labels, count) for target in targets]
        return [*found] if several else found[0]

    @classmethod
    def read(cls, text: str, model: Model, output: str | None = None) -> Target:
        """Return the target for a text of the command line: a form such as ``margin:281,207``, a label or a number.

        A number that is the label of a class is that class; ``element:2`` is the class of number 2 whatever its label.

        Parameters
        ----------
        text : str
        model : Model
            Its labels are needed to separate two classes whose labels contain commas.
        output : str, optional
            Name of the tensor to read; the model's default output if None.

        Raises
        ------
        ParameterError
            The text after the name of a form is invalid.

        Examples
        --------
        >>> from models import planted
        >>> Target.read("margin:0,1", planted.load(planted.linear([[1.0, 2.0], [3.0, 4.0]])))
        Margin(p=0, q=1, output=None)
        """
        name, colon, rest = text.partition(":")
        form = TARGETS.forms().get(name)
        # A label may have the name of a form, or one as a part.
        in_label = any(text.casefold() in label.casefold() for label in model.labels or ())
        if form is None or (in_label and not form.takes(rest if colon else None)):
            k = class_word(text, model.labels or ())
            return cls.index(k, output=output) if isinstance(k, int) else cls.label(k, output=output)
        return TARGETS.read(text, output, model)

    @hook
    def tensor(self, model: Model) -> str:
        """Return the name of the tensor to read: ``output``, which may be internal, or the model's default output.

        For an output that is an ArgMax, that is the tensor of scores ahead of it.
        """
        return default_output(model) if self.output is None else ahead_of_argmax(model, self.output)

    @hook
    def bind(self, model: Model, feeds: Feeds) -> Target:
        """Return the target with what it needs to know of a model and the size of its inputs, such as a layout.

        Raises
        ------
        ParameterError, UnsupportedModelError
            The model has no such target.
        """
        del model, feeds
        return self

    @property
    @hook
    def of_each(self) -> bool:
        """Whether it has an entry for each sample, in the order of the samples."""
        return False

    @classmethod
    def check_samples(cls, given: TargetLike, x: object, model: Model) -> None:
        """Check that targets fit the labels of a data set, and samples of one target each have one order.

        Raises
        ------
        ParameterError
            They do not, or are files of a folder that have several.
        """
        targets = [] if given is None else cls.of(given)[0]
        if any(target.of_each for target in targets):
            instead = "Give the target 'labelled' and a CSV file of labels, or the list of the files."
            order_check(x)("Targets", instead)
        if isinstance(x, Dataset) and x.labels_given is not None:
            for target in targets:
                target.check_labels(x.labels_given, model)

    @hook
    def check_labels(self, labels: Sequence[str | int | float | None], model: Model) -> None:
        """Check that the labels of all samples may be what the target makes of them.

        Raises
        ------
        ParameterError
            They are numbers of other classes.
        """
        del labels, model

    @hook
    def of_units(self, units: Sequence[int], labels: Sequence[str | int | float | None], count: int | None) -> Target:
        """Return the target of some units of a data set of ``count``, which have these labels, if there are any.

        Raises
        ------
        ParameterError
            It is of another number of samples.
        """
        del units, labels, count
        return self

    @hook
    def extended(self, model: Model) -> Model:
        """Return the model with the tensors that a bound target adds to its graph; by default none."""
        return model

    @hook
    def reads(self, model: Model) -> tuple[str, ...]:
        """Return the names of all tensors that :meth:`resolved` needs; by default the one of :meth:`tensor`."""
        return (self.tensor(model),)

    @hook
    def resolved(self, outputs: Mapping[str, Array], model: Model) -> list[TargetTerm]:
        """Resolve the target for the values (N, ...) of the tensors of :meth:`reads` at the input."""
        return self.terms(outputs[self.tensor(model)], model)

    @abstractmethod
    def terms(self, output: Array, model: Model) -> list[TargetTerm]:
        """Resolve the target for the tensor's values (N, ...) at the input."""

    @property
    @hook
    def follows(self) -> bool:
        """Whether its elements depend on the model's outputs, as those of the top class do."""
        return False

    @hook
    def as_similarity(self) -> Target:
        """Return the similarity to a box in place of its score; other targets are returned as they are."""
        return self

    @hook
    def parts(self) -> list[Target]:
        """Return the single targets that it stands for, if they are known before the model runs."""
        return [self]

    @hook
    def in_graph(self, model: Model, output: Array) -> Aim:
        """Return the same target inside a graph; by default a weighted sum of the same elements for every sample.

        ``output`` (1, ...) is the tensor's value for any sample.

        Raises
        ------
        ParameterError
            The elements or weights differ between samples.
        """
        from xaionnx.targets.in_graph import constant

        return constant(self, model, output)

    @staticmethod
    def index(k: int | Sequence[int], *, output: str | None = None) -> Target:
        """Class ``k``, or one element of an output of higher rank by a sequence of ints, such as (k, h, w)."""
        from xaionnx.targets.kinds.index import Index

        return Index(whole(k), output=output)

    @staticmethod
    def label(name: str, *, output: str | None = None) -> Target:
        """The class with a label."""
        from xaionnx.targets.kinds.index import Index

        return Index(name, output=output)

    @staticmethod
    def labelled(*, output: str | None = None) -> Target:
        """The class of the label that each sample of a :class:`xaionnx.Dataset` has."""
        from xaionnx.targets.kinds.labelled import Labelled

        return Labelled(output)

    @staticmethod
    def top(k: int = 1, *, output: str | None = None) -> Target:
        """The ``k`` highest classes of each sample, as k targets."""
        from xaionnx.targets.kinds.tops import _Tops

        if not is_int(k) or k < 1:
            raise ParameterError(f"The 'k' parameter of Target.top must be an int in [1, inf). Got {k!r} instead.")
        return _Tops(int(k), output)

    @staticmethod
    def classes(*, probability: bool = False, output: str | None = None) -> Target:
        """Every class, as K targets."""
        from xaionnx.targets.kinds.classes import _Classes

        return _Classes(probability, output)

    @staticmethod
    def probability(k: int | str | None = None, *, output: str | None = None) -> Target:
        """The probability of class ``k`` (the top class if None), by softmax or sigmoid if the model returns logits."""
        from xaionnx.targets.kinds.index import Index
        from xaionnx.targets.kinds.top import Top

        if k is None:
            return Top(as_probability=True, output=output)
        return Index(k, as_probability=True, output=output)

    @staticmethod
    def margin(p: int | str, q: int | str, *, output: str | None = None) -> Target:
        """The score of class ``p`` minus the score of class ``q``: why P rather than Q."""
        from xaionnx.targets.kinds.margin import Margin

        return Margin(p, q, output)

    @staticmethod
    def sum(*, output: str | None = None) -> Target:
        """The sum of a whole output, or of any internal tensor."""
        from xaionnx.targets.kinds.region import Region

        return Region(None, None, None, output)

    @staticmethod
    def region(
        mask: Array | None = None, *, channel: int | None = None, threshold: float = 0.5, output: str | None = None
    ) -> Target:
        """The sum over a region of an output with spatial axes, such as a segmentation.

        ``mask`` is True inside the region, (H, W), (N, H, W), or of the output's shape. If it is None, the region is
        where the output at the input exceeds ``threshold``. ``channel`` selects one class of the output, (N, C, H, W),
        or (N, H, W, C) if the input is a picture with channels last.
        """
        from xaionnx.targets.kinds.region import Region

        return Region(mask, channel, threshold, output)

    @staticmethod
    def box(
        k: int | str | None = None,
        *,
        near: tuple[float, float] | None = None,
        iou: tuple[float, float, float, float] | None = None,
        number: int | None = None,
    ) -> Target:
        """The score of one box of a detector, times its objectness if it has one: by default of the best box.

        ``k`` is the class, by number or label; by default the highest of the box. ``near`` (x, y) selects the box
        around a point or nearest to it, ``iou`` (x0, y0, x1, y1) the one with the largest intersection over union, in
        pixels of the model's input, both among distinct boxes; ``number`` selects a box by its place in the output.
        """
        from xaionnx.targets.kinds.box import Box

        return Box(k, near, iou, number)

    @staticmethod
    def boxes(count: int, k: int | str | None = None) -> Target:
        """The ``count`` best distinct boxes of a detector, of class ``k`` if given, as so many targets."""
        from xaionnx.targets.kinds.boxes import _Boxes

        if not is_int(count) or count < 1:
            raise ParameterError(
                f"The 'count' parameter of Target.boxes must be an int in [1, inf). Got {count!r} instead."
            )
        return _Boxes(int(count), k)

    @staticmethod
    def detection(
        k: int | str | None = None,
        *,
        near: tuple[float, float] | None = None,
        iou: tuple[float, float, float, float] | None = None,
        number: int | None = None,
    ) -> Target:
        """The similarity of a detector's boxes to one of its boxes at the input (D-RISE), for methods by removal.

        The box is chosen as by :meth:`box`. It may move: the most similar box of the changed picture counts.
        """
        from xaionnx.targets.kinds.box import Box
        from xaionnx.targets.kinds.detection import Detection

        return Detection(Box(k, near, iou, number))

    @staticmethod
    def segment(k: int | str | None = None, *, output: str | None = None) -> Target:
        """The sum of the scores of class ``k`` over its pixels, those where it is the highest class at the input.

        ``k`` is a number or label; by default the class with the largest region, which is the background only if it
        covers everything and its label says so. For an output of one channel, the sum over the mask.
        """
        from xaionnx.targets.kinds.segment import Segment

        return Segment(k, output)

    @staticmethod
    def character(which: int | str, *, output: str | None = None) -> Target:
        """The scores of one character of a CTC output, summed over all frames that collapse to it.

        ``which`` is its position in the decoded text (0 is the first), or a letter, which stands for its first
        occurrence.
        """
        from xaionnx.targets.kinds.character import Character

        return Character(which, output)

    @staticmethod
    def path(*, output: str | None = None) -> Target:
        """The log probability of the best path of a CTC output: the sum over all frames."""
        from xaionnx.targets.kinds.path import Path

        return Path(output)

    @staticmethod
    def next_token(token: str | int | None = None, *, output: str | None = None) -> Target:
        """The log probability of the token after a text: of the most probable one, or of ``token``.

        ``token`` is the beginning of what follows, with the space before it, or the number of a token.
        """
        from xaionnx.targets.kinds.next_token import NextToken

        return NextToken(token, output)

    @staticmethod
    def continuation(text: str, *, output: str | None = None) -> Target:
        """The log probability of the end of a text, which is ``text``: the sum over its tokens, after all before."""
        from xaionnx.targets.kinds.continuation import Continuation

        return Continuation(text, output)

    @staticmethod
    def keypoint(k: int | str, part: str | None = None, *, output: str | None = None) -> Target:
        """Key point ``k`` of a pose, by number or label: the peak of its heat map, or its score or coordinate.

        ``part`` is ``score``, ``x`` or ``y`` where the output holds coordinates (N, K, 2 or 3).
        """
        from xaionnx.targets.kinds.keypoint import Keypoint

        return Keypoint(k, part, output)

    @staticmethod
    def similarity(to: Array | str | os.PathLike[str], *, output: str | None = None) -> Target:
        """The cosine similarity of an embedding to that of another input, or to a vector.

        ``to`` is a vector of the embedding's size, an input of the model (one for all samples, or one per sample), or
        the name of a file. Of a model that reads text a str is a text, and a Path a file; where the output has numbers
        for each token, the embedding is their mean.
        """
        from xaionnx.targets.kinds.similarity import Similarity

        return Similarity(to, output)

    @staticmethod
    def neuron(tensor: str, index: int | Sequence[int]) -> Target:
        """One element of any tensor of the graph."""
        from xaionnx.targets.kinds.index import Index

        return Index(whole([index] if is_int(index) else index), output=tensor)

    @staticmethod
    def where(choose: Callable[[Array], Array], *, output: str | None = None) -> Target:
        """The sum of the elements of a tensor that a function of its values (N, ...) chooses at the input.

        ``choose`` returns a bool array of the same shape, such as ``lambda a: a > 0.5``, or the flattened element of
        each sample, such as ``lambda a: a.reshape(len(a), -1).argmax(axis=1)``. The choice is made once: all methods
        then explain these elements.

        Examples
        --------
        >>> import numpy as np, xaionnx
        >>> from models import planted
        >>> model, x = planted.load(planted.net_a()), np.float32([[0, 100, 0]])
        >>> most_active = Target.where(lambda a: a.argmax(axis=1), output="relu")
        >>> xaionnx.explain(model, x, "input_x_gradient", most_active).target
        array(['relu[1]'], dtype='<U7')
        """
        from xaionnx.targets.kinds.where import Where

        if not callable(choose):
            raise ParameterError(
                f"The 'choose' parameter of Target.where must be a function of an array. Got {choose!r} instead."
            )
        return Where(choose, output)

    @staticmethod
    def channel(tensor: str, channel: int | None = None, *, peak: bool = False) -> Target:
        """The mean activation of a channel of a tensor, or its ``peak``; each sample's strongest if None.

        Channels are along the axis that roles show, such as the last one of maps of a model that takes channels last,
        or of scores at each time; inside the model along the one to which no positions of the input lead; else along
        axis 1.
        """
        from xaionnx.targets.kinds.channel import Channel

        return Channel(channel, tensor, peak)

    @staticmethod
    def loss(labels: npt.ArrayLike, kind: str = "cross_entropy", *, output: str | None = None) -> Target:
        """The loss of each sample: ``cross_entropy`` against class numbers, ``squared_error`` against values.

        ``labels`` contain one entry for all samples, or one per sample.
        """
        from xaionnx.targets.kinds.loss import Loss

        if kind not in ("cross_entropy", "squared_error"):
            raise ParameterError(
                "The 'kind' parameter of Target.loss must be one of 'cross_entropy', 'squared_error'. "
                f"Got {kind!r} instead."
            )
        return Loss(np.asarray(labels), kind, output)


def labels_of_samples(block: Block) -> tuple[list[int], list[str | int | float | None]]:
    """Return the unit of each sample of a block, and the labels, if there are any.

    Of several rows that are one sample together the unit counts once.
    """
    first = [at for at, unit in enumerate(block.units) if at == 0 or unit != block.units[at - 1]]
    return [block.units[at] for at in first], [block.labels[at] for at in first if block.labels]


def single(tensor: str, activation: str, elements: Sequence[int] | Array, words: Sequence[str]) -> TargetTerm:
    """Return the term for one element of a tensor for each sample."""
    indices = np.asarray(elements, dtype=np.int64)[:, None]
    return TargetTerm(tensor, activation, indices, np.ones(indices.shape), tuple(words))


TARGETS: Final[Shorthand[Target]] = Shorthand(Registry("target", "xaionnx.targets.kinds", Target))
