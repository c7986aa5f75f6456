"""Model.join: files as one model, with spec, hashes and explanations."""

import numpy as np
import onnx
import pytest

import xaionnx
from tests import tiny
from tests.tiny import parsed
from tests.tolerances import Tolerance, assert_close
from xaionnx import InputSpec, Model
from xaionnx.errors import ModelFileError, ParameterError, UnsupportedModelError, UsageError
from xaionnx.runtime import joining

DECODER, CLASSIFIER = "models/mnist_vae_decoder.onnx", "models/mnist_cnn.onnx"
Z = np.random.default_rng(0).normal(size=(3, 16)).astype(np.float32)


@pytest.fixture(scope="module")
def drawn():
    return Model.join(DECODER, CLASSIFIER, device="cpu")


def saved(tmp_path, name, text, **weights):
    path = tmp_path / f"{name}.onnx"
    onnx.save(parsed(text, **weights), path)
    return path


def test_a_generator_ahead_of_a_classifier(drawn):
    pictures = Model.load(DECODER).run({"latent": Z})["image"]
    classifier = Model.load(CLASSIFIER)
    assert_close(drawn.run({"latent": Z})["logits"], classifier.run({"pixels": pictures})["logits"], Tolerance.DEEP)
    assert drawn.name == "mnist_vae_decoder+mnist_cnn.onnx"
    assert drawn.labels == classifier.labels
    assert (drawn.spec.kind, drawn.spec.activation) == ("array", "logits")


def test_the_joined_model_has_gradients_layers_and_a_record_of_its_parts(drawn):
    found = xaionnx.explain(drawn, Z, "integrated_gradients", 3)
    assert found.values.shape == (3, 16)
    assert max(found.diagnostics["relative_gap"]) < 0.05
    hashes = [Model.load(path).sha256 for path in (DECODER, CLASSIFIER)]
    names = ["mnist_vae_decoder", "mnist_cnn"]
    assert found.provenance["model_parts"] == [{"name": n, "sha256": h} for n, h in zip(names, hashes, strict=True)]
    # The picture in between is a layer, where the classifier alone explains the same.
    pictures = Model.load(DECODER).run({"latent": Z})["image"]
    inside = xaionnx.explain(drawn, Z, "input_x_gradient", 3, layer="image")
    alone = xaionnx.explain(CLASSIFIER, pictures, "input_x_gradient", 3)
    assert_close(inside.values, alone.values, Tolerance.DEEP, np.abs(alone.values).max())
    assert "model_parts" not in alone.provenance
    made, slopes = xaionnx.compile(drawn, "saliency", 3), xaionnx.explain(drawn, Z, "saliency", 3).values
    assert_close(tiny.run(made.proto, {"latent": Z})["attribution"], slopes, Tolerance.DEEP)


def test_a_saved_file_is_the_same_model(drawn, tmp_path):
    kept = Model.join(DECODER, CLASSIFIER, path=tmp_path / "both.onnx", device="cpu")
    again = Model.load(tmp_path / "both.onnx", "cpu")
    assert kept.sha256 == again.sha256 == drawn.sha256
    assert again.labels == drawn.labels
    assert again.spec == drawn.spec
    assert_close(again.run({"latent": Z})["logits"], drawn.run({"latent": Z})["logits"], Tolerance.OPERATIONS)
    soft = parsed("g (float[N, 10] logits) => (float[N, 10] p) { p = Softmax(logits) }")
    with pytest.raises(UsageError, match=r"would overwrite .*both\.onnx, which it is made from"):
        Model.join(tmp_path / "both.onnx", soft, path=tmp_path / "both.onnx")


def test_the_spec_of_a_user_stays(tmp_path):
    (tmp_path / "both.toml").write_text('[input]\nkind = "array"\n[output]\nlabels = ["odd"]\n')
    assert Model.join(DECODER, CLASSIFIER, path=tmp_path / "both.onnx").spec.labels == ("odd",)


def test_a_model_in_memory_and_a_loaded_one_are_parts(tmp_path):
    scaled = parsed(
        "scale (float[N, 3] raw) => (float[N, 3] x) { ten = Constant<value = float {10}>()  x = Div(raw, ten) }"
    )
    head = saved(tmp_path, "head", "g (float[N, 3] x) => (float[N, 2] y) { y = MatMul(x, w) }", w=np.ones((3, 2)))
    found = Model.join(scaled, Model.load(head))
    assert_close(found.run({"raw": np.float32([[10, 20, 30]])})["y"], [[6, 6]], Tolerance.OPERATIONS)
    with pytest.raises(ParameterError, match=r"derived from head\.onnx cannot be joined"):
        Model.join(scaled, Model.load(head).with_outputs(["x"]))


def test_trees_after_a_scaler_of_an_older_op_set():
    """The trees need an op set that the scaler does not import."""
    scaler = parsed(
        "scaler (float[N, 20] raw) => (float[N, 20] rows) { rows = Div(raw, s) }", opset=9, s=np.full(20, 2.0)
    )
    forest = Model.load("models/german_credit_forest.onnx")
    found = Model.join(scaler, forest)
    assert found.file.domains == forest.file.domains
    x = forest.read("models/data/german_credit_sample.csv").arrays[forest.input().name]
    scores = forest.output().name
    assert_close(found.run({"raw": 2 * x})[scores], forest.run({forest.input().name: x})[scores], Tolerance.OPERATIONS)
    target = xaionnx.Target.index(1, output=scores)
    ours = xaionnx.explain(found, 2 * x[:2], "feature_ablation", target, baseline=0.0)
    alone = xaionnx.explain(forest, x[:2], "feature_ablation", target, baseline=0.0)
    assert_close(ours.values, alone.values, Tolerance.OPERATIONS)


def test_a_file_joined_with_itself(tmp_path):
    twice = saved(tmp_path, "twice", "g (float[N, 3] x) => (float[N, 3] y) { y = Add(x, x) }")
    found = Model.join(twice, twice)
    assert [info.name for info in found.outputs] == ["twice2/y"]
    assert_close(found.run({"x": np.float32([[1, 2, 3]])})["twice2/y"], [[4, 8, 12]], Tolerance.OPERATIONS)


def test_weights_that_changed_since_they_were_read_are_not_joined(tmp_path):
    onnx.save(
        onnx.load("models/mnist_cnn.onnx"),
        tmp_path / "big.onnx",
        save_as_external_data=True,
        location="w",
        size_threshold=0,
    )
    opened = Model.load(tmp_path / "big.onnx", "cpu")
    (tmp_path / "w").write_bytes(bytes((tmp_path / "w").stat().st_size))
    with pytest.raises(ModelFileError, match=r"w has changed or gone since the model was read\. Load the model again"):
        Model.join("models/mnist_vae_decoder.onnx", opened, device="cpu")
    # Neither does a graph that is derived from it run with other weights.
    with pytest.raises(ModelFileError, match="has changed or gone"):
        opened.with_outputs([opened.view.nodes[0].output[0]])


def test_external_weights_are_read_and_written_beside(tmp_path, monkeypatch):
    big = parsed("g (float[N, 40] x) => (float[N, 40] h) { h = MatMul(x, w) }", w=np.eye(40) * 3)
    (tmp_path / "in").mkdir()
    onnx.save(big, tmp_path / "in" / "big.onnx", save_as_external_data=True, location="big.data", size_threshold=0)
    head = saved(tmp_path, "head", "g (float[N, 40] h) => (float[N, 2] y) { y = MatMul(h, v) }", v=np.ones((40, 2)))
    x = np.random.default_rng(0).normal(size=(2, 40)).astype(np.float32)
    inside = Model.join(tmp_path / "in" / "big.onnx", head)
    assert not inside.file.external
    monkeypatch.setattr(joining, "_APART", 100)
    apart = Model.join(tmp_path / "in" / "big.onnx", head, path=tmp_path / "joined.onnx")
    assert [file.name for file in apart.file.external] == ["joined.onnx.data"]
    for model in (inside, apart):
        assert_close(model.run({"x": x})["y"], 3 * np.tile(x.sum(axis=1, keepdims=True), 2), Tolerance.SUMS)
    assert np.isfinite(xaionnx.explain(apart, x, "saliency", 0).values).all()


def test_weights_of_a_part_are_not_overwritten(tmp_path):
    big = parsed("g (float[N, 40] x) => (float[N, 40] h) { h = MatMul(x, w) }", w=np.eye(40))
    onnx.save(big, tmp_path / "big.onnx", save_as_external_data=True, location="both.onnx.data", size_threshold=0)
    head = saved(tmp_path, "head", "g (float[N, 40] h) => (float[N, 2] y) { y = MatMul(h, v) }", v=np.ones((40, 2)))
    with pytest.raises(UsageError, match=r"would overwrite .*both\.onnx\.data, which it is made from"):
        Model.join(tmp_path / "big.onnx", head, path=tmp_path / "both.onnx")


def test_a_series_cut_into_windows_keeps_one_sample(tmp_path):
    """As of a wake word: frames of a series, an embedding of each window as a row, and a head over all rows."""
    frames = saved(
        tmp_path, "frames", "g (float[N, T] wave) => (float[N, F, 4] spec) { spec = Reshape(wave, s) }",
        s=np.array([0, -1, 4]),
    )  # fmt: skip
    windows = parsed(
        "windows (float[1, F, 4] spec) => (float[3, 2, 4] rows) { a = Squeeze(spec, zero)  rows = Gather(a, at) }",
        zero=np.array([0]), at=np.array([[0, 1], [1, 2], [2, 3]]),
    )  # fmt: skip
    embedding = saved(
        tmp_path,
        "embedding",
        "g (float[M, 2, 4] rows) => (float[M, 2] e) { f = Flatten(rows)  a = MatMul(f, w)  e = Tanh(a) }",
        w=tiny.normal(8, 2),
    )
    head = parsed(
        "head (float[3, 2] e) => (float[1, 1] y) { r = Reshape(e, s)  y = MatMul(r, v) }",
        s=np.array([1, 6]), v=tiny.normal(6, 1),
    )  # fmt: skip
    model = Model.join(frames, windows, embedding, head)
    wave = np.random.default_rng(1).normal(size=(2, 16)).astype(np.float32)
    owed = []
    for one in wave:
        rows = one.reshape(4, 4)[np.array([[0, 1], [1, 2], [2, 3]])].reshape(3, 8)
        owed.append(np.tanh(rows @ tiny.normal(8, 2)).reshape(-1) @ tiny.normal(6, 1))
    assert_close(model.run({"wave": wave})["y"], owed, Tolerance.DEEP)
    slopes = xaionnx.explain(model, wave, "saliency", 0, absolute=False).values
    for n, i in ((0, 0), (1, 7)):
        ends = np.repeat(wave[n : n + 1], 2, axis=0)
        ends[:, i] += [0.01, -0.01]
        up, down = model.run({"wave": ends})["y"][:, 0]
        np.testing.assert_allclose(slopes[n, i], (up - down) / 0.02, atol=2e-3)


def test_a_joined_model_that_differs_is_refused(monkeypatch, tmp_path):
    one = saved(tmp_path, "one", "g (float[N, 3] x) => (float[N, 3] y) { y = Add(x, x) }")
    two = saved(tmp_path, "two", "g (float[N, 3] y) => (float[N, 3] z) { z = Exp(y) }")

    def spoiled(parts, links):
        proto = joining_join(parts, links)
        proto.graph.node[-1].op_type = "Neg"
        return proto

    joining_join = joining.join
    monkeypatch.setattr(joining, "join", spoiled)
    with pytest.raises(UnsupportedModelError, match="Output 'z' of the joined model differs from what two returns"):
        Model.join(one, two)


def test_a_spec_by_hand(tmp_path):
    spec = InputSpec(kind="array", labels=tuple("abcdefghij"))
    assert Model.join(DECODER, CLASSIFIER, spec=spec).labels == tuple("abcdefghij")
