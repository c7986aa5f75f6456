"""The parameters of background rows, of every method that compares with a baseline."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from xaionnx.data.frames import is_frame
from xaionnx.data.whole_arrays import whole_array
from xaionnx.errors import ParameterError, shortened
from xaionnx.parameters import free, integer
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.baselines.background import Background
from xaionnx.perturb.rows import row_arrays
from xaionnx.typing import Array, BackgroundLike, BaselineLike

SIZE: Final = 100
"""How many background rows are used by default."""

# A row is compared with another one.
_FEWEST: Final = 2


def _check_rows(given: BackgroundLike) -> None:
    """Raise ParameterError unless these may be rows of data."""
    if isinstance(given, Background | str | Path) or is_frame(given):
        return
    for array in given.values() if isinstance(given, Mapping) else [given]:
        rows = whole_array(array)
        if rows.dtype.kind not in "fiubUTO" or rows.ndim < 1 or not len(rows):
            raise ParameterError(
                "The 'background' parameter must be rows of data (B, ...), by input name if there are several, a frame "
                f"or a file. Got {shortened(given)} instead."
            )


def parameter(
    use: str = "that replace what is removed, with outputs averaged over them: a file, read as samples",
) -> BackgroundLike:
    """Return a dataclass field for background rows; ``use`` is what they do, for help."""
    field: BackgroundLike = free(
        None,
        "rows of data, an array, a frame, a mapping by input name or a file",
        f"rows of data {use}",
        reader=Path,
        resolver=_check_rows,
    )
    return field


def size_parameter() -> int:
    """Return a dataclass field for the number of background rows that are used."""
    return integer(SIZE, "maximum number of background rows that are used", low=1)


def own_background(feeds: Mapping[str, Array], shared: Collection[str] = ()) -> Background | None:
    """Return the rows of a request as the background of each other; None if there is only one.

    ``shared`` inputs have no rows.
    """
    rows = {name: x for name, x in feeds.items() if name not in shared}
    if min(map(len, rows.values()), default=0) < _FEWEST:
        return None
    return Background(next(iter(rows.values())) if len(rows) == 1 else rows, own=True)


@dataclass(frozen=True, kw_only=True)
class FromBackground:
    """Adds the parameters ``background`` and ``background_size`` of methods with a ``baseline`` and a ``seed``."""

    background: BackgroundLike = parameter()
    background_size: int | None = size_parameter()

    @final
    @property
    def replacement(self) -> BaselineLike:
        """The baseline, or the background if it is given instead."""
        return replacement(self)


def replacement(method: object) -> BaselineLike:
    """Return what a method compares with: its background if it has one, else its baseline.

    Raises
    ------
    ParameterError
        Both are given.
    """
    baseline: BaselineLike = getattr(method, "baseline", None)
    given: BackgroundLike = getattr(method, "background", None)
    if given is None:
        return baseline
    if baseline is not None:
        raise ParameterError(
            f"{type(method).__name__} takes a 'baseline' or a 'background'. Got both; a background is a baseline of "
            "several rows."
        )
    if isinstance(given, Baseline):
        return given
    size, seed = getattr(method, "background_size", SIZE), getattr(method, "seed", 0)
    size = getattr(method, "default_background_size", None) if size is None else size
    return Background(row_arrays(given), size, getattr(method, "background_reduction", "sample"), seed)
