"""A run that is repeated keeps the results of the same request, and computes only what is missing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from xaionnx_cli._run import _Job

import xaionnx
from tests.cli.conftest import MODELS

METHOD = ("--features", "grid:2", "--budget", "40")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for n in range(5):
        pixels = np.zeros((8, 8), np.uint8)
        pixels[1:7, n + 1] = 255
        Image.fromarray(pixels).save(folder / f"{n}.png")
    return folder


@pytest.fixture
def explained(monkeypatch) -> list[str]:
    """The names of the samples that are computed."""
    names: list[str] = []
    before = _Job._explain

    def explain(self, batch, *more):
        names.extend(Path(sample.name).stem for sample in batch)
        before(self, batch, *more)

    monkeypatch.setattr(_Job, "_explain", explain)
    return names


@pytest.fixture
def repeat(run, digits, pictures, tmp_path, explained) -> Callable[..., tuple[list[str], str]]:
    """Explain the folder, and return what was computed, and the report."""

    def call(*more: str | Path, model: Path = digits, place: str = "out", method: str = "kernel_shap"):
        explained.clear()
        words = METHOD if method == "kernel_shap" else ()
        result = run("explain", method, model, pictures, *words, "-o", tmp_path / place, *more)
        assert result.exit_code == 0, result.stderr
        return explained.copy(), result.stdout

    return call


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_repeated_run_computes_nothing_and_says_so(repeat, tmp_path):
    assert repeat()[0] == list("01234")
    before = _bytes(tmp_path / "out")
    computed, told = repeat()
    assert computed == []
    line = f"kept 5 earlier results of the same request in {tmp_path / 'out'}; --no-resume computes anew"
    assert told.splitlines() == ["digits_cnn.onnx on CPUExecutionProvider", "", line]
    assert _bytes(tmp_path / "out") == before
    computed, told = repeat("--no-resume")
    assert computed == list("01234")
    assert told.count("replacing the earlier one") == 10


def test_the_document_holds_what_was_kept(repeat, tmp_path):
    (tmp_path / "out").mkdir()
    first = json.loads(repeat("--json")[1])
    for name in ("1.npz", "1.png", "3.npz", "3.png"):
        (tmp_path / "out" / name).unlink()
    computed, told = repeat("--json")
    document = json.loads(told)
    assert computed == ["1", "3"]
    assert [Path(name).stem for name in document["kept"]] == ["0", "2", "4"]
    assert first["kept"] == []
    for old, new in zip(first["results"], document["results"], strict=True):
        for one in (old, new):
            _drop_costs(one["explanation"]["diagnostics"])
        assert old == new


@pytest.mark.parametrize(
    "more",
    [
        ("--seed", "1"),
        ("--budget", "41"),
        ("--target", "3"),
        ("--target", "top:2"),
        ("--baseline", "blur"),
        ("--rows-are", "alone"),
    ],
)
def test_another_request_is_computed_anew(repeat, more):
    repeat()
    computed, told = repeat(*more)
    assert computed == list("01234")
    assert told.count("replacing the earlier one") >= 5
    assert repeat(*more)[0] == []


def test_another_model_method_or_input_is_computed_anew(repeat, pictures, tmp_path):
    repeat()
    assert repeat(method="saliency")[0] == list("01234")
    repeat()
    other = Path(shutil.copy(MODELS / "digits_cnn.onnx", tmp_path / "other.onnx"))
    shutil.copy(MODELS / "digits_cnn.toml", tmp_path / "other.toml")
    assert repeat(model=other)[0] == []
    (tmp_path / "other.toml").write_text('[input]\nsize = [8, 8]\ncolor = "L"\nscale = 255\n')
    assert repeat(model=other)[0] == list("01234")
    repeat()
    with Image.open(pictures / "2.png") as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(pictures / "2.png")
    assert repeat()[0] == ["2"]


def test_a_file_that_an_option_names_is_part_of_the_request(run, tmp_path):
    head, *rows = (MODELS / "data" / "german_credit_sample.csv").read_text().splitlines()
    table, typical = tmp_path / "rows.csv", tmp_path / "typical.csv"
    table.write_text("\n".join([head, *rows[:3]]) + "\n")
    words = ("explain", "feature_ablation", MODELS / "german_credit_mlp.onnx", table, "-o", tmp_path / "out", "--json")
    for given, kept in ((rows, 0), (rows, 3), (rows[:9], 0)):
        typical.write_text("\n".join([head, *given]) + "\n")
        result = run(*words, "--baseline", f"mean:{typical}")
        assert len(json.loads(result.stdout)["kept"]) == kept


def test_pictures_and_records_belong_together(repeat, tmp_path):
    out = tmp_path / "out"
    repeat()
    before = _bytes(out)
    (out / "1.png").unlink()
    (out / "2.npz").unlink()
    Image.new("RGB", (9, 9)).save(out / "other.png")
    shutil.copy(out / "3.png", out / "4.png")
    assert repeat()[0] == ["2"]
    after = {name: data for name, data in _bytes(out).items() if name != "other.png"}
    assert after.keys() == before.keys()
    assert all(after[name] == before[name] for name in before if name != "2.npz")


def test_other_looks_draw_the_pictures_alone(repeat, tmp_path):
    repeat()
    before = _bytes(tmp_path / "out")
    computed, told = repeat("--original")
    assert computed == []
    assert told.count("saved ") == 5
    after = _bytes(tmp_path / "out")
    assert {name for name in after if after[name] != before[name]} == {f"{n}.png" for n in range(5)}


def test_a_damaged_record_is_computed_anew(repeat, tmp_path):
    repeat()
    record = tmp_path / "out" / "1.npz"
    record.write_bytes(record.read_bytes()[:-30] + bytes(30))
    explained, _ = repeat("--force")
    assert explained == ["1"]
    assert xaionnx.Explanation.load(record).samples == 1


def test_a_file_of_all_inputs_is_resumed_too(repeat, pictures, tmp_path):
    assert repeat(place="all.npz")[0] == list("01234")
    whole = xaionnx.Explanation.load(tmp_path / "all.npz")
    hidden = pictures / "2.png"
    hidden.rename(tmp_path / "2.png")
    assert repeat(place="all.npz")[0] == []
    (tmp_path / "2.png").rename(hidden)
    assert repeat(place="all.npz")[0] == ["2"]
    again = xaionnx.Explanation.load(tmp_path / "all.npz")
    assert _without_costs(again) == _without_costs(whole)
    for name in ("values", "feature_values", "features", "prediction", "standard_error"):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))
    assert again.display["pixels"] == whole.display["pixels"]


def _without_costs(record: xaionnx.Explanation) -> dict[str, object]:
    words = record.to_dict()
    _drop_costs(words["diagnostics"])
    return words


def _drop_costs(diagnostics):
    """Time, and the inputs that other samples of the batch have too, depend on what is explained together."""
    for name in ("seconds", "equal_inputs"):
        diagnostics.pop(name, None)


def test_samples_that_are_compared_with_each_other_are_computed_anew_among_others(repeat, pictures, tmp_path):
    repeat(method="feature_permutation")
    assert repeat(method="feature_permutation")[0] == []
    (pictures / "2.png").rename(tmp_path / "2.png")
    assert repeat(method="feature_permutation")[0] == list("0134")
