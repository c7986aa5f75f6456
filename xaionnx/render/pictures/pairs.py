"""How the prediction changes with two features together."""

from __future__ import annotations

from typing import ClassVar, final

from PIL import Image

from xaionnx.explanation import Explanation
from xaionnx.render.effect_curves import PAIRS, pair_effects
from xaionnx.render.picture import SampleKind, Scene


@final
class Pairs(SampleKind):
    """Maps of partial dependence and accumulated local effects over the values of two features."""

    rank: ClassVar[int] = 18
    needs: ClassVar[str] = "effects of pairs of features, as of dependence with pairs"

    @classmethod
    def shows(cls, one: Explanation) -> bool:
        return all(name in one.maps for name in ("pair_grid", "pair_partial_dependence", "pair_ale"))

    @classmethod
    def draw_one(cls, one: Explanation, scene: Scene) -> Image.Image:
        return pair_effects(one, scene.style, top=scene.count(PAIRS))
