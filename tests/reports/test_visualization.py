"""Public reports about feature visualisation and deep dreams, tried here.

The log is visualization.toml.
"""

import numpy as np
import onnx
import onnx.parser
import pytest
from PIL import Image

import xaionnx
from models import planted
from tests.tiny import loaded, trained
from xaionnx.data.spec import InputSpec
from xaionnx.errors import OutputError, ParameterError, UnknownNameError, UnsupportedModelError, ZeroGradientError

LAYER = "/6/Relu_output_0"


@pytest.mark.parametrize("settings", [{}, {"blur": 1.0}, {"parametrisation": "pixels"}, {"padding": "gray"}])
def test_models_of_gray_pictures_get_gray_pictures(settings):
    found = xaionnx.visualize(trained("mnist_cnn"), "channel", layer=LAYER, channel=3, steps=3, **settings)
    assert found.pictures.shape == (1, 28, 28, 3)
    assert (found.pictures == found.pictures[..., :1]).all()


def test_a_layer_that_does_not_exist_is_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="/6/Relu_output_0"):
        xaionnx.visualize(trained("mnist_cnn"), "channel", layer="/6/Relu_output", channel=3)


def test_the_same_search_gives_the_same_bits():
    found = [xaionnx.visualize(trained("mnist_cnn"), "class_score", label=2, steps=8) for _ in range(3)]
    assert all((one.pictures == found[0].pictures).all() for one in found)
    assert found[0].search["seed"] == 0


def test_many_pictures_at_once_are_what_each_is_by_itself():
    many = xaionnx.visualize(trained("mnist_cnn"), "class_score", label=2, steps=8, count=12)
    few = xaionnx.visualize(trained("mnist_cnn"), "class_score", label=2, steps=8, count=5)
    # Numbers of the starts are drawn picture by picture.
    np.testing.assert_allclose(many.trace[:, :5], few.trace, rtol=1e-4)


@pytest.mark.parametrize(("octaves", "scale"), [(1, 1.4), (2, 1.9), (3, 1.3)])
def test_a_dream_has_the_size_of_its_photograph_whatever_its_octaves(octaves, scale):
    photo = np.random.default_rng(0).integers(0, 256, (61, 47, 3), dtype=np.uint8)
    found = xaionnx.dream(trained("mnist_cnn"), photo, layer=LAYER, octaves=octaves, scale=scale, steps=1)
    assert found.image.size == (47, 61)


def test_octaves_smaller_than_the_model_reads_are_reflected():
    photo = np.random.default_rng(0).integers(0, 256, (18, 40, 3), dtype=np.uint8)
    found = xaionnx.dream(trained("mnist_cnn"), photo, layer=LAYER, octaves=1, steps=2)
    assert found.pictures.shape == (1, 18, 40, 3)
    with pytest.raises(ParameterError, match=r"smallest of 4 sizes has 7 x 15 pixels\. Give fewer 'octaves'"):
        xaionnx.dream(trained("mnist_cnn"), photo, layer=LAYER)


@pytest.mark.parametrize("size", [(30, 100), (100, 30), (45, 58)])
def test_tiles_leave_no_part_out(size):
    """Every part of a uniformly noisy picture changes, wherever tiles meet."""
    photo = np.random.default_rng(0).integers(60, 190, (*size, 3), dtype=np.uint8)
    found = xaionnx.dream(trained("mnist_cnn"), photo, layer="/2/Relu_output_0", octaves=1, steps=6, rate=0.03)
    gray = np.asarray(Image.fromarray(photo).convert("L"), dtype=float)
    changed = np.abs(found.pictures[0, :, :, 0] - gray)
    for rows in np.array_split(changed, size[0] // 10, axis=0):
        for part in np.array_split(rows, size[1] // 10, axis=1):
            assert part.mean() > 1


def any_size(folder):
    text = """<ir_version: 8, opset_import: ["" : 17]>
        g (float[N,3,h,w] x) => (float[N,2] y)
        <float[6] w0 = {1, 0, 0, 0, 1, -1}, int64[2] s = {0, -1}, int64[2] k = {3, 2}>
        { r = Relu(x) p = GlobalAveragePool(r) f = Reshape(p, s) m = Reshape(w0, k) y = MatMul(f, m) }"""
    onnx.save(onnx.parser.parse_model(text), folder / "free.onnx")
    return folder / "free.onnx"


def test_a_model_of_any_size_needs_a_size(tmp_path):
    path = any_size(tmp_path)
    spec = {"kind": "picture", "name": "x", "layout": "NCHW", "color": "RGB", "mean": 0.0, "scale": 255.0}
    free = xaionnx.Model.load(path, spec=InputSpec(**spec))
    with pytest.raises(UnsupportedModelError, match=r"takes pictures of any size\. Give a 'size', such as 224"):
        xaionnx.visualize(free, "class_score", label=0, steps=2)
    sized = xaionnx.Model.load(path, spec=InputSpec(**spec, size=(40, 24)))
    found = xaionnx.visualize(sized, "class_score", label=0, steps=4)
    assert found.pictures.shape == (1, 40, 24, 3)
    # The class is the mean of red.
    assert found.unseen[0] > found.trace[0, 0]
    same = xaionnx.visualize(free, "class_score", label=0, steps=4, size=(40, 24))
    np.testing.assert_array_equal(same.pictures, found.pictures)
    for wrong, words in (((40, 24, 3), "a height and a width"), (0, "positive int")):
        with pytest.raises(ParameterError, match=words):
            xaionnx.visualize(free, "class_score", label=0, steps=4, size=wrong)
    with pytest.raises(ParameterError, match=r"size = \[32, 32\], but input 'pixels' is \(N, 1, 28, 28\)"):
        xaionnx.visualize(trained("mnist_cnn"), "class_score", label=0, steps=4, size=32)


def test_a_model_of_any_size_reads_given_pictures_and_dreams_in_its_size(tmp_path):
    free = xaionnx.Model.load(any_size(tmp_path))
    photo = np.random.default_rng(0).integers(0, 255, (60, 50, 3), dtype=np.uint8)
    found = xaionnx.visualize(free, "class_score", label=0, steps=2, size=36, start=photo)
    assert found.pictures.shape == (1, 36, 36, 3)
    dream = xaionnx.dream(free, photo, layer="r", octaves=1, steps=2, size=(20, 24))
    assert dream.pictures.shape == (1, 60, 50, 3)


def test_noise_is_told_from_forms():
    forms, noise = (
        xaionnx.visualize(
            trained("mnist_cnn"), "class_score", label=3, parametrisation=name, optimiser="adam:0.05", **still
        )
        for name, still in (("fourier", {}), ("pixels", {"jitter": 0, "zoom": 1, "rotation": 0}))
    )
    # Noise is large where it was searched for, and keeps less of that in other views.
    assert noise.unseen[0] / noise.value[0] < forms.unseen[0] / forms.value[0]
    assert noise.high_frequencies[0] > forms.high_frequencies[0]
    assert forms.predictions == ["3"]


@pytest.mark.parametrize(("mode", "suffix"), [("RGBA", "png"), ("L", "png"), ("P", "png"), ("RGB", "jpg")])
def test_dreams_of_any_kind_of_picture_file(tmp_path, mode, suffix):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 36, 4), dtype=np.uint8)
    Image.fromarray(pixels, "RGBA").convert(mode).save(tmp_path / f"photo.{suffix}")
    found = xaionnx.dream(trained("mnist_cnn"), tmp_path / f"photo.{suffix}", layer=LAYER, octaves=1, steps=1)
    assert found.image.size == (36, 30)


def test_a_silent_unit_is_woken(tmp_path):
    """The unit is active only where the picture is nearly white, and the start is gray."""
    text = """<ir_version: 8, opset_import: ["" : 17]>
        g (float[N,1,8,8] x) => (float[N,1,8,8] y) <float b = {0.9}>
        { d = Sub(x, b) y = Relu(d) }"""
    onnx.save(onnx.parser.parse_model(text), tmp_path / "silent.onnx")
    spec = InputSpec(kind="picture", name="x", layout="NCHW", color="L", size=(8, 8), mean=0.0, scale=255.0)
    model = xaionnx.Model.load(tmp_path / "silent.onnx", spec=spec)
    found = xaionnx.visualize(model, "channel", layer="y", channel=0, steps=60)
    assert found.trace[0, 0] == 0 < found.value[0]
    # The runs that follow what would wake it are counted.
    woken = int(np.argmax(found.trace[:, 0] > 0))
    assert found.diagnostics["evaluations"] == 60 + 9 + woken
    # Nothing leads to less than silence.
    with pytest.raises(
        ZeroGradientError, match=r"is 0 at the start, where it is silent\. Start from another seed or a photo"
    ):
        xaionnx.visualize(model, "channel", negative=True, layer="y", channel=0, steps=2)


def test_a_gradient_that_explodes_is_an_error_that_names_the_step():
    """-sqrt(0.52 - mean) has an end, beyond which the first step leads."""
    model = loaded(
        """g (float[N, 1, 8, 8] x) => (float[N, 2] y) <float end = {0.52}> {
        m = GlobalAveragePool(x)  d = Sub(end, m)  r = Sqrt(d)  n = Neg(r)  a = Flatten(n)
        y = Concat<axis = 1>(a, a) }"""
    )
    still = {"jitter": 0, "zoom": 1, "rotation": 0, "parametrisation": "pixels", "optimiser": "ascent:50"}
    with pytest.raises(OutputError, match="NaN or infinity at step 2"):
        xaionnx.visualize(model, "class_score", label=0, steps=5, **still)


@pytest.mark.parametrize("zoom", [1.0, 3.0])
def test_a_model_sees_pictures_of_its_own_size_whatever_the_canvas(zoom):
    """Seven by seven cells are pooled by an exact window: another size would fail."""
    model = loaded(
        """g (float[N, 3, 28, 28] x) => (float[N, 3] y) {
        p = AveragePool<kernel_shape = [4, 4], strides = [4, 4]>(x)
        q = AveragePool<kernel_shape = [7, 7]>(p)  y = Flatten(q) }"""
    )
    found = xaionnx.visualize(model, "class_score", label=1, steps=30, zoom=zoom)
    assert found.pictures.shape == (1, 28, 28, 3)
    # The class is the mean of the green.
    assert found.unseen[0] > found.trace[0, 0] + 0.05


def test_gray_photographs_become_dreams_of_models_of_colours(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 36), dtype=np.uint8)
    Image.fromarray(pixels, "L").save(tmp_path / "gray.jpg")
    rng = np.random.default_rng(1)
    model = planted.load(planted.pooled(rng.normal(size=(4, 3)), rng.normal(size=(3, 4)), (12, 12)))
    found = xaionnx.dream(model, tmp_path / "gray.jpg", "class_score", label=1, octaves=1, steps=2)
    assert found.pictures.shape == (1, 30, 36, 3)


def test_a_detector_has_channels_but_no_classes():
    model = loaded(
        """g (float[N, 3, 8, 8] x) => (float[N, 3, 64] boxes) <int64[3] shape = {0, 3, 64}> {
        h = Relu(x)  boxes = Reshape(h, shape) }"""
    )
    with pytest.raises(UnsupportedModelError, match=r"not one score a class\. Use 'channel' or 'neuron' of a layer"):
        xaionnx.visualize(model, "class_score", label=1, steps=2)
    found = xaionnx.visualize(model, "channel", layer="h", channel=2, steps=10)
    assert found.unseen[0] > found.trace[0, 0]
    assert found.predictions == []


def test_searches_for_pictures_refuse_series():
    model = loaded(
        """g (float[N, 2, 50] wave) => (float[N, 2] y) {
        p = GlobalAveragePool(wave)  y = Flatten(p) }"""
    )
    with pytest.raises(UnsupportedModelError, match=r"not a picture of floats\. Searches make pictures"):
        xaionnx.visualize(model, "class_score", label=1, steps=2)


def test_a_size_that_a_model_does_not_take_is_named():
    text = """g (float[N,3,h,w] x) => (float[N,3,h,w] y) {
        p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x)
        u = Resize <mode = "nearest"> (p, , s)
        y = Add(x, u) }"""
    model = loaded(text, s=np.float32([1, 1, 2, 2]))
    assert xaionnx.visualize(model, "channel", layer="y", steps=2, size=24).pictures.shape == (1, 24, 24, 3)
    with pytest.raises(UnsupportedModelError, match="try sides that are multiples of 32"):
        xaionnx.visualize(model, "channel", layer="y", steps=2, size=25)


@pytest.mark.parametrize("channel", [0, 3])
def test_neurons_that_the_start_does_not_excite(channel):
    found = xaionnx.visualize(trained("mnist_cnn"), "neuron", layer="/3/MaxPool_output_0", channel=channel, steps=12)
    assert found.trace[0, 0] == 0
    assert found.value[0] > 0.1
    assert found.pictures.std() > 10


@pytest.mark.parametrize("channels", [2, 4, 7])
def test_inputs_of_other_channels_are_refused_by_their_number(channels):
    model = loaded(
        f"g (float[N,{channels},16,16] x) => (float[N,3] y) {{ c = Conv(x, w)  r = Relu(c)  p = GlobalAveragePool(r)"
        " y = Flatten(p) }",
        w=np.ones((3, channels, 3, 3), np.float32),
    )
    with pytest.raises(UnsupportedModelError, match=f"{channels} channels, and pictures have 1 or 3"):
        xaionnx.visualize(model, "class_score", label=1, steps=2)
