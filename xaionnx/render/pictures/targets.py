"""All targets side by side."""

from __future__ import annotations

from typing import ClassVar, final

from PIL import Image

from xaionnx.explanation import Explanation
from xaionnx.render.contact_sheet import sheet
from xaionnx.render.photo import check_original
from xaionnx.render.photo_kind import PhotoKind
from xaionnx.render.picture import Scene


@final
class Targets(PhotoKind):
    """A map over the photo for each target, on one scale, after the photo itself unless that is inside the maps."""

    rank: ClassVar[int] = 13
    needs: ClassVar[str] = "a photo, and values of several targets that have places in it"
    of_targets: ClassVar[bool] = True

    @classmethod
    def applies(cls, result: Explanation, scene: Scene) -> bool:
        return result.several_targets and super().applies(result, scene)

    @classmethod
    def draw(cls, result: Explanation, scene: Scene) -> Image.Image:
        assert scene.photo is not None  # it applies
        check_original(scene.original, "picture")
        return sheet(
            [result.sample(scene.sample, target) for target in range(len(result.target))],
            scene.photo,
            sign=scene.sign,
            top=scene.top,
            smooth=scene.smooth,
            stretched=scene.stretched,
            input=scene.input if isinstance(result.values, dict) else None,
            inset=scene.original == "inset",
            style=scene.style,
        )
