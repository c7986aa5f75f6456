"""All rows as columns of a heat map."""

from __future__ import annotations

from typing import ClassVar, final

from PIL import Image

from xaionnx.explanation import Explanation
from xaionnx.render.many_rows import heatmap
from xaionnx.render.picture import PictureKind, Scene
from xaionnx.render.tables import TOP, has_rows


@final
class Heatmap(PictureKind):
    """Rows as columns of a heat map, similar ones side by side, with the prediction above."""

    rank: ClassVar[int] = 23
    needs: ClassVar[str] = "several rows with the same features"
    of_rows: ClassVar[bool] = True

    @classmethod
    def applies(cls, result: Explanation, scene: Scene) -> bool:
        return result.samples > 1 and has_rows(result)

    @classmethod
    def suits(cls, result: Explanation, scene: Scene) -> bool:
        return False

    @classmethod
    def draw(cls, result: Explanation, scene: Scene) -> Image.Image:
        return heatmap(result, target=scene.target, top=TOP if scene.top is None else scene.top)
