"""Explanation: a record is loaded bit for bit, and other files are refused."""

import dataclasses
import json
import pickle
import zipfile

import numpy as np
import pytest

import xaionnx
from models import planted
from xaionnx import Explanation
from xaionnx.errors import DataError

RNG = np.random.default_rng(1)


def record(**more):
    return Explanation(
        "some_method",
        {"images/left:0": RNG.normal(size=(2, 3, 4)).astype(np.float32), "../right": RNG.normal(size=(2, 5))},
        np.array(["Katze (0)", "Hündin (1)"]),
        np.array([1.5, -np.inf]),
        feature_values=np.array([[1.0, np.nan], [2.0, 3.0]]),
        features={"images/left:0": np.zeros((1, 4), np.int32), "../right": np.arange(10).reshape(2, 5) % 2},
        maps={"drop/by position": RNG.normal(size=(2, 3)).astype(np.float16), "array": np.zeros((2, 0))},
        **{
            "diagnostics": {
                "evaluations": [np.int64(3), 4],
                "gap": np.float32(0.5),
                "fit": float("nan"),
                "array": "no name of an array",
                "arrays": {"nested": [np.bool_(True), None]},
                "by position": np.arange(3),
            },
            "provenance": {"parameters": {"array": "a0", "words": ["a", 1, 2.5]}},
            **more,
        },
    )


def assert_same(one, other):
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert one.tobytes() == other.tobytes()
    else:
        assert one == other


def test_a_record_comes_back_bit_for_bit(tmp_path):
    written = record()
    path = written.save(tmp_path / "result.npz")
    read = Explanation.load(path)
    for field in dataclasses.fields(Explanation):
        if field.name != "diagnostics":
            assert_same(getattr(written, field.name), getattr(read, field.name))
    found = read.diagnostics
    assert np.isnan(found.pop("fit"))
    assert found == {
        "evaluations": [3, 4],
        "gap": 0.5,
        "array": "no name of an array",
        "arrays": {"nested": [True, None]},
        "by position": [0, 1, 2],
    }
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_record_gives_the_same_file(tmp_path):
    written = record()
    assert written.save(tmp_path / "a.npz").read_bytes() == written.save(tmp_path / "b.npz").read_bytes()


def test_nothing_in_a_file_is_pickled(tmp_path):
    path = record().save(tmp_path / "result.npz")
    with np.load(path, allow_pickle=False) as archive:
        assert all(archive[name].dtype != object for name in archive.files)
    strange = dataclasses.replace(record(), target=np.array([object(), None]))
    with pytest.raises(TypeError, match="objects would have to be pickled"):
        strange.save(tmp_path / "strange.npz")
    assert list(tmp_path.iterdir()) == [path]


def test_json():
    written = record()
    found = json.loads(json.dumps(written.to_dict(), allow_nan=False))
    assert found["prediction"] == [1.5, None]
    assert found["feature_values"] == [[1, None], [2, 3]]
    assert found["target"] == ["Katze (0)", "Hündin (1)"]
    assert found["diagnostics"]["fit"] is None
    assert found["diagnostics"]["gap"] == 0.5
    assert found["diagnostics"]["by position"] == [0, 1, 2]
    assert found["baseline_prediction"] is None
    assert found["values"]["../right"] == written.values["../right"].tolist()
    model = planted.load(planted.quadrants(12))
    real = xaionnx.explain(model, np.ones((1, 3, 12, 12), np.float32), "occlusion", [0, 1], window=4)
    json.dumps(real.to_dict(), allow_nan=False)


def test_one_sample_for_one_of_its_targets():
    both = Explanation(
        "m",
        RNG.normal(size=(2, 3, 4)),
        np.array([["a", "b", "c"], ["d", "e", "f"]]),
        RNG.normal(size=(2, 3)),
        baseline_prediction=RNG.normal(size=(2, 3)),
        feature_values=RNG.normal(size=(2, 3, 4)),
        features=np.arange(12).reshape(3, 4),
        standard_error=RNG.normal(size=(2, 3, 4)),
        maps={"drop": RNG.normal(size=(2, 3, 5, 5))},
    )
    assert both.samples == 3
    assert both.several_targets
    one = both.sample(2, 1)
    assert one.samples == 1
    assert not one.several_targets
    assert one.target.tolist() == ["f"]
    for name in ("values", "prediction", "baseline_prediction", "feature_values", "standard_error"):
        np.testing.assert_array_equal(getattr(one, name), getattr(both, name)[1, 2:])
    np.testing.assert_array_equal(one.maps["drop"], both.maps["drop"][1, 2:])
    np.testing.assert_array_equal(one.features, both.features[2:])
    shared = record().sample(1)
    assert shared.features["images/left:0"].shape == (1, 4)
    np.testing.assert_array_equal(shared.features["../right"], [[1, 0, 1, 0, 1]])
    for place in ((3, 0), (-1, 0), (0, 2)):
        with pytest.raises(IndexError, match="no sample"):
            both.sample(*place)
    with pytest.raises(IndexError, match="no sample 0 with target 1"):
        one.sample(0, 1)


def test_one_sample_has_its_own_diagnostics():
    told = {
        "evaluations": [5, 6, 7],
        "gap": [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]],
        "r2": [[1], [2], [3]],
        "seconds": 2.5,
    }
    alone = Explanation("m", np.ones((3, 4)), np.array(["a", "b", "c"]), np.ones(3), diagnostics=told)
    assert alone.sample(1).diagnostics == {"evaluations": [6], "gap": [[0.3, 0.4]], "r2": [[2]], "seconds": 2.5}
    names = np.array([["a", "b", "c"], ["d", "e", "f"]])
    both = Explanation("m", np.ones((2, 3, 4)), names, np.ones((2, 3)), diagnostics=told)
    assert both.sample(2, 1).diagnostics == {"evaluations": [7], "gap": [0.6], "r2": [[3]], "seconds": 2.5}


def other_file(tmp_path, kind):
    path = tmp_path / "other.npz"
    if kind == "text":
        path.write_text("not an archive")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "array":
        with path.open("wb") as stream:
            np.save(stream, np.zeros(3))
    elif kind == "pickle":
        path.write_bytes(pickle.dumps({"values": 1}))
    elif kind == "other archive":
        np.savez(path, values=np.zeros(3))
    elif kind == "other JSON":
        np.savez(path, record=np.frombuffer(b"[1, 2]", np.uint8))
    elif kind == "missing array":
        text = b'{"format": 1, "method": "m", "values": {"array": "a0"}, "target": null, "prediction": null}'
        np.savez(path, record=np.frombuffer(text, np.uint8))
    elif kind == "unknown field":
        np.savez(path, record=np.frombuffer(b'{"format": 1, "wings": 2}', np.uint8))
    else:
        whole = record().save(path).read_bytes()
        path.write_bytes(whole[: len(whole) // 2] if kind == "truncated" else damaged(path, whole))
    return path


def damaged(path, whole):
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("a0.npy").header_offset
    bad = bytearray(whole)
    bad[start + 60 : start + 90] = bytes(255 - b for b in bad[start + 60 : start + 90])
    return bytes(bad)


@pytest.mark.parametrize(
    "kind",
    [
        "text",
        "empty",
        "array",
        "pickle",
        "other archive",
        "other JSON",
        "missing array",
        "unknown field",
        "truncated",
        "damaged",
    ],
)
def test_a_file_that_is_no_record(tmp_path, kind):
    path = other_file(tmp_path, kind)
    with pytest.raises(DataError) as caught:
        Explanation.load(path)
    assert str(caught.value) == f"{path} is not an explanation saved by xaionnx. Save one with -o NAME.npz."


def test_a_file_that_cannot_be_read_or_is_of_another_version(tmp_path):
    with pytest.raises(DataError, match=r"There is no file .*missing.npz"):
        Explanation.load(tmp_path / "missing.npz")
    with pytest.raises(DataError, match="is a folder, not an array"):
        Explanation.load(tmp_path)
    newer = tmp_path / "newer.npz"
    np.savez(newer, record=np.frombuffer(b'{"format": 3}', np.uint8))
    with pytest.raises(DataError, match=r"newer.npz was written by another version of xaionnx. Make it again."):
        Explanation.load(newer)


def test_a_map_for_all_channels_is_written_once(tmp_path):
    plane = np.random.default_rng(0).normal(size=(1, 1, 200, 200)).astype(np.float32)
    alike = Explanation("m", np.broadcast_to(plane, (1, 3, 200, 200)), np.array(["y"]), np.array([2.0]))
    single = dataclasses.replace(alike, values=plane)
    files = [one.save(tmp_path / f"{name}.npz") for name, one in (("alike", alike), ("single", single))]
    assert files[0].stat().st_size < 1.01 * files[1].stat().st_size
    loaded = Explanation.load(files[0])
    np.testing.assert_array_equal(loaded.values, alike.values)
    assert loaded.values.shape == (1, 3, 200, 200)
    assert loaded.values.dtype == np.float32


def test_a_file_of_the_first_version_is_read(tmp_path):
    record = {"format": 1, "method": "m", "values": {"array": "a0"}, "target": {"array": "a1"}}
    record |= {"prediction": {"array": "a2"}, "maps": {"arrays": {"cam": {"array": "a0"}}}}
    text = np.frombuffer(json.dumps(record).encode(), np.uint8)
    path = tmp_path / "first.npz"
    np.savez_compressed(path, record=text, a0=np.ones((1, 3)), a1=np.array(["y"]), a2=np.array([2.0]))
    loaded = Explanation.load(path)
    np.testing.assert_array_equal(loaded.values, np.ones((1, 3)))
    np.testing.assert_array_equal(loaded.maps["cam"], np.ones((1, 3)))
