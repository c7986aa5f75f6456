"""All rows as columns of a heat map."""

from __future__ import annotations

from typing import ClassVar, final

from PIL import Image

from xaionnx.explanation import Explanation
from xaionnx.render.heatmap import heatmap
from xaionnx.render.picture import RowsKind, Scene
from xaionnx.render.tables import TOP


@final
class Heatmap(RowsKind):
    """Rows as columns of a heat map, similar ones side by side, with the prediction above."""

    rank: ClassVar[int] = 23

    @classmethod
    def draw(cls, result: Explanation, scene: Scene) -> Image.Image:
        return heatmap(result, target=scene.target, top=scene.count(TOP), style=scene.style)
