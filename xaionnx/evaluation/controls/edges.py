"""The input's own edges: a map that looks like the input and does not depend on the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.evaluation.controls import Control
from xaionnx.request import Request


@final
@dataclass(frozen=True, kw_only=True)
class Edges(Control):
    """The length of the slope of a picture, a series or a volume, by Sobel filters; of a row the size of each column.

    Adebayo et al. show that maps of some methods resemble those of an edge detector, which explain no model.
    """

    reference: ClassVar[str] = "Adebayo et al. 2018, arXiv:1810.03292"

    @property
    def words(self) -> str:
        return "the input's own edges"

    def compute(self, request: Request) -> Attribution:
        from scipy.ndimage import sobel

        name, each = request.main, []
        for sample in request.samples:
            x, found = sample.array.astype(np.float64), sample.positions()
            if found is None:
                each.append(np.abs(x))
            else:
                each.append(np.sqrt(sum(np.square(sobel(x, axis=axis)) for axis in found.axes)))
        return Attribution({name: np.stack(each)[None].astype(np.float32)})
