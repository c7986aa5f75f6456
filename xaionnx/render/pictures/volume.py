"""The slice of a volume that holds the strongest values, as a map."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, final

import numpy as np
from PIL import Image

from xaionnx.explanation import Explanation
from xaionnx.render.layers import layer_of
from xaionnx.render.maps import one_sample
from xaionnx.render.photo import overlay
from xaionnx.render.picture import PictureKind, Scene, own_shape


@final
class Volume(PictureKind):
    """One slice along the first spatial axis, with the values as colours over it; the caption says which."""

    rank: ClassVar[int] = 15
    needs: ClassVar[str] = "an input that is a volume, and a value for each of its elements"

    @classmethod
    def applies(cls, result: Explanation, scene: Scene) -> bool:
        if scene.volume is None or layer_of(result) is not None:
            return False
        shape = own_shape(result, scene.input)
        places = [size for axis, size in enumerate(shape) if axis != scene.channel % max(len(shape), 1)]
        return len(shape) == scene.volume.ndim + 1 and tuple(places) == scene.volume.shape

    @classmethod
    def draw(cls, result: Explanation, scene: Scene) -> Image.Image:
        assert scene.volume is not None  # it applies
        one = one_sample(result, scene.sample, scene.target, "picture")
        values = one.values[scene.input or ""] if isinstance(one.values, dict) else one.values
        slices = np.moveaxis(values[0], scene.channel, 0)
        at = int(np.abs(slices, dtype=np.float64).sum(axis=(0, 2, 3)).argmax())
        photo = np.repeat(scene.volume[at][..., None], 3, axis=2)
        shown = replace(
            one,
            values=slices[None, :, at],
            feature_values=None,
            features=None,
            standard_error=None,
            display={},
            provenance={**one.provenance, "slice": f"slice {at} of {len(scene.volume)}, the strongest"},
        )
        return overlay(shown, photo, sign=scene.sign, smooth=scene.smooth, original=scene.original, style=scene.style)
