"""How the prediction changes with each of the strongest features."""

from __future__ import annotations

from typing import ClassVar, final

from PIL import Image

from xaionnx.explanation import Explanation
from xaionnx.render.effect_curves import CURVES, effect_curves
from xaionnx.render.picture import SampleKind, Scene


@final
class Curves(SampleKind):
    """Curves of partial dependence and accumulated local effects, with those of single rows."""

    rank: ClassVar[int] = 19
    needs: ClassVar[str] = "curves of features, as of dependence"

    @classmethod
    def shows(cls, one: Explanation) -> bool:
        return all(name in one.maps for name in ("grid", "partial_dependence", "ale", "ice", "rug", "share"))

    @classmethod
    def draw_one(cls, one: Explanation, scene: Scene) -> Image.Image:
        return effect_curves(one, scene.style, feature=scene.feature, top=scene.count(CURVES))
