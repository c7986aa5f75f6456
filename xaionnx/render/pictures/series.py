"""Colours behind the lines of a series."""

from __future__ import annotations

from typing import ClassVar, final

from PIL import Image

from xaionnx.explanation import Explanation
from xaionnx.render.layers import layer_of
from xaionnx.render.picture import PictureKind, Scene, own_shape, whole_number
from xaionnx.render.time_series import series


@final
class Series(PictureKind):
    """The series over its time, with the values as colours behind it."""

    rank: ClassVar[int] = 20
    needs: ClassVar[str] = "an input that is a series, and a value for each of its elements"

    @classmethod
    def applies(cls, result: Explanation, scene: Scene) -> bool:
        if scene.signal is None or layer_of(result) is not None:
            return False
        return own_shape(result, scene.input) == scene.signal.shape

    @classmethod
    def draw(cls, result: Explanation, scene: Scene) -> Image.Image:
        assert scene.signal is not None  # it applies
        known = (
            result.display.get(scene.input) if scene.input is not None else next(iter(result.display.values()), None)
        )
        display = known if known is not None and known.kind == "series" else None
        return series(
            result,
            scene.signal,
            channel=scene.channel,
            names=(display.names or None) if display is not None else None,
            time=None if display is None else display.time,
            sample=scene.sample,
            target=scene.target,
            sign=scene.sign,
            top=whole_number(scene.top),
            input=scene.input,
            style=scene.style,
        )
