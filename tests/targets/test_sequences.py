"""Characters and paths of CTC outputs, against frames that are written down."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

import xaionnx
from tests.targets.detectors import returning
from tests.targets.faces import both_faces, words
from tests.tiny import node
from tests.tolerances import Tolerance, assert_close
from xaionnx import InputSpec, Model, Target
from xaionnx.errors import AbsentTargetError, ParameterError
from xaionnx.targets.resolve import resolve

# Nine frames of four classes, the blank and three letters: "- A A - A B B - C" reads "AABC".
PATH = np.array([0, 1, 1, 0, 1, 2, 2, 0, 3])
LETTERS = ("A", "B", "C")


def logits(blank=0):
    """Logits (T, C) whose best path is PATH, with the blank moved to class ``blank``."""
    scores = np.random.default_rng(1).normal(size=(9, 4))
    scores[np.arange(9), PATH] += 6
    return np.roll(scores, -1, axis=1) if blank else scores


def reader(ops=(), labels=LETTERS, time_first=False, **spec):
    """A model that returns frames (N, 9, 4), or (9, N, 4), after some ops."""
    names = ["frames", *(f"h{i}" for i in range(len(ops)))]
    nodes = [node(op, [a], [b], axis=-1) for op, a, b in zip(ops, names, names[1:], strict=False)]
    shapes = {names[-1]: ["N", 9, 4]}
    if time_first:
        nodes.append(node("Transpose", [names[-1]], ["turned"], perm=[1, 0, 2]))
        shapes = {"turned": [9, "N", 4]}
    return returning({"frames": (9, 4)}, nodes, shapes=shapes, spec=InputSpec(color="L", labels=labels, **spec))


def samples(*scores):
    return np.stack(scores).astype(np.float32).reshape(len(scores), 1, 1, -1)


@pytest.mark.parametrize("time_first", [False, True])
@pytest.mark.parametrize("blank", [0, 3])
class TestCharacter:
    def test_the_frames_that_collapse_to_it(self, time_first, blank):
        scores = logits(blank)
        model, x = reader(time_first=time_first), samples(scores)
        shift = 1 if blank else 0
        for position, (k, frames) in enumerate([(1, [1, 2]), (1, [4]), (2, [5, 6]), (3, [8])]):
            expected = scores[frames, k - shift].sum()
            assert_close(both_faces(Target.character(position), model, x), [[expected]], Tolerance.SIGNED_LAYERS)
        assert words(Target.character(2), model, x) == [["'B' at position 2 of 'AABC', frames 5 to 6"]]
        assert words(Target.character("A"), model, x) == [["'A' at position 0 of 'AABC', frames 1 to 2"]]
        assert words(Target.character("C"), model, x) == [["'C' at position 3 of 'AABC', frame 8"]]

    @pytest.mark.parametrize(
        ("ops", "logarithms"),
        [
            ((), lambda scores: log_softmax(scores, axis=1)),
            (("Softmax",), lambda scores: np.log(softmax(scores, axis=1))),
            (("LogSoftmax",), lambda scores: log_softmax(scores, axis=1)),
        ],
    )
    def test_the_log_probability_of_the_path(self, time_first, blank, ops, logarithms):
        scores = logits(blank)
        model, x = reader(ops, time_first=time_first), samples(scores)
        expected = logarithms(scores).max(axis=1).sum()
        assert_close(both_faces(Target.path(), model, x), [[expected]], Tolerance.SIGNED_LAYERS)
        assert words(Target.path(), model, x) == [["log probability of the path of 'AABC'"]]


@pytest.mark.parametrize(
    ("ops", "quantities"),
    [
        ((), ["value", "value"]),
        (("Softmax",), ["value", "probability"]),
        (("LogSoftmax",), ["value", "log probability"]),
    ],
)
def test_a_character_of_one_frame_is_a_probability_if_its_scores_are(ops, quantities):
    model, x = reader(ops), samples(logits())
    found = [xaionnx.explain(model, x, "saliency", Target.character(position)) for position in (2, 3)]
    assert [one.provenance["quantity"] for one in found] == quantities


def test_samples_with_different_texts():
    first, second = logits(), logits()
    second[np.arange(9), PATH] -= 6
    second[:, 0] += 9
    second[4, 2] += 20
    x = samples(first, second)
    found = both_faces(Target.character(0), reader(), x)
    assert_close(found, [[first[1:3, 1].sum(), second[4, 2]]], Tolerance.SIGNED_LAYERS)
    assert words(Target.character(0), reader(), x)[0][1] == "'B' at position 0 of 'B', frame 4"


def test_a_stated_blank_and_a_full_list_of_labels():
    scores = logits()
    model = reader(labels=("A", "-", "B", "C"), blank=1)
    assert words(Target.character(0), model, samples(scores)) == [["'A' at position 0 of 'AABAC', frame 0"]]


def test_the_path_is_the_default_where_the_blank_is_stated():
    model, x = reader(blank=0), samples(logits())
    found = xaionnx.explain(model, x, "saliency")
    assert found.target.tolist() == ["log probability of the path of 'AABC'"]
    assert_close(found.prediction, log_softmax(logits(), axis=1).max(axis=1).sum(), Tolerance.SIGNED_LAYERS)
    with pytest.raises(ParameterError, match="not one axis of classes"):
        resolve(None, reader(), {"x": x})


def test_a_list_of_characters_in_the_file(tmp_path):
    proto = reader(labels=()).file.proto
    proto.metadata_props.add(key="character", value="A\nB")
    path = tmp_path / "reader.onnx"
    path.write_bytes(proto.SerializeToString())
    # The last class is the space, which PaddleOCR leaves out of the list.
    assert words(None, Model.load(path, "cpu"), samples(logits())) == [["log probability of the path of 'AAB '"]]


def test_a_gradient_of_a_character_is_in_its_frames_alone():
    model, x = reader(), samples(logits())
    for target, frames in ((Target.character("B"), [5, 6]), (Target.path(), range(9))):
        map_ = xaionnx.explain(model, x, "saliency", target).values.reshape(9, 4)
        assert np.flatnonzero(map_.any(axis=1)).tolist() == list(frames)


@pytest.mark.parametrize("text", ["character:1", "character:B", "path"])
def test_forms_of_the_command_line(text):
    named = {"character:1": Target.character(1), "character:B": Target.character("B"), "path": Target.path()}
    assert Target.read(text, reader()) == named[text]


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (Target.character(4), AbsentTargetError, "sample 0 is read as 'AABC', 4 of them"),
        (Target.character("D"), AbsentTargetError, "is read as 'AABC', which has no 'D'"),
    ],
)
def test_messages(target, error, message):
    with pytest.raises(error, match=message):
        resolve(target, reader(), {"x": samples(logits())})


def test_an_output_without_frames():
    model = returning({"y": (12,)}, spec=InputSpec(color="L"))
    with pytest.raises(ParameterError, match="has no frames with class scores"):
        resolve(Target.path(), model, {"x": np.ones((1, 1, 1, 12), np.float32)})


def test_a_stated_blank_beyond_the_classes():
    with pytest.raises(ParameterError, match=r"states blank = 9, but 'frames' of .* has 4 classes"):
        resolve(Target.path(), reader(blank=9), {"x": samples(logits())})
