"""Pictures that are found: recognised by the model itself, larger than data, and the same each time."""

import json

import numpy as np
import pytest

import xaionnx
from tests.tiny import trained
from xaionnx.errors import DataError, ParameterError
from xaionnx.optimization import Search, SearchInterrupted
from xaionnx.optimization.objectives.class_score import ClassScore
from xaionnx.optimization.objectives.diversity import Diversity
from xaionnx.optimization.objectives.inversion import Inversion
from xaionnx.optimization.objectives.norm import Norm
from xaionnx.optimization.objectives.total_variation import TotalVariation
from xaionnx.optimization.parametrisations.generator import Generator
from xaionnx.optimization.scene import Scene
from xaionnx.optimization.views import View
from xaionnx.runtime.progress import listening

LAYER = "/6/Relu_output_0"
# From the first to the last.
LAYERS = ("/3/MaxPool_output_0", "/7/MaxPool_output_0", "/10/Relu_output_0", "logits")


def digits():
    return np.load("models/data/mnist_sample.npz")["images"].astype(np.float32) / 255


def test_the_model_recognises_each_digit_that_was_searched_for():
    found = [xaionnx.visualize(trained("mnist_cnn"), "class_score", label=k, steps=128) for k in range(10)]
    assert sum(one.predictions == [str(k)] for k, one in enumerate(found)) >= 8
    assert all(one.unseen[0] > one.trace[0, 0] + 3 for one in found)


@pytest.mark.parametrize("channel", [0, 7, 19])
def test_a_channel_is_larger_than_for_any_digit(channel):
    model = trained("mnist_cnn")
    data = model.with_outputs([LAYER]).run({"pixels": digits()})[LAYER][:, channel].mean(axis=(1, 2))
    found = xaionnx.visualize(model, "channel", layer=LAYER, channel=channel, steps=128)
    assert found.unseen[0] > data.max()


def test_frequencies_of_photographs_leave_less_grain_than_pixels():
    settings = {"label": 3, "steps": 96, "count": 3}
    fourier, pixels = (
        xaionnx.visualize(trained("mnist_cnn"), "class_score", parametrisation=name, **settings)
        for name in ("fourier", "pixels")
    )
    assert (fourier.high_frequencies < pixels.high_frequencies).all()


def test_less_variation_is_smoother():
    rough, smooth = (
        xaionnx.visualize(trained("mnist_cnn"), "class_score", label=3, steps=96, total_variation=weight)
        for weight in (0.0, 30.0)
    )
    assert smooth.high_frequencies < rough.high_frequencies


def test_a_seed_gives_the_same_pictures_and_another_others():
    one, again, other = (
        xaionnx.visualize(trained("mnist_cnn"), "class_score", label=5, steps=16, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.pictures, again.pictures)
    np.testing.assert_array_equal(one.trace, again.trace)
    assert (one.pictures != other.pictures).any()


def test_a_negative_objective_makes_the_unit_small():
    found = xaionnx.visualize(trained("mnist_cnn"), -ClassScore(label=5), steps=64)
    assert found.unseen[0] > found.trace[0, 0]
    assert found.predictions != ["5"]


def test_a_search_may_start_from_a_picture():
    x = digits()[:1]
    dream = xaionnx.visualize(
        trained("mnist_cnn"), "layer", layer=LAYER, start=x, steps=8, jitter=0, rotation=0, zoom=1
    )
    near = np.abs(dream.pictures[0, :, :, 0] / 255 - x[0, 0]).mean()
    assert near < 0.2
    assert dream.value[0] > dream.trace[0, 0]


@pytest.mark.parametrize("optimiser", ["adam", "momentum", "fista", "lbfgs"])
def test_a_search_that_resumes_ends_in_the_same_bits(tmp_path, optimiser):
    settings = {"label": 4, "count": 2, "optimiser": optimiser, "views": 2}
    whole = xaionnx.visualize(trained("mnist_cnn"), "class_score", steps=12, **settings)
    half = xaionnx.visualize(trained("mnist_cnn"), "class_score", steps=7, **settings)
    for earlier in (half, half.save(tmp_path / "half.npz")):
        rest = xaionnx.visualize(trained("mnist_cnn"), "class_score", steps=12, resume=earlier, **settings)
        np.testing.assert_array_equal(rest.pictures, whole.pictures)
        np.testing.assert_array_equal(rest.trace, whole.trace)
        np.testing.assert_array_equal(rest.unseen, whole.unseen)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"label": 5}, "another objective"),
        ({"seed": 1}, "another seed: 0 instead of 1"),
        ({"steps": 3}, "did 3 steps. Give more 'steps'"),
        ({"start": "models/photos/cat.png"}, "has its start already"),
    ],
)
def test_only_the_same_search_resumes(changed, words):
    settings = {"label": 4, "steps": 6}
    earlier = xaionnx.visualize(trained("mnist_cnn"), "class_score", label=4, steps=3)
    with pytest.raises(ParameterError, match=words):
        xaionnx.visualize(trained("mnist_cnn"), "class_score", resume=earlier, **(settings | changed))


def test_another_picture_of_the_same_repr_is_another_search(tmp_path):
    """Neither its gradient, which the model keeps, nor its steps serve for the other, also in the same file."""
    first, second = digits()[:1], digits()[1:2]
    one, other = (Inversion(layer=LAYER, picture=picture) for picture in (first, second))
    assert repr(one) == repr(other)
    found = xaionnx.visualize(trained("mnist_cnn"), one, steps=1)
    with pytest.raises(ParameterError, match="another objective"):
        xaionnx.visualize(trained("mnist_cnn"), other, steps=2, resume=found)
    file = tmp_path / "picture.npy"
    in_file = Inversion(layer=LAYER, picture=str(file))
    for picture, objective in ((first, one), (second, other)):
        np.save(file, picture)
        expected = xaionnx.visualize(trained("mnist_cnn"), objective, steps=2)
        np.testing.assert_array_equal(xaionnx.visualize(trained("mnist_cnn"), in_file, steps=2).value, expected.value)


def test_a_file_that_is_no_search_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(DataError, match="not a search saved by xaionnx"):
        xaionnx.optimization.Visualization.load(tmp_path / "other.npz")


def test_a_stopped_search_keeps_what_it_found():
    """Ctrl-C in the middle of any step leaves the state of the step before, from which the search goes on."""

    class Stop:
        def __init__(self, after):
            self.left = after

        def expect(self, evaluations):
            pass

        def phase(self, words):
            pass

        def advance(self, evaluations):
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt

    settings = {"label": 4, "steps": 9}
    whole = xaionnx.visualize(trained("mnist_cnn"), "class_score", **settings)
    with pytest.raises(SearchInterrupted, match="5 of 9 steps") as stop, listening(Stop(5)):
        Search(steps=9).run(trained("mnist_cnn"), ClassScore(label=4))
    found = stop.value.found
    np.testing.assert_array_equal(found.trace, whole.trace[:5])
    assert found.pictures.shape == whole.pictures.shape
    rest = xaionnx.visualize(trained("mnist_cnn"), "class_score", resume=found, **settings)
    np.testing.assert_array_equal(rest.pictures, whole.pictures)


@pytest.mark.parametrize("optimiser", ["adam:0.05", "momentum", "ascent:2", "fista:20", "lbfgs"])
def test_each_optimiser_climbs(optimiser):
    found = xaionnx.visualize(trained("mnist_cnn"), "class_score", label=6, steps=60, optimiser=optimiser)
    assert found.value[0] > found.trace[0, 0] + 3


def test_lbfgs_needs_fewer_runs_than_adam():
    quick, plain = (
        xaionnx.visualize(
            trained("mnist_cnn"), "class_score", label=6, steps=30, optimiser=name, jitter=0, zoom=1, rotation=0
        )
        for name in ("lbfgs", "adam")
    )
    assert quick.value[0] > plain.value[0]


def inverted(layer, **settings):
    given = {"layer": layer, "picture": digits()[7:8], "parametrisation": "pixels", "optimiser": "lbfgs", "steps": 80}
    found = xaionnx.visualize(trained("mnist_cnn"), "inversion", **(given | settings))
    shown = found.pictures[0, :, :, 0] / 255
    return -found.value[0], np.corrcoef(shown.ravel(), digits()[7, 0].ravel())[0, 1]


def test_deeper_layers_keep_less_of_a_picture():
    """Mahendran and Vedaldi: the picture is found again from early layers, and less and less of it from later ones."""
    errors, alike = zip(*(inverted(layer) for layer in LAYERS), strict=True)
    assert errors[0] < 0.05
    assert alike[0] > 0.95
    assert sorted(alike, reverse=True) == list(alike)


def test_a_caricature_points_where_the_picture_does():
    model, layer, x = trained("mnist_cnn"), LAYER, digits()[3:4]
    still = {"jitter": 0, "zoom": 1, "rotation": 0, "optimiser": "adam:0.05"}
    found = xaionnx.visualize(model, "caricature", layer=layer, picture=x, steps=100, **still)
    h = [model.with_outputs([layer]).run({"pixels": each}, [layer])[layer].ravel() for each in (x, gray(found))]
    assert h[0] @ h[1] / np.linalg.norm(h[0]) / np.linalg.norm(h[1]) > 0.9
    assert np.linalg.norm(h[1]) > np.linalg.norm(h[0])


def gray(found):
    return found.pictures[:, None, :, :, 0].astype(np.float32) / 255


def test_diversity_makes_pictures_differ():
    alone, apart = (
        xaionnx.visualize(trained("mnist_cnn"), objective, count=3, steps=96, optimiser="adam:0.1")
        for objective in (ClassScore(label=4), ClassScore(label=4) + 10 * Diversity(layer=LAYER))
    )

    def alike(found):
        scene = Scene.of(trained("mnist_cnn"), Diversity(layer=LAYER), 3)
        return -scene.value(View.at(scene.size, scene.size), gray(found)).mean()

    assert alike(apart) < alike(alone) - 0.05
    assert apart.predictions == ["4"] * 3


def test_interpolation_goes_from_one_channel_to_the_other():
    model = trained("mnist_cnn")
    units = {"layer": LAYER, "channel": 7, "second": 19}
    found = xaionnx.visualize(model, "interpolation", **units, count=4, steps=96, optimiser="adam:0.1")
    h = model.with_outputs([LAYER]).run({"pixels": gray(found)}, [LAYER])[LAYER].mean(axis=(2, 3))
    # Whatever the units do, the difference grows with the share of the second one.
    assert (np.diff(h[:, 19] - h[:, 7]) > 0).all()
    assert h[0, 7] > h[3, 7]
    assert h[3, 19] > h[0, 19]


def test_a_generator_draws_each_digit():
    """Nguyen et al. 2016: with a prior the code stays where the generator was trained, and pictures are digits."""
    parametrisation = Generator(model="models/mnist_vae_decoder.onnx")
    found = [
        xaionnx.visualize(
            trained("mnist_cnn"),
            "class_score",
            label=k,
            steps=150,
            parametrisation=parametrisation,
            optimiser="adam:0.05",
        )
        for k in range(10)
    ]
    assert [one.predictions[0] for one in found] == [str(k) for k in range(10)]
    lengths = [np.linalg.norm(one.state["parameters"]) for one in found]
    assert max(lengths) < 5


def test_negative_makes_the_unit_small():
    found = xaionnx.visualize(trained("mnist_cnn"), "class_score", label=5, steps=32, negative=True)
    again = xaionnx.visualize(trained("mnist_cnn"), -ClassScore(label=5), steps=32)
    np.testing.assert_array_equal(found.pictures, again.pictures)


def test_penalties_are_terms():
    rough, smooth = (
        xaionnx.visualize(trained("mnist_cnn"), objective, steps=96, parametrisation="pixels")
        for objective in (ClassScore(label=3), ClassScore(label=3) - 100 * TotalVariation() - 10 * Norm())
    )
    assert smooth.high_frequencies < rough.high_frequencies
    assert np.abs(gray(smooth) - 0.5).mean() < np.abs(gray(rough) - 0.5).mean()


def test_the_record_is_saved_whole(tmp_path):
    found = xaionnx.visualize(trained("mnist_cnn"), "class_score", label=1, steps=4, count=2)
    with np.load(found.save(tmp_path / "one.npz")) as saved:
        record = json.loads(str(saved["record"]))
        np.testing.assert_array_equal(saved["pictures"], found.pictures)
    assert record["search"]["steps"] == 4
    assert record["provenance"]["objective"] == "ClassScore(label=1)"
    assert found.image.size == (28 * 2 + 4, 28)
