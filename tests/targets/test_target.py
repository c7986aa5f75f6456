"""Target: every kind against plain numpy, in numpy and in the graph."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from tests.targets.faces import both_faces, shown, words
from tests.tolerances import Tolerance, assert_close
from xaionnx import InputSpec, Target
from xaionnx.errors import OutputError, ParameterError, UnknownNameError, UnsupportedModelError
from xaionnx.targets.kinds.index import Index
from xaionnx.targets.kinds.top import Top
from xaionnx.targets.resolve import resolve

RNG = np.random.default_rng(7)
LABELS = ("tabby", "tiger cat", "Egyptian cat", "dog", "crane", "crane")


@pytest.fixture
def scores():
    return RNG.normal(size=(3, 6)).astype(np.float32)


@pytest.fixture
def model(tmp_path):
    return shown(tmp_path, [6], spec=InputSpec(kind="table", labels=LABELS, activation="logits"))


def test_a_class_by_number_label_and_one_a_sample(model, scores):
    assert_close(both_faces(3, model, scores), scores[:, [3]].T, Tolerance.SIGNED_SUMS)
    assert_close(both_faces("dog", model, scores), scores[:, [3]].T, Tolerance.SIGNED_SUMS)
    assert_close(both_faces(Target.label("egypt"), model, scores), scores[:, [2]].T, Tolerance.SIGNED_SUMS)
    each = np.array([5, 0, 2])
    assert_close(both_faces(each, model, scores)[0], scores[np.arange(3), each], Tolerance.SIGNED_SUMS)
    assert words(each, model, scores) == [["crane (5)", "tabby (0)", "Egyptian cat (2)"]]


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("180", Target.label("180")),
        ("90", Target.label("90")),
        # The class of number 1 is named 180, and 1 is no name.
        ("1", Target.index(1)),
        # Its number is written as an element where it is another class's name.
        ("2", Target.label("2")),
        ("element:2", Target.index([2])),
        ("margin:180,1", Target.margin("180", 1)),
        ("probability:90", Target.probability("90")),
        ("segment:180", Target.segment("180")),
        ("box:180", Target.box("180")),
        ("detection:180", Target.detection("180")),
        ("keypoint:180,x", Target.keypoint("180", "x")),
        ("keypoint:180", Target.keypoint("180")),
    ],
)
def test_a_number_that_is_a_label_is_that_label(tmp_path, text, target):
    model = shown(tmp_path, [4], spec=InputSpec(kind="table", labels=("2", "180", "90", "0")))
    assert Target.read(text, model) == target


@pytest.mark.parametrize("text", ["sum:3", "path:a", "loss", "label", "LOSS:weight"])
def test_a_label_may_have_the_name_of_a_form(tmp_path, text):
    """Unless that is a form as it stands, such as path: ``label:path`` is the label then."""
    labels = ("path", "Sum:3", "path:a", "weight loss", "label", "loss:Weight")
    model = shown(tmp_path, [6], spec=InputSpec(kind="table", labels=labels))
    assert Target.read(text, model) == Target.label(text)
    assert Target.read("path", model) == Target.path()
    assert Target.read("label:path", model) == Target.label("path")


def test_the_label_of_a_sample_may_be_a_number(tmp_path):
    model = shown(tmp_path, [3], spec=InputSpec(kind="table", labels=("0", "180", "90")))
    target = Target.labelled().of_units(range(4), ["180", "90", "1", 2], 4)
    assert words(target, model, np.zeros((4, 3), np.float32)) == [["180 (1)", "90 (2)", "180 (1)", "90 (2)"]]


def test_the_top_classes_of_each_sample(model, scores):
    ordered = np.sort(scores, axis=1)[:, ::-1]
    assert_close(both_faces(None, model, scores)[0], ordered[:, 0], Tolerance.SIGNED_SUMS)
    assert_close(both_faces(Target.top(4), model, scores), ordered[:, :4].T, Tolerance.SIGNED_SUMS)
    assert_close(both_faces(Target.classes(), model, scores), scores.T, Tolerance.SIGNED_SUMS)


def test_of_equal_scores_the_first_class_is_the_top_as_in_argmax(model):
    x = np.array([[0, 2, 2, 1, 2, 0]], np.float32)
    assert words(Target.top(3), model, x) == [["tiger cat (1)"], ["Egyptian cat (2)"], ["crane (4)"]]


def test_margin(model, scores):
    assert_close(
        both_faces(Target.margin("dog", 0), model, scores)[0], scores[:, 3] - scores[:, 0], Tolerance.SIGNED_SUMS
    )
    assert words(Target.margin("dog", 0), model, scores)[0][0] == "dog (3) - tabby (0)"


@pytest.mark.parametrize(
    ("ops", "activation", "expected"),
    [
        ((), "logits", lambda x: softmax(x, axis=1)),
        ((), "none", lambda x: softmax(x, axis=1)),
        (("Softmax",), "softmax", lambda x: softmax(x, axis=1)),
        (("Softmax",), "none", lambda x: softmax(x, axis=1)),
        (("Sigmoid",), "sigmoid", lambda x: 1 / (1 + np.exp(-x))),
        (("Sigmoid",), "none", lambda x: 1 / (1 + np.exp(-x))),
        (("Sigmoid", "Dropout"), "none", lambda x: 1 / (1 + np.exp(-x))),
        (("LogSoftmax",), "none", lambda x: softmax(x, axis=1)),
    ],
)
@pytest.mark.parametrize("with_spec", [True, False])
def test_probability_of_logits_and_of_probabilities(tmp_path, scores, ops, activation, expected, with_spec):
    spec = InputSpec(kind="table", activation=activation) if with_spec else None
    found = both_faces(Target.classes(probability=True), shown(tmp_path, [6], ops, spec=spec), scores)
    assert_close(found, expected(scores).T, Tolerance.SIGNED_LAYERS)


def test_the_spec_is_believed_before_the_graph(tmp_path, scores):
    model = shown(tmp_path, [6], ["Softmax"], spec=InputSpec(kind="table", activation="logits"))
    found = both_faces(Target.probability(2), model, scores)
    assert_close(found[0], softmax(softmax(scores, axis=1), axis=1)[:, 2], Tolerance.LAYERS)


def test_probability_of_a_single_logit_is_its_sigmoid_whatever_its_sign(tmp_path):
    x = np.array([[0.3], [2.0], [-1.0]], np.float32)
    sigmoid = 1 / (1 + np.exp(-x[:, 0]))
    for rows in (slice(0, 2), slice(0, 3), slice(0, 1)):
        found = both_faces(Target.probability(), shown(tmp_path, [1]), x[rows])
        assert_close(found[0], sigmoid[rows], Tolerance.SIGNED_SUMS)
    assert_close(
        both_faces(Target.probability(0), shown(tmp_path, [1], ["Sigmoid"]), x)[0], sigmoid, Tolerance.SIGNED_SUMS
    )


def test_probabilities_without_a_softmax_node_are_known_by_their_sum(tmp_path):
    x = softmax(RNG.normal(size=(4, 5)), axis=1).astype(np.float32)
    found = both_faces(Target.probability(), shown(tmp_path, [5]), x)
    assert_close(found[0], x.max(axis=1), Tolerance.SIGNED_SUMS)


@pytest.mark.parametrize("shape", [(1, 6), (6, 1, 1), (1, 1, 6)])
def test_the_axis_of_classes_may_have_axes_of_length_one_beside_it(tmp_path, scores, shape):
    x = scores.reshape(3, *shape)
    model = shown(tmp_path, list(shape))
    assert_close(both_faces(2, model, x)[0], scores[:, 2], Tolerance.SIGNED_SUMS)
    assert_close(both_faces(Target.probability(2), model, x)[0], softmax(scores, axis=1)[:, 2], Tolerance.SIGNED_SUMS)


def test_an_output_without_axis_of_classes_is_one_score(tmp_path):
    x = RNG.normal(size=3).astype(np.float32)
    model = shown(tmp_path, [])
    assert_close(both_faces(None, model, x)[0], x, Tolerance.SIGNED_SUMS)
    assert_close(both_faces(Target.neuron("y", []), model, x)[0], x, Tolerance.SIGNED_SUMS)


def test_one_element_of_any_tensor(tmp_path):
    x = RNG.normal(size=(2, 3, 4, 5)).astype(np.float32)
    model = shown(tmp_path, [3, 4, 5], ["Relu"])
    assert_close(both_faces(Target.index((1, 2, 3)), model, x)[0], np.maximum(x[:, 1, 2, 3], 0), Tolerance.SIGNED_SUMS)
    assert_close(both_faces(Target.neuron("x", (0, 0, 4)), model, x)[0], x[:, 0, 0, 4], Tolerance.SIGNED_SUMS)
    assert words(Target.neuron("h0", (1, 2, 3)), model, x)[0][0] == "h0[1, 2, 3]"


def test_classes_of_a_tensor_inside_the_graph(tmp_path, scores):
    model = shown(tmp_path, [6], ["Elu", "Softmax"], spec=InputSpec(kind="table", labels=LABELS, activation="softmax"))
    inside = np.where(scores > 0, scores, np.expm1(scores))
    assert_close(both_faces(Top(output="h0"), model, scores)[0], inside.max(axis=1), Tolerance.SIGNED_SUMS)
    margin = Target.margin(1, 2, output="h0")
    assert_close(both_faces(margin, model, scores)[0], inside[:, 1] - inside[:, 2], Tolerance.SIGNED_SUMS)
    # The spec describes the output, not the tensor before it.
    chance = Target.probability(4, output="h0")
    assert_close(both_faces(chance, model, scores)[0], softmax(inside, axis=1)[:, 4], Tolerance.SIGNED_SUMS)
    loss = Target.loss(np.array([1, 0, 3]), output="h0")
    expected = -log_softmax(inside, axis=1)[np.arange(3), [1, 0, 3]]
    assert_close(both_faces(loss, model, scores)[0], expected, Tolerance.SIGNED_SUMS)
    assert words(2, model, scores)[0][0] == "Egyptian cat (2)"
    assert words(Target.index(2, output="h0"), model, scores)[0][0] == "h0[2]"


def test_cross_entropy(model, scores):
    labels = np.array([1, 0, 5])
    expected = -log_softmax(scores, axis=1)[np.arange(3), labels]
    assert_close(both_faces(Target.loss(labels), model, scores)[0], expected, Tolerance.SIGNED_SUMS)
    expected = -log_softmax(scores, axis=1)[:, 2]
    assert_close(both_faces(Target.loss(2), model, scores)[0], expected, Tolerance.SIGNED_SUMS)
    assert words(Target.loss(2), model, scores)[0][0] == "cross-entropy against Egyptian cat (2)"


def test_squared_error(tmp_path, model, scores):
    one_each, shared = RNG.normal(size=(3, 6)), RNG.normal(size=6)
    for labels in (one_each, shared, 0.5):
        found = both_faces(Target.loss(labels, "squared_error"), model, scores)
        assert_close(found[0], ((scores - labels) ** 2).sum(axis=1), Tolerance.SIGNED_SUMS)
    single = shown(tmp_path, [1])
    found = both_faces(Target.loss([1.0, 2.0, 3.0], "squared_error"), single, scores[:, :1])
    assert_close(found[0], (scores[:, 0] - [1, 2, 3]) ** 2, Tolerance.SIGNED_SUMS)


def test_a_list_mixes_kinds_and_tensors(tmp_path, scores):
    model = shown(tmp_path, [6], ["Elu"])
    inside = np.where(scores > 0, scores, np.expm1(scores))
    mixed = [2, Target.top(2), Target.sum(output="x"), Target.margin(0, 1), np.array([0, 1, 2]), [Target.loss(4)]]
    found = both_faces(mixed, model, scores)
    ordered = np.sort(inside, axis=1)
    expected = [
        inside[:, 2],
        ordered[:, -1],
        ordered[:, -2],
        scores.sum(axis=1),
        inside[:, 0] - inside[:, 1],
        inside[np.arange(3), np.arange(3)],
        -log_softmax(inside, axis=1)[:, 4],
    ]
    assert_close(found, expected, Tolerance.SIGNED_SUMS)


def test_shorthands():
    assert Target.of(None) == ([Top()], False)
    assert Target.of(np.int64(3)) == Target.of(3) == ([Index(3)], False)
    assert Target.index(np.int64(3)) == Target.index(3)
    assert Target.index(np.array([1, 2])) == Index((1, 2))
    assert Target.of("cat") == ([Index("cat")], False)
    assert Target.of(np.array([1, 2])) == ([Index((1, 2), each=True)], False)
    assert Target.of([1, "cat"]) == ([Index(1), Index("cat")], True)
    assert Target.of(Target.top(2))[1]


@pytest.mark.parametrize("given", [1.5, True, (3, 5), np.ones((2, 2), int), np.array([1.0]), {3: 1}, b"cat"])
def test_what_is_no_shorthand(given):
    with pytest.raises(
        ParameterError, match="The 'target' parameter must be None, an int, an array of one int per sample"
    ):
        Target.of(given)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Target.of([]), r"The 'target' parameter must name at least one target. Got \[\] instead."),
        (
            lambda: Target.of((3, 5)),
            r"Got \(3, 5\) instead. Use Target.index\(\(3, 5\)\) for one element, or \[3, 5\] for several classes.",
        ),
        (lambda: Target.index("dog"), r"must be an int, or one int per axis. Got 'dog' instead."),
        (lambda: Target.index(1.5), r"must be an int, or one int per axis. Got 1.5 instead."),
        (lambda: Target.neuron("y", [0.5]), r"must be an int, or one int per axis. Got \[0.5\] instead."),
        (lambda: Target.top(0), r"The 'k' parameter of Target.top must be an int in \[1, inf\). Got 0 instead."),
        (
            lambda: Target.loss(1, "hinge"),
            r"must be one of 'cross_entropy', 'squared_error'. Got 'hinge' instead.",
        ),
    ],
)
def test_what_is_refused_without_a_model(make, message):
    with pytest.raises(ParameterError, match=message):
        make()


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (
            6,
            ParameterError,
            "The 'target' parameter must be an int in [0, 5] for 'y'. Got 6 instead. Classes count from 0.",
        ),
        (7, ParameterError, "The 'target' parameter must be an int in [0, 5] for 'y'. Got 7 instead."),
        (-1, ParameterError, "The 'target' parameter must be an int in [0, 5] for 'y'. Got -1 instead."),
        (
            np.array([1, 2]),
            ParameterError,
            "The 'target' parameter must have one int per sample. Got 2 for 3 samples.",
        ),
        (Target.margin(1, 9), ParameterError, "Got 9 instead."),
        (Target.probability([1, 2]), ParameterError, "Got [1, 2] instead."),
        (Target.top(7), ParameterError, "'y' has 6 classes. Request at most that many."),
        ("cat", UnknownNameError, "2 labels contain 'cat': 1 tiger cat, 2 Egyptian cat."),
        ("crane", UnknownNameError, "2 labels are 'crane': 4 crane, 5 crane. Give its number."),
        ("dgo", UnknownNameError, "No label named 'dgo'. Nearest: dog."),
        (Target.index((1, 2)), ParameterError, "one index for each axis of 'y' after the batch, (6,). Got (1, 2)"),
        (Target.neuron("y", 6), ParameterError, "Got (6,) instead."),
        (Target.neuron("z", 0), UnknownNameError, "named 'z'"),
        (Target.channel("y", 6), ParameterError, "Tensor 'y' of shape (N, 6) has no channel 6."),
        (Target.loss([0, 1]), ParameterError, "must have one int per sample. Got 2 for 3 samples."),
        (Target.loss(0.5), ParameterError, "must be one class number per sample. Got () float64 instead."),
        (
            Target.loss([1.0, 2.0], "squared_error"),
            ParameterError,
            "The 'labels' parameter of Target.loss must be numbers of shape (N, 6). Got (2,) float64 instead.",
        ),
    ],
)
def test_messages(model, scores, target, error, message):
    with pytest.raises(error) as caught:
        resolve(target, model, {"x": scores})
    assert message in str(caught.value)


def test_labels_that_are_missing_or_too_many(tmp_path, scores):
    with pytest.raises(
        ParameterError, match=r"shown6.onnx has no label 'dog'. Give a class number, or labels in shown6"
    ):
        resolve("dog", shown(tmp_path, [6]), {"x": scores})
    named = shown(tmp_path, [6], spec=InputSpec(kind="table", labels=[f"class {k}" for k in "abcdef"]))
    with pytest.raises(ParameterError, match=r"has no label '3'. Give a class number as an int: 3\."):
        resolve("3", named, {"x": scores})
    too_many = shown(tmp_path, [6], spec=InputSpec(kind="table", labels=[f"class {k}" for k in range(8)]))
    with pytest.raises(ParameterError, match=r"must be an int in \[0, 5\] for 'y'. Got 7 instead."):
        resolve("class 7", too_many, {"x": scores})
    assert words(2, too_many, scores)[0][0] == "y[2]"


def test_losses_that_need_logits(tmp_path, scores):
    with pytest.raises(UnsupportedModelError, match="needs logits, but 'y' contains probabilities"):
        resolve(Target.loss(1), shown(tmp_path, [6], ["Softmax"]), {"x": scores})
    with pytest.raises(UnsupportedModelError, match="needs one score per class, but 'y' contains one"):
        resolve(Target.loss(0), shown(tmp_path, [1]), {"x": scores[:, :1]})


def test_rows_that_are_answered_with_nan_are_named(model, scores):
    bad = np.concatenate([scores, scores, scores])
    bad[[1, 4], 2] = np.nan
    for target in (None, 2, Target.sum(), Target.channel("y", 2)):
        with pytest.raises(
            OutputError,
            match=r"returns NaN or infinity for row 1, 4. Check the input's scale, and ",
        ):
            resolve(target, model, {"x": bad})
    # A class that is not a target may be impossible.
    bad[[1, 4], 2] = -np.inf
    assert_close(resolve(None, model, {"x": bad}).values[0], bad.max(axis=1), Tolerance.OPERATIONS)
