"""Texts with coloured words: the page in HTML, the picture, and what both must never do with a hostile text."""

import dataclasses
import html
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import xaionnx
from tests.render.figures import listen, only_fonts
from xaionnx import render
from xaionnx.data.display import Display
from xaionnx.explanation import Explanation
from xaionnx.render.text_parts import text_parts, text_scale

MODELS = Path(__file__).resolve().parents[2] / "models"


def record(text: str, spans: list[list[int]], values: list[float], seen: int | None = None) -> Explanation:
    """A record of one text whose words have these values."""
    return Explanation(
        "kernel_shap",
        np.zeros((1, 3), np.float32),
        np.array(["spam (1)"]),
        np.array([2.5]),
        feature_values=np.array([values]),
        standard_error=np.full((1, len(values)), 0.05),
        provenance={
            "value_kind": "contribution",
            "spans": [spans],
            "seen": [len(text) if seen is None else seen],
            "feature_names": [[text[own[0] : own[1]] for own in spans]],
            "parameters": {"baseline": {"kind": "SpecialToken", "which": "mask"}},
        },
        display={"ids": Display("text", np.zeros((1, 3), np.int64), texts=(text,))},
    )


def words_only(page: str) -> str:
    """The text of the box with the words, as a browser shows it."""
    found = re.search(r'<div class="words" dir="auto">(.*?)</div>', page, re.DOTALL)
    assert found is not None
    return html.unescape(re.sub(r"<[^>]*>", "", found[1]))


def test_every_character_is_shown_once_and_words_carry_values() -> None:
    one = record("Free <b>money</b> & more", [[0, 4], [8, 13], [18, 19], [20, 24]], [0.5, -1.0, 0.0, 0.25])
    page = render.text_page(one)
    assert words_only(page) == "Free <b>money</b> & more"
    assert '<mark style="background:rgba(38,112,206,0.620)' in page
    assert 'title="−1 ± 0.05">money</mark>' in page
    assert "Red words raise the prediction, blue words lower it." in page
    assert "baseline mask token" in page
    # Nothing is loaded and nothing runs.
    assert not re.search(r"<script|<link|src=|href=|@import|url\(", page)


@pytest.mark.parametrize(
    "text",
    [
        "</div><script>alert(1)</script>",
        '" onmouseover="alert(1)',
        "a\x00b\x1b[31mred\x07",
        "safe\u202etxt.exe\u2069",
        "&lt;b&gt; &amp;",
    ],
)
def test_hostile_texts_are_shown_as_they_are(text: str) -> None:
    page = render.text_page(record(text, [[0, len(text)]], [1.0]))
    assert "<script" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert 'onmouseover="' not in page
    assert render.picture(record(text, [[0, len(text)]], [1.0])).mode == "RGB"


def test_what_the_model_does_not_see_is_struck_out_and_counted() -> None:
    page = render.text_page(record("seen unseen text", [[0, 4]], [1.0], seen=4))
    assert 'class="cut"' in page
    assert "The last 12 characters are cut off" in page


def test_a_word_that_occurs_twice_is_coloured_twice() -> None:
    one = record("no yes no", [[0, 2, 7, 9], [3, 6]], [1.0, -0.5])
    parts = text_parts(one, text_scale(one, "auto"))
    assert [(part.text, part.value) for part in parts] == [
        ("no", 1.0),
        (" ", None),
        ("yes", -0.5),
        (" ", None),
        ("no", 1.0),
    ]


@pytest.mark.parametrize("text", ["مرحبا بالعالم", "今天天气很好", "👍🏽 good", "x" * 5000, "line\n\n\tline\r\nlast"])
def test_any_script_is_drawn(text: str) -> None:
    one = record(text, [[0, len(text)]], [1.0])
    assert words_only(render.text_page(one)) == text.replace("\r\n", "\n")
    assert render.picture(one).width > 900


def test_the_picture_of_words_for_and_against_is_red_and_blue() -> None:
    picture = np.asarray(render.picture(record("good bad", [[0, 4], [5, 8]], [1.0, -1.0]), "text")).astype(int)
    red, blue = picture[..., 0] - picture[..., 2] > 80, picture[..., 2] - picture[..., 0] > 80
    rows = np.flatnonzero(red.any(axis=1) & blue.any(axis=1))
    # The words are left and right of each other, ahead of the bar, which is blue at its left end.
    assert red[rows[0]].nonzero()[0].mean() < blue[rows[0]].nonzero()[0].mean()


def test_a_mail_of_the_spam_model_shows_itself(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    found = xaionnx.explain(str(MODELS / "spam.onnx"), "Click here to claim your free money!", "feature_ablation")
    shown = found._repr_html_()
    assert "Click" in shown
    assert "xaionnx-text" in shown
    assert found.target[0] == "spam (1)"


class _Balanced(HTMLParser):
    """Collects tags, of which each must be closed by its own."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_says_what_its_colours_are() -> None:
    parser = _Balanced()
    page = render.text_page(record("good <b> & bad", [[0, 4], [11, 14]], [1.0, -1.0]))
    parser.feed(page)
    assert not parser.open
    assert {"html", "title", "h1", "mark", "table", "details"} <= parser.seen
    assert 'aria-label="from blue, underlined with dots, to red, underlined with a line"' in page
    assert "<title>" in page.partition("</head>")[0]


@pytest.mark.parametrize(("ink", "paper"), [((28, 28, 30), (255, 255, 255)), ((236, 236, 240), (22, 22, 24))])
def test_words_are_readable_on_the_strongest_colours(ink: tuple[int, ...], paper: tuple[int, ...]) -> None:
    """At least 4.5 to 1, as WCAG 2.2 asks of text."""

    def luminance(colour: np.ndarray) -> float:
        shares = colour / 255
        linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    page = render.text_page(record("good bad", [[0, 4], [5, 8]], [1.0, -1.0]))
    found = re.findall(r"background:rgba\((\d+),(\d+),(\d+),([\d.]+)\)", page)
    assert len(found) == 2
    for *colour, opacity in found:
        share = float(opacity)
        ground = luminance(share * np.array(colour, float) + (1 - share) * np.array(paper))
        dark, light = sorted([luminance(np.array(ink)), ground])
        assert (light + 0.05) / (dark + 0.05) > 4.5


def test_characters_that_the_font_lacks_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from xaionnx.render.pictures import text as picture

    told: list[list[str]] = []
    drawn = picture.sample_page
    monkeypatch.setattr(
        picture,
        "sample_page",
        lambda style, one, body, notes, **how: told.append(notes) or drawn(style, one, body, notes, **how),
    )
    only_fonts(monkeypatch)
    for shown in ("good", "good 今日"):
        render.picture(record(shown, [[0, 4]], [1.0]), "text")
    assert len(told[0]) == 1
    assert told[1][1].startswith("□ stands for 2 characters that no font here has, such as U+4ECA, U+65E5")
    assert told[1][1].endswith("The page in HTML has them.")


def test_a_text_from_right_to_left_begins_at_the_right(monkeypatch: pytest.MonkeyPatch) -> None:
    only_fonts(monkeypatch)

    def columns(text: str) -> np.ndarray:
        """The columns of the line of text that are coloured red and blue."""
        spans = [[found.start(), found.end()] for found in re.finditer(r"\S+", text)]
        image = render.picture(record(text, spans, [1.0, -1.0, 0.0, 0.0][: len(spans)]), "text")
        line = np.asarray(image).astype(int)[: image.height // 2]
        red = (line[..., 0] > line[..., 1:].max(axis=2) + 60).any(axis=0)
        blue = (line[..., 2] > line[..., 0] + 60).any(axis=0)
        return np.array([np.flatnonzero(red).mean(), np.flatnonzero(blue).mean()]) / image.width

    first, second = columns("good bad")
    assert first < second < 0.3
    first, second = columns("جيد سيئ")
    assert first > second > 0.7


@pytest.mark.parametrize(
    ("rule", "values", "said"),
    [
        (
            "free and money",
            [1.0, 1.0],
            "While the red words are kept, the prediction is the same in 96 % of neighbours",
        ),
        ("", [0.0, 0.0], "Whatever the features are, the prediction is the same in 96 % of neighbours"),
    ],
)
def test_the_caption_of_a_rule_says_how_often_it_keeps_the_prediction(rule, values, said) -> None:
    told = {"rule": [[rule]], "precision": [[0.96]], "coverage": [[0.2]], "precision_bounds": [[[0.93, 0.98]]]}
    one = dataclasses.replace(
        record("free money", [[0, 4], [5, 10]], values), method="anchors", diagnostics=told | {"found": [[True]]}
    )
    page = render.text_page(one)
    assert f"{said} (93 % to 98 %)" in page
    assert "No part matters" not in page


def test_a_heading_says_a_log_probability_once_and_the_probability() -> None:
    one = dataclasses.replace(
        record("Bert speaks", [[0, 4]], [1.0]),
        target=np.array(["next token ' Italian', log probability"]),
        prediction=np.log([0.25]),
    )
    page = html.unescape(render.text_page(one))
    assert "<h1>next token ' Italian' · probability 0.25 (log probability −1.39)</h1>" in page


def test_characters_that_no_font_has_are_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said = listen(monkeypatch)
    text = "free \ue000 money"
    render.picture(record(text, [[0, 4], [5, 6], [7, 12]], [1.0, 2.0, -1.0]))
    assert sum(line.count("no font here has") for line in said) == 1
