"""The entries of the JSON document, encoded for many samples at once, are those of each sample alone."""

from __future__ import annotations

import numpy as np
import pytest
from xaionnx_cli import _report
from xaionnx_cli._entry_texts import EntryTexts, Mark, array_texts, entry_texts
from xaionnx_cli._explained import Explained
from xaionnx_cli._samples import Source

from xaionnx import Explanation, Model, Target, discovery
from xaionnx.caveats import Findings, warnings_of_each
from xaionnx.data.inputs import Inputs
from xaionnx.explanation_file import write_fields
from xaionnx.record_joining import Joined, decode_lists, encode_lists, join_records

CREDIT = "models/data/german_credit_sample.csv"
CASES = [
    ("tree_shap", "models/german_credit_forest.onnx", {"interactions": True}, 1),
    ("kernel_shap", "models/german_credit_mlp.onnx", {"budget": 300}, [0, 1]),
    ("lime", "models/german_credit_mlp.onnx", {"budget": 300}, 1),
    ("integrated_gradients", "models/german_credit_mlp.onnx", {"steps": 2}, [0, 1]),
    ("anchors", "models/german_credit_mlp.onnx", {"budget": 200}, 1),
    ("kernel_shap", "models/digits_cnn.onnx", {"features": "superpixels", "budget": 400}, [3, 5]),
    ("grad_cam", "models/digits_cnn.onnx", {}, None),
]
IDS = [f"{method}-{model.split('/')[1][:-5]}" for method, model, _, _ in CASES]


def explained(method, file, settings, target) -> Explained:
    model = Model.load(file)
    if "credit" in file:
        found = model.read(CREDIT)
        rows = range(7)
        inputs = Inputs({k: x[:7] for k, x in found.arrays.items()}, found.names[:7], found.sha256s[:7])
    else:
        rng = np.random.default_rng(0)
        x = rng.integers(0, 256, (3, *model.input().shape[1:])).astype(np.float32) / 255
        # A sample without anything to see, whose values are zero.
        x[1] = 0
        inputs = Inputs({model.input().name: x}, ("a.npy[0]", "a.npy[1]", "a.npy[2]"), ("01",) * 3)
        rows = range(3)
    bound = discovery.configured(method, settings).bind(model)
    request = bound.request(model, inputs, target, [_report.TopClasses(None)])
    result = bound.explain(request)
    source = Source(inputs, model.shared, inputs.provenance())
    samples = [sample for sample, _ in zip(source, rows, strict=True)]
    return Explained.of(samples, result, _report.top_classes(request))


@pytest.fixture(scope="module", params=CASES, ids=IDS)
def case(request) -> Explained:
    return explained(*request.param)


def alone(whole: Explained, n: int, files: list[str], *, arrays: bool) -> str:
    """The entry of a sample, encoded by itself."""
    one = whole.single(n)
    (sample,), (top,) = one.samples, one.tops
    return _report.dump_json(
        {
            "input": sample.name,
            "input_sha256": sample.sha256,
            "top": [vars(score) for score in top],
            "files": files,
            "explanation": _report.json_record(one.record, arrays=arrays),
        }
    )


def test_entries_are_those_of_each_sample_alone(case):
    count = len(case.samples)
    with_arrays = [alone(case, n, ["a.png"], arrays=True) for n in range(count)]
    assert list(entry_texts(case, ["a.png"], arrays=True).texts({})) == with_arrays
    short = entry_texts(case, None, arrays=False)
    marks = {Mark.FILES: EntryTexts(count, ('["a.png"]',))}
    assert list(short.texts(marks)) == [alone(case, n, ["a.png"], arrays=False) for n in range(count)]
    assert list(short.texts(marks | array_texts(case.record))) == with_arrays
    single = case.single(1)
    assert list(entry_texts(single, ["a.png"], arrays=True).texts({})) == with_arrays[1:2]


def test_samples_of_several_files_have_their_own_conversions(case):
    first, second = case.samples[0].source, case.samples[1].source
    other = Source(second.found, second.shared, {**second.origin, "conversions": ["another"], "rate": 2.0})
    samples = [*case.samples[:1], *(type(one)(other, one.row) for one in case.samples[1:])]
    assert first is not other
    mixed = Explained.of(samples, case.record, case.tops)
    found = list(entry_texts(mixed, [], arrays=False).texts({}))
    assert found == [alone(mixed, n, [], arrays=False) for n in range(len(samples))]


def test_numbers_that_are_not_finite_are_null(case):
    record = case.record
    values = record.values if isinstance(record.values, dict) else {"x": record.values.copy()}
    next(iter(values.values()))[..., :1] = np.nan
    holed = Explained(case.samples, Explanation(**{**vars(record), "values": next(iter(values.values()))}), case.tops)
    found = list(entry_texts(holed, [], arrays=True).texts({}))
    assert found == [alone(holed, n, [], arrays=True) for n in range(len(case.samples))]
    assert "NaN" not in found[0]


def test_warnings_of_each_sample_and_of_parts(case):
    record, count = case.record, case.record.samples
    assert warnings_of_each(record) == [record.sample(n).warnings for n in range(count)]
    for cut in range(1, count):
        findings = Findings.of(record[:cut]) + Findings.of(record[cut:])
        assert findings == Findings.of(record)
        assert findings.sentences(record) == record.warnings


def test_a_file_joined_field_by_field_is_that_of_the_joined_record(case, tmp_path):
    record = case.record
    parts = [record[:1], record[1:2], record[2:]]
    encoded = [encode_lists(part) for part in parts]
    for part, one in zip(parts, encoded, strict=True):
        assert decode_lists(one).to_dict() == part.to_dict()
    write_fields(Joined(encoded).fields(), tmp_path / "fields.npz")
    join_records(parts, [sample.name for sample in case.samples]).save(tmp_path / "whole.npz")
    fields, whole = (np.load(tmp_path / name) for name in ("fields.npz", "whole.npz"))
    assert sorted(fields) == sorted(whole)
    for name in whole:
        np.testing.assert_array_equal(fields[name], whole[name])
    assert Explanation.load(tmp_path / "fields.npz").to_dict() == Explanation.load(tmp_path / "whole.npz").to_dict()


def test_targets_of_each_sample_differ():
    whole = explained("saliency", "models/digits_cnn.onnx", {}, [Target.top(1), Target.index(2)])
    found = list(entry_texts(whole, [], arrays=True).texts({}))
    assert found == [alone(whole, n, [], arrays=True) for n in range(len(whole.samples))]
