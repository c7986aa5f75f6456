"""One picture of a result, of the kind that fits it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, final

import numpy as np
from PIL import Image

from xaionnx.errors import ParameterError
from xaionnx.explanation import Explanation
from xaionnx.registry import Registry
from xaionnx.render.maps import one_sample
from xaionnx.typing import Array


@final
@dataclass(frozen=True, eq=False, repr=False)
class Scene:
    """What there is to draw a result with: the parameters of :func:`picture`."""

    photo: Array | None = None
    stretched: bool = False
    signal: Array | None = None
    channel: int = 0
    names: Sequence[str] | None = None
    input: str | None = None
    sample: int = 0
    target: int = 0
    sign: str = "auto"
    top: int | None = None
    original: bool = False


class PictureKind(ABC):
    """A way to draw a result; a file of :mod:`xaionnx.render.pictures` each.

    Attributes
    ----------
    rank : int
        Of the kinds that apply, the one with the lowest rank is drawn.
    needs : str
        When it applies, in words: "map needs ...".
    """

    rank: ClassVar[int]
    needs: ClassVar[str]

    @classmethod
    @abstractmethod
    def applies(cls, result: Explanation, scene: Scene) -> bool:
        """Whether it can draw this result."""

    @classmethod
    @abstractmethod
    def draw(cls, result: Explanation, scene: Scene) -> Image.Image:
        """Draw it, RGB."""


PICTURES: Final[Registry[PictureKind]] = Registry("picture kind", "xaionnx.render.pictures", PictureKind)


def picture(  # noqa: PLR0913 - options of a picture, all by keyword
    explanation: Explanation,
    kind: str = "auto",
    *,
    photo: Array | None = None,
    stretched: bool = False,
    signal: Array | None = None,
    channel: int = 0,
    names: Sequence[str] | None = None,
    input: str | None = None,
    sample: int = 0,
    target: int = 0,
    sign: str = "auto",
    top: int | None = None,
    original: bool = False,
) -> Image.Image:
    """Draw one sample: as a map over its photo, as colours behind its series, or as bars.

    What is not given is taken from what the result has kept of its input, see ``Explanation.display``.

    Parameters
    ----------
    explanation : Explanation
        Of N samples.
    kind : str
        ``auto`` for the first kind that fits, or a file of :mod:`xaionnx.render.pictures` by name.
    photo : uint8 array (H, W, 3), optional
        The photo that the model saw.
    stretched : bool
        The model saw the photo in another aspect.
    signal : array (C, T) or (T, C), optional
        The input, where it is a series.
    channel : int
        The axis of the channels of ``signal``.
    names : sequence of str, optional
        Names of the columns of a table, or of the parts of a layer, for bars.
    input : str, optional
        The input that is drawn, where several have values.
    sample, target : int
        Which of the N samples, and which of several targets.
    sign : {"auto", "signed", "positive", "absolute"}
        What the colours show; see :func:`~xaionnx.render.overlay`.
    top : int, optional
        Show the strongest features only.
    original : bool
        Put the photo itself beside a map.

    Returns
    -------
    PIL.Image.Image
        RGB.

    Raises
    ------
    UnknownNameError
        There is no such kind.
    ParameterError
        The kind does not apply to this result, or a parameter is out of its domain.
    DataError
        The values do not fit what they are drawn over, or are not finite.

    Examples
    --------
    >>> result = Explanation("exact_shapley", np.array([[2.0, -1.0]]), np.array(["good"]), np.array([1.0]))
    >>> picture(result, names=["income", "age"]).mode
    'RGB'
    """
    # Refused before anything is looked up by it.
    one = one_sample(explanation, sample, target, "picture")
    scene = Scene(photo, stretched, signal, channel, names, input, sample, target, sign, top, original)
    scene = _with_display(scene, one)
    return _chosen(explanation, kind, scene).draw(explanation, scene)


def _with_display(scene: Scene, one: Explanation) -> Scene:
    """What was not given is taken from what the result has kept."""
    name = scene.input
    if name is None and isinstance(one.values, dict):
        # Of several inputs the one that can be drawn over comes first.
        shown = [key for key in one.display if key in one.values]
        name = next((key for key in shown if one.display[key].kind == "picture"), next(iter(shown), None))
    display = one.display.get(name) if name is not None else next(iter(one.display.values()), None)
    if display is None or not len(display.array):
        return scene
    scene = replace(scene, input=name)
    if display.kind == "picture" and scene.photo is None:
        return replace(scene, photo=display.picture())
    if display.kind == "series" and scene.signal is None:
        return replace(scene, signal=display.array[0], channel=display.channel)
    if display.kind == "row" and scene.names is None:
        return replace(scene, names=display.names or None)
    return scene


def own_shape(explanation: Explanation, input: str | None) -> tuple[int, ...]:
    """The shape of the values of one sample and target; () where the named input has none."""
    values = explanation.values
    if isinstance(values, dict):
        found = values.get(input) if input is not None else None
        if found is None:
            return ()
        values = found
    return np.shape(values)[2 if explanation.several_targets else 1 :]


def _chosen(explanation: Explanation, kind: str, scene: Scene) -> type[PictureKind]:
    if kind != "auto":
        named = PICTURES.find(kind)
        if not named.applies(explanation, scene):
            able = ", ".join(name for name in PICTURES.names() if PICTURES.find(name).applies(explanation, scene))
            raise ParameterError(f"A picture of the kind '{kind}' needs {named.needs}. Choose one of: auto, {able}.")
        return named
    ranked = sorted(PICTURES.kinds(), key=lambda each: each.rank)
    return next(each for each in ranked if each.applies(explanation, scene))
