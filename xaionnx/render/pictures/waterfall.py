"""The steps from the base value to the prediction of one row."""

from __future__ import annotations

from typing import ClassVar, final

from PIL import Image

from xaionnx.explanation import Explanation
from xaionnx.render.additive import WATERFALL_TOP, adds_up, has_base, waterfall
from xaionnx.render.maps import one_sample
from xaionnx.render.picture import SampleKind, Scene
from xaionnx.render.tables import is_tabular


@final
class Waterfall(SampleKind):
    """Steps from the base value to the prediction, the largest first, the rest summed."""

    rank: ClassVar[int] = 25
    needs: ClassVar[str] = "one row with a base value, as Shapley values have it"

    @classmethod
    def shows(cls, one: Explanation) -> bool:
        return has_base(one)

    @classmethod
    def suits(cls, result: Explanation, scene: Scene) -> bool:
        return is_tabular(result) and adds_up(one_sample(result, scene.sample, scene.target, "picture"))

    @classmethod
    def draw_one(cls, one: Explanation, scene: Scene) -> Image.Image:
        return waterfall(one, top=scene.count(WATERFALL_TOP), style=scene.style)
