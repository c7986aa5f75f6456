"""The channels of a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import InputMismatchError
from xaionnx.perturb.features import Features
from xaionnx.registry import Form
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class Channels(Features):
    """Every channel of a picture, a series or a volume."""

    forms: ClassVar[tuple[Form[Features], ...]] = (Form("channels", lambda _: Channels()),)
    noun: ClassVar[str] = "channel"

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        found = sample.placed("features='channels'")
        if len(found.values) != 1:
            raise InputMismatchError(
                f"features='channels' needs one axis of channels, but input '{sample.main}' has {len(found.values)}. "
                "Use an integer label map over its axes."
            )
        shape = [1] * len(found.shape)
        shape[found.values[0]] = -1
        return {sample.main: np.arange(found.shape[found.values[0]]).reshape(shape)}

    def are_shared(self, sample: Sample) -> bool:
        return True
