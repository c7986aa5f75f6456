"""Pictures from results: what a model looked at, and how it was found out.

Nothing here sees a model: an :class:`~xaionnx.Explanation` and the photographs are enough.
"""

from xaionnx.render.bar_chart import bars
from xaionnx.render.contact_sheet import sheet
from xaionnx.render.files import check_suffix, save
from xaionnx.render.layers import covers_picture
from xaionnx.render.photo import overlay
from xaionnx.render.picture import picture
from xaionnx.render.position_maps import positions
from xaionnx.render.time_series import series

__all__ = ["bars", "check_suffix", "covers_picture", "overlay", "picture", "positions", "save", "series", "sheet"]
