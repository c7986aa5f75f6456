"""Regions of similar colour."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, final

from xaionnx.data.sample import Sample
from xaionnx.errors import UnknownNameError
from xaionnx.perturb.features import Features, check_positive, shown
from xaionnx.registry import Form, integers
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class Superpixels(Features):
    """Regions of similar colour, by scikit-image.

    References
    ----------
    Achanta et al., SLIC superpixels, TPAMI 2012, doi:10.1109/TPAMI.2012.120; Felzenszwalb and Huttenlocher,
    IJCV 2004, doi:10.1023/B:VISI.0000022288.19776.77; Vedaldi and Soatto, Quick shift, ECCV 2008.
    """

    forms: ClassVar[tuple[Form[Features], ...]] = (
        Form("superpixels", lambda count: Superpixels("slic", *integers(count)), "[:count]", "superpixels:100"),
        Form("slic", lambda count: Superpixels("slic", *integers(count)), "[:count]", "slic:100"),
        Form("felzenszwalb", lambda scale: _felzenszwalb(*integers(scale)), "[:scale]", "felzenszwalb:200"),
        Form("quickshift", lambda _: Superpixels("quickshift")),
    )

    algorithm: str = "slic"
    count: int = 50
    compactness: float = 10.0
    scale: float = 100.0
    sigma: float = 1.0

    def __post_init__(self) -> None:
        if self.algorithm not in ("slic", "felzenszwalb", "quickshift"):
            raise UnknownNameError.among("superpixel algorithm", self.algorithm, ("slic", "felzenszwalb", "quickshift"))
        check_positive("Features.superpixels", "count", self.count)

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        from skimage import segmentation

        picture = shown(sample)
        if self.algorithm == "slic":
            labels = segmentation.slic(
                picture, n_segments=self.count, compactness=self.compactness, sigma=self.sigma, start_label=0
            )
        elif self.algorithm == "felzenszwalb":
            labels = segmentation.felzenszwalb(picture, scale=self.scale, sigma=self.sigma, min_size=50)
        else:
            quickshift: Callable[..., Array] = segmentation.quickshift  # untyped
            labels = quickshift(picture, kernel_size=4, max_dist=200, ratio=0.2, sigma=self.sigma, rng=0)
        return {sample.main: sample.placed("features='superpixels'").over(labels)}


def _felzenszwalb(scale: int = 100) -> Superpixels:
    return Superpixels("felzenszwalb", scale=float(scale))
