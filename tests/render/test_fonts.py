"""Characters beyond the page's own font: a font of the system, the order of letters from right to left, and boxes."""

import matplotlib
import numpy as np
import pytest
from matplotlib.font_manager import fontManager
from PIL import Image, ImageDraw

from tests.render.figures import Figures, faults, listen, only_fonts, words
from xaionnx import Explanation
from xaionnx.data.display import rows_of
from xaionnx.render import fonts
from xaionnx.render.right_to_left import begins_at_the_right, on_paper

# The tall bar is at the left for one and at the right for the other, and both are a whole em wide.
NAMES = ("今日 ($)", "age 日")


@pytest.fixture(scope="module")
def blocks(tmp_path_factory):
    """The file of a font with two Chinese characters, which are blocks."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    def block(left, right):
        pen = TTGlyphPen(None)
        pen.moveTo((left, 0))
        for corner in ((left, 800), (right, 800), (right, 0)):
            pen.lineTo(corner)
        pen.closePath()
        return pen.glyph()

    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder([".notdef", "left", "right"])
    font.setupCharacterMap({ord("今"): "left", ord("日"): "right"})
    font.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "left": block(0, 400), "right": block(600, 1000)})
    font.setupHorizontalMetrics({".notdef": (500, 0), "left": (1000, 0), "right": (1000, 600)})
    font.setupHorizontalHeader(ascent=900, descent=-200)
    font.setupNameTable({"familyName": "Blocks", "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    file = tmp_path_factory.mktemp("fonts") / "blocks.ttf"
    font.save(file)
    return file


def rows(names):
    values = np.array([[2.0, -1.0]])
    numbers = rows_of(np.ones((1, 2), np.float32), names)
    given = {"value_kind": "contribution"}
    return Explanation(
        "kernel_shap", values, np.array(["良 (1)"]), values.sum(axis=1), np.zeros(1), display={"x": numbers},
        provenance=given,
    )  # fmt: skip


def inked(text):
    """The columns of pixels on which a line of 20 pixels leaves ink."""
    image = Image.new("RGB", (120, 40), (255, 255, 255))
    fonts.Face(20).write(ImageDraw.Draw(image), 10, 5, text, (0, 0, 0))
    return np.flatnonzero((np.asarray(image) < 128).any(axis=(0, 2))), image


def test_a_line_takes_each_character_from_a_font_that_has_it(monkeypatch, blocks):
    only_fonts(monkeypatch, blocks)
    assert fonts.undrawn("今日 age") == 0
    own = fonts.font(20)
    assert fonts.Face(20).width("今日a") == 40 + own.getlength("a")
    columns, image = inked("今日")
    # Two blocks of 8 pixels, at 10 and at 42, on the line on which letters stand.
    np.testing.assert_array_equal(columns, [*range(10, 18), *range(42, 50)])
    lines = np.flatnonzero((np.asarray(image) < 128).any(axis=(1, 2)))
    assert lines.max() + 1 == 5 + own.getmetrics()[0]
    assert len(lines) == 16


@pytest.mark.parametrize("kind", ["waterfall", "force", "bar"])
def test_a_chart_takes_each_character_from_a_font_that_has_it(monkeypatch, blocks, kind):
    only_fonts(monkeypatch, blocks)
    figures, said = Figures(monkeypatch), listen(monkeypatch)
    rows(NAMES).plot(0, kind=kind)
    # A glyph that matplotlib lacks would be a warning, and so an error here.
    drawn = words(figures.last())
    assert any(text.startswith("今日 (") for text in drawn)
    assert faults(figures.last()) == []
    assert not any("□" in text for text in drawn)
    # The class has a character that the font lacks.
    sentence = "□ stands for a character that no font here has: U+826F; install one, as fonts-noto-cjk of Debian."
    assert sentence in said[-2]


def test_what_no_font_has_is_a_box_and_the_caption_says_what_to_install(monkeypatch):
    only_fonts(monkeypatch)
    figures, said = Figures(monkeypatch), listen(monkeypatch)
    rows(NAMES).plot(0)
    assert any(text.startswith("□□ (") for text in words(figures.last()))
    wanted = "□ stands for 3 characters that no font here has, such as U+826F, U+4ECA; install one, as fonts-noto-cjk"
    assert wanted in " ".join(said)
    assert fonts.boxes("\N{SLICE OF PIZZA}").endswith("U+1F355; install one, as fonts-symbola of Debian.")
    assert fonts.boxes("\N{DEVANAGARI LETTER KA}").endswith("U+0915; install one, as fonts-noto-core of Debian.")
    assert fonts.boxes("all drawn: Größe, год, العمر") == ""


def test_fonts_of_one_box_for_all_are_not_taken(monkeypatch, blocks, tmp_path):
    last = tmp_path / "LastResort.ttf"
    last.write_bytes(blocks.read_bytes())
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"no font")
    only_fonts(monkeypatch, last, broken)
    assert fonts.undrawn("今") == 1


def test_what_only_changes_its_neighbours_is_not_drawn(monkeypatch):
    only_fonts(monkeypatch)
    grin = "\N{GRINNING FACE}"
    tint, joiner, variant = (
        "\N{EMOJI MODIFIER FITZPATRICK TYPE-4}",
        "\N{ZERO WIDTH JOINER}",
        "\N{VARIATION SELECTOR-16}",
    )
    assert fonts.legible(f"{grin}{tint}{joiner}{variant}") == grin


# Equal to those of python-bidi 0.6.12 on what arabic-reshaper 3.1.0 made of them, as were 40,000 random lines.
@pytest.mark.parametrize(
    ("read", "shown"),
    [
        ("age 30", "age 30"),
        ("العمر", "\ufeae\ufee4\ufecc\ufedf\ufe8d"),
        ("العمر (سنوات)", "(\ufe95\ufe8d\ufeee\ufee8\ufeb3) \ufeae\ufee4\ufecc\ufedf\ufe8d"),
        ("effect of العمر (سنوات) on", "effect of (\ufe95\ufe8d\ufeee\ufee8\ufeb3) \ufeae\ufee4\ufecc\ufedf\ufe8d on"),
        ("مدة 12 شهر", "\ufeae\ufeec\ufeb7 12 \ufe93\ufeaa\ufee3"),
        ("الدخل 3,400.50 €", "€ 3,400.50 \ufede\ufea7\ufeaa\ufedf\ufe8d"),
        ("لا بلا الإقامة", "\ufe94\ufee3\ufe8e\ufed7\ufef9\ufe8d \ufefc\ufe91 \ufefb"),
        ("پژوهش گل", "\ufede\ufb94 \ufeb6\ufeeb\ufeed\ufb8b\ufb58"),
        ("سَلام", "\ufee1\ufefc\u064e\ufeb3"),
        ("ـب", "\ufe90\u0640"),
        ("القيمة ١٢/٣", "\u0661\u0662/\u0663 \ufe94\ufee4\ufef4\ufed8\ufedf\ufe8d"),
        ("שלום [x] -5%", "5%- [x] \u05dd\u05d5\u05dc\u05e9"),
        ("x: שלום", "x: \u05dd\u05d5\u05dc\u05e9"),
        ("אב <3", "3> \u05d1\u05d0"),
        ("a(b) גיל (c", "a(b) \u05dc\u05d9\u05d2 (c"),
    ],
)
def test_letters_from_right_to_left_are_joined_and_ordered(read, shown):
    assert on_paper(read) == shown


def test_a_line_begins_where_its_first_letter_does():
    assert [begins_at_the_right(line) for line in ("(30) גיל", "age גיל", "30", "")] == [True, False, False, False]


def test_letters_from_right_to_left_are_the_same_in_a_chart_and_on_a_page(monkeypatch):
    only_fonts(monkeypatch)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    line, size = "مدة القرض: 12 شهر", 40
    figure = Figure(figsize=(4, 1), dpi=100)
    canvas = FigureCanvasAgg(figure)
    figure.text(0.1, 0.4, fonts.plot_text(line), fontproperties=fonts.plot_font(size * 72 / 100, text=line))
    canvas.draw()
    charted = np.asarray(canvas.buffer_rgba())[..., 0] < 128
    image = Image.new("RGB", (400, 100), (255, 255, 255))
    fonts.Face(size).write(ImageDraw.Draw(image), 40, 20, line, (0, 0, 0))
    written = np.asarray(image)[..., 0] < 128

    def shape(ink):
        """The share of ink in each twentieth of the line's width."""
        columns = np.flatnonzero(ink.any(axis=0))
        parts = np.array_split(ink[:, columns[0] : columns[-1] + 1].sum(axis=0), 20)
        return np.array([part.sum() for part in parts]) / ink.sum()

    np.testing.assert_allclose(shape(charted), shape(written), atol=0.02)


def test_no_font_of_matplotlib_is_replaced(monkeypatch, blocks):
    before = [entry.fname for entry in fontManager.ttflist]
    only_fonts(monkeypatch, blocks)
    fonts.plot_font(9, text="今")
    monkeypatch.undo()
    assert [entry.fname for entry in fontManager.ttflist] == before
    assert matplotlib.get_data_path() in str(fonts.plot_font(9, text="Größe").get_file())
