"""Files for one sample, without an axis of samples: vectors, waveforms and words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from xaionnx_cli.app import Application

import xaionnx
from models import planted
from tests import tiny
from xaionnx import Explanation, Target

METHODS = ["saliency", "integrated_gradients", "feature_ablation", "kernel_shap"]
Array = np.ndarray[Any, Any]

RNG = np.random.default_rng(0)
VECTOR = "g (float[5] x) => (float[2] y) { y = MatMul(x, w) }"
ROW = "g (float[5] x) => (float[2] y) { u = Unsqueeze(x, z)  a = Gemm(u, w)  y = Squeeze(a, z) }"
FREE = "g (float[F] x) => (float[F] y) { y = MatMul(x, w) }"
LINEAR = {"w": RNG.normal(size=(5, 2)), "z": np.array([0])}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("text", "weights"),
    [(VECTOR, LINEAR), (ROW, LINEAR), (FREE, {"w": RNG.normal(size=(5, 5))})],
    ids=["vector", "row", "as many scores as numbers"],
)
def test_a_vector_is_one_sample(method, text, weights):
    proto = tiny.parsed(text, **weights)
    x = RNG.normal(size=5).astype(np.float32)
    settings = {"absolute": False} if method == "saliency" else {"baseline": 0.0}
    result = xaionnx.explain(planted.load(proto, device="cpu"), x, method, Target.index(1), **settings)
    assert result.prediction == pytest.approx(tiny.run(proto, {"x": x})["y"][1:2], rel=1e-5)
    slope = weights["w"][:, 1]
    np.testing.assert_allclose(result.values, slope if method == "saliency" else slope * x, atol=1e-4)


WAVE = """g (float[64] wave) => (float score) {
    two = Constant <value = int64[2] {0, 1}> ()
    u = Unsqueeze(wave, two)
    c = Conv <strides = [8]> (u, k)
    r = Relu(c)
    first = Slice(r, start, end, axis)
    m = ReduceMean <axes = [1, 2], keepdims = 0> (first)
    score = Squeeze(m) }"""
KERNEL = {"k": np.full((1, 1, 8), 0.5), "start": np.array([0]), "end": np.array([2]), "axis": np.array([2])}


@pytest.mark.parametrize("method", [*METHODS, "occlusion", "deep_lift", "lrp"])
def test_a_waveform_is_one_sample(method):
    proto = tiny.parsed(WAVE, **KERNEL)
    x = RNG.uniform(0.5, 1, 64).astype(np.float32)
    settings = {"window": 8, "stride": 8, "class_maps": False} if method == "occlusion" else {}
    if method == "kernel_shap":
        settings = {"features": np.arange(64) // 8}
    result = xaionnx.explain(planted.load(proto, device="cpu"), x, method, **settings)
    assert result.prediction == pytest.approx([tiny.run(proto, {"wave": x})["score"].item()], rel=1e-5)
    assert np.abs(result.values[16:]).max() < 1e-5
    assert np.abs(result.values[:16]).min() > 1e-2


@pytest.mark.parametrize(
    ("proto", "feeds", "target"),
    [
        (tiny.parsed(WAVE, **KERNEL), RNG.uniform(0.5, 1, 64).astype(np.float32), None),
        (tiny.parsed(VECTOR, **LINEAR), RNG.normal(size=5).astype(np.float32), "element:1"),
        (
            tiny.parsed(
                """g (float rate, float[N, 4] x) => (float[N, 2] y) { m = Mul(x, rate)  y = MatMul(m, w) }""",
                w=RNG.normal(size=(4, 2)),
            ),
            {"x": RNG.normal(size=(2, 4)).astype(np.float32), "rate": np.float32(2)},
            "0",
        ),
    ],
    ids=["waveform", "vector", "number beside rows"],
)
def test_the_command_line_reads_what_python_takes(tmp_path, proto, feeds, target):
    path, saved = tmp_path / "m.onnx", tmp_path / ("x.npz" if isinstance(feeds, dict) else "x.npy")
    path.write_bytes(proto.SerializeToString())
    np.savez(saved, **feeds) if isinstance(feeds, dict) else np.save(saved, feeds)
    wanted = Target.index(1) if target == "element:1" else None if target is None else int(target)
    result = xaionnx.explain(path, feeds, "saliency", wanted)
    arguments = ["explain", "saliency", str(path), str(saved), "-o", str(tmp_path / "o.npz")]
    outcome = CliRunner().invoke(Application("xaionnx"), arguments + (["-t", target] if target else []))
    assert outcome.exit_code == 0, outcome.output
    records = sorted(tmp_path.glob("o*.npz"))
    found = np.concatenate([np.ravel(Explanation.load(record).values) for record in records])
    np.testing.assert_allclose(found, np.ravel(result.values), rtol=1e-5)


@pytest.mark.parametrize("dims", ["T,N", "s0,s1"])
def test_words_that_stand_first_are_the_time_of_a_recurrent_layer(dims):
    """A table is looked up by (time, samples), as PyTorch's recurrent layers take it."""
    proto = tiny.parsed(
        f"""g (int64[{dims}] ids) => (float[N, 4] y) {{
            e = Gather(table, ids)
            all, last = GRU <hidden_size = 4> (e, w, r)
            y = Squeeze(last, zero) }}""",
        table=RNG.normal(size=(9, 3)),
        w=RNG.normal(size=(1, 12, 3)),
        r=RNG.normal(size=(1, 12, 4)) / 2,
        zero=np.array([0]),
    )
    ids = np.array([[1, 5], [8, 2], [3, 3]])
    result = xaionnx.explain(planted.load(proto, device="cpu"), ids, "feature_ablation", 0, baseline=0)
    own = tiny.run(proto, {"ids": ids})["y"][:, 0]
    for step in range(3):
        changed = ids.copy()
        changed[step] = 0
        np.testing.assert_allclose(result.values[step], own - tiny.run(proto, {"ids": changed})["y"][:, 0], atol=1e-5)
