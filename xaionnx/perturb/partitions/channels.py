"""The channels of a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.perturb.features import Features
from xaionnx.registry import Form
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class Channels(Features):
    """Every channel of a picture."""

    forms: ClassVar[tuple[Form[Features], ...]] = (Form("channels", lambda _: Channels()),)

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        sample.spatial("features='channels'")
        axes = sample.picture_axes
        assert axes is not None  # sample.spatial raises if the input is not a picture
        shape = [1, 1, 1]
        shape[axes[0]] = sample.array.shape[axes[0]]
        return {sample.main: np.arange(shape[axes[0]]).reshape(shape)}
