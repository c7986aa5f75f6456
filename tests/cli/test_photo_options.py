"""The options of pictures of photos on the command line."""

import numpy as np
import pytest
from PIL import Image

import xaionnx


@pytest.fixture
def given(tmp_path):
    photo = tmp_path / "digit.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)).save(photo)
    return "explain", "saliency", "models/mnist_cnn.onnx", photo, "-o", tmp_path / "out.png"


def test_a_gif_shows_deletion_and_insertion(run, given, tmp_path):
    film = tmp_path / "out.gif"
    done = run(*given[:-1], film)
    assert done.exit_code == 0, done.output
    with Image.open(film) as saved:
        assert saved.n_frames == 21
    refused = run(*given[:-1], film, "--force", "--picture", "map")
    assert refused.exit_code == 2
    assert "A .gif shows deletion and insertion" in refused.output


def test_a_film_has_the_steps_and_the_baseline_that_are_given(run, given, tmp_path):
    film = tmp_path / "out.gif"
    done = run(*given[:-1], film, "--removal-steps", "3", "--removal-baseline", "white")
    assert done.exit_code == 0, done.output
    with Image.open(film) as saved:
        assert saved.n_frames == 4
        saved.seek(3)
        last = np.asarray(saved.convert("RGB"))
    # All is removed at the left.
    assert (last[150:300, 40:180] == 255).all()
    record = tmp_path / "out.npz"
    assert run(*given[:-1], record, "--picture", "deletion", "--removal-baseline", "0.25").exit_code == 0
    curves = xaionnx.Explanation.load(record).provenance["removal_curves"]
    assert (curves["steps"], curves["baseline"]["value"]) == (20, 0.25)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--removal-steps", "3"], "--removal-steps is of --picture deletion"),
        (["--removal-baseline", "blur"], "--removal-baseline is of --picture deletion"),
        (["--picture", "deletion", "--removal-baseline", "blurr"], "No baseline named 'blurr'. Nearest: blur"),
        (["--picture", "deletion", "--removal-steps", "0"], "--removal-steps"),
    ],
)
def test_options_of_films_are_checked_before_anything_is_computed(run, given, tmp_path, options, words):
    refused = run(*given, *options)
    assert refused.exit_code == 2
    assert words in refused.output
    assert list(tmp_path.glob("out*")) == []


@pytest.mark.parametrize("options", [["--top", "10%"], ["--inset"], ["--original"], ["--smooth", "2"]])
def test_options_change_the_picture(run, given, tmp_path, options):
    assert run(*given).exit_code == 0
    plain = (tmp_path / "out.png").read_bytes()
    done = run(*given, "--force", *options)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out.png").read_bytes() != plain


@pytest.mark.parametrize("wrong", ["0", "0%", "100%", "half", "0.5"])
def test_a_wrong_share_is_refused(run, given, wrong):
    refused = run(*given, "--top", wrong)
    assert refused.exit_code == 2
    assert "neither a number of features, such as 12, nor a share, such as 10%" in refused.output


def test_all_targets_are_in_one_picture(run, given, tmp_path):
    done = run(*given, "--picture", "targets", "-t", "3", "-t", "5")
    assert done.exit_code == 0, done.output
    assert [path.name for path in tmp_path.glob("out*")] == ["out.png"]
