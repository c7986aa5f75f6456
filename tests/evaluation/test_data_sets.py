"""Scores of data sets that are read in parts: the same bits whatever the parts, and no sample at another's place."""

from __future__ import annotations

import gc
import itertools
import math
import tracemalloc

import numpy as np
import onnxruntime
import pytest
from sklearn.datasets import load_digits

import xaionnx
from models import planted
from tests import tiny
from xaionnx import Dataset, Target
from xaionnx.errors import DataError, OutputError, ParameterError, XaionnxError
from xaionnx.evaluation import evaluate, metrics, recommend, score_table
from xaionnx.evaluation.joining import Chain
from xaionnx.evaluation.label_matches import LabelMatches
from xaionnx.evaluation.metric import METRICS
from xaionnx.render import score_page, verdict

COUNT = 7
CONTROLS = ("random", "edges", "other_class")


@pytest.fixture(scope="module")
def digits():
    return load_digits().images[:COUNT, None].astype(np.float32)


@pytest.fixture(scope="module")
def model():
    return tiny.trained("digits_cnn")


def same(one, other):
    np.testing.assert_array_equal(one.values, other.values)
    assert one.curves.keys() == other.curves.keys()
    for name, curve in one.curves.items():
        np.testing.assert_array_equal(curve, other.curves[name])
    assert one.diagnostics["evaluations"] == other.diagnostics["evaluations"]
    assert one.provenance["target"] == other.provenance["target"]
    assert one.provenance["explanation"]["input_sha256"] == other.provenance["explanation"]["input_sha256"]
    for name, control in one.controls.items():
        same(control, other.controls[name])


@pytest.mark.parametrize("read", [lambda x: x, Dataset.of], ids=["array", "data set"])
def test_a_method_that_explains_all_samples_together_says_so(model, digits, read):
    said = "dependence explains all samples together, and a metric judges the values of each"
    table = score_table(model, read(digits), ["dependence", "saliency"], ["sparseness"])
    assert table.refused["dependence"].startswith(said)
    assert [*table.scores] == ["saliency"]
    with pytest.raises(ParameterError, match=said):
        evaluate(model, read(digits), "dependence", "sparseness")


@pytest.mark.sampled(percent=40)
@pytest.mark.parametrize("name", [name for name in metrics() if name not in ("label_randomisation", "similarity")])
def test_the_size_of_parts_changes_no_bit(model, digits, name):
    masks = digits[:, 0] > 8
    data, controls = Dataset.of(digits, masks=masks), CONTROLS if name == "deletion" else ("random",)
    if METRICS.find(name).compares_samples:
        with pytest.raises(ParameterError, match="compares all samples with each other"):
            evaluate(model, data, "saliency", name, batch_size=4)
        return
    try:
        whole = evaluate(model, digits, "input_x_gradient", name, 3, controls=controls, masks=masks)
    except XaionnxError as error:
        with pytest.raises(type(error)):
            evaluate(model, data, "input_x_gradient", name, 3, controls=controls, batch_size=4)
        return
    same(evaluate(model, data, "input_x_gradient", name, 3, controls=controls, batch_size=4), whole)


def test_a_table_of_parts_is_that_of_the_whole(model, digits):
    methods, judges = ["saliency", "grad_cam", "lrp"], ["deletion", "sparseness"]
    whole = score_table(model, digits, methods, judges)
    for size in (1, 3):
        parts = []
        found = score_table(model, Dataset.of(digits), methods, judges, batch_size=size, on_progress=parts.append)
        assert found.inputs == tuple(f"x[{n}]" for n in range(COUNT))
        parts = [part() for part in parts]
        sizes = [size] * 4 + [*range(2 * size, COUNT, size), COUNT]
        assert [len(one.inputs) for one in parts] == sizes
        assert [len(one.scores) for one in parts] == [1, 2] + [3] * (len(parts) - 2)
        for name, metric in itertools.product(methods, judges):
            np.testing.assert_array_equal(found.scores[name][metric].values, whole.scores[name][metric].values)
            np.testing.assert_array_equal(
                found.scores[name][metric].control.values, whole.scores[name][metric].control.values
            )
        assert repr(found.standings("deletion")["lrp"]) == repr(whole.standings("deletion")["lrp"])


def test_files_of_several_sizes_and_broken_ones_keep_their_places(tmp_path, model, digits):
    for n, picture in enumerate(digits):
        np.save(tmp_path / f"{n:02}.npy", picture[None])
    (tmp_path / "03.npy").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no picture")
    found = score_table(model, Dataset.of(tmp_path), ["saliency"], ["sparseness"], batch_size=4)
    assert [one.unit for one in found.left_out] == [3, COUNT]
    assert [name.rpartition("/")[2][:2] for name in found.inputs] == [f"{n:02}" for n in range(COUNT) if n != 3]
    alone = evaluate(model, np.delete(digits, 3, axis=0), "saliency", "sparseness")
    np.testing.assert_array_equal(found.scores["saliency"]["sparseness"].values, alone.values)
    one = evaluate(model, Dataset.of(tmp_path), "saliency", "sparseness", batch_size=4)
    np.testing.assert_array_equal(one.values, alone.values)
    assert [each["unit"] for each in one.provenance["left_out"]] == [3, COUNT]


def test_a_sample_that_a_method_cannot_explain_costs_no_other_one(model, digits):
    data = digits.copy()
    data[5] = np.nan
    found = score_table(model, Dataset.of(data), ["saliency", "occlusion"], ["sparseness"], batch_size=4)
    assert [one.unit for one in found.left_out] == [5]
    assert len(found.inputs) == COUNT - 1
    assert not found.refused
    whole = evaluate(model, np.delete(digits, 5, axis=0), "saliency", "sparseness")
    np.testing.assert_array_equal(found.scores["saliency"]["sparseness"].values, whole.values)


def test_a_method_that_fails_for_one_sample_has_no_score_there_alone(monkeypatch, model, digits):
    from xaionnx.explainers.saliency import Saliency

    inner = Saliency.compute

    def compute(self, request):
        if any((array == digits[6]).all(axis=(-3, -2, -1)).any() for array in request.feeds.values()):
            raise DataError("This one fails.")
        return inner(self, request)

    monkeypatch.setattr(Saliency, "compute", compute)
    found = score_table(model, Dataset.of(digits), ["saliency", "lrp"], ["deletion"], batch_size=4)
    scores = found.scores["saliency"]["deletion"]
    assert np.flatnonzero(np.isnan(scores.values)).tolist() == [6]
    assert scores.reasons == {6: "This one fails."}
    assert np.isnan(scores.control.values[6])
    assert not found.refused
    assert found.scores["lrp"]["deletion"].count == COUNT
    alone = evaluate(model, Dataset.of(digits), "saliency", "deletion", batch_size=4)
    np.testing.assert_array_equal(alone.values, scores.values)


def test_what_does_not_apply_is_tried_on_a_few_samples_only(monkeypatch, model, digits):
    from xaionnx.explainers.saliency import Saliency

    tried = []

    def compute(self, request):
        tried.append(len(request.samples))
        raise DataError("It never works.")

    monkeypatch.setattr(Saliency, "compute", compute)
    found = score_table(model, Dataset.of(digits), ["saliency", "grad_cam"], ["sparseness"], batch_size=4)
    assert found.refused == {"saliency": "It never works."}
    assert tried == [4, 2, 1, 1, 2, 1]
    with pytest.raises(DataError, match="never works"):
        evaluate(model, Dataset.of(digits), "saliency", "sparseness", batch_size=4)


def test_time_that_is_used_up_leaves_the_scores_of_the_first_samples(model, digits):
    now = [0.0]

    def part(table):
        now[0] += 40

    found = score_table(
        *(model, Dataset.of(digits), ["saliency"], ["sparseness"]),
        budget_s=35,
        clock=lambda: now[0],
        batch_size=4,
        on_progress=part,
    )
    assert found.inputs == ("x[0]", "x[1]")
    assert found.stopped.startswith("The time is used up.")
    assert found.scores["saliency"]["sparseness"].count == 2
    assert found.to_dict()["stopped"] == found.stopped


def test_an_iterable_is_scored_as_the_array_of_its_items(model, digits):
    whole = score_table(model, digits, ["saliency"], ["sparseness"])
    found = score_table(model, Dataset.of(iter(digits)), ["saliency"], ["sparseness"], batch_size=4)
    np.testing.assert_array_equal(
        found.scores["saliency"]["sparseness"].values, whole.scores["saliency"]["sparseness"].values
    )
    as_it_is = evaluate(model, (digit for digit in digits), "saliency", "sparseness", batch_size=4)
    np.testing.assert_array_equal(as_it_is.values, whole.scores["saliency"]["sparseness"].values)


@pytest.mark.parametrize("form", ["array", "iterable", "files"])
def test_a_recommendation_reads_no_more_than_it_judges_and_is_the_same(tmp_path, model, digits, form):
    whole = recommend(model, digits, methods=["saliency", "grad_cam", "lrp"], metrics=["deletion", "sparseness"])
    for n, picture in enumerate(digits):
        np.save(tmp_path / f"{n:02}.npy", picture[None])
    data = {"array": digits, "iterable": iter(digits), "files": tmp_path}[form]
    rounds = []
    found = recommend(
        model,
        Dataset.of(data),
        methods=["saliency", "grad_cam", "lrp"],
        metrics=["deletion", "sparseness"],
        on_progress=rounds.append,
    )
    assert set(found.ranking) == set(whole.ranking)
    assert [len(one().table.inputs) for one in rounds] == [2, 2, 2, 2, 4, 7]
    for name, each in whole.table.scores.items():
        for metric, scores in each.items():
            # Which methods go on depends on what they cost.
            own = found.table.scores[name][metric].values
            both = min(len(own), len(scores.values))
            np.testing.assert_array_equal(own[:both], scores.values[:both])


def test_nothing_that_can_be_read_is_said(tmp_path, model, digits):
    for n in range(3):
        (tmp_path / f"{n}.npy").write_bytes(b"")
    for work in (
        lambda data: score_table(model, data, ["saliency"], ["sparseness"]),
        lambda data: evaluate(model, data, "saliency", "sparseness"),
        lambda data: recommend(model, data, methods=["saliency"]),
    ):
        with pytest.raises(DataError, match=r"0\.npy"):
            work(Dataset.of(tmp_path))
    with pytest.raises(ParameterError, match="'batch_size' parameter"):
        score_table(model, Dataset.of(digits), ["saliency"], ["sparseness"], batch_size=0)
    with pytest.raises(ParameterError, match="masks of its own"):
        score_table(model, Dataset.of(digits), ["saliency"], ["sparseness"], masks=digits > 0)


@pytest.mark.parametrize("given", ["array", "labels", "names", "loss"])
def test_each_sample_has_its_own_class_in_every_part(model, digits, given):
    classes = np.array([3, 1, 2, 0, 7, 5, 9])
    labels = [str(one) for one in classes] if given == "names" else classes
    targets = {"array": classes, "loss": Target.loss(classes)}
    target = targets.get(given, Target.labelled())
    whole = evaluate(model, digits, "input_x_gradient", "deletion", targets["loss"] if given == "loss" else classes)
    data = Dataset.of(digits, labels=labels)
    same(whole, evaluate(model, data, "input_x_gradient", "deletion", target, batch_size=3))
    table = score_table(model, data, ["input_x_gradient"], ["deletion"], target, batch_size=2)
    same(whole, table.scores["input_x_gradient"]["deletion"])


@pytest.mark.parametrize(
    ("labels", "target", "said"),
    [
        (None, np.array([3, 1]), "one int per sample. Got 2 for 7 samples"),
        (None, Target.loss(np.array([3, 1])), "one int per sample. Got 2 for 7 samples"),
        (None, Target.labelled(), "there is none. Name the labels: --labels, or Dataset"),
        (["cat"] * COUNT, Target.labelled(), "No label named 'cat'. Known: 0, 1"),
        ([12] * COUNT, Target.labelled(), r"must be an int in \[0, 9\] for 'logits'. Got 12"),
        ([0.5] * COUNT, Target.labelled(), "The label 0.5 is no class: it must be a number or a label of"),
    ],
)
def test_classes_that_are_not_those_of_the_samples_are_refused(model, digits, labels, target, said):
    with pytest.raises(XaionnxError, match=said):
        evaluate(model, Dataset.of(digits, labels=labels), "saliency", "sparseness", target)


def test_a_sample_without_a_label_is_left_out(model, digits):
    labels = [3, None, *[1] * (COUNT - 2)]
    found = score_table(
        model, Dataset.of(digits, labels=labels), ["saliency"], ["sparseness"], Target.labelled(), batch_size=3
    )
    assert [one.unit for one in found.left_out] == [1]
    assert "there is none" in found.left_out[0].reason
    assert len(found.inputs) == COUNT - 1


def test_classes_of_an_iterable_are_those_of_its_labels(model, digits):
    pairs = list(zip(digits, [3, 1, 2, 0, 7, 5, 9], strict=True))
    whole = evaluate(model, digits, "saliency", "deletion", np.array([one for _, one in pairs]))
    same(whole, evaluate(model, Dataset.of(iter(pairs)), "saliency", "deletion", Target.labelled(), batch_size=3))
    with pytest.raises(ParameterError, match="Got 7 for an unknown number of samples"):
        evaluate(model, Dataset.of(iter(pairs)), "saliency", "deletion", np.arange(7))


def test_duplicates_and_shuffled_samples_have_the_scores_of_their_content(model, digits):
    order = np.array([4, 4, 0, 6, 2])
    found = evaluate(model, Dataset.of(digits[order]), "saliency", "deletion", batch_size=2)
    whole = evaluate(model, digits, "saliency", "deletion")
    np.testing.assert_array_equal(found.values, whole.values[order])
    np.testing.assert_array_equal(found.control.values, whole.control.values[order])


def test_rows_of_a_table_are_scored_in_parts(tmp_path):
    linear = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    x = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    np.savetxt(tmp_path / "x.csv", x, delimiter=",", header="a,b,c,d", comments="", fmt="%.9g")
    data = Dataset.of(tmp_path / "x.csv")
    with pytest.warns(UserWarning, match="no spec names the columns"):
        found = evaluate(linear, data, "input_x_gradient", "infidelity", batch_size=7)
    np.testing.assert_array_equal(found.values, evaluate(linear, x, "input_x_gradient", "infidelity").values)


def test_rows_that_see_each_other_are_scored_by_no_halves():
    """A row alone has another answer than beside the others, so that a half would be scored by that."""
    model = tiny.loaded("centred (float[N,3] x) => (float[N,3] y) {m = ReduceMean<axes = [0]>(x) y = Sub(x, m)}")
    x = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    with pytest.raises(ParameterError, match="depends on the other rows, so the rows together are one sample"):
        score_table(model, Dataset.of(x), ["saliency"], ["sparseness"], 0)


def test_inputs_that_were_read_are_a_data_set(tmp_path):
    (tmp_path / "rows.csv").write_text("a,b,kind\n1,2,0\n3,4,1\n5,6,1\n")
    model = planted.load(planted.linear([[1.0, 2.0], [4.0, 3.0]]))
    read = model.read(tmp_path / "rows.csv", ignore=["kind"])
    data = Dataset.of(read, labels=[0, 1, 1])
    [block] = data.read(model, 1, 3)
    np.testing.assert_array_equal(block.inputs.arrays["x"], [[3, 4], [5, 6]])
    assert (block.inputs.names, block.labels) == (read.names[1:], (1, 1))
    assert len(data) == 3


def test_joining_copies_each_sample_a_few_times_only():
    copied, parts = [0], 1000

    def join(one, other):
        copied[0] += one + other
        return one + other

    chain = Chain(join, int)
    for _ in range(parts):
        chain.add(1)
    assert chain.whole() == parts
    assert copied[0] < 2 * parts * math.log2(parts)
    assert len(chain.parts) <= math.log2(parts) + 1


def test_scores_keep_no_samples():
    class Wide:
        """Samples of 40 kB, made when they are read."""

        def __len__(self):
            return 400

        def __getitem__(self, number):
            if number >= len(self):
                raise IndexError
            return np.random.default_rng(number).normal(size=10_000).astype(np.float32)

    linear = planted.load(planted.linear([np.ones(10_000).tolist()]))
    evaluate(linear, Dataset.of(Wide()), "input_x_gradient", "sparseness", batch_size=10)
    for work in (evaluate, lambda *given, **options: score_table(*given[:2], [given[2]], [given[3]], **options)):
        tracemalloc.start()
        scores = work(linear, Dataset.of(Wide()), "input_x_gradient", "sparseness", batch_size=10)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8e6, f"{peak / 1e6:.1f} MB of 16 MB of samples"
        del scores


@pytest.mark.parametrize("metric", ["parameter_randomisation", "efficient_parameter_randomisation"])
def test_models_with_random_weights_are_closed_after_use(model, digits, metric):
    def sessions():
        return sum(isinstance(one, onnxruntime.InferenceSession) for one in gc.get_objects())

    methods = ["saliency", "grad_cam", "occlusion"]
    score_table(model, digits, methods, [metric])
    gc.collect()
    gc.disable()
    try:
        before = sessions()
        score_table(model, digits, methods, [metric])
        assert sessions() == before
    finally:
        gc.enable()


def test_samples_that_are_explained_together_are_not_explained_in_halves():
    """Permuting a column makes a sum 0 among all eight rows, and may make none among four."""
    rows = np.random.default_rng(0).integers(-4, 5, (8, 3)).astype(np.float32)
    rows[rows.sum(axis=1) == 0, 0] += 1
    body = "(float[N, 3] x) => (float[N, 1] y) { s = ReduceSum<keepdims=1>(x, a) y = Reciprocal(s) }"
    inverse = tiny.loaded(f"g {body}", a=np.array([1]))
    with pytest.raises(OutputError):
        xaionnx.explain(inverse, rows, "feature_permutation", 0)
    found = score_table(inverse, Dataset.of(rows), ["feature_permutation"], ["sparseness"], 0)
    assert not found.scores.get("feature_permutation")
    assert "NaN or infinity" in found.refused["feature_permutation"]


@pytest.mark.parametrize("budget", [None, 60.0])
@pytest.mark.parametrize("target", [None, 0, Target.sum()])
def test_labels_are_compared_with_the_top_classes(model, digits, target, budget):
    """In every part, and whatever is explained: the digits are those of their numbers, which the model knows."""
    labels = [0, 1, 2, 9, None, "eleven", 6]
    data = Dataset.of(digits, labels=labels)
    found = score_table(model, data, ["saliency"], ["sparseness"], target, batch_size=2, budget_s=budget)
    assert found.labels == LabelMatches(top_class=4, another_class=1, no_class=1)
    assert verdict(found)[:3] == [
        "The label is the top class of 4 of 5 inputs.",
        "The label of 1 input is no class of the model.",
        "1 input has no label.",
    ]
    counts = {"top_class": 4, "another_class": 1, "no_class": 1, "one_less": 0, "missing": 1}
    assert found.to_dict()["labels"] == counts
    assert "<p>The label is the top class of 4 of 5 inputs.</p>" in score_page(found)


@pytest.mark.parametrize("form", ["listed", "beside each"])
@pytest.mark.parametrize("kind", [int, str, float])
def test_labels_that_are_likely_to_count_from_1_are_said_to(model, digits, kind, form):
    """Few of them were the top class, and nothing said why."""
    labels = [kind(n + 1) for n in range(COUNT)]
    data = Dataset.of(digits, labels=labels) if form == "listed" else Dataset.of(zip(digits, labels, strict=True))
    found = score_table(model, data, ["saliency"], ["sparseness"], batch_size=2)
    # Of one digit another class is the top one.
    assert found.labels == LabelMatches(another_class=COUNT, one_less=COUNT - 1)
    said = "The label less 1 is the top class of 6 of 7 inputs: if the labels count from 1, take 1 from each, because"
    assert any(line.startswith(said) for line in verdict(found))


@pytest.mark.parametrize(
    ("counts", "said"),
    [((0, 3), True), ((0, 2), False), ((2, 6), False), ((2, 7), True), ((7, 0), False), ((20, 20), False)],
)
def test_labels_are_said_to_count_from_1_where_many_more_match_then(counts, said):
    top, less = counts
    found = LabelMatches(top_class=top, another_class=less, one_less=less)
    assert any("count from 1" in line for line in found.sentences(of=top + less)) == said


@pytest.mark.parametrize("target", [None, 0, Target.labelled()])
@pytest.mark.parametrize("work", [score_table, recommend])
def test_labels_that_are_no_class_unless_they_count_from_1_are_refused_whatever_is_explained(
    model, digits, target, work
):
    """Ahead of all scores, and by all labels: the first part has none that is no class."""
    data = Dataset.of(digits, labels=[*range(1, COUNT), 10])
    with pytest.raises(ParameterError, match=r"numbers from 1 to 10, and the classes of .* are numbered from 0 to 9"):
        work(model, data, methods=["saliency"], metrics=["sparseness"], target=target)


def test_nothing_is_said_of_labels_where_there_are_none(model, digits):
    found = score_table(model, Dataset.of(digits), ["saliency"], ["sparseness"])
    assert found.to_dict()["labels"] is None
    assert not any("label" in line for line in verdict(found))


def test_labels_of_a_model_of_one_value_are_no_classes():
    """Every label 0 would be its top class."""
    linear = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    data = Dataset.of(np.ones((3, 4), np.float32), labels=[0, 0, 1])
    found = score_table(linear, data, ["saliency"], ["sparseness"])
    assert verdict(found)[0] == "The labels of 3 inputs are no class of the model."
