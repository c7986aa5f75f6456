"""``xaionnx masker``, and explanations with its file."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xaionnx import Explanation
from xaionnx.masker import Masker
from xaionnx.optimization import MaskerTraining

MODEL = Path(__file__).parents[2] / "models" / "mnist_cnn.onnx"
SHORT = ("--steps", "3", "--batch", "4", "--width", "2")


@pytest.fixture
def digits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("digits.npy", np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8))
    return "digits.npy"


def test_a_masker_is_trained_and_explains(run, digits):
    made = run("masker", MODEL, digits, "-o", "m.onnx", *SHORT)
    assert made.exit_code == 0, made.stderr
    assert made.stdout.startswith("m.onnx: a masker of mnist_cnn.onnx, trained on 6 inputs\n  the objective ")
    told = json.loads(run("masker", MODEL, digits, "-o", "m.onnx", *SHORT, "--json").stdout)
    assert told["sha256"] == Masker.load("m.onnx", "cpu").sha256
    assert (told["steps"], told["training"]["baselines"]) == (3, ["zero", "rise_blur"])
    shown = run("explain", "masker", MODEL, digits, "--masker", "m.onnx", "-o", "found.npz")
    assert shown.exit_code == 0, shown.stderr
    found = Explanation.load("found.npz")
    assert found.values.shape == (6, 1, 28, 28)
    assert found.provenance["parameters"]["masker"]["model"]["sha256"] == told["sha256"]
    assert run("explain", "masker", MODEL, digits, "--masker", "m.onnx", "-o", "found.png").exit_code == 0


def test_ctrl_c_keeps_what_is_trained_and_it_goes_on(run, digits, monkeypatch):
    assert run("masker", MODEL, digits, "-o", "whole.onnx", *SHORT).exit_code == 0
    whole = MaskerTraining._stepped

    def stepped(self, graphs, classifier, now, step, x):
        if step == 2:
            raise KeyboardInterrupt
        return whole(self, graphs, classifier, now, step, x)

    with monkeypatch.context() as patch:
        patch.setattr(MaskerTraining, "_stepped", stepped)
        stopped = run("masker", MODEL, digits, "-o", "m.onnx", *SHORT)
    assert stopped.exit_code == 130
    assert stopped.stderr.strip() == "xaionnx: interrupted; 2 of 3 steps are done and saved in m.onnx."
    assert "means of 1 of 2 steps" in stopped.stdout
    other = run("masker", MODEL, digits, "-o", "m.onnx", *SHORT, "--seed", "1", "--resume", "m.onnx")
    assert other.exit_code == 2
    assert "The training of 'm.onnx' had another seed: 0 instead of 1." in other.stderr
    went_on = run("masker", MODEL, digits, "-o", "m.onnx", *SHORT, "--resume", "m.onnx")
    assert went_on.exit_code == 0, went_on.stderr
    assert Path("m.onnx").read_bytes() == Path("whole.onnx").read_bytes()


def test_what_cannot_be_read_is_left_out_and_listed(run, digits):
    Path("folder").mkdir()
    for n, digit in enumerate(np.load(digits)):
        Image.fromarray(digit).save(f"folder/{n}.png")
    Path("folder/notes.txt").write_text("no picture")
    made = run("masker", MODEL, "folder", "-o", "m.onnx", *SHORT)
    assert made.exit_code == 4
    assert made.stderr.startswith("xaionnx: 1 of 7 inputs refused:\n")
    assert "notes.txt" in made.stderr
    assert "trained on 6 inputs" in made.stdout
    told = json.loads(run("masker", MODEL, "folder", "-o", "m.onnx", *SHORT, "--json").stdout)
    assert [Path(one["input"]).name for one in told["refused"]] == ["notes.txt"]


def test_a_step_that_takes_too_long_ends_in_a_sentence(run, digits):
    late = run("masker", MODEL, digits, "-o", "m.onnx", "--steps", "9", "--width", "512", "--timeout", "0.5")
    assert late.exit_code == 6
    assert "longer than 0.5 s" in late.stderr
    assert not Path("m.onnx").exists()


def test_refusals(run, digits):
    assert run("masker", MODEL, digits, "-o", "m.txt").stderr == "xaionnx: -o must end in .onnx. Got 'm.txt' instead.\n"
    assert "--steps must be an int in [1, inf). Got '0' instead." in run("masker", MODEL, digits, "-o", "m.onnx",
                                                                         "--steps", "0").stderr  # fmt: skip
    nothing = run("masker", MODEL, "nope", "-o", "m.onnx")
    assert nothing.exit_code != 0
    assert "nope" in nothing.stderr
    table = run("masker", MODEL.with_name("german_credit_mlp.onnx"), MODEL.parent / "data" / "german_credit_sample.csv",
                "-o", "m.onnx")  # fmt: skip
    assert "Masks are learned for models of one picture that return a score for each class." in table.stderr
    Path("other.onnx").write_bytes(MODEL.read_bytes())
    assert "other.onnx exists and is not a masker written by xaionnx" in run("masker", MODEL, digits, "-o",
                                                                             "other.onnx").stderr  # fmt: skip
    lacking = run("explain", "masker", MODEL, digits)
    assert lacking.exit_code == 2
    assert "Make one with xaionnx masker MODEL FOLDER -o FILE.onnx" in lacking.stderr
    none = run("explain", "masker", MODEL, digits, "--masker", MODEL)
    assert "is not a masker" in none.stderr
    assert digits not in none.stderr
