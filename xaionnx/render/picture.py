"""A picture of a result, of the kind that suits it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, final

import numpy as np
from PIL import Image

from xaionnx.errors import ParameterError
from xaionnx.explanation import Explanation
from xaionnx.feature_names import names_of_columns
from xaionnx.hooks import hook
from xaionnx.registry import Registry
from xaionnx.render.maps import one_sample
from xaionnx.render.tables import has_rows
from xaionnx.render.themes import LIGHT, Style, style_of
from xaionnx.typing import Array


@final
@dataclass(frozen=True, eq=False, repr=False)
class Scene:
    """The parameters of :func:`picture`."""

    photo: Array | None = None
    stretched: bool = False
    signal: Array | None = None
    channel: int = 0
    names: Sequence[str] | None = None
    input: str | None = None
    sample: int = 0
    target: int = 0
    sign: str = "auto"
    top: int | float | None = None
    original: bool | str | None = False
    volume: Array | None = None
    # Whether the user named the input.
    chosen: bool = False
    all_rows: bool = False
    feature: str | int | None = None
    smooth: float | None = None
    style: Style = LIGHT

    def count(self, default: int) -> int:
        """How many features a chart shows; see :func:`whole_number`."""
        top = whole_number(self.top)
        return default if top is None else top

    def row_names(self, result: Explanation) -> Sequence[str] | None:
        """The names that were given, of each feature of the result or of each column; None if they do not match."""
        if self.names is None or "feature_names" in result.provenance:
            return None
        return self.names if len(self.names) == len(result.feature_names) else names_of_columns(result, self.names)


def whole_number(top: int | float | None) -> int | None:
    """The number of features that a chart shows.

    Raises
    ------
    ParameterError
        A share is given.
    """
    if isinstance(top, float):
        raise ParameterError(
            f"The 'top' parameter of this kind of picture must be an int in [1, inf). Got {top!r} instead; a share is "
            "for maps over a photo."
        )
    return top


class PictureKind(ABC):
    """A kind of picture, one per file of :mod:`xaionnx.render.pictures`.

    Attributes
    ----------
    rank : int
        The kind with the lowest rank among those that apply is drawn.
    needs : str
        What the kind needs, for messages: "map needs ...".
    of_rows : bool
        Whether it draws all rows of a table in one picture.
    of_targets : bool
        Whether it draws all targets in one picture.
    of_curves : bool
        Whether the record needs the curves of :func:`xaionnx.removal_curves`.
    """

    rank: ClassVar[int]
    needs: ClassVar[str]
    of_rows: ClassVar[bool] = False
    of_targets: ClassVar[bool] = False
    of_curves: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def applies(cls, result: Explanation, scene: Scene) -> bool:
        """Whether this kind can draw the result."""

    @classmethod
    @hook
    def suits(cls, result: Explanation, scene: Scene) -> bool:
        """Whether it may be drawn if no kind is asked for."""
        return cls.applies(result, scene)

    @classmethod
    @abstractmethod
    def draw(cls, result: Explanation, scene: Scene) -> Image.Image:
        """The picture, RGB."""

    @classmethod
    @hook
    def frames(cls, result: Explanation, scene: Scene) -> list[Image.Image]:
        """The pictures of a film; one alone by default."""
        return [cls.draw(result, scene)]


class RowsKind(PictureKind):
    """A kind that draws several rows with the same features, drawn on request."""

    needs: ClassVar[str] = "several rows with the same features"
    of_rows: ClassVar[bool] = True

    @classmethod
    @hook
    def applies(cls, result: Explanation, scene: Scene) -> bool:
        """Whether there are several such rows."""
        return result.samples > 1 and has_rows(result)

    @classmethod
    @hook
    def suits(cls, result: Explanation, scene: Scene) -> bool:
        """Whether it may be drawn if no kind is asked for."""
        return False


class SampleKind(PictureKind):
    """A kind that draws the record of one sample and target."""

    @classmethod
    @final
    def applies(cls, result: Explanation, scene: Scene) -> bool:
        return cls.shows(one_sample(result, scene.sample, scene.target, "picture"))

    @classmethod
    @abstractmethod
    def shows(cls, one: Explanation) -> bool:
        """Whether this kind can draw a record of one sample and target."""

    @classmethod
    @final
    def draw(cls, result: Explanation, scene: Scene) -> Image.Image:
        return cls.draw_one(one_sample(result, scene.sample, scene.target, "picture"), scene)

    @classmethod
    @abstractmethod
    def draw_one(cls, one: Explanation, scene: Scene) -> Image.Image:
        """The picture of a record of one sample and target, RGB."""


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
    sample: int | None = None,
    target: int = 0,
    sign: str = "auto",
    top: int | float | None = None,
    smooth: float | None = None,
    original: bool | str | None = False,
    feature: str | int | None = None,
    theme: str = "light",
    details: bool = False,
) -> Image.Image:
    """A picture of one sample or of all rows: a map over a photo, colours behind a series, or a chart of features.

    By default, a row of a table with a base value, from which its values lead to the prediction, is a waterfall; other
    rows are bars, and several rows a beeswarm.

    Parameters that are not given are taken from the record of the input, see ``Explanation.display``.

    Parameters
    ----------
    explanation : Explanation
        The explanation of N samples.
    kind : str
        ``auto`` for the first kind that applies, or the name of a file of :mod:`xaionnx.render.pictures`.
    photo : uint8 array (H, W, 3), optional
        The input picture.
    stretched : bool
        Whether the model's input has another aspect ratio than the photo.
    signal : array (C, T), (T, C) or (T,), optional
        The input, if it is a series.
    channel : int
        The axis of the channels of ``signal``.
    names : sequence of str, optional
        Names of the columns of a table, or of the parts of a layer, for bars.
    input : str, optional
        The input to draw, if several have values.
    sample : int, optional
        Index of the sample; if None, the kinds that can draw all rows of a table draw all, the others the first sample.
    target : int
        Index of the target, if there are several.
    sign : {"auto", "signed", "positive", "absolute"}
        What the colours show; see :func:`~xaionnx.render.overlay`.
    top : int or float, optional
        Show only this many features, the strongest; of a map over a photo also a share of it, 0.1 for a tenth.
    smooth : float, optional
        Smooth a map by a Gaussian of this many pixels; see :func:`~xaionnx.render.overlay`.
    original : bool, "beside" or "inset"
        Also show the photo, beside a map or small inside it.
    feature : str or int, optional
        The feature of a dependence plot, by name or number; the most important one by default.
    theme : {"light", "dark"}
        The colours of the page.
    details : bool
        Whether the caption tells all about scales and parameters, rather than what a reader needs at once.

    Returns
    -------
    PIL.Image.Image
        RGB.

    Raises
    ------
    UnknownNameError
        There is no such kind.
    ParameterError
        The kind does not apply to this result, or a parameter is invalid.
    DataError
        The values do not match the photo or series, or are not finite.

    Examples
    --------
    >>> result = Explanation("exact_shapley", np.array([[2.0, -1.0]]), np.array(["good"]), np.array([1.0]))
    >>> picture(result, names=["income", "age"]).mode
    'RGB'
    """
    # Checked first, because later steps index by sample and target.
    one = one_sample(explanation, 0 if sample is None else sample, target, "picture")
    scene = Scene(
        photo,
        stretched,
        signal,
        channel,
        names,
        input,
        sample or 0,
        target,
        sign,
        top,
        original,
        all_rows=sample is None,
        smooth=smooth,
        style=style_of(theme, details),
    )
    scene = _with_display(replace(scene, chosen=input is not None, feature=feature), one)
    return _choose_kind(explanation, kind, scene).draw(explanation, scene)


def film(
    explanation: Explanation,
    photo: Array | None = None,
    *,
    stretched: bool = False,
    sample: int = 0,
    target: int = 0,
    input: str | None = None,
    theme: str = "light",
) -> list[Image.Image]:
    """The frames of deletion and insertion of one sample, one for each step, to be saved as a GIF by ``save``.

    Parameters
    ----------
    explanation : Explanation
        With the curves of :func:`xaionnx.removal_curves`.
    photo, stretched, sample, target, input, theme
        As for :func:`picture`.

    Returns
    -------
    list of PIL.Image.Image
        RGB, all of one size.

    Raises
    ------
    ParameterError
        There are no curves or no photo, no such sample or target, or another parameter is invalid.
    """
    one = one_sample(explanation, sample, target, "film")
    scene = Scene(photo, stretched, input=input, sample=sample, target=target, style=style_of(theme))
    scene = _with_display(replace(scene, chosen=input is not None), one)
    return _choose_kind(explanation, "deletion", scene).frames(explanation, scene)


def draws_all_rows(explanation: Explanation) -> bool:
    """Whether the picture that no kind and no sample is asked for is one of all rows."""
    one = one_sample(explanation, 0, 0, "picture")
    return _choose_kind(explanation, "auto", _with_display(Scene(all_rows=True), one)).of_rows


def _with_display(scene: Scene, one: Explanation) -> Scene:
    """The scene, completed from the record of the input."""
    name = scene.input
    if name is None and isinstance(one.values, dict):
        # With several inputs, a picture is preferred.
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
    if display.kind == "volume" and scene.volume is None:
        return replace(scene, volume=display.array[0], channel=display.channel)
    return scene


def own_shape(explanation: Explanation, input: str | None) -> tuple[int, ...]:
    """The shape of the values of one sample and target; () if the input has none."""
    values = explanation.samples_first().values
    if isinstance(values, dict):
        input_values = values.get(input) if input is not None else None
        if input_values is None:
            return ()
        values = input_values
    return np.shape(values)[2 if explanation.several_targets else 1 :]


def _choose_kind(explanation: Explanation, kind: str, scene: Scene) -> type[PictureKind]:
    if kind != "auto":
        named = PICTURES.find(kind)
        if not named.applies(explanation, scene):
            able = ", ".join(name for name in PICTURES.names() if PICTURES.find(name).applies(explanation, scene))
            raise ParameterError(f"A picture of the kind '{kind}' needs {named.needs}. Choose one of: auto, {able}.")
        return named
    ranked = sorted(PICTURES.kinds(), key=lambda each: each.rank)
    return next(each for each in ranked if each.suits(explanation, scene))
