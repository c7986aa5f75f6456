"""All rows as dots."""

from __future__ import annotations

from typing import ClassVar, final

from PIL import Image

from xaionnx.explanation import Explanation
from xaionnx.render.beeswarm import beeswarm
from xaionnx.render.picture import RowsKind, Scene
from xaionnx.render.tables import TOP, is_tabular


@final
class Beeswarm(RowsKind):
    """A dot for each row and feature, at its attribution, coloured by the feature's value."""

    rank: ClassVar[int] = 22

    @classmethod
    def suits(cls, result: Explanation, scene: Scene) -> bool:
        return scene.all_rows and cls.applies(result, scene) and is_tabular(result)

    @classmethod
    def draw(cls, result: Explanation, scene: Scene) -> Image.Image:
        return beeswarm(result, target=scene.target, top=scene.count(TOP), style=scene.style)
