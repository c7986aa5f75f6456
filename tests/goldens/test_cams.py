"""Where grad-cam's maps differ from ours, reproducing its variant gives its maps exactly."""

import numpy as np
import pytest

import xaionnx
from tests.goldens.cam_peers import FOLDER, NETS, stretched
from tests.goldens.peers import loaded
from tests.goldens.weights import drawn, inputs
from tests.tolerances import Tolerance, assert_close
from xaionnx.autodiff import gradient
from xaionnx.layers.spatial_map import enlargement


class Case:
    """A net, its golden, and the values of its layer in float64 as channels (N, D, h, w)."""

    def __init__(self, net, folder):
        self.model, self.x = loaded(net, folder), inputs(net)
        with np.load(FOLDER / f"{net}.npz") as golden:
            self.theirs = dict(golden)
        self.target, self.layer = self.theirs["target"], str(self.theirs["layer"])
        held = xaionnx.explain(self.model, self.x, "layer_activation", self.target, layer=self.layer).values
        self.planes = self.channels(held)

    def channels(self, x):
        x = np.asarray(x, dtype=np.float64)
        return x.swapaxes(1, 2).reshape(2, -1, 4, 4) if x.ndim == 3 else x

    def slopes(self, cotangent):
        found = gradient(self.model, "y", [self.layer]).run({"x": self.x}, cotangent.astype(np.float32))[1]
        return self.channels(found[self.layer])

    @property
    def own(self):
        return np.eye(10)[self.target]

    def assert_theirs(self, found, name):
        theirs = self.theirs[f"grad-cam:{name}"]
        assert_close(found / np.abs(theirs).max(), theirs / np.abs(theirs).max(), Tolerance.MAPS_OF_PEERS)


@pytest.fixture(params=NETS)
def case(request, tmp_path):
    return Case(request.param, tmp_path)


def test_grad_cam_pp_differs_by_what_is_added_to_the_denominator(case):
    g, total = case.slopes(case.own), case.planes.sum(axis=(2, 3), keepdims=True)

    def mapped(added):
        shares = np.divide(g**2, 2 * g**2 + g**3 * total + added, out=np.zeros_like(g), where=g != 0)
        weights = (shares * np.maximum(g, 0)).sum(axis=(2, 3), keepdims=True)
        return (weights * case.planes).sum(axis=1)

    case.assert_theirs(mapped(1e-6), "GradCAMPlusPlus")
    ours = xaionnx.explain(case.model, case.x, "grad_cam_pp", case.target, layer=case.layer, relu=False).maps["cam"]
    assert_close(ours, mapped(0.0), Tolerance.OPERATIONS)


def test_score_cam_differs_by_masks_that_are_enlarged_corner_to_corner(case):
    height, places = case.x.shape[-1], case.planes.shape[-1]
    at = np.linspace(0, places - 1, height)
    rows = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(places)))
    large = rows @ case.planes @ rows.T
    low, high = large.min(axis=(2, 3), keepdims=True), large.max(axis=(2, 3), keepdims=True)
    masked = case.x[:, None] * ((large - low) / (high - low + 1e-8))[:, :, None]
    scores = np.stack([case.model.run({"x": rows.astype(np.float32)})["y"] for rows in masked])
    scores = np.take_along_axis(scores.astype(np.float64), case.target[:, None, None], axis=2)[..., 0]
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    case.assert_theirs((weights[..., None, None] * case.planes).sum(axis=1), "ScoreCAM")


def test_finer_cam_differs_by_the_slope_of_the_probabilities(case):
    y = case.model.run({"x": case.x})["y"].astype(np.float64)
    similar, kept = case.theirs["comparison"], np.zeros((2, 10))
    chosen = np.take_along_axis(y, similar, axis=1)
    shares = np.exp(chosen) / np.exp(chosen).sum(axis=1, keepdims=True)
    # Of y_c - sum_d q_d y_d with q the softmax over the similar classes.
    slopes = shares * (1 + chosen - (shares * chosen).sum(axis=1, keepdims=True))
    np.put_along_axis(kept, similar, slopes, axis=1)
    weights = case.slopes(case.own - kept).mean(axis=(2, 3), keepdims=True)
    case.assert_theirs((weights * case.planes).sum(axis=1), "FinerCAM")


def test_full_grad_differs_by_scaling_each_channel(tmp_path):
    case = Case("vgg", tmp_path)
    layers = ("0", "2", "5", "7", "10")
    tensors = [f"/{name}/Conv_output_0" for name in layers]
    found = gradient(case.model, "y", ["x", *tensors]).run({"x": case.x}, case.own.astype(np.float32))[1]
    picture = stretched(np.abs(case.x.astype(np.float64) * found["x"])).sum(axis=1)
    for name, tensor in zip(layers, tensors, strict=True):
        bias = drawn(f"{name}.bias", found[tensor].shape[1:2]).astype(np.float64)[:, None, None]
        planes = stretched(np.abs(bias * found[tensor]))
        rows = enlargement(planes.shape[-1], case.x.shape[-1], "bilinear")
        picture = picture + (rows @ planes @ rows.T).sum(axis=1)
    case.assert_theirs(stretched(picture), "FullGrad")
