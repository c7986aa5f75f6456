"""Pictures of results, with captions that say how they were computed.

Pictures need only an :class:`~xaionnx.Explanation` and the photographs, never the model.
"""

from xaionnx.render.activation_sheets import activation_sheet
from xaionnx.render.bar_chart import bars
from xaionnx.render.changes import changes, contrasts
from xaionnx.render.contact_sheet import sheet
from xaionnx.render.files import check_suffix, save, save_page
from xaionnx.render.found_pictures import found_pictures
from xaionnx.render.layers import covers_picture
from xaionnx.render.notebook import picture_page
from xaionnx.render.photo import overlay
from xaionnx.render.picture import film, picture
from xaionnx.render.position_maps import positions
from xaionnx.render.row_sheet import row_sheet
from xaionnx.render.score_page import score_page
from xaionnx.render.tables import has_rows
from xaionnx.render.text_page import page as text_page
from xaionnx.render.text_parts import is_text
from xaionnx.render.themes import Style, style_of
from xaionnx.render.time_series import series
from xaionnx.render.verdict import verdict

__all__ = [
    "Style",
    "activation_sheet",
    "bars",
    "changes",
    "check_suffix",
    "contrasts",
    "covers_picture",
    "film",
    "found_pictures",
    "has_rows",
    "is_text",
    "overlay",
    "picture",
    "picture_page",
    "positions",
    "row_sheet",
    "save",
    "save_page",
    "score_page",
    "series",
    "sheet",
    "style_of",
    "text_page",
    "verdict",
]
