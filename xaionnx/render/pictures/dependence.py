"""The value of a feature against its attribution in all rows."""

from __future__ import annotations

from typing import ClassVar, final

from PIL import Image

from xaionnx.explanation import Explanation
from xaionnx.render.dependence_plot import dependence
from xaionnx.render.picture import RowsKind, Scene


@final
class Dependence(RowsKind):
    """The value of one feature against its attribution, coloured by the feature that interacts most with it."""

    rank: ClassVar[int] = 24
    needs: ClassVar[str] = "several rows with the same features, and a record of the rows"

    @classmethod
    def applies(cls, result: Explanation, scene: Scene) -> bool:
        rows = [one for one in result.display.values() if one.kind == "row" and len(one.array)]
        return bool(rows) and super().applies(result, scene)

    @classmethod
    def draw(cls, result: Explanation, scene: Scene) -> Image.Image:
        return dependence(result, feature=scene.feature, target=scene.target, style=scene.style)
