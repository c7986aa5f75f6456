"""The prediction while a picture is deleted, and while it is inserted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np
from PIL import Image, ImageDraw

from xaionnx.explanation import Explanation
from xaionnx.render import page
from xaionnx.render.colours import number_words
from xaionnx.render.painting import Pixels, spread
from xaionnx.render.photo_kind import PhotoKind
from xaionnx.render.picture import Scene
from xaionnx.render.result_page import sample_page
from xaionnx.render.settings import removal_baseline
from xaionnx.render.themes import Style
from xaionnx.typing import Array, Floats

# In pixels: the shorter side of a photo in a panel, the most of the longer one, the height of a curve, and text.
_SIDE: Final = 220
_LONGEST: Final = 480
_CURVE: Final = 80
_TEXT: Final = 16
# Shares of the picture that the still shows.
_STILLS: Final = (0.1, 0.25, 0.5, 0.75)
_NAMES: Final = ("deletion", "insertion")
_BASELINE: Final = "baseline"


@final
class Deletion(PhotoKind):
    """The photo with ever more of its strongest parts removed, or with these alone, and the prediction at each step."""

    rank: ClassVar[int] = 14
    needs: ClassVar[str] = "a photo, and curves of deletion and insertion, as by xaionnx.removal_curves"
    of_curves: ClassVar[bool] = True

    @classmethod
    def applies(cls, result: Explanation, scene: Scene) -> bool:
        return all(name in result.maps for name in (*_NAMES, _BASELINE)) and super().applies(result, scene)

    @classmethod
    def draw(cls, result: Explanation, scene: Scene) -> Image.Image:
        course = cls._course(result, scene)
        steps = [round(share * course.steps) for share in _STILLS]
        panels = [course.panel(scene.style, name, step) for name in _NAMES for step in steps]
        return course.page(scene.style, panels, len(steps))

    @classmethod
    def frames(cls, result: Explanation, scene: Scene) -> list[Image.Image]:
        course = cls._course(result, scene)
        return [
            course.page(scene.style, [course.panel(scene.style, name, step) for name in _NAMES], len(_NAMES))
            for step in range(course.steps + 1)
        ]

    @classmethod
    def _course(cls, result: Explanation, scene: Scene) -> _Course:
        # The order of the steps is that of the values themselves.
        laid = cls.laid_over(result, scene, smooth=0)
        height, width = laid.shown.shape[:2]
        ratio = min(_SIDE / min(height, width), _LONGEST / max(height, width))
        height, width = round(height * ratio), round(width * ratio)
        small, replacement = (
            np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize((width, height), Image.Resampling.LANCZOS))
            for pixels in (laid.shown, laid.one.maps[_BASELINE][0])
        )
        # Of hindrances, what raises the target is below zero.
        values = -laid.found.values if laid.one.value_kind == "hindrance" else laid.found.values
        ranks = np.empty(values.size)
        ranks[np.argsort(-values, axis=None, kind="stable")] = np.arange(values.size) / values.size
        return _Course(laid.one, small, replacement, spread(ranks.reshape(values.shape), height, width))


@final
@dataclass(frozen=True, eq=False, repr=False)
class _Course:
    """A photo, what replaces removed parts of it, and the rank of each pixel, from 0, the strongest, to 1."""

    one: Explanation
    photo: Pixels
    replacement: Pixels
    ranks: Array

    @property
    def steps(self) -> int:
        return len(self.curve("deletion")) - 1

    def curve(self, name: str) -> Floats:
        return np.asarray(self.one.maps[name][0], np.float64)

    @property
    def is_probability(self) -> bool:
        return bool(self.one.provenance.get("removal_curves", {}).get("probability"))

    def panel(self, style: Style, name: str, step: int) -> page.Panel:
        """The photo at a step, with the share and the prediction above it, and the curve up to there below."""
        share, width = step / self.steps, self.photo.shape[1]
        gone = (self.ranks < share) == (name == "deletion")
        shown = np.where(gone[..., None], self.replacement, self.photo)
        done = f"{100 * share:.0f} % {'removed' if name == 'deletion' else 'inserted'}"
        what = "probability" if self.is_probability else "prediction"
        heading = [
            page.text_block(style, [done], width, _TEXT, bold=True),
            page.text_block(style, [f"{what} {number_words(float(self.curve(name)[step]))}"], width, _TEXT),
        ]
        return page.Panel(
            page.beneath(style, heading, 2), Image.fromarray(shown), self._drawn_curve(style, name, step, width)
        )

    def _limits(self) -> tuple[float, float]:
        if self.is_probability:
            return 0.0, 1.0
        every = np.concatenate([self.curve(name) for name in _NAMES])
        low, high = min(0.0, float(every.min())), float(every.max())
        return (low, high) if high > low else (low, low + 1)

    def _drawn_curve(self, style: Style, name: str, step: int, width: int) -> Image.Image:
        """The curve, strong up to the step and faint beyond, from the lower to the upper limit."""
        low, high = self._limits()
        image = Image.new("RGB", (width, _CURVE), style.paper)
        pen, edge = ImageDraw.Draw(image), 5
        x = edge + np.linspace(0, width - 1 - 2 * edge, self.steps + 1)
        y = edge + (high - self.curve(name)) / (high - low) * (_CURVE - 1 - 2 * edge)
        points = list(zip(x.tolist(), y.tolist(), strict=True))
        pen.rectangle((0, 0, width - 1, _CURVE - 1), outline=style.grid)
        pen.line(points, fill=style.plain, width=1)
        colour = style.down if name == "deletion" else style.up
        pen.line(points[: step + 1], fill=colour, width=3)
        at_x, at_y = points[step]
        pen.ellipse((at_x - 4, at_y - 4, at_x + 4, at_y + 4), fill=colour)
        return image

    def page(self, style: Style, panels: list[page.Panel], columns: int) -> Image.Image:
        """The page of panels, with the areas below the curves in its caption."""
        removed, inserted = (number_words(float(np.trapezoid(self.curve(name), dx=1 / self.steps))) for name in _NAMES)
        note = f"The parts that raise the target most go first. {removal_baseline(self.one)}"
        low, high = map(number_words, self._limits())
        areas = f"the area below is {removed} for deletion (lower is better), {inserted} for insertion."
        notes = [note, f"Curves run from {low} to {high}; {areas}"]
        return sample_page(style, self.one, page.grid(style, panels, columns, _TEXT), notes, size=_TEXT)
