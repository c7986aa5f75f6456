"""Targets over spatial positions: sums over regions of a segmentation, means and peaks of channels, in plain numpy."""

import numpy as np
import pytest

from tests import tiny
from tests.targets.faces import both_faces, shown, words
from tests.tolerances import Tolerance, assert_close
from xaionnx import InputSpec, Target
from xaionnx.errors import AbsentTargetError, ParameterError
from xaionnx.targets.resolve import resolve

RNG = np.random.default_rng(8)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
class TestRegion:
    """Sums over a segmentation of 3 classes on 4 by 5 pixels."""

    def model(self, tmp_path, layout, spec):
        shape = [3, 4, 5] if layout == "NCHW" else [4, 5, 3]
        return shown(tmp_path, shape, spec=InputSpec(layout=layout) if spec else None)

    def picture(self, layout, samples=3):
        x = RNG.normal(size=(samples, 3, 4, 5)).astype(np.float32)
        x[:, :, 0, 0] = 1  # no region is empty
        return x, x if layout == "NCHW" else np.ascontiguousarray(x.transpose(0, 2, 3, 1))

    @pytest.mark.parametrize("spec", [True, False])
    @pytest.mark.parametrize("channel", [None, 2])
    @pytest.mark.parametrize("form", ["shared", "each", "full", "threshold", "sum"])
    def test_against_masked_sums(self, tmp_path, layout, spec, channel, form):
        # There are as many samples as channels, to detect confused axes.
        x, fed = self.picture(layout)
        masks = RNG.random((3, 4, 5)) < [[[0.2]], [[0.5]], [[0.9]]]
        masks[:, 0, 0] = True
        inside = {
            "shared": masks[:1, None],
            "each": masks[:, None],
            "full": masks[:, None] & (np.arange(3) != 1)[:, None, None],
            "threshold": x > 0.25,
            "sum": np.ones((1, 1, 1, 1), bool),
        }[form]
        inside = np.broadcast_to(inside, x.shape)
        if channel is not None and form != "sum":
            inside = inside & (np.arange(3) == channel)[:, None, None]
        moved = inside if layout == "NCHW" else inside.transpose(0, 2, 3, 1)
        target = {
            "shared": lambda: Target.region(masks[0], channel=channel),
            "each": lambda: Target.region(masks, channel=channel),
            "full": lambda: Target.region(moved, channel=channel),
            "threshold": lambda: Target.region(threshold=0.25, channel=channel),
            "sum": Target.sum,
        }[form]()
        found = both_faces(target, self.model(tmp_path, layout, spec), fed)
        assert_close(found[0], np.where(inside, x, 0).sum(axis=(1, 2, 3)), Tolerance.SIGNED_SUMS)

    def test_what_lies_outside_is_never_read(self, tmp_path, layout):
        x, fed = self.picture(layout, 2)
        mask = np.zeros((2, 4, 5), bool)
        mask[0, 0, 0] = mask[1] = True
        first = fed.copy()
        (first[0, :, 1:] if layout == "NCHW" else first[0, 1:])[...] = -np.inf
        values = resolve(Target.region(mask), self.model(tmp_path, layout, True), {"x": first}).values
        assert_close(values[0], [x[0, :, 0, 0].sum(), x[1].sum()], Tolerance.SIGNED_SUMS)

    @pytest.mark.parametrize(
        ("target", "message"),
        [
            (
                Target.region(np.ones((5, 4), bool)),
                r"The 'mask' parameter of Target.region must be a bool array of shape \(4, 5\), or one per sample. "
                r"Got \(5, 4\) bool instead.",
            ),
            (Target.region(np.full((4, 5), 0.3)), r"Got \(4, 5\) float64 instead."),
            (Target.region(threshold=99), r"The region of 'y' is empty for sample 0."),
            (Target.region(channel=3), r"Tensor 'y' of shape \(N, .*\) has no channel 3."),
            (Target.region(channel=-1), r"has no channel -1."),
            (1, r"Tensor 'y' has the shape \(N, .*\), not one axis of classes."),
        ],
    )
    def test_messages(self, tmp_path, layout, target, message):
        with pytest.raises((AbsentTargetError, ParameterError), match=message):
            resolve(target, self.model(tmp_path, layout, True), {"x": self.picture(layout)[1]})


def test_a_region_of_a_map_without_channels(tmp_path):
    x = RNG.normal(size=(4, 4, 5)).astype(np.float32)  # as many samples as rows
    mask = RNG.random((4, 5)) < 0.5
    found = both_faces(Target.region(mask), shown(tmp_path, [4, 5]), x)
    assert_close(found[0], (x * mask).sum(axis=(1, 2)), Tolerance.SIGNED_SUMS)


def test_mean_of_a_channel_given_or_strongest(tmp_path):
    x = RNG.normal(size=(3, 4, 5, 6)).astype(np.float32)
    model = shown(tmp_path, [4, 5, 6], ["Relu"])
    means = np.maximum(x, 0).mean(axis=(2, 3))
    assert_close(both_faces(Target.channel("h0", 2), model, x)[0], means[:, 2], Tolerance.SIGNED_SUMS)
    assert_close(both_faces(Target.channel("h0"), model, x)[0], means.max(axis=1), Tolerance.SIGNED_SUMS)
    assert words(Target.channel("h0"), model, x)[0] == [f"mean of h0, channel {k}" for k in means.argmax(axis=1)]


def test_peak_of_a_channel_given_or_strongest(tmp_path):
    x = RNG.normal(size=(3, 4, 5, 6)).astype(np.float32)
    model = shown(tmp_path, [4, 5, 6], ["Relu"])
    peaks = x.max(axis=(2, 3))
    assert_close(both_faces(Target.channel("h0", 2, peak=True), model, x)[0], peaks[:, 2], Tolerance.SIGNED_SUMS)
    assert_close(both_faces(Target.channel("h0", peak=True), model, x)[0], peaks.max(axis=1), Tolerance.SIGNED_SUMS)
    assert words(Target.channel("h0", peak=True), model, x)[0] == [
        f"peak of h0, channel {k}" for k in peaks.argmax(axis=1)
    ]


class TestChannelsLast:
    """Channels stand where the layout, or the roles of the output's axes, put them."""

    X = RNG.normal(size=(3, 4, 5, 3)).astype(np.float32)

    def test_of_maps_of_a_model_that_takes_channels_last(self, tmp_path):
        model = shown(tmp_path, [4, 5, 3], spec=InputSpec(layout="NHWC"))
        means, peaks = self.X.mean(axis=(1, 2)), self.X.max(axis=(1, 2))
        for found, expected in (
            (Target.channel("y", 2), means[:, 2]),
            (Target.channel("y"), means.max(axis=1)),
            (Target.channel("y", 2, peak=True), peaks[:, 2]),
            (Target.channel("y", peak=True), peaks.max(axis=1)),
        ):
            assert_close(both_faces(found, model, self.X)[0], expected, Tolerance.SIGNED_SUMS)
        assert words(Target.channel("y"), model, self.X)[0] == [f"mean of y, channel {k}" for k in means.argmax(axis=1)]
        with pytest.raises(ParameterError, match=r"^Tensor 'y' of shape \(N, 4, 5, 3\) has no channel 3\.$"):
            resolve(Target.channel("y", 3), model, {"x": self.X})

    def test_a_key_point_of_heat_maps_with_channels_last(self, tmp_path):
        model = shown(tmp_path, [4, 5, 3], spec=InputSpec(layout="NHWC"))
        peaks = self.X[..., 2].reshape(3, -1)
        assert_close(
            resolve(Target.keypoint(2), model, {"x": self.X}).values[0], peaks.max(axis=1), Tolerance.SIGNED_SUMS
        )
        assert words(Target.keypoint(2), model, self.X)[0] == [
            f"key point 2 at row {place // 5}, column {place % 5}" for place in peaks.argmax(axis=1)
        ]

    def test_of_classes_at_each_time(self, tmp_path):
        x = RNG.normal(size=(2, 5, 4)).astype(np.float32)
        model = shown(tmp_path, [5, 4], axes={"x": "N,T,F", "y": "N,T,-"})
        for target, expected in (
            (Target.channel("y", 3), x[..., 3].mean(axis=1)),
            (Target.channel("y", 3, peak=True), x[..., 3].max(axis=1)),
            (Target.channel("y"), x.mean(axis=1).max(axis=1)),
            (Target.region(channel=3, threshold=-9.0), x[..., 3].sum(axis=1)),
        ):
            assert_close(both_faces(target, model, x)[0], expected, Tolerance.SIGNED_SUMS)

    @pytest.mark.parametrize(
        ("tensor", "shape", "last"),
        [("a", (4, 5, 3), True), ("b", (3, 4, 5), False), ("c", (2, 4, 5), False), ("d", (4, 5, 2), True)],
    )
    def test_of_tensors_inside_are_where_the_graph_moves_them(self, tensor, shape, last):
        """As in exports of TensorFlow, which transpose ahead of convolutions and after them."""
        body = """{ a = Relu(x) b = Transpose<perm = [0, 3, 1, 2]>(a) c = Conv<kernel_shape = [1, 1]>(b, w)
            d = Transpose<perm = [0, 2, 3, 1]>(c) y = ReduceMean<axes = [1, 2], keepdims = 0>(d) }"""
        model = tiny.loaded(
            f"g (float[N, 4, 5, 3] x) => (float[N, 2] y) {body}",
            w=tiny.normal(2, 3, 1, 1),
        ).reopened(spec=InputSpec(layout="NHWC"))
        inside = model.with_outputs([tensor]).run({"x": self.X}, [tensor])[tensor]
        assert inside.shape[1:] == shape
        positions, channel = ((1, 2), inside[..., 1]) if last else ((2, 3), inside[:, 1])
        means = inside.mean(axis=positions)
        for target, expected in (
            (Target.channel(tensor, 1), means[:, 1]),
            (Target.channel(tensor), means.max(axis=1)),
            (Target.channel(tensor, 1, peak=True), channel.reshape(3, -1).max(axis=1)),
        ):
            assert_close(both_faces(target, model, self.X)[0], expected, Tolerance.SIGNED_SUMS)

    @pytest.mark.parametrize("side", ["H, W", "side, side", "48, W", "48, 64", "64, 32"])
    @pytest.mark.parametrize(
        ("tensor", "axis"), [("a", 3), ("b", 1), ("c", 1), ("d", 3), ("e", 2), ("f", 3), ("g", 1), ("h", 3)]
    )
    def test_of_tensors_inside_do_not_depend_on_free_sizes(self, tensor, axis, side):
        """A convolution of stride 2, positions in one axis, as many as there are, and a map enlarged to the input."""
        body = """{ a = Relu(x) b = Transpose<perm = [0, 3, 1, 2]>(a)
            c = Conv<kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]>(b, w)
            d = Transpose<perm = [0, 2, 3, 1]>(c) s = Shape<start = 0, end = 1>(d) r = Concat<axis = 0>(s, rest)
            e = Reshape(d, r) t = Shape(d) f = Reshape(e, t) g = Transpose<perm = [0, 3, 1, 2]>(f)
            u = Resize(g, , scales) h = Transpose<perm = [0, 2, 3, 1]>(u)
            y = ReduceMean<axes = [1, 2], keepdims = 0>(h) }"""
        model = tiny.loaded(
            f"G (float[N, {side}, 3] x) => (float[N, 4] y) {body}",
            w=tiny.normal(4, 3, 3, 3),
            rest=np.array([-1, 4]),
            scales=np.array([1, 1, 2, 2], np.float32),
        ).reopened(spec=InputSpec(layout="NHWC"))
        h, w = (64, 32) if side == "64, 32" else (48, 48 if side == "side, side" else 64)
        x = RNG.normal(size=(2, h, w, 3)).astype(np.float32)
        inside = np.moveaxis(model.with_outputs([tensor]).run({"x": x}, [tensor])[tensor], axis, 1)
        assert inside.shape[1] == (3 if tensor in "ab" else 4)
        found = resolve(Target.channel(tensor, 2), model, {"x": x})
        assert_close(found.values[0], inside[:, 2].reshape(2, -1).mean(axis=1), Tolerance.SIGNED_SUMS)

    @pytest.mark.parametrize("length", ["T", "16000"])
    def test_of_a_sound_of_free_length_inside(self, length):
        """Frames of 400 numbers, of which a short sound has none, have units last."""
        body = """{ c = Conv<kernel_shape = [400], strides = [320]>(x, w) d = Transpose<perm = [0, 2, 1]>(c)
            y = ReduceMean<axes = [1], keepdims = 0>(d) }"""
        model = tiny.loaded(f"g (float[N, 1, {length}] x) => (float[N, 4] y) {body}", w=tiny.normal(4, 1, 400))
        x = RNG.normal(size=(2, 1, 16000)).astype(np.float32)
        inside = model.with_outputs(["d"]).run({"x": x}, ["d"])["d"]
        found = resolve(Target.channel("d", 2), model, {"x": x})
        assert_close(found.values[0], inside[..., 2].mean(axis=1), Tolerance.SIGNED_SUMS)

    def test_of_tokens_inside_a_transformer(self):
        """The units of each patch, and not the patches, which came first after the batch."""
        model = tiny.trained("mnist_vit")
        x = RNG.uniform(size=(2, 1, 28, 28)).astype(np.float32)
        tokens = "/blocks/blocks.1/Add_1_output_0"
        inside = model.with_outputs([tokens]).run({model.input().name: x}, [tokens])[tokens]
        assert inside.shape == (2, 50, 64)
        found = resolve(Target.channel(tokens, 3), model, {model.input().name: x})
        assert_close(found.values[0], inside[..., 3].mean(axis=1), Tolerance.SIGNED_SUMS)
