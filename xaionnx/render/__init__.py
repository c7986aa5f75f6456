"""Pictures of results, with captions that say how they were computed.

Pictures need only an :class:`~xaionnx.Explanation` and the photographs, never the model.
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
