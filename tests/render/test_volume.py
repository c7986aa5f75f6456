"""Pictures of volumes: the slice of the strongest values, told in the caption."""

import numpy as np
from PIL import Image

import xaionnx
from models import planted
from tests.contracts.axes_zoo import conv
from xaionnx import Explanation
from xaionnx.render.captions import made_by
from xaionnx.render.settings import facts


def explained(order):
    case = conv((4, 8, 12), 2, order)
    x = case.inputs(2)
    return xaionnx.explain(planted.load(case.proto), x, "occlusion", 0, window=2, stride=2, baseline=0.0), x


def test_a_volume_is_drawn_by_its_strongest_slice(tmp_path):
    for order in ("first", "last"):
        found, x = explained(order)
        gray = found.display["x"]
        assert (gray.kind, gray.array.shape, gray.channel) == ("volume", (2, 4, 8, 12), 0 if order == "first" else 3)
        assert (gray.array.min(), gray.array.max()) == (0, 255)
        # Volumes are read in the first half of each axis: slices 0 and 1.
        kept = Explanation.load(found.save(tmp_path / f"{order}.npz"))
        assert np.asarray(found.plot(1)).tobytes() == np.asarray(kept.plot(1)).tobytes()
        assert x.shape == found.values.shape


def test_the_slice_is_in_the_caption(monkeypatch):
    found, _ = explained("first")
    drawn = []

    def drawing(result, photo, **_):
        drawn.append(result)
        return Image.fromarray(photo)

    monkeypatch.setattr("xaionnx.render.pictures.volume.overlay", drawing)
    picture = found.plot()
    assert picture.size == (12, 8)
    assert made_by(drawn[0]).count("of 4, the strongest") == 1
    at = int(drawn[0].provenance["slice"].split()[1])
    assert at in (0, 1)
    np.testing.assert_array_equal(drawn[0].values, found.values[:1, :, at])


def test_several_layers_are_listed_in_words():
    one = Explanation(
        "grad_cam",
        np.ones((1, 3)),
        np.array(["y[0]"]),
        np.ones(1),
        provenance={"parameters": {"layer": ["a", "b"], "fuse": "mean"}},
    )
    assert facts(one) == ["layers a, b", "fuse mean"]


def test_one_layer_is_not_fused():
    settings = {"layer": None, "fuse": "mean", "upsampling": "bilinear"}
    one = Explanation("grad_cam", np.ones((1, 3)), np.array(["y[0]"]), np.ones(1), provenance={"parameters": settings})
    assert facts(one) == ["upsampling bilinear"]
