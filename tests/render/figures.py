"""Figures of charts as they are drawn, with the boxes of their texts in pixels."""

import itertools

import matplotlib.font_manager
import matplotlib.text
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.font_manager import FontEntry, fontManager

from xaionnx.render import page


def listen(monkeypatch):
    """A list that gets the texts of pages, as they are written."""
    said, block = [], page.text_block

    def written(style, lines, *of, **how):
        said.extend(lines)
        return block(style, lines, *of, **how)

    monkeypatch.setattr(page, "text_block", written)
    return said


class Figures:
    """The figures that pictures are made of, in the order in which they are drawn."""

    def __init__(self, monkeypatch):
        self.drawn = []
        body = page.figure_picture
        monkeypatch.setattr(page, "figure_picture", lambda figure: self.drawn.append(figure) or body(figure))

    def last(self):
        return self.drawn[-1]


def texts(figure):
    """All visible texts of a figure that say something."""
    found = figure.findobj(matplotlib.text.Text)
    return [one for one in found if one.get_visible() and one.get_text().strip()]


def words(figure):
    return [" ".join(one.get_text().split()) for one in texts(figure)]


def boxes(figure):
    renderer = FigureCanvasAgg(figure).get_renderer()
    return {one: one.get_window_extent(renderer) for one in texts(figure)}


def faults(figure, slack=1.0):
    """What is wrong with the texts of a figure: cut off at its edge, or written over each other."""
    found, (wide, tall) = [], figure.canvas.get_width_height()
    placed = boxes(figure)
    for one, box in placed.items():
        if box.x0 < -slack or box.y0 < -slack or box.x1 > wide + slack or box.y1 > tall + slack:
            found.append(f"cut off: {one.get_text()!r} {np.round(box.extents)}")
    for (one, a), (other, b) in itertools.combinations(placed.items(), 2):
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        down = min(a.y1, b.y1) - max(a.y0, b.y0)
        if across > slack and down > slack + 2:
            found.append(f"over each other: {one.get_text()!r} and {other.get_text()!r}")
    return found


def only_fonts(monkeypatch, *files):
    """Let the system have no fonts but those that come with matplotlib and these."""
    included = [entry for entry in fontManager.ttflist if str(entry.fname).startswith(matplotlib.get_data_path())]
    added = [FontEntry(fname=str(file), name=file.stem) for file in files]
    monkeypatch.setattr(fontManager, "ttflist", included + added)
    monkeypatch.setattr(matplotlib.font_manager, "findSystemFonts", list)
