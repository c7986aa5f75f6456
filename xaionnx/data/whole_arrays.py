"""Arrays that a user gives, of which every element counts: numpy's masked arrays hide some."""

from __future__ import annotations

from typing import Any

import numpy as np

from xaionnx.counting import counted
from xaionnx.errors import DataError
from xaionnx.typing import Array


def whole_array(given: Any) -> Array:  # Any: users may pass anything
    """Return what is given as an array without numpy's mask, which hides no element.

    A masked array, as the readers of netCDF and of raster files return, keeps a number under each masked element, such
    as -9999, which a model would take for a measured one.

    Raises
    ------
    DataError
        An element is masked.

    Examples
    --------
    >>> whole_array([[1.0, 2.0]]).shape
    (1, 2)
    >>> whole_array(np.ma.masked_equal([[1.0, -9999.0]], -9999.0))
    Traceback (most recent call last):
        ...
    xaionnx.errors.DataError: 1 element of the masked array is masked. Fill it, such as with \
array.filled(0), or with array.filled(numpy.nan) where missing values are taken.
    """
    hidden = int(np.count_nonzero(given.mask)) if isinstance(given, np.ma.MaskedArray) else 0
    if hidden:
        raise DataError(
            f"{counted(hidden, 'element')} of the masked array {'is' if hidden == 1 else 'are'} masked. Fill "
            f"{'it' if hidden == 1 else 'them'}, such as with array.filled(0), or with "
            "array.filled(numpy.nan) where missing values are taken."
        )
    return np.asarray(given)
