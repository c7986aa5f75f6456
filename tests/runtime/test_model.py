"""Model: every form of input and output of exported files, and errors."""

import pickle
import re

import numpy as np
import pytest
from onnx import TensorProto

from tests import tiny
from tests.tiny import loaded, node, tensor
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model
from xaionnx.errors import (
    DeviceError,
    InputMismatchError,
    UnknownNameError,
    UnsupportedModelError,
)
from xaionnx.runtime.session import Session
from xaionnx.runtime.tensors import TensorInfo

RNG = np.random.default_rng(0)

WEIGHTS = RNG.normal(size=(4, 3)).astype(np.float32)


def linear(tmp_path, batch="N"):
    return tiny.linear(tmp_path / "linear.onnx", WEIGHTS, batch)


@pytest.mark.parametrize("batch", ["N", 1, 5])
@pytest.mark.parametrize("rows", [1, 2, 7])
@pytest.mark.parametrize("size", [None, 1, 3])
def test_any_number_of_rows_whatever_batch_the_file_declares(tmp_path, batch, rows, size):
    model = Model.load(linear(tmp_path, batch), batch_size=size)
    x = RNG.normal(size=(rows, 4)).astype(np.float32)
    assert_close(model.run({"x": x})["y"], x @ WEIGHTS, Tolerance.SIGNED_SUMS)


def test_a_hidden_batch_of_one_is_found_and_looped_over(tmp_path):
    path = tiny.saved(
        tmp_path / "hidden.onnx",
        [node("Reshape", ["x", "shape"], ["flat"]), node("MatMul", ["flat", "w"], ["y"])],
        [tensor("x", ["N", 2, 2])],
        [tensor("y", ["N", 3])],
        {"shape": np.array([1, 4], dtype=np.int64), "w": WEIGHTS},
    )
    x = RNG.normal(size=(5, 2, 2)).astype(np.float32)
    assert_close(Model.load(path).run({"x": x})["y"], x.reshape(5, 4) @ WEIGHTS, Tolerance.SUMS)


def test_a_model_that_mixes_its_rows_is_run_one_by_one(tmp_path):
    path = tiny.saved(
        tmp_path / "mixing.onnx",
        [node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=1), node("Sub", ["x", "mean"], ["y"])],
        [tensor("x", ["N", 4])],
        [tensor("y", ["N", 4])],
    )
    x = RNG.normal(size=(6, 4)).astype(np.float32)
    np.testing.assert_array_equal(Model.load(path).run({"x": x})["y"], np.zeros_like(x))


def test_samples_in_one_run_are_really_batched(tmp_path, monkeypatch):
    sizes = []
    run = Session.run
    monkeypatch.setattr(
        Session,
        "run",
        lambda self, fetch, feeds, *rest: sizes.append(len(feeds["x"])) or run(self, fetch, feeds, *rest),
    )
    model = Model.load(linear(tmp_path, 1), batch_size=8)
    model.run({"x": np.ones((16, 4), np.float32)})
    assert sizes == [1, 2, 8, 8]


def test_several_inputs_outputs_and_one_without_batch_axis(tmp_path):
    path = tiny.saved(
        tmp_path / "several.onnx",
        [node("Add", ["a", "b"], ["s"]), node("Mul", ["s", "gain"], ["scaled"]), node("Neg", ["s"], ["negative"])],
        [tensor("a", ["N", 2]), tensor("b", ["N", 2]), tensor("gain", [1])],
        [tensor("scaled", ["N", 2]), tensor("negative", ["N", 2])],
    )
    model = Model.load(path)
    assert model.shared == {"gain"}
    a, b = RNG.normal(size=(2, 9, 2)).astype(np.float32)
    feeds = model.check({"a": a, "b": b, "gain": np.array([3], dtype=np.float32)})
    outputs = model.run(feeds)
    assert_close(outputs["scaled"], 3 * (a + b), Tolerance.OPERATIONS)
    assert_close(model.run(feeds, ["negative"])["negative"], -(a + b), Tolerance.OPERATIONS)


def test_zipmap_becomes_a_matrix_and_gives_the_labels(tmp_path):
    path = tiny.saved(
        tmp_path / "zipmap.onnx",
        [
            node("MatMul", ["x", "w"], ["scores"]),
            node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
            node("ZipMap", ["scores"], ["probabilities"], domain="ai.onnx.ml", classlabels_strings=["a", "b", "c"]),
        ],
        [tensor("x", ["N", 4])],
        [tensor("label", ["N"], TensorProto.INT64), tensor("probabilities", None)],
        {"w": WEIGHTS},
        domains={"ai.onnx.ml": 1},
    )
    model = Model.load(path)
    x = RNG.normal(size=(3, 4)).astype(np.float32)
    assert model.labels == ("a", "b", "c")
    assert model.output().name == "probabilities"
    assert_close(model.run({"x": x})["probabilities"], x @ WEIGHTS, Tolerance.SIGNED_SUMS)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE])
def test_other_float_widths(tmp_path, kind):
    path = tiny.saved(
        tmp_path / "wide.onnx",
        [node("Identity", ["x"], ["y"])],
        [tensor("x", ["N", 2], kind)],
        [tensor("y", ["N", 2], kind)],
    )
    model = Model.load(path)
    x = np.array([[1.5, -2.0], [0.25, 3.0], [1.0, 2.0]])
    answer = model.run(model.check(x))["y"]
    np.testing.assert_array_equal(answer.astype(np.float64), x)


@pytest.mark.parametrize(
    ("kind", "x"),
    [
        (TensorProto.INT64, np.array([[1, 2], [3, 4], [5, 6]])),
        (TensorProto.UINT8, np.array([[1, 2], [3, 255]], dtype=np.uint8)),
        (TensorProto.BOOL, np.array([[True, False], [False, False]])),
        (TensorProto.STRING, np.array([["a", "b"], ["", "longer"]])),
    ],
)
def test_integer_boolean_and_string_inputs(tmp_path, kind, x):
    path = tiny.saved(
        tmp_path / "kinds.onnx",
        [node("Identity", ["x"], ["y"])],
        [tensor("x", ["N", 2], kind)],
        [tensor("y", ["N", 2], kind)],
    )
    model = Model.load(path)
    np.testing.assert_array_equal(model.run(model.check(x))["y"], x)


def test_external_data_are_read_from_the_models_folder_only(tmp_path, monkeypatch):
    import onnx

    proto = onnx.load(linear(tmp_path))
    folder = tmp_path / "model"
    folder.mkdir()
    onnx.save(proto, folder / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    np.zeros((4, 3), np.float32).tofile(elsewhere / "w.bin")
    monkeypatch.chdir(elsewhere)
    x = RNG.normal(size=(2, 4)).astype(np.float32)
    model = Model.load(folder / "m.onnx")
    assert_close(model.run({"x": x})["y"], x @ WEIGHTS, Tolerance.SIGNED_SUMS)
    assert_close(model.with_outputs(["y"]).run({"x": x})["y"], x @ WEIGHTS, Tolerance.SIGNED_SUMS)


def test_initialisers_among_the_inputs_are_not_inputs(tmp_path):
    import onnx

    proto = onnx.load(linear(tmp_path))
    proto.graph.input.insert(0, tensor("w", [4, 3]))
    (tmp_path / "v3.onnx").write_bytes(proto.SerializeToString())
    model = Model.load(tmp_path / "v3.onnx")
    assert [i.name for i in model.inputs] == ["x"]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((224, 224, 3), np.uint8), "Got (224, 224, 3) uint8; did you mean channels first?"),
        (np.zeros((1, 224, 224, 3), np.float32), "Got (1, 224, 224, 3) float32; did you mean channels first?"),
        (
            np.zeros((3, 224, 224), np.float32),
            "Got (3, 224, 224) float32; the batch axis in front is missing, x[None] adds it.",
        ),
        (
            np.zeros((1, 3, 224, 224), np.uint8),
            "Got (1, 3, 224, 224) uint8; convert it with astype, or prepare pictures with InputSpec.to_tensor.",
        ),
        (np.zeros((1, 3, 64, 64), np.float32), "Got (1, 3, 64, 64) float32."),
    ],
)
def test_an_input_that_does_not_fit_is_told_what_does(tmp_path, array, message):
    path = tiny.saved(
        tmp_path / "pictures.onnx",
        [node("GlobalAveragePool", ["images"], ["y"])],
        [tensor("images", ["N", 3, 224, 224])],
        [tensor("y", ["N", 3, 1, 1])],
    )
    with pytest.raises(InputMismatchError) as caught:
        Model.load(path).check(array)
    assert str(caught.value) == f"Input 'images' of pictures.onnx expects (N, 3, 224, 224) float32. {message}"


@pytest.mark.parametrize(
    ("declared", "array", "advice"),
    [
        (["N", 3], np.zeros(3, np.float32), "; the batch axis in front is missing, x[None] adds it."),
        (["N", 1], np.zeros(2, np.float32), "; the last axis, of length 1, is missing, x[..., None] adds it."),
        (["N", 3], np.zeros(2, np.float32), "."),
        (["N", 3], np.zeros((2, 2), np.int64), "."),
        (["N", 3], np.zeros(3, np.complex64), "."),
        (
            ["N", 3],
            np.zeros(3, np.int64),
            "; the batch axis in front is missing, x[None] adds it; convert it with astype, or prepare pictures with "
            "InputSpec.to_tensor.",
        ),
        (["N", 3, 8, 8], np.zeros((1, 9, 9, 3), np.float32), "."),
        (["N", 16, 1], np.zeros(16, np.float32), "; axes of length 1 are missing, x[None, :, None] adds them."),
        (["N", 16, 1], np.zeros((2, 1, 16), np.float32), "; did you mean x.transpose(0, 2, 1)?"),
        (["N", 7, 5, 1, 2], np.zeros((4, 1, 2, 5, 7), np.float32), "; did you mean x.transpose(0, 4, 3, 1, 2)?"),
        (["N", "t", 4], np.zeros((2, 4, 5), np.float32), "; did you mean x.transpose(0, 2, 1)?"),
        (["N", 8, 8], np.zeros((2, 7, 9), np.float32), "."),
        (["N", 8, 8, 3], np.zeros((3, 8, 8), np.float32), "; did you mean channels last?"),
        (
            ["N", "c", "h", "w"],
            np.zeros((4, 5, 3), np.float32),
            "; the batch axis in front is missing, x[None] adds it.",
        ),
    ],
)
def test_only_what_would_fit_is_advised(declared, array, advice):
    info = TensorInfo("x", np.dtype(np.float32), tuple(declared))
    with pytest.raises(InputMismatchError) as caught:
        info.checked(array, "m.onnx")
    got = TensorInfo("", array.dtype, array.shape)
    assert str(caught.value) == f"Input 'x' of m.onnx expects {info}. Got {got}{advice}"


def test_missing_inputs_and_unequal_counts(tmp_path):
    path = tiny.saved(
        tmp_path / "two.onnx",
        [node("Add", ["a", "b"], ["y"])],
        [tensor("a", ["N", 2]), tensor("b", ["N", 2])],
        [tensor("y", ["N", 2])],
    )
    model = Model.load(path)
    one, two = np.zeros((1, 2), np.float32), np.zeros((2, 2), np.float32)
    with pytest.raises(
        InputMismatchError, match=re.escape("two.onnx has the inputs a, b: b is missing. Give an array")
    ):
        model.check(one)
    with pytest.raises(InputMismatchError, match=re.escape("a, b are missing, and A, x are no inputs. Give an array")):
        model.check({"A": one, "x": one})
    with pytest.raises(InputMismatchError, match=re.escape("differ in their number of samples: a 1, b 2")):
        model.check({"a": one, "b": two})
    with pytest.raises(InputMismatchError, match="There is no sample"):
        model.check({"a": one[:0], "b": one[:0]})


def test_a_device_asked_for_by_name_is_used_or_refused(tmp_path):
    with pytest.raises(DeviceError, match="Device 'tpu' is not available in this build of onnxruntime"):
        Model.load(linear(tmp_path), device="tpu")
    assert Model.load(linear(tmp_path), device="cpu").provider == "CPUExecutionProvider"


def test_cuda_where_there_is_none_is_refused_and_nothing_is_printed(tmp_path, capfd):
    import onnxruntime

    from xaionnx.runtime import session

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers() or session._cuda_driver():
        pytest.skip("needs a GPU build of onnxruntime without a GPU")
    with pytest.raises(DeviceError, match="Device 'cuda' was requested, but onnxruntime could not start"):
        Model.load(linear(tmp_path), device="cuda")
    assert capfd.readouterr().out == ""


def test_random_models_are_refused_unless_allowed(tmp_path):
    path = tiny.saved(
        tmp_path / "random.onnx",
        [node("RandomNormalLike", ["x"], ["noise"]), node("Add", ["x", "noise"], ["y"])],
        [tensor("x", ["N", 2])],
        [tensor("y", ["N", 2])],
    )
    with pytest.raises(UnsupportedModelError, match=re.escape("random.onnx draws random numbers: RandomNormalLike")):
        Model.load(path)
    assert Model.load(path, allow_random=True).run({"x": np.zeros((3, 2), np.float32)})["y"].shape == (3, 2)


def test_internal_tensors_can_be_fetched(tmp_path):
    path = tiny.saved(
        tmp_path / "deep.onnx",
        [node("MatMul", ["x", "w"], ["hidden"]), node("Relu", ["hidden"], ["y"])],
        [tensor("x", ["N", 4])],
        [tensor("y", ["N", 3])],
        {"w": WEIGHTS},
    )
    model = Model.load(path)
    x = RNG.normal(size=(5, 4)).astype(np.float32)
    exposed = model.with_outputs(["hidden"])
    assert_close(exposed.run({"x": x}, ["hidden"])["hidden"], x @ WEIGHTS, Tolerance.SIGNED_SUMS)
    assert model.with_outputs(["hidden"]) is exposed
    assert model.with_outputs(["y"]) is model
    with pytest.raises(UnknownNameError, match="Nearest: hidden"):
        model.with_outputs(["hiden"])


def test_the_constructor_says_how_to_open_a_file():
    with pytest.raises(TypeError, match=re.escape("Model.load('x.onnx')")):
        Model("x.onnx")


def test_pickling_keeps_the_path_and_notices_a_changed_file(tmp_path):
    from xaionnx.errors import ModelFileError

    path = linear(tmp_path)
    model = Model.load(path, batch_size=3)
    frozen = pickle.dumps(model)
    again = pickle.loads(frozen)
    assert (again.sha256, again.batch_size) == (model.sha256, 3)
    tiny.linear(path, WEIGHTS + 1)
    with pytest.raises(ModelFileError, match="has changed since it was pickled"):
        pickle.loads(frozen)


def test_the_tuned_batch_size_is_kept_and_answers_agree_with_fixed_ones(tmp_path):
    x = RNG.normal(size=(3000, 4)).astype(np.float32)
    tuned = Model.load(linear(tmp_path))
    answers = [tuned.run({"x": x})["y"]]
    answers += [
        Model.load(linear(tmp_path), batch_size=size, threads=t).run({"x": x})["y"]
        for size, t in ((1, 1), (7, 2), (64, 1))
    ]
    for answer in answers[1:]:
        assert_close(answer, answers[0], Tolerance.ORDER_ONE)
    assert all(tuner.size(3000) > 1 for tuner in tuned._runner.tuners.values())


@pytest.mark.slow
def test_a_model_of_more_than_2_gib_is_read_by_path(tmp_path):
    import onnx
    from onnx import helper

    rows, columns = 2**15 + 1024, 2**14  # 2.2 GB of float32, zero but for one row; the file is sparse
    wanted = 2**15 + 7
    with (tmp_path / "table.bin").open("wb") as file:
        file.truncate(rows * columns * 4)
        file.seek(wanted * columns * 4)
        file.write(np.arange(columns, dtype=np.float32).tobytes())
    table = onnx.TensorProto(name="table", data_type=TensorProto.FLOAT, dims=[rows, columns])
    table.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "table.bin"), ("offset", "0"), ("length", str(rows * columns * 4))):
        table.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [
            node("Gather", ["table", "row"], ["w"], axis=0),
            node("Mul", ["x", "w"], ["h"]),
            node("ReduceSum", ["h", "axis"], ["y"], keepdims=1),
        ],
        "large",
        [tensor("x", ["N", columns])],
        [tensor("y", ["N", 1])],
        [
            table,
            onnx.numpy_helper.from_array(np.array(wanted), "row"),
            onnx.numpy_helper.from_array(np.array([1]), "axis"),
        ],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    (tmp_path / "large.onnx").write_bytes(proto.SerializeToString())
    model = Model.load(tmp_path / "large.onnx")
    x = np.zeros((1, columns), np.float32)
    x[0, 5] = 2
    assert model.run({"x": x})["y"][0, 0] == 10
    assert model.with_outputs(["h"]).run({"x": x}, ["h"])["h"][0, 5] == 10


def test_a_file_for_no_samples_is_refused(tmp_path):
    path = tmp_path / "none.onnx"
    tiny.saved(path, [node("Relu", ["x"], ["y"])], [tensor("x", [0, 4])], [tensor("y", [0, 4])])
    with pytest.raises(UnsupportedModelError, match=r"^none\.onnx declares 0 samples in a run\. Export it with a free"):
        Model.load(path)


def test_a_size_that_a_free_picture_does_not_take_says_what_to_do():
    """Halved and doubled, an odd side no longer fits itself, as in detectors with sides of multiples of 32."""
    text = """
    folds (float[N, 1, H, W] images) => (float[N, C, H, W] y) {
      half = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (images)
      whole = ConvTranspose <kernel_shape = [2, 2], strides = [2, 2]> (half, w)
      y = Concat <axis = 1> (images, whole)
    }"""
    model = loaded(text, w=np.ones((1, 1, 2, 2), np.float32))
    even, odd = (np.ones((1, 1, side, side), np.float32) for side in (4, 5))
    assert model.run({"images": even})["y"].shape == (1, 2, 4, 4)
    with pytest.raises(UnsupportedModelError, match=r"'images' declares any height and width.*size = \[H, W\]"):
        model.run({"images": odd})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (b"You have won", r"reads text, and bytes were given\. Decode them first, such as by x\.decode\('utf-8'\)"),
        ([b"You have", b"won"], "reads text, and bytes were given"),
        (5, "numbers were given.*input_ids, attention_mask"),
        ([[5, 6]], "numbers were given.*input_ids, attention_mask"),
        ([[[5, 6], [7]]], "numbers were given.*input_ids, attention_mask"),
        (np.array([[5, 6]]), "numbers were given.*input_ids, attention_mask"),
        (np.frombuffer(b"You", np.uint8), "numbers were given.*input_ids, attention_mask"),
    ],
)
def test_a_model_of_texts_says_what_it_reads(given, said):
    with pytest.raises(InputMismatchError, match=f"spam.onnx.*{said}"):
        Model.load("models/spam.onnx").read(given)


def test_a_model_that_was_closed_runs_again():
    model = Model.load("models/digits_cnn.onnx")
    x = np.random.default_rng(0).random((5, 1, 8, 8), np.float32)
    before = model.run({"pixels": x})
    inner = model.derived("same", lambda proto: proto)
    inner.run({"pixels": x})
    model.close()
    for one in (model, inner):
        for name, array in one.run({"pixels": x}).items():
            np.testing.assert_array_equal(array, before[name])
