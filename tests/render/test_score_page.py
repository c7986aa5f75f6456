"""The page of scores: what it shows, and that no name, picture or browser can make it do anything."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from tests import tiny
from xaionnx.data.block import Refused
from xaionnx.evaluation import Scores, ScoreTable, score_table
from xaionnx.explainers.saliency import Saliency
from xaionnx.metrics.faithfulness.deletion import Deletion
from xaionnx.render import score_page

# Ends any attribute, tag, comment or style, and runs a script if it can.
HOSTILE = (
    "\"'--></style></title></svg><img src=x onerror=alert(1)><script>alert(2)</script><a href=javascript:alert(3)>"
    "$x_{\u202e"
)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Parsed(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


def scores(method, metric, seed=0, **more):
    values = np.random.default_rng(seed).uniform(size=8)
    control = Scores(metric, HOSTILE, values + 0.3, "lower", (0, 2))
    return Scores(metric, method, values, "lower", (0, 2), controls={HOSTILE: control}, **more)


@pytest.fixture(scope="module")
def hostile():
    """A table in which every name and reason is hostile, with curves and maps."""
    maps = {name: np.random.default_rng(0).uniform(size=(9, 7)) for name in ("the model", HOSTILE)}
    curves = {"share": np.tile(np.linspace(0, 1, 5), (8, 1)), "target": np.tile(np.linspace(1, 0, 5), (8, 1))}
    each = {}
    for seed, name in enumerate((HOSTILE, "plain")):
        control = Scores("deletion", "c", np.full(8, 0.9), "lower", (0, 2), {0: HOSTILE}, curves=curves)
        each[name] = {
            "deletion": Scores(
                "deletion", name, np.full(8, 0.1 + seed / 10), "lower", (0, 2), {0: HOSTILE}, curves, {HOSTILE: control}
            ),
            HOSTILE: scores(name, HOSTILE, seed, maps=maps, curves={"similarity": np.full((8, 1), 0.2)}),
        }
    return ScoreTable(each, {HOSTILE: HOSTILE}, {HOSTILE: 0.1}, {HOSTILE: HOSTILE})


def test_a_page_runs_and_loads_nothing_whatever_names_it_shows(hostile):
    page = score_page(hostile, HOSTILE, np.zeros((5, 5, 3), np.uint8))
    parsed = Parsed(page)
    assert not {tag for tag, _ in parsed.tags} & {"script", "iframe", "object", "embed", "link", "form", "base", "a"}
    for tag, attributes in parsed.tags:
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ("src", "href", "xlink:href", "action"):
            assert re.match(r"data:image/png;base64,|#", attributes.get(name) or "#"), attributes
    assert any("default-src 'none'" in (attributes.get("content") or "") for _, attributes in parsed.tags)
    assert "<!--" not in page
    assert "\u202e" not in page
    assert "<script>alert(2)</script>" in parsed.text


def test_pictures_are_made_anew_and_can_be_left_out(hostile):
    page = score_page(hostile, photo=np.zeros((5, 5, 3), np.uint8))
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert len(found) == 1 + 2 * 2
    for data in found:
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            assert image.format == "PNG"
            assert not image.info.keys() - {"transparency"}
    assert "<img" not in score_page(hostile, photo=np.zeros((5, 5, 3), np.uint8), inputs=False)


def test_maps_of_randomised_layers_are_shown_in_their_order():
    digits = load_digits().images[:6, None].astype(np.float32)
    model = tiny.trained("digits_cnn")
    metrics = ["deletion", "insertion", "parameter_randomisation"]
    table = score_table(model, digits, ["input_x_gradient", "grad_cam"], metrics)
    found = table.scores["input_x_gradient"]["parameter_randomisation"]
    layers = found.provenance["layers"]
    assert list(found.maps) == ["the model", *layers]
    assert found.maps["the model"].shape == (8, 8)
    parsed = Parsed(score_page(table))
    shown = [attributes["alt"] for tag, attributes in parsed.tags if tag == "img"]
    assert shown[: len(layers) + 1] == [f"input_x_gradient, {name}" for name in found.maps]
    assert "Better than the control by all of deletion, insertion: input_x_gradient." in parsed.text
    assert f"{found.curves['similarity'][0, 0]:.3g}" in parsed.text


def test_what_holds_for_several_metrics_is_said_once_and_settings_are_stated():
    digits = load_digits().images[:2, None].astype(np.float32)
    table = score_table(tiny.trained("digits_cnn"), digits, [Saliency(absolute=False)], [Deletion(steps=3), "entropy"])
    parsed = Parsed(score_page(table))
    said = "too few samples have a score for a test of 1 method; at least 6 are needed."
    assert f"deletion, entropy: {said}" in parsed.text
    assert table.provenance["metrics"]["deletion"]["steps"] == 3
    assert table.provenance["methods"]["saliency"]["absolute"] is False
    assert "steps 3" in parsed.text
    assert "absolute False" in parsed.text


def test_what_is_undefined_for_all_samples_has_no_interval():
    one = Scores("sufficiency", "m", np.full(8, np.nan), "higher", (0, 1), dict.fromkeys(range(8), "all differ"))
    text = Parsed(score_page(ScoreTable({"m": {"sufficiency": one}}))).text
    assert "mundefinedundefinedundefined0 of 8" in text


def test_why_a_control_has_no_score_is_said_once():
    def beside(values, reasons):
        control = Scores("deletion", "edges", values, "lower", (0, 1), reasons)
        return Scores("deletion", "m", np.full(8, 0.5), "lower", (0, 1), controls={"edges": control})

    none = beside(np.full(8, np.nan), dict.fromkeys(range(8), "there is no picture"))
    some = beside(np.array([np.nan, *[0.5] * 7]), {0: "all values are equal"})
    every = ScoreTable({"one": {"deletion": none}, "other": {"deletion": none}})
    assert Parsed(score_page(every)).text.count("edges without a score: there is no picture") == 1
    text = Parsed(score_page(ScoreTable({"one": {"deletion": none}, "other": {"deletion": some}}))).text
    assert "edges without a score for samples of one: there is no picture" in text
    assert "edges without a score for samples of other: all values are equal" in text


def test_metrics_of_a_category_stand_together_with_their_direction():
    digits = load_digits().images[:2, None].astype(np.float32)
    table = score_table(tiny.trained("digits_cnn"), digits, ["saliency"], ["deletion", "entropy", "insertion"])
    text = Parsed(score_page(table)).text
    assert "faithfulnesscomplexity" in text
    assert "deletion \u2193insertion \u2191entropy \u2193" in text


def test_maps_by_each_metric_stand_below_its_name_and_say_which_weights_are_random():
    maps = {"the model": np.eye(4), "logits": np.ones((4, 4))}

    def one(metric, order):
        return scores("m", metric, maps=maps, provenance={"metric": {"order": order}})

    names = {"parameter_randomisation": "top_down", "smooth_parameter_randomisation": "independent"}
    table = ScoreTable({"m": {name: one(name, order) for name, order in names.items()}})
    text = Parsed(score_page(table)).text
    first = "parameter_randomisation: the weights of all layers from the output to the one named above are random."
    second = "smooth_parameter_randomisation: the weights of the layer named above alone are random."
    assert text.index(first) < text.index(second)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_a_browser_opens_no_dialog_makes_no_request_and_reports_no_error(hostile, tmp_path):
    place, log = tmp_path / "report.html", tmp_path / "net.json"
    place.write_text(score_page(hostile, HOSTILE, np.zeros((5, 5, 3), np.uint8)))
    words = ("--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", f"--log-net-log={log}")
    quiet = ("--disable-background-networking", "--disable-component-update", "--no-first-run", "--disable-sync")
    place_of_profile = f"--user-data-dir={tmp_path / 'profile'}"
    done = subprocess.run(
        [CHROMIUM, *words, *quiet, place_of_profile, "--virtual-time-budget=3000", "--dump-dom", place.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "CONSOLE" not in done.stderr
    assert "<h1>" in done.stdout
    # The document object model has what was written, and nothing that a script made of it.
    assert not [tag for tag, _ in Parsed(done.stdout).tags if tag in ("script", "a", "iframe")]
    urls = re.findall(r'"url":("(?:[^"\\]|\\.)*")', log.read_text())
    asked = {urlsplit(json.loads(url)).scheme for url in urls}
    hosts = {urlsplit(json.loads(url)).hostname for url in urls} - {None, ""}
    assert asked <= {"file", "data", "chrome", "chrome-extension", "http", "https"}
    assert not {host for host in hosts if "google" not in host and "gvt1" not in host}


def test_what_was_scored_and_what_was_not_is_said_first():
    values = np.linspace(0, 1, 20)
    few = np.where(np.arange(20) < 5, values, np.nan)
    target = {"target": ["cat"] * 19 + ["dog"], "warnings": ("The pixels are too bright.",)}
    each = {
        name: {
            "deletion": Scores(
                "deletion", name, own, "lower", (0, 2), provenance=target, category="faithfulness", says="the area"
            )
        }
        for name, own in (("all", values), ("some", few))
    }
    table = ScoreTable(each, left_out=(Refused(3, "x.png", "it is empty"),), stopped="The disk is full.")
    parsed = Parsed(score_page(table))
    assert (
        "2 methods by 1 metric on 20 inputs. Explained: cat, dog. 1 input was left out. The disk is full."
        in parsed.text
    )
    for said in ("x.pngit is empty", "The pixels are too bright.", "The area.", "some has a score on 5 of 20 samples"):
        assert said in parsed.text
    # The mean of few says of how many it is: in the table of all metrics, and in that of this one.
    assert parsed.text.count("5 of 20") == 3
    assert table.to_dict()["warnings"] == ["The pixels are too bright."]
    closed = Parsed(score_page(table, inputs=False)).text
    assert "1 input was left out" in closed
    assert "x.png" not in closed


def test_controls_are_named_with_what_they_are_maps_of():
    digits = load_digits().images[:6, None].astype(np.float32)
    table = score_table(tiny.trained("digits_cnn"), digits, ["saliency"], ["sparseness"], controls=("random", "edges"))
    page = Parsed(score_page(table)).text
    assert "on 6 inputs, beside random values, the edges of the inputs, which explain nothing." in page
    assert "p against random" in page
    assert "How unequal the sizes of the values are." in page
    assert [warning.partition(",")[0] for warning in table.warnings] == ["The input's numbers are from 0 to 16"]
    assert not score_table(tiny.trained("digits_cnn"), digits / 16, ["saliency"], ["sparseness"]).warnings
