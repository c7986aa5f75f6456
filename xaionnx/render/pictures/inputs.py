"""Every input of a model in one figure: pictures and series beside the bars of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Final, final

import numpy as np
from PIL import Image

from xaionnx.caveats import caveats
from xaionnx.explanation import Explanation
from xaionnx.render import headings, page
from xaionnx.render.bar_chart import bars
from xaionnx.render.colours import number_words
from xaionnx.render.maps import one_sample
from xaionnx.render.painting import Pixels, enlarged
from xaionnx.render.photo import overlay
from xaionnx.render.picture import PictureKind, Scene
from xaionnx.render.themes import Style
from xaionnx.render.time_series import series
from xaionnx.typing import Array

# Panels beside each other are at most so wide together; more are put beneath.
_WIDEST: Final = 2400
_TEXT: Final = 22
# What a panel says about how it was computed; the rest is in the record.
_KEPT: Final[tuple[str, ...]] = ("value_kind", "parameters", "model")
_TOP: Final = 20


@final
class Inputs(PictureKind):
    """A panel for each picture and series, and one with bars for all rows."""

    rank: ClassVar[int] = 5
    needs: ClassVar[str] = "values of several inputs that are not all rows"

    @classmethod
    def applies(cls, result: Explanation, scene: Scene) -> bool:
        if not isinstance(result.values, dict) or len(result.values) < 2 or scene.chosen:
            return False
        return "layer" in result.provenance or any(_is_drawn(result, name) for name in result.values)

    @classmethod
    def draw(cls, result: Explanation, scene: Scene) -> Image.Image:
        one = one_sample(result, scene.sample, scene.target, "picture")
        assert isinstance(one.values, dict)  # it applies
        drawn = [name for name in one.values if _is_drawn(one, name)]
        if scene.sign == "auto" and any((np.asarray(one.values[name]) < 0).any() for name in drawn):
            # Red and white mean the same in all panels.
            scene = replace(scene, sign="signed")
        tallest = max((len(enlarged(_photo(one, name, scene), None)) for name in _pictures(one)), default=0)
        panels = [_panel(scene.style, one, name, scene, tallest) for name in drawn]
        if rest := [name for name in one.values if name not in drawn]:
            panels.append(_bars(scene.style, one, rest, scene))
        gap = _TEXT
        wide = sum(panel.width for panel in panels) + gap * (len(panels) - 1) <= _WIDEST
        body = page.beside(scene.style, panels, gap) if wide else page.beneath(scene.style, panels, gap)
        heading = page.text_block(
            scene.style, [headings.class_and_score(one)], body.width - 2 * gap, round(1.3 * _TEXT), bold=True
        )
        found = page.warning_band(scene.style, caveats(one), body.width - 2 * gap, _TEXT)
        return page.beneath(
            scene.style, [page.framed(scene.style, page.beneath(scene.style, [heading, found], gap // 2), gap), body], 0
        )


def _is_drawn(result: Explanation, name: str) -> bool:
    """Whether an input is drawn as a picture or as a series."""
    display = result.display.get(name)
    return display is not None and display.kind in ("picture", "series") and len(display.array) > 0


def _pictures(one: Explanation) -> list[str]:
    """The inputs that are drawn as pictures."""
    assert isinstance(one.values, dict)  # it applies
    return [name for name in one.values if _is_drawn(one, name) and one.display[name].kind == "picture"]


def _photo(one: Explanation, name: str, scene: Scene) -> Pixels:
    return scene.photo if scene.photo is not None and name == scene.input else one.display[name].picture()


def _panel(style: Style, one: Explanation, name: str, scene: Scene, tallest: int) -> Image.Image:
    """The picture of one input, about as tall as the tallest, with the sum of its values in its title."""
    part, display = _part(one, name), one.display[name]
    title, style = _title(part, name), _panel_style(style, one, part)
    if display.kind == "series":
        return series(
            part,
            display.array[0],
            channel=display.channel,
            names=display.names or None,
            time=display.time,
            sign=scene.sign,
            title=title,
            style=style,
        )
    photo = _photo(one, name, scene)
    return overlay(
        part,
        photo,
        sign=scene.sign,
        zoom=max(1, round(tallest / len(photo))),
        title=title,
        stretched=scene.stretched and name == scene.input,
        style=style,
    )


def _bars(style: Style, one: Explanation, names: Sequence[str], scene: Scene) -> Image.Image:
    """Bars of the elements or players of all other inputs."""
    found, labels = list[Array](), list[str]()
    for name in names:
        part = _part(one, name)
        if part.feature_values is not None:
            found.append(part.feature_values[0])
            labels += part.feature_names
            continue
        values = np.asarray(part.values, dtype=np.float64)[0]
        # One number a token of an embedding, one an element of a row.
        values = values.reshape(len(values), -1).sum(axis=1) if values.ndim > 1 else values.reshape(-1)
        display = one.display.get(name)
        known = display.names if display is not None and len(display.names) == len(values) else ()
        found.append(values)
        layer = one.provenance.get("layer", {})
        if layer.get("name") == name and layer.get("axes", "").startswith("T"):
            known = tuple(f"token {i}" for i in range(len(values)))
        labels += known or ([name] if len(values) == 1 else [f"{name}[{i}]" for i in range(len(values))])
    joined = _record(one, np.concatenate(found)[None])
    top, style = scene.count(_TOP), _panel_style(style, one, joined)
    return bars(joined, labels, top=top, title=_title(joined, ", ".join(names)), style=style)


def _panel_style(style: Style, one: Explanation, part: Explanation) -> Style:
    """The style of a panel, which repeats no warnings about the whole result."""
    return replace(style, warns=not set(caveats(part)) <= set(caveats(one)))


def _title(part: Explanation, name: str) -> str:
    values = part.values if part.feature_values is None else part.feature_values
    kind = part.value_kind
    if kind != "contribution" or isinstance(values, dict):
        return name
    return f"{name} · sum of values {number_words(float(np.nansum(values)))}"


def _part(one: Explanation, name: str) -> Explanation:
    """The explanation of one input alone, with the players that have elements in it."""
    assert isinstance(one.values, dict)
    features = one.features.get(name) if isinstance(one.features, Mapping) else None
    alone = _record(one, np.asarray(one.values[name]))
    alone = replace(alone, display={name: one.display[name]} if name in one.display else {})
    if features is None or one.feature_values is None:
        return alone
    labels = np.asarray(features)
    own = np.unique(labels[labels >= 0])
    renumbered = np.where(labels >= 0, np.searchsorted(own, labels), -1).astype(np.int32)
    prefix, every = f"{name}: ", one.feature_names
    return replace(
        alone,
        features=renumbered,
        feature_values=one.feature_values[:, own],
        provenance=alone.provenance | {"feature_names": [every[player].removeprefix(prefix) for player in own]},
    )


def _record(one: Explanation, values: Array) -> Explanation:
    kept = {key: one.provenance[key] for key in _KEPT if key in one.provenance}
    return Explanation(one.method, values, one.target, one.prediction, provenance=kept)
