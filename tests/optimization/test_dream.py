"""Deep dreams: photographs of any size, in octaves and tiles."""

import numpy as np
import pytest
from PIL import Image

import xaionnx
from tests.tiny import trained
from xaionnx.errors import DataError, OutputError, ParameterError, ZeroGradientError
from xaionnx.optimization.deep_dream import _Tiles
from xaionnx.optimization.objectives.layer import Layer
from xaionnx.optimization.scene import Scene

LAYER = "/6/Relu_output_0"


def photo(height=50, width=70):
    rng = np.random.default_rng(0)
    found = np.full((height, width, 3), 100, np.uint8)
    found[10:30, 20:50] = rng.integers(0, 256, (20, 30, 1), dtype=np.uint8)
    return found


def test_a_dream_is_more_of_the_photograph():
    seen = photo()
    found = xaionnx.dream(trained("mnist_cnn"), seen, layer=LAYER, octaves=3, steps=5)
    assert found.pictures.shape == (1, 50, 70, 3)
    scene = Scene.of(trained("mnist_cnn"), Layer(layer=LAYER), 1)
    tiles = _Tiles.over((50, 70), (28, 28))
    before = tiles.value(scene, seen[None, None, :, :, 0].astype(np.float32) / 255)
    assert found.value[0] > 1.3 * before
    # Also where tiles lie at other places.
    assert found.unseen[0] > 1.3 * before
    # It is still the photograph.
    assert np.corrcoef(found.pictures[0, :, :, 0].ravel(), seen[:, :, 0].ravel())[0, 1] > 0.7
    assert found.trace.shape == (15, 1)


@pytest.mark.parametrize("size", [(28, 28), (20, 90), (57, 30)])
def test_tiles_cover_every_pixel_once_in_the_mean(size):
    """The gradient of a sum over a picture is 1 in each pixel, however many tiles see it."""

    class Sum:
        def gradient(self, view, picture):
            crops = view.crops(picture)
            return crops.sum(axis=(1, 2, 3)), view.back(np.ones_like(crops))

    picture = np.zeros((1, 1, *size), np.float32)
    tiles = _Tiles.over(size, (28, 28))
    for seed in range(4):
        _, slope = tiles.gradient(Sum(), picture, np.random.default_rng(seed))
        assert ((slope == 0) | (np.abs(slope - 1) < 1e-5)).all()
    _, still = tiles.gradient(Sum(), picture, type("Still", (), {"uniform": lambda *_: np.zeros(2)})())
    np.testing.assert_allclose(still, 1, atol=1e-5)


def test_tiles_are_as_few_as_cover():
    assert _Tiles.over((28, 28), (28, 28)).count == 1
    assert _Tiles.over((29, 56), (28, 28)).count == 4
    assert _Tiles.over((10, 10), (28, 28)).count == 1


def test_octaves_reach_larger_forms():
    """Steps at smaller sizes change lower frequencies of the photograph."""

    def low(found):
        change = found.pictures[0, :, :, 0].astype(float) - photo()[:, :, 0]
        power = np.abs(np.fft.fft2(change)) ** 2
        rows, columns = np.fft.fftfreq(50)[:, None], np.fft.fftfreq(70)[None]
        return (power * (np.hypot(rows, columns) < 0.1)).sum() / power.sum()

    one, four = (
        xaionnx.dream(trained("mnist_cnn"), photo(), layer=LAYER, octaves=octaves, steps=20 // octaves, scale=1.45)
        for octaves in (1, 3)
    )
    assert low(four) > low(one)


def test_a_seed_gives_the_same_dream(tmp_path):
    Image.fromarray(photo()).save(tmp_path / "photo.png")
    given = (photo(), Image.fromarray(photo()), tmp_path / "photo.png", str(tmp_path / "photo.png"))
    found = [xaionnx.dream(trained("mnist_cnn"), one, layer=LAYER, octaves=1, steps=2).pictures for one in given]
    assert all((one == found[0]).all() for one in found)
    other = xaionnx.dream(trained("mnist_cnn"), photo(), layer=LAYER, octaves=1, steps=2, seed=1)
    assert (other.pictures != found[0]).any()


def test_what_does_not_fit_is_refused(tmp_path):
    with pytest.raises(ParameterError, match="smallest of 20 sizes"):
        xaionnx.dream(trained("mnist_cnn"), photo(), layer=LAYER, octaves=20)
    with pytest.raises(DataError, match=r"uint8 array \(H, W, 3\)"):
        xaionnx.dream(trained("mnist_cnn"), photo().astype(float), layer=LAYER)
    (tmp_path / "no.png").write_bytes(b"no")
    with pytest.raises(DataError, match=r"no\.png"):
        xaionnx.dream(trained("mnist_cnn"), tmp_path / "no.png", layer=LAYER)


@pytest.mark.parametrize(
    ("weight", "error", "words"),
    [(0.0, ZeroGradientError, "is 0 at the photograph"), (float("nan"), OutputError, "NaN or infinity")],
)
def test_an_objective_without_a_slope_is_no_dream(weight, error, words):
    with pytest.raises(error, match=words):
        xaionnx.dream(trained("mnist_cnn"), photo(), weight * Layer(layer=LAYER), octaves=2, steps=1)
