"""The default layer of models with several heads: for each target, the last features of its own head."""

import numpy as np
import pytest

import xaionnx
from tests.compilation.files import agree
from tests.tiny import loaded, normal
from tests.tolerances import Tolerance, assert_close
from xaionnx import Target
from xaionnx.errors import ParameterError, UnknownNameError, UnsupportedModelError
from xaionnx.explainers.ablation_cam import AblationCam
from xaionnx.explainers.eigen_cam import EigenCam
from xaionnx.explainers.grad_cam import GradCam
from xaionnx.explainers.hi_res_cam import HiResCam
from xaionnx.explainers.layer_cam import LayerCam
from xaionnx.explainers.score_cam import ScoreCam

# A detector of three strides: 2 classes at 64, 16 and 4 positions, joined to (N, 2, 84).
DETECTOR = """g (float[N, 3, 8, 8] x) => (float[N, 2, 84] y) {
  c1 = Conv<pads = [1, 1, 1, 1]>(x, k1)  f1 = Relu(c1)
  c2 = Conv<pads = [1, 1, 1, 1], strides = [2, 2]>(f1, k2)  f2 = Relu(c2)
  c3 = Conv<pads = [1, 1, 1, 1], strides = [2, 2]>(f2, k3)  f3 = Relu(c3)
  h1 = Conv(f1, w)  h2 = Conv(f2, w)  h3 = Conv(f3, w)
  r1 = Reshape(h1, s)  r2 = Reshape(h2, s)  r3 = Reshape(h3, s)
  y = Concat<axis = 2>(r1, r2, r3) }"""
WEIGHTS = {
    "k1": normal(4, 3, 3, 3),
    "k2": normal(4, 4, 3, 3),
    "k3": normal(4, 4, 3, 3, seed=1),
    "w": normal(2, 4, 1, 1),
    "s": np.array([0, 2, -1]),
}
HEADS = {(0, 20): "f1", (1, 63): "f1", (0, 64): "f2", (1, 70): "f2", (1, 80): "f3", (0, 83): "f3"}
X = normal(2, 3, 8, 8)


@pytest.fixture(scope="module")
def detector():
    return loaded(DETECTOR, **WEIGHTS)


@pytest.mark.parametrize("element", HEADS)
def test_each_element_is_seen_at_the_features_of_its_own_head(detector, element):
    """By hand: a head reads one position of its features, with the weights of the class."""
    layer = HEADS[element]
    found = HiResCam(relu=False).attribute(detector, X, Target.index(element))
    assert found.provenance["seen_at"]["name"] == layer
    features = detector.with_outputs([layer]).run({"x": X}, [layer])[layer]
    side = features.shape[-1]
    first = {8: 0, 4: 64, 2: 80}[side]
    row, column = divmod(element[1] - first, side)
    wanted = np.zeros((2, side, side))
    wanted[:, row, column] = features[:, :, row, column] @ WEIGHTS["w"][element[0], :, 0, 0]
    assert_close(found.maps["cam"], wanted, Tolerance.DEEP)
    assert_close(found.maps["cam"].sum(axis=(1, 2)), found.prediction, Tolerance.DEEP)


@pytest.mark.parametrize("method", [GradCam, LayerCam, ScoreCam, AblationCam])
def test_targets_of_several_heads_have_a_layer_each(detector, method):
    elements = [(0, 20), (1, 70), (1, 80)]
    together = method(relu=False).attribute(detector, X, [Target.index(element) for element in elements])
    assert together.provenance["seen_at"]["name"] == "f1, f2, f3"
    assert together.provenance["seen_at"]["of_target"] == [["f1"] * 2, ["f2"] * 2, ["f3"] * 2]
    for number, element in enumerate(elements):
        alone = method(relu=False).attribute(detector, X, Target.index(element))
        assert_close(together.values[number], alone.values, Tolerance.DEEP)
        # Smaller maps are enlarged to the finest.
        assert together.maps["cam"].shape[-2:] == (8, 8)


def test_samples_have_the_layers_of_their_own_targets(detector):
    elements = [(0, 20), (1, 80)]
    apart = [GradCam().attribute(detector, X[n : n + 1], Target.index(elements[n])) for n in range(2)]
    mask = np.zeros((2, 2, 84), dtype=bool)
    mask[[0, 1], [0, 1], [20, 80]] = True
    mixed = GradCam().attribute(detector, X, Target.region(mask))
    assert mixed.provenance["seen_at"]["of_target"] == [["f1", "f3"]]
    for n in range(2):
        assert_close(mixed.values[n], apart[n].values[0], Tolerance.DEEP)


def test_a_sum_over_heads_is_seen_ahead_of_all(detector):
    """The features of the second head reach no score of the first."""
    mask = np.zeros((2, 2, 84), dtype=bool)
    mask[:, 1] = True
    assert GradCam().attribute(detector, X, Target.region(mask)).provenance["seen_at"]["name"] == "f1"
    mask[:, :, :64] = False
    assert GradCam().attribute(detector, X, Target.region(mask)).provenance["seen_at"]["name"] == "f2"


def test_a_layer_of_another_head_is_refused(detector):
    expected = (
        r"'y\[0, 20\]' of sample 0 does not depend on layer 'f2' of .*, so all values there are zero. Name .* f1, c1"
    )
    for method in ("grad_cam", "score_cam", "saliency", "conductance", "integrated_gradients"):
        with pytest.raises(UnsupportedModelError, match=expected):
            xaionnx.explain(detector, X, method, Target.index((0, 20)), layer="f2")
    # The first features serve all heads, and the activations of a layer explain no target.
    assert xaionnx.explain(detector, X, "saliency", Target.index((1, 80)), layer="f1").values.any()
    assert xaionnx.explain(detector, X, "layer_activation", Target.index((0, 20)), layer="f2").values.any()
    assert EigenCam(layer="f2").attribute(detector, X, Target.index((0, 20))).values.any()


@pytest.mark.parametrize("fuse", ["mean", "maximum"])
def test_maps_of_several_layers_are_scaled_and_fused(detector, fuse):
    """By hand: each map of the sum over all positions is divided by its largest value and enlarged to the finest."""
    mask = np.zeros((2, 84), dtype=bool)
    mask[1] = True
    target, layers = Target.region(mask[None].repeat(2, axis=0)), ["f1", "f2", "f3"]
    found = LayerCam(layer=layers, fuse=fuse, upsampling="nearest").attribute(detector, X, target)
    scaled = []
    for layer in layers:
        alone = LayerCam(layer=layer, upsampling="nearest").attribute(detector, X, target)
        cam = alone.maps["cam"].astype(np.float64)
        scaled.append(cam.repeat(8 // cam.shape[1], axis=1).repeat(8 // cam.shape[2], axis=2))
        scaled[-1] /= cam.max(axis=(1, 2), keepdims=True)
    wanted = np.mean(scaled, axis=0) if fuse == "mean" else np.max(scaled, axis=0)
    assert_close(found.maps["cam"], wanted, Tolerance.DEEP)
    assert_close(found.values, wanted[:, None].repeat(3, axis=1), Tolerance.DEEP)
    assert found.value_kind == "importance"
    seen = found.provenance["seen_at"]
    assert (seen["name"], [one["name"] for one in seen["layers"]]) == ("f1, f2, f3", layers)
    assert found.provenance["parameters"]["layer"] == layers
    assert found.provenance["parameters"]["fuse"] == fuse


def test_layers_of_a_fused_map_must_differ_and_exist(detector):
    with pytest.raises(ParameterError, match=r"'layer' parameter of GradCam must be a str, or a list of"):
        GradCam(layer=["f1", "f1"])
    with pytest.raises(UnknownNameError, match="No layer named 'f4'"):
        GradCam(layer=("f1", "f4")).attribute(detector, X, Target.index((0, 83)))
    with pytest.raises(ParameterError, match=r"A compiled file explains one layer\. Got f1, f2"):
        xaionnx.compile(detector, GradCam(layer=["f1", "f2"]), Target.index((0, 83)))


def test_a_compiled_file_maps_a_layer_of_its_target(detector):
    for element in HEADS:
        agree(detector, {"x": X}, GradCam(), Target.index(element))
        agree(detector, {"x": X}, GradCam(layer="f1"), Target.index(element))
    with pytest.raises(UnsupportedModelError, match=r"'y\[0, 20\]' does not depend on layer 'f3'"):
        xaionnx.compile(detector, GradCam(layer="f3"), Target.index((0, 20)))
    with pytest.raises(UnsupportedModelError, match=r"default layer depends on the element .*: f1, f2, f3\. Name one"):
        xaionnx.compile(detector, "grad_cam", Target.region(threshold=0.5))


def test_maps_of_scores_are_no_features(detector):
    """The map of scores would be chosen last; the features before it have a channel for each weight."""
    assert EigenCam().attribute(detector, X).provenance["seen_at"]["name"] == "f1"
    text = """g (float[N, 3, 8, 8] x) => (float[N, 2, 8, 8] y) {
      c = Conv<pads = [1, 1, 1, 1]>(x, k1)  f = Relu(c)  h = Conv(f, w)  y = Softmax<axis = 1>(h) }"""
    model = loaded(text, k1=WEIGHTS["k1"], w=WEIGHTS["w"])
    mask = np.zeros((2, 2, 8, 8), dtype=bool)
    mask[:, 1, 2:5, 3:6] = True
    assert GradCam().attribute(model, X, Target.region(mask)).provenance["seen_at"]["name"] == "f"
    logits = loaded(text.replace("y = Softmax<axis = 1>(h)", "y = Identity(h)"), k1=WEIGHTS["k1"], w=WEIGHTS["w"])
    assert GradCam().attribute(logits, X, Target.region(mask)).provenance["seen_at"]["name"] == "f"
    # Pooled scores are those of a classifier, whose map of classes is its class activation map.
    pooled = loaded(
        text.replace("y = Softmax<axis = 1>(h)", "p = GlobalAveragePool(h)  y = Flatten(p)").replace(
            "2, 8, 8] y", "2] y"
        ),
        k1=WEIGHTS["k1"],
        w=WEIGHTS["w"],
    )
    assert GradCam().attribute(pooled, X, 1).provenance["seen_at"]["name"] == "h"


def test_a_box_that_is_read_from_a_single_position_is_seen_at_a_map_of_several():
    """A detector of three heads, at 4 x 4, 2 x 2 and a single position; its boxes are constant."""
    text = """g (float[N, 3, 8, 8] x) => (float[N, 21, 4] boxes, float[N, 21, 2] scores) {
      c1 = Conv<pads = [1, 1, 1, 1], strides = [2, 2]>(x, k1)  f1 = Relu(c1)
      c2 = Conv<pads = [1, 1, 1, 1], strides = [2, 2]>(f1, k2)  f2 = Relu(c2)
      c3 = Conv<pads = [1, 1, 1, 1], strides = [2, 2]>(f2, k3)  f3 = Relu(c3)
      h1 = Conv(f1, w)  h2 = Conv(f2, w)  h3 = Conv(f3, w)  r1 = Reshape(h1, s)  r2 = Reshape(h2, s)
      r3 = Reshape(h3, s)  b1 = Conv(f1, z, b)  b2 = Conv(f2, z, b)  b3 = Conv(f3, z, b)  q1 = Reshape(b1, t)
      q2 = Reshape(b2, t)  q3 = Reshape(b3, t)  r = Concat<axis = 2>(r1, r2, r3)  q = Concat<axis = 2>(q1, q2, q3)
      p = Sigmoid(r)  scores = Transpose<perm = [0, 2, 1]>(p)  boxes = Transpose<perm = [0, 2, 1]>(q) }"""
    more = {"z": np.zeros((4, 4, 1, 1)), "b": np.array([1.0, 1, 4, 5]), "t": np.array([0, 4, -1])}
    model = loaded(text, **WEIGHTS, **more)

    def seen(target):
        return GradCam().attribute(model, X, target).provenance["seen_at"]["name"]

    assert [seen(Target.box(number=number)) for number in (3, 17, 20)] == ["f1", "f2", "f1"]
    assert seen(Target.index((20, 0), output="scores")) == "f2"


def test_where_values_choose_the_head_the_gradient_tells(detector):
    """The largest score of the positions, by TopK: structure leaves all heads open."""
    best = DETECTOR.replace(
        "y = Concat<axis = 2>(r1, r2, r3)", "all = Concat<axis = 2>(r1, r2, r3)  y, at = TopK(all, k)"
    )
    model = loaded(best.replace("2, 84] y", "2, 3] y"), **WEIGHTS, k=np.array([3]))
    scores = detector.run({"x": X})["y"]
    for k in range(2):
        place = np.argsort(-scores[:, k], axis=1)[:, 1]
        layers = [("f1", "f2", "f3")[np.searchsorted([63, 79], p)] for p in place]
        found = HiResCam(relu=False).attribute(model, X, Target.index((k, 1)))
        seen = found.provenance["seen_at"]
        assert (seen["of_target"][0] if "of_target" in seen else [seen["name"]] * 2) == layers
        assert_close(found.values.any(axis=(1, 2, 3)), [1, 1], Tolerance.DEEP)


def test_states_of_a_recurrent_net_are_no_layers():
    """Where a node has several outputs, those that the target does not read are not on the way to it."""
    text = """g (float[N, 6, 3] x) => (float[N, 2] y, float[1, N, 4] state) {
      t = Transpose<perm = [1, 0, 2]>(x)  all, last, state = LSTM<hidden_size = 4>(t, W, R)
      rows = Squeeze(last, first)  y = MatMul(rows, K) }"""
    weights = {"W": normal(1, 16, 3), "R": normal(1, 16, 4), "K": normal(4, 2), "first": np.array([0])}
    model = loaded(text, **weights)
    found = xaionnx.explain(model, normal(2, 6, 3), "layer_activation", 0)
    assert found.provenance["layer"]["name"] == "rows"


def test_integers_that_stand_for_floats_are_no_layers():
    model = loaded(
        """g (float[N, 3, 8, 8] x) => (float[N, 2] y) <float s = {0.05}, uint8 z = {128}> {
          c = Conv(x, k)  q = QuantizeLinear(c, s, z)  m = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(q)
          d = DequantizeLinear(m, s, z)  e = Relu(d)  h = QuantizeLinear(e, s, z)
          p = MaxPool<kernel_shape = [1, 1]>(h)  f = Flatten(p)  r = DequantizeLinear(f, s, z)  y = MatMul(r, w) }""",
        k=normal(4, 3, 3, 3),
        w=normal(36, 2),
    )
    assert LayerCam().attribute(model, X, 1).provenance["seen_at"]["name"] == "e"


@pytest.mark.parametrize("method", ["saliency", "integrated_gradients", "grad_cam"])
def test_heads_of_a_file_for_one_sample_that_are_reshaped_to_constant_sizes(method):
    """As detectors are exported for one picture: a second sample would land among the positions of the first."""
    text = """g (float[1, 3, 8, 8] x) => (float[1, 64, 2] y) {
      c = Conv<pads = [1, 1, 1, 1]>(x, k1)  f = Relu(c)  h = Conv(f, w)  r = Reshape(h, s)
      y = Transpose<perm = [0, 2, 1]>(r) }"""
    fixed = loaded(text, **{**WEIGHTS, "s": np.array([1, 2, -1])})
    free = loaded(text.replace("float[1,", "float[N,"), **WEIGHTS)
    target = Target.index((20, 1))
    found, wanted = (xaionnx.explain(model, X, method, target) for model in (fixed, free))
    assert found.diagnostics["gradient"] == "graph"
    assert_close(found.values, wanted.values, Tolerance.DEEP)


def test_one_score_a_sample_without_an_axis_of_classes():
    text = """g (float[N, 3, 8, 8] x) => (float[N] y) {
      a = Conv(x, k)  b = Relu(a)  y = ReduceMean<axes = [1, 2, 3], keepdims = 0>(b) }"""
    model = loaded(text, k=np.ones((2, 3, 3, 3), np.float32))
    found = xaionnx.explain(model, np.ones((2, 3, 8, 8), np.float32), "grad_cam")
    assert found.provenance["seen_at"]["name"] == "b"
    assert found.prediction.tolist() == [27, 27]
