"""Pictures of a folder are drawn two at once, beside the samples that are explained."""

import os
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from xaionnx_cli import _samples

from xaionnx import Explanation, Model, render

MODELS = Path("models")


@pytest.fixture
def folders(tmp_path):
    """Twelve pictures in two folders, each name in both."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / side / f"{number}.png" for side in "ab" for number in range(6)]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3)).astype(np.uint8)).save(path)
    return paths


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="a single core draws one after the other")
def test_two_are_drawn_at_once(run, digits, folders, tmp_path, monkeypatch):
    drawn, most = [], []
    picture = render.picture

    def slow(*given, **settings):
        drawn.append(None)
        most.append(len(drawn))
        time.sleep(0.05)
        drawn.pop()
        return picture(*given, **settings)

    monkeypatch.setattr(render, "picture", slow)
    assert run("explain", "saliency", digits, *folders, "-t", "3", "-o", tmp_path / "out/").exit_code == 0
    assert max(most) == 2


def test_names_do_not_depend_on_which_picture_is_finished_first(run, digits, folders, tmp_path, monkeypatch):
    picture, calls = render.picture, []

    def slow(*given, **settings):
        calls.append(None)
        time.sleep(0.1 if len(calls) % 2 else 0)
        return picture(*given, **settings)

    monkeypatch.setattr(render, "picture", slow)
    both = [folders[0], folders[6], folders[1], folders[7]]
    assert run("explain", "saliency", digits, *both, "-t", "3", "-o", tmp_path / "out/").exit_code == 0
    for path, name in zip(both, ("0", "0_2", "1", "1_2"), strict=True):
        assert Explanation.load(tmp_path / "out" / f"{name}.npz").provenance["inputs"] == [str(path)]


@pytest.mark.parametrize("kind", ["map", "bar"])
def test_pictures_drawn_at_once_are_those_drawn_alone(run, digits, folders, tmp_path, kind):
    words = ("explain", "feature_ablation", digits, "--features", "grid", "-t", "3", "--picture", kind)
    assert run(*words, *folders[:6], "-o", tmp_path / "all/").exit_code == 0
    for number in range(6):
        assert run(*words, folders[number], "-o", tmp_path / "alone.png", "--force").exit_code == 0
        assert (tmp_path / "alone.png").read_bytes() == (tmp_path / "all" / f"{number}.png").read_bytes()


@pytest.mark.parametrize("drawn", [False, True])
def test_photos_are_read_in_full_only_where_they_are_drawn(drawn):
    model, photo = Model.load(MODELS / "efficientnet_lite0.onnx"), MODELS / "photos" / "astronaut.jpg"
    options = SimpleNamespace(exif=False, text=None, rows=None)
    ((sample,), _, _) = _samples.read(photo, model, options, drawn)
    assert sample.display is not None
    assert (max(sample.display.shape) > 224) == drawn
