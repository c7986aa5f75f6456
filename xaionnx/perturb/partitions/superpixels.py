"""Regions of similar colour."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final, final

from xaionnx.data.display import as_picture, bands, has_colours
from xaionnx.data.sample import Sample
from xaionnx.errors import InputMismatchError, UnknownNameError
from xaionnx.perturb.features import Features, check_positive
from xaionnx.registry import Form, integers
from xaionnx.typing import Array

_COLOURS: Final = 3
# The lightness of white in Lab.
_LIGHTNESS: Final = 100.0


@final
@dataclass(frozen=True)
class Superpixels(Features):
    """Regions of similar colour, by scikit-image.

    Channels that are no colours, such as the bands of a satellite, are each scaled to one range. ``slic`` divides
    volumes too, into supervoxels; the others divide pictures alone.

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
    noun: ClassVar[str] = "superpixel"

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

        found = sample.placed(f"features='{self.algorithm}'")
        if not found.is_picture and (self.algorithm != "slic" or not found.is_volume):
            known, other = ("pictures and volumes", "windows:8") if self.algorithm == "slic" else ("pictures", "slic")
            raise InputMismatchError(
                f"features='{self.algorithm}' divides {known}, but input '{sample.main}' has the shape "
                f"{('N', *sample.array.shape)}. Use features='{other if found.is_volume else 'windows:8'}', a grid, or "
                "an integer label map."
            )
        coloured = found.is_picture and has_colours(sample)
        picture = as_picture(sample) if coloured else bands(sample, "features='superpixels'")
        # Values in [0, 1] of any number of channels are as far apart as colours are: 100 in Lab, and 3 channels.
        spread = picture.shape[-1] ** 0.5
        if self.algorithm == "slic":
            labels = segmentation.slic(
                picture,
                n_segments=self.count,
                compactness=self.compactness if coloured else self.compactness * spread / _LIGHTNESS,
                sigma=self.sigma,
                start_label=0,
                convert2lab=coloured,
            )
        elif self.algorithm == "felzenszwalb":
            even = picture if coloured else picture * (_COLOURS**0.5 / spread)
            with warnings.catch_warnings():
                # It warns of more than three channels, which it takes.
                warnings.simplefilter("ignore", RuntimeWarning)
                labels = segmentation.felzenszwalb(even, scale=self.scale, sigma=self.sigma, min_size=50)
        else:
            quickshift: Callable[..., Array] = segmentation.quickshift  # untyped
            even = picture if coloured else picture * (_LIGHTNESS / spread)
            labels = quickshift(
                even, kernel_size=4, max_dist=200, ratio=0.2, sigma=self.sigma, rng=0, convert2lab=coloured
            )
        return {sample.main: found.over(labels)}


def _felzenszwalb(scale: int = 100) -> Superpixels:
    return Superpixels("felzenszwalb", scale=float(scale))
