"""The values of one row on one line, pushing the prediction up and down."""

from __future__ import annotations

from typing import ClassVar, final

from PIL import Image

from xaionnx.explanation import Explanation
from xaionnx.render.additive import force, has_base
from xaionnx.render.picture import SampleKind, Scene


@final
class Force(SampleKind):
    """The parts of a waterfall on one line."""

    rank: ClassVar[int] = 26
    needs: ClassVar[str] = "one row with a base value, as Shapley values have it"

    @classmethod
    def shows(cls, one: Explanation) -> bool:
        return has_base(one)

    @classmethod
    def suits(cls, result: Explanation, scene: Scene) -> bool:
        return False

    @classmethod
    def draw_one(cls, one: Explanation, scene: Scene) -> Image.Image:
        return force(one, top=scene.count(10), style=scene.style)
