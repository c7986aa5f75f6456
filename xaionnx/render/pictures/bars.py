"""Bars of the strongest features."""

from __future__ import annotations

from typing import ClassVar, Final, final

from PIL import Image

from xaionnx.explanation import Explanation
from xaionnx.render.bar_chart import bars, feature_names
from xaionnx.render.layers import layer_of
from xaionnx.render.maps import one_sample
from xaionnx.render.picture import PictureKind, Scene

# The number of bars if 'top' is not given.
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
        one = one_sample(result, scene.sample, scene.target, "picture")
        names = scene.names
        if names is not None and layer_of(one) is None:
            names = feature_names(one, names, scene.input)
        top = _MOST if scene.top is None else scene.top
        return bars(result, names, sample=scene.sample, target=scene.target, top=top, input=scene.input)
