"""A map over the photo."""

from __future__ import annotations

from typing import ClassVar, final

from PIL import Image

from xaionnx.explanation import Explanation
from xaionnx.render.photo import overlay
from xaionnx.render.photo_kind import PhotoKind
from xaionnx.render.picture import Scene


@final
class Map(PhotoKind):
    """The values as colours over the photo."""

    rank: ClassVar[int] = 10

    @classmethod
    def suits(cls, result: Explanation, scene: Scene) -> bool:
        return cls.applies(result, scene)

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
            smooth=scene.smooth,
            original=scene.original,
            stretched=scene.stretched,
            input=scene.input if isinstance(result.values, dict) else None,
            style=scene.style,
        )
