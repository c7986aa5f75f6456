"""The values of one row on one line, pushing the prediction up and down."""

from __future__ import annotations

from typing import ClassVar, final

from PIL import Image

from xaionnx.explanation import Explanation
from xaionnx.render.additive import force, has_base
from xaionnx.render.maps import one_sample
from xaionnx.render.picture import PictureKind, Scene


@final
class Force(PictureKind):
    """The parts of a waterfall on one line."""

    rank: ClassVar[int] = 26
    needs: ClassVar[str] = "one row with a base value, as Shapley values have it"

    @classmethod
    def applies(cls, result: Explanation, scene: Scene) -> bool:
        return has_base(one_sample(result, scene.sample, scene.target, "picture"))

    @classmethod
    def suits(cls, result: Explanation, scene: Scene) -> bool:
        return False

    @classmethod
    def draw(cls, result: Explanation, scene: Scene) -> Image.Image:
        top = scene.count(10)
        return force(result, sample=scene.sample, target=scene.target, top=top, style=scene.style)
