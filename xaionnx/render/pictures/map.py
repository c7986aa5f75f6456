"""A map over the photo."""

from __future__ import annotations

from typing import ClassVar, final

from PIL import Image

from xaionnx.explanation import Explanation
from xaionnx.render.layers import covers_picture
from xaionnx.render.photo import overlay
from xaionnx.render.picture import PictureKind, Scene


@final
class Map(PictureKind):
    """The values as colours over the photo."""

    rank: ClassVar[int] = 10
    needs: ClassVar[str] = "a photo, and values that have places in it"

    @classmethod
    def applies(cls, result: Explanation, scene: Scene) -> bool:
        return scene.photo is not None and covers_picture(result)

    @classmethod
    def draw(cls, result: Explanation, scene: Scene) -> Image.Image:
        assert scene.photo is not None  # it applies
        return overlay(
            result,
            scene.photo,
            sample=scene.sample,
            target=scene.target,
            sign=scene.sign,
            top=scene.top,
            original=scene.original,
            stretched=scene.stretched,
            input=scene.input if isinstance(result.values, dict) else None,
            style=scene.style,
        )
