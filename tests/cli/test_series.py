"""``xaionnx explain`` of time series: their pictures."""

import numpy as np
import pytest
from PIL import Image

import xaionnx
from tests import tiny
from tests.tiny import node, tensor
from xaionnx.errors import ParameterError


@pytest.fixture(params=["channels first", "channels last"])
def net(request, tmp_path):
    """A net for series of 12 steps, and a file with two series."""
    rng = np.random.default_rng(3)
    last = request.param == "channels last"
    nodes = [
        *([node("Transpose", ["x"], ["t"], perm=[0, 2, 1])] if last else []),
        node("Conv", ["t" if last else "x", "w"], ["c"], pads=[1, 1]),
        node("Relu", ["c"], ["r"]),
        node("GlobalAveragePool", ["r"], ["p"]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "v"], ["y"]),
    ]
    weights = {"w": rng.normal(size=(4, 2, 3)).astype(np.float32), "v": rng.normal(size=(4, 3)).astype(np.float32)}
    shape = ["N", 12, 2] if last else ["N", 2, 12]
    path = tmp_path / "net.onnx"
    tiny.saved(path, nodes, [tensor("x", shape)], [tensor("y", ["N", 3])], weights)
    x = rng.normal(size=(2, *shape[1:])).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    return path, tmp_path / "x.npy", x, int(last)


@pytest.mark.sampled(percent=50)
@pytest.mark.parametrize("method", ["grad_cam", "saliency", "lime"])
def test_series_are_drawn_over_their_time(run, net, tmp_path, method):
    path, file, x, channel = net
    asked = run("explain", method, path, file, "-t", "1", "-o", tmp_path / "a.png", "--sign", "absolute")
    assert asked.exit_code == 0, asked.stderr
    for row in range(2):
        found = xaionnx.explain(path, x[row : row + 1], method, 1)
        expected = xaionnx.render.series(found, x[row], channel=channel, sign="absolute")
        with Image.open(tmp_path / f"a-x-{row}.png") as drawn:
            assert drawn.tobytes() == expected.tobytes()


def test_the_parts_of_a_layer_remain_bars(run, net, tmp_path, monkeypatch):
    drawn = []
    bars = xaionnx.render.bars
    monkeypatch.setattr("xaionnx.render.pictures.bar.bars", lambda *a, **k: (drawn.append(k), bars(*a, **k))[1])
    asked = run("explain", "layer_activation", *net[:2], "--layer", "r", "-o", tmp_path / "a.png")
    assert asked.exit_code == 0, asked.stderr
    assert len(drawn) == 2


def test_where_no_convolution_tells_which_axis_is_time_there_are_bars(run, tmp_path, monkeypatch):
    rng = np.random.default_rng(4)
    nodes = [node("Flatten", ["x"], ["f"]), node("Gemm", ["f", "v"], ["y"])]
    weights = {"v": rng.normal(size=(8, 3)).astype(np.float32)}
    tiny.saved(tmp_path / "flat.onnx", nodes, [tensor("x", ["N", 2, 4])], [tensor("y", ["N", 3])], weights)
    np.save(tmp_path / "x.npy", rng.normal(size=(1, 2, 4)).astype(np.float32))
    drawn = []
    bars = xaionnx.render.bars
    monkeypatch.setattr("xaionnx.render.pictures.bar.bars", lambda *a, **k: (drawn.append(k), bars(*a, **k))[1])
    asked = run("explain", "saliency", tmp_path / "flat.onnx", tmp_path / "x.npy", "-o", tmp_path / "a.png")
    assert asked.exit_code == 0, asked.stderr
    assert len(drawn) == 1


def test_the_strongest_of_a_map_without_features_are_refused(run, net, tmp_path):
    asked = run("explain", "grad_cam", *net[:2], "--top", "3", "-o", tmp_path / "a.png")
    assert asked.exit_code == ParameterError.exit_code
    assert asked.stderr.endswith("--top needs a method that worked on features, such as lime. Leave it out.\n")


def test_a_waveform_without_channels_is_drawn_over_its_time(run, tmp_path):
    rng = np.random.default_rng(5)
    nodes = [
        node("Unsqueeze", ["x", "one"], ["u"]),
        node("Conv", ["u", "w"], ["c"], pads=[1, 1]),
        node("Relu", ["c"], ["r"]),
        node("GlobalAveragePool", ["r"], ["p"]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "v"], ["y"]),
    ]
    weights = {
        "one": np.array([1]),
        "w": rng.normal(size=(4, 1, 3)).astype(np.float32),
        "v": rng.normal(size=(4, 3)).astype(np.float32),
    }
    path, x = tmp_path / "net.onnx", rng.normal(size=(1, 24)).astype(np.float32)
    tiny.saved(path, nodes, [tensor("x", ["N", 24])], [tensor("y", ["N", 3])], weights)
    np.save(tmp_path / "x.npy", x)
    asked = run("explain", "occlusion", path, tmp_path / "x.npy", "-t", "1", "-o", tmp_path / "a.png")
    assert asked.exit_code == 0, asked.stderr
    assert "\n  step" in asked.output
    assert "column" not in asked.output
    found = xaionnx.explain(path, x, "occlusion", 1)
    assert found.display["x"].kind == "series"
    (tmp_path / "net.toml").write_text('[input]\nkind = "series"\nrate = 8\n')
    for method in ("occlusion", "grad_cam"):
        timed = run("explain", method, path, tmp_path / "x.npy", "-t", "1")
        assert timed.output.count(" s  ") == (3 if method == "occlusion" else 10), timed.output
        assert "step" not in timed.output
    with Image.open(tmp_path / "a.png") as drawn:
        assert drawn.tobytes() == xaionnx.render.series(found, x[0]).tobytes()


def test_scores_of_frames_are_no_classes(run, tmp_path):
    """They do not compete, so a softmax over them would mean nothing."""
    tiny.saved(
        tmp_path / "net.onnx", [node("Tanh", ["x"], ["y"])], [tensor("x", ["N", "T"])], [tensor("y", ["N", "T"])]
    )
    np.save(tmp_path / "x.npy", np.linspace(0, 1, 6, dtype=np.float32)[None])
    asked = run("explain", "saliency", tmp_path / "net.onnx", tmp_path / "x.npy", "-t", "element:3", "--axes", "y=N,T")
    assert asked.exit_code == 0, asked.stderr
    assert "softmax" not in asked.output
    assert "saliency of y[3] = 0.537" in asked.output


def test_times_of_sound_and_columns_of_tables_are_named_without_a_spec(run, tmp_path):
    from scipy.io import wavfile

    rng = np.random.default_rng(6)
    weights = {"w": rng.normal(size=(16, 2)).astype(np.float32)}
    tiny.saved(
        tmp_path / "m.onnx",
        [node("Gemm", ["x", "w"], ["y"])],
        [tensor("x", ["N", 16])],
        [tensor("y", ["N", 2])],
        weights,
    )
    wavfile.write(tmp_path / "a.wav", 8, rng.uniform(-1, 1, 16).astype(np.float32))
    asked = ("-t", "1", "--features", "segments:2", "--axes", "N,T")
    heard = run("explain", "exact_shapley", tmp_path / "m.onnx", tmp_path / "a.wav", *asked)
    assert heard.exit_code == 0, heard.stderr
    assert heard.output.count("  0-1 s ") == heard.output.count("  1-2 s ") == 1, heard.output
    names = [f"size_{i}" for i in range(16)]
    (tmp_path / "a.csv").write_text("\n".join([",".join(names), ",".join(["1.5"] * 16)]))
    for method in ("kernel_shap", "saliency"):
        read = run("explain", method, tmp_path / "m.onnx", tmp_path / "a.csv", "-t", "1", "--json")
        assert run("explain", method, tmp_path / "m.onnx", tmp_path / "a.csv", "-t", "1").output.count("  size_") == 10
        assert read.exit_code == 0
