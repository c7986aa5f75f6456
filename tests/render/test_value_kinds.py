"""Captions describe the values only by the record."""

import typing

import numpy as np
import pytest

from xaionnx import Explanation, render
from xaionnx.explanation import ValueKind
from xaionnx.render import headings, readings
from xaionnx.render.colours import scale_of
from xaionnx.render.maps import Extent, pixel_map
from xaionnx.render.value_kinds import SENSES, legend, sense

MEANINGS = typing.get_args(ValueKind)
PHOTO = np.full((8, 8, 3), 90, np.uint8)


def told(value_kind, method="some_method", values=None):
    values = np.linspace(-1, 1, 64).reshape(1, 1, 8, 8) if values is None else values
    provenance = {} if value_kind is None else {"value_kind": value_kind}
    return Explanation(method, values, np.array(["cat (3)"]), np.array([2.0]), provenance=provenance)


def said(one, sign="auto"):
    found = pixel_map(one, Extent(8, 8))
    return readings.reading(one, scale_of(found.values, sign, 99, "overlay"), found)


def test_every_meaning_has_words_of_its_own():
    assert set(SENSES) == set(MEANINGS)
    assert len({words.more for words in SENSES.values()} - {SENSES["sensitivity"].more}) == len(SENSES) - 1
    assert SENSES["slope"].size == SENSES["sensitivity"].more


@pytest.mark.parametrize("value_kind", [*MEANINGS, None])
@pytest.mark.parametrize("sign", ["signed", "positive", "absolute"])
@pytest.mark.parametrize("parts", ["parts", "features", "channels"])
def test_sentences_are_whole_and_short(value_kind, sign, parts):
    sentence = sense(told(value_kind)).sentence(sign, parts)
    assert sentence[0].isupper()
    assert sentence.endswith(".")
    assert sentence.count(".") == 1
    assert "{" not in sentence
    assert len(sentence) <= 130


@pytest.mark.parametrize("value_kind", MEANINGS)
def test_only_a_contribution_is_said_to_raise_the_prediction(value_kind):
    raises = "Red parts raise the prediction" in said(told(value_kind))
    assert raises == (value_kind == "contribution")
    assert ("Red parts lower the prediction" in said(told(value_kind))) == (value_kind == "hindrance")


def test_what_no_record_tells_no_caption_says(tmp_path):
    made = told(None, "layer_activation")
    assert "value_kind" not in made.provenance  # as in files of earlier versions
    old = Explanation.load(made.save(tmp_path / "old.npz"))
    assert said(old).startswith("Values are positive in red parts, negative in blue parts.")
    assert said(told("what a later version may say")) == said(old)
    assert headings.class_and_score(old) == "cat (3) · score 2"


@pytest.mark.parametrize(
    ("value_kind", "title"),
    [
        ("activation", "activation of the layer"),
        ("attention", "attention, for any class"),
        ("component", "main pattern of the layer, for any class"),
        ("signal", "cat (3) · score 2"),
    ],
)
def test_the_title_names_a_class_where_one_was_asked_about(value_kind, title):
    assert headings.class_and_score(told(value_kind)) == title


def test_the_same_numbers_of_another_meaning_make_another_picture():
    positive = np.abs(np.linspace(-1, 1, 64)).reshape(1, 1, 8, 8)
    for draw in (lambda one: render.overlay(one, PHOTO), lambda one: render.sheet([one], PHOTO, side=300), render.bars):
        pictures = {
            draw(told(value_kind, values=positive)).tobytes() for value_kind in ("contribution", "sensitivity", "core")
        }
        assert len(pictures) == 3


def test_bars_are_read_by_their_length():
    clause = "the longer the bar of a feature"
    assert sense(told("sensitivity")).sentence("positive", "features", clause) == (
        "The longer the bar of a feature, the more a change there changes the prediction."
    )
    assert sense(told("slope")).sentence("signed", "features", clause) == (
        "An increase raises the prediction in red features and lowers it in blue features."
    )


def test_a_legend_says_each_thing_once_and_of_whom():
    panels = [
        ("saliency", told("sensitivity"), "positive"),
        ("occlusion", told("contribution"), "signed"),
        ("grad cam", told("contribution"), "positive"),
        ("rise", told("contribution"), "signed"),
        ("sobol", told("sensitivity"), "positive"),
        ("eigen cam", told("component"), "positive"),
        ("lime", told("contribution"), "signed"),
    ]
    lines = [
        "Red parts raise the prediction, blue parts lower it. "
        "From yellow to red: the redder a part, the more it raises the prediction.",
        "In saliency and sobol, the redder a part, the more a change there changes the prediction.",
        "In eigen cam, the redder a part, the more it shows of the layer's main pattern.",
    ]
    assert legend(panels) == lines
    # Rows of further photos repeat the methods, but not the text.
    assert legend(panels * 3) == lines
    # Without the last panel it is no longer the meaning of the majority.
    assert legend(panels[:-1]) == [f"In occlusion, grad cam and rise, r{lines[0][1:]}", *lines[1:]]
    assert legend(panels[2:3]) == ["The redder a part, the more it raises the prediction."]


def test_the_importance_for_a_metric_is_said_of_the_metric():
    one = Explanation(
        "feature_permutation",
        np.array([[0.2, -0.1]]),
        np.array(["roc_auc over 50 samples"]),
        np.array([0.9]),
        provenance={"value_kind": "contribution", "quantity": "metric"},
    )
    assert (
        sense(one).sentence("signed", "features").startswith("Permuting the values of red features lowers the metric")
    )
    assert "prediction" not in sense(one).sentence("positive")
