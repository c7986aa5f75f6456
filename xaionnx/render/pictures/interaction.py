"""The interactions of pairs of features."""

from __future__ import annotations

from typing import ClassVar, final

from PIL import Image

from xaionnx.explanation import Explanation
from xaionnx.render.interactions import features_differ, interaction
from xaionnx.render.picture import PictureKind, Scene


@final
class Interaction(PictureKind):
    """A matrix of circles: the interaction of each pair of features, of one row or its mean size in all rows."""

    rank: ClassVar[int] = 21
    needs: ClassVar[str] = "interaction values, as of shapley_interactions"
    of_rows: ClassVar[bool] = True

    @classmethod
    def applies(cls, result: Explanation, scene: Scene) -> bool:
        pairs = result.maps.get("interactions")
        dimensions = 3 + result.several_targets
        return pairs is not None and pairs.ndim == dimensions and pairs.shape[-1] == pairs.shape[-2]

    @classmethod
    def suits(cls, result: Explanation, scene: Scene) -> bool:
        return cls.applies(result, scene) and not (scene.all_rows and result.samples > 1 and features_differ(result))

    @classmethod
    def draw(cls, result: Explanation, scene: Scene) -> Image.Image:
        return interaction(
            result,
            sample=scene.sample,
            target=scene.target,
            all_rows=scene.all_rows and result.samples > 1,
            top=scene.count(12),
            style=scene.style,
        )
