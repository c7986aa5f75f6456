"""The base of kinds of pictures that draw a map over a photo."""

from __future__ import annotations

from typing import ClassVar

from xaionnx.errors import ParameterError
from xaionnx.explanation import Explanation
from xaionnx.hooks import hook
from xaionnx.render.layers import covers_picture
from xaionnx.render.painting import Look
from xaionnx.render.photo import MapOnPhoto, check_original, laid_over
from xaionnx.render.picture import PictureKind, Scene


class PhotoKind(PictureKind):
    """A kind that draws a map over a photo, drawn on request."""

    needs: ClassVar[str] = "a photo, and values that have places in it"

    @classmethod
    @hook
    def applies(cls, result: Explanation, scene: Scene) -> bool:
        """Whether there is a photo, and the values cover it."""
        return scene.photo is not None and covers_picture(result)

    @classmethod
    @hook
    def suits(cls, result: Explanation, scene: Scene) -> bool:
        """Whether it may be drawn if no kind is asked for."""
        return False

    @classmethod
    def laid_over(
        cls, result: Explanation, scene: Scene, sign: str | None = None, smooth: float | None = None
    ) -> MapOnPhoto:
        """The map of the scene and its photo; ``sign`` and ``smooth`` replace those of the scene."""
        assert scene.photo is not None  # it applies
        if scene.top is not None:
            raise ParameterError("This kind of picture shows all values. Leave 'top' out, or draw a map.")
        check_original(scene.original, "picture")
        return laid_over(
            result,
            scene.photo,
            sample=scene.sample,
            target=scene.target,
            sign=scene.sign if sign is None else sign,
            look=Look(),
            smooth=scene.smooth if smooth is None else smooth,
            stretched=scene.stretched,
            input=scene.input if isinstance(result.values, dict) else None,
            function="picture",
        )
