"""Existing files: xaionnx replaces its own and reports it; others need --force; inputs are never replaced."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from models import planted

MODELS = Path(__file__).resolve().parents[2] / "models"
QUICK = ("--window", "4", "--stride", "4")


@pytest.fixture
def explain(run, digits, picture):
    return lambda *words: run("explain", "occlusion", digits, picture, *QUICK, *words)


@pytest.mark.parametrize("name", ["out.png", "out.jpg", "out.npz"])
def test_an_earlier_result_is_replaced_and_told(explain, tmp_path, name):
    place = tmp_path / name
    first = explain("-o", place)
    assert first.stdout.rstrip().endswith(f"saved {place}")
    before = place.read_bytes()
    again = explain("-o", place, "-t", "3")
    assert (again.exit_code, again.stderr) == (0, "")
    assert again.stdout.rstrip().endswith(f"saved {place}, replacing the earlier one")
    assert place.read_bytes() != before


def test_a_folder_of_earlier_results(explain, tmp_path):
    assert "replacing" not in explain("-o", tmp_path / "out").stdout
    again = explain("-o", tmp_path / "out", "--no-resume").stdout
    assert again.count("replacing the earlier one") == 2


def _photo(path: Path) -> None:
    Image.new("RGB", (4, 4)).save(path)


def _arrays(path: Path) -> None:
    np.savez(path, x=np.zeros(3))


@pytest.mark.parametrize(
    ("place", "file", "write", "words"),
    [
        ("cat.png", "cat.png", _photo, "picture"),
        ("cat.jpg", "cat.jpg", _photo, "picture"),
        ("note.png", "note.png", lambda path: path.write_text("a note"), "picture"),
        ("x.npz", "x.npz", _arrays, "record"),
        ("out", "out/one.png", _photo, "picture"),
        ("out", "out/one.npz", _arrays, "record"),
    ],
)
def test_what_xaionnx_did_not_write_stays(explain, tmp_path, place, file, write, words):
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    write(path)
    before = path.read_bytes()
    refused = explain("-o", tmp_path / place)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr == (
        f"xaionnx: {path} exists and is not a {words} written by xaionnx. Choose another name with -o, or use --force "
        "to replace it.\n"
    )
    assert path.read_bytes() == before
    assert explain("-o", tmp_path / place, "--force").exit_code == 0
    assert path.read_bytes() != before


def test_what_is_read_stays_even_with_force(explain, picture, tmp_path):
    before = picture.read_bytes()
    refused = explain("-o", picture, "--force")
    assert (refused.exit_code, picture.read_bytes()) == (2, before)
    assert refused.stderr == (
        f"xaionnx: -o would overwrite {picture}, which the command reads. Choose another name or folder.\n"
    )


def test_compiled_files(run, digits, tmp_path):
    place = tmp_path / "fast.onnx"
    words = ("compile", "saliency", digits, "-o", place)
    assert "replacing" not in run(*words).stdout
    assert ", replacing the earlier one\n" in run(*words).stdout
    shutil.copy(MODELS / "mnist_cnn.onnx", place)
    refused = run(*words)
    assert refused.exit_code == 2
    assert "exists and is not a compiled file written by xaionnx" in refused.stderr
    assert place.read_bytes() == (MODELS / "mnist_cnn.onnx").read_bytes()
    assert run(*words, "--force").exit_code == 0
    own = shutil.copy(digits, tmp_path / "own.onnx")
    assert "which the command reads" in run("compile", "saliency", own, "-o", own, "--force").stderr


def test_patterns(run, tmp_path):
    pictures = tmp_path / "digits.npy"
    np.save(pictures, np.random.default_rng(0).random((20, 1, 8, 8), dtype=np.float32))
    place = tmp_path / "patterns.npz"
    words = ("patterns", MODELS / "digits_cnn.onnx", pictures, "-o", place)
    assert "replacing" not in run(*words).stdout
    assert ", replacing the earlier file\n" in run(*words).stdout
    # A record is not a file of patterns and vice versa, although xaionnx wrote both.
    explain = ("explain", "pattern_net", MODELS / "digits_cnn.onnx", pictures, "--patterns", place)
    assert "which the command reads" in run(*explain, "-o", place, "--force").stderr
    assert "exists and is not a record" in run("explain", "saliency", *explain[2:4], "-o", place).stderr
    _arrays(place)
    assert "exists and is not a file of patterns written by xaionnx" in run(*words).stderr
    assert run(*words, "--force").exit_code == 0


def test_files_that_options_name_are_never_replaced(run, tmp_path):
    import numpy as np

    model = MODELS / "digits_cnn.onnx"
    np.save(tmp_path / "x.npy", np.ones((3, 1, 8, 8), np.float32))
    made = run("patterns", model, tmp_path / "x.npy", "-o", tmp_path / "p.npz")
    assert made.exit_code == 0, made.stderr
    np.savez(tmp_path / "b.npz", np.ones((1, 1, 8, 8), np.float32))
    before = {name: (tmp_path / name).read_bytes() for name in ("p.npz", "b.npz")}
    for words in (
        ("pattern_net", "--patterns", tmp_path / "p.npz", "-o", tmp_path / "p.npz"),
        ("occlusion", "--baseline", f"background:{tmp_path / 'b.npz'}", "-o", tmp_path / "b.npz"),
        ("occlusion", "--target", f"similarity:{tmp_path / 'b.npz'}", "-o", tmp_path / "b.npz"),
    ):
        refused = run("explain", words[0], model, tmp_path / "x.npy", *words[1:], "--force")
        assert refused.exit_code == 2
        assert "which the command reads" in refused.stderr, refused.stderr
    assert before == {name: (tmp_path / name).read_bytes() for name in before}


def test_weights_of_a_compiled_file_replace_their_own_alone(run, tmp_path):
    source, place = tmp_path / "source", tmp_path / "made.onnx"
    weights = tmp_path / "made.onnx.data"
    source.mkdir()
    proto = planted.linear(np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32))
    onnx.save(proto, source / "big.onnx", save_as_external_data=True, location="weights.bin", size_threshold=64)
    weights.write_text("mine")
    words = ("compile", "saliency", source / "big.onnx", "-o", place)
    refused = run(*words)
    assert refused.exit_code == 2
    assert f"{weights} exists and is not a file of weights of made.onnx." in refused.stderr
    assert (weights.read_text(), place.exists()) == ("mine", False)
    assert run(*words, "--force").exit_code == 0
    assert run(*words).exit_code == 0  # they are now those of an earlier file
    assert weights.stat().st_size > 1000
