"""Bars of the strongest features, or of their mean size in all rows."""

from __future__ import annotations

from typing import ClassVar, final

from PIL import Image

from xaionnx.explanation import Explanation
from xaionnx.render.bar_chart import bars, mean_bars
from xaionnx.render.layers import layer_of
from xaionnx.render.picture import PictureKind, Scene
from xaionnx.render.tables import TOP, has_rows


@final
class Bar(PictureKind):
    """A bar for each feature, column or part of a layer; of several rows the mean size of its values."""

    rank: ClassVar[int] = 30
    needs: ClassVar[str] = "values"

    @classmethod
    def applies(cls, result: Explanation, scene: Scene) -> bool:
        return True

    @classmethod
    def draw(cls, result: Explanation, scene: Scene) -> Image.Image:
        top = scene.count(TOP)
        if scene.all_rows and result.samples > 1 and has_rows(result):
            return mean_bars(result, target=scene.target, top=top, style=scene.style)
        names = scene.names if layer_of(result) is not None else scene.row_names(result)
        return bars(
            result, names, sample=scene.sample, target=scene.target, top=top, input=scene.input, style=scene.style
        )
