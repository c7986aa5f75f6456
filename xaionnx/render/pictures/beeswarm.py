"""All rows as dots."""

from __future__ import annotations

from typing import ClassVar, final

from PIL import Image

from xaionnx.explanation import Explanation
from xaionnx.render.many_rows import beeswarm
from xaionnx.render.picture import PictureKind, Scene
from xaionnx.render.tables import TOP, has_rows, is_tabular


@final
class Beeswarm(PictureKind):
    """A dot for each row and feature, at its attribution, coloured by the feature's value."""

    rank: ClassVar[int] = 22
    needs: ClassVar[str] = "several rows with the same features"
    of_rows: ClassVar[bool] = True

    @classmethod
    def applies(cls, result: Explanation, scene: Scene) -> bool:
        return result.samples > 1 and has_rows(result)

    @classmethod
    def suits(cls, result: Explanation, scene: Scene) -> bool:
        return scene.all_rows and cls.applies(result, scene) and is_tabular(result)

    @classmethod
    def draw(cls, result: Explanation, scene: Scene) -> Image.Image:
        return beeswarm(result, target=scene.target, top=TOP if scene.top is None else scene.top)
