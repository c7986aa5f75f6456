"""Bars of the strongest features."""

from __future__ import annotations

from typing import ClassVar, Final, final

from PIL import Image

from xaionnx.explanation import Explanation
from xaionnx.render.bar_chart import bars
from xaionnx.render.layers import layer_of
from xaionnx.render.picture import PictureKind, Scene, own_shape

# So many bars where 'top' says nothing.
_MOST: Final = 20


@final
class Bars(PictureKind):
    """A bar for each feature, column or part of a layer."""

    rank: ClassVar[int] = 30
    needs: ClassVar[str] = "values"

    @classmethod
    def applies(cls, result: Explanation, scene: Scene) -> bool:
        return True

    @classmethod
    def draw(cls, result: Explanation, scene: Scene) -> Image.Image:
        names = scene.names
        # Names of columns name neither pixels nor groups of columns.
        if names is not None and layer_of(result) is None:
            players = result.feature_values
            groups = (len(names),) if players is None else players.shape[-1:]
            names = names if own_shape(result, scene.input) == groups == (len(names),) else None
        top = _MOST if scene.top is None else scene.top
        return bars(result, names, sample=scene.sample, target=scene.target, top=top)
