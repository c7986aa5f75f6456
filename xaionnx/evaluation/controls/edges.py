"""The input's own edges: a map that looks like the input and does not depend on the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.data.sample import Sample
from xaionnx.evaluation.controls import Control
from xaionnx.request import Request
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class Edges(Control):
    """The length of the slope of a picture, a series or a volume, by Sobel filters; of a row the size of each column.

    Words and missing numbers have neither, and the value 0.

    Adebayo et al. show that maps of some methods resemble those of an edge detector, which explain no model.
    """

    reference: ClassVar[str] = "Adebayo et al. 2018, arXiv:1810.03292"

    @property
    def words(self) -> str:
        return "the input's own edges"

    def compute(self, request: Request) -> Attribution:
        values = {}
        for name in self.names(request):
            each = [_edges(sample, name) for sample in request.samples]
            values[name] = np.stack(each)[None].astype(np.float32)
        return Attribution(values)


def _edges(sample: Sample, name: str) -> Array:
    from scipy.ndimage import sobel

    x, found = sample.x[name], sample.positions(name)
    if x.dtype.kind not in "fiub":
        return np.zeros(x.shape)
    numbers = np.nan_to_num(x.astype(np.float64), nan=0.0)
    if found is None:
        return np.abs(numbers)
    return np.asarray(np.sqrt(sum(np.square(sobel(numbers, axis=axis)) for axis in found.axes)))
