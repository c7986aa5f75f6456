"""The options of pictures of photos on the command line."""

import numpy as np
import pytest
from PIL import Image


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
