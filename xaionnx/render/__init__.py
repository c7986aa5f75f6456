"""Pictures from results: what a model looked at, and how it was found out.

Nothing here sees a model: an :class:`~xaionnx.Explanation` and the photographs are enough.
"""

from xaionnx.render.files import check_suffix, save
from xaionnx.render.photo import overlay

__all__ = ["check_suffix", "overlay", "save"]
