"""``xaionnx patterns``, and explanations with its file."""

import json
from pathlib import Path

import numpy as np

from tests import tiny
from xaionnx.errors import DataError

MODEL = Path(__file__).parents[2] / "models" / "mnist_cnn.onnx"


def test_patterns_are_made_and_used(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 28, 28), dtype=np.uint8)
    np.save("digits.npy", pixels)
    np.save("one.npy", pixels[:1])
    made = run("patterns", MODEL, "digits.npy", "-o", "p.npz")
    told = json.loads(run("patterns", MODEL, "digits.npy", "-o", "p.npz", "--json").stdout)
    assert (made.exit_code, made.stdout) == (
        0,
        f"p.npz: patterns of 4 layers from 4 samples\n"
        f"  of {told['units']} units, {told['zero']} have no pattern, because their output does not vary; "
        f"{told['within']} take it from the covariance within their regime\n",
    )
    assert told["units"] > told["zero"] > 0
    for method in ("pattern_net", "pattern_attribution"):
        shown = run("explain", method, MODEL, "one.npy", "--patterns", "p.npz", "-o", "found.npz")
        assert shown.exit_code == 0, shown.stderr
        import xaionnx

        kept = xaionnx.Explanation.load("found.npz").provenance["parameters"]["patterns"]
        assert kept == {name: told[name] for name in ("sha256", "estimator", "samples", "units", "zero", "within")} | {
            "estimator": "two_component",
            "samples": 4,
        }


def test_refusals(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("patterns", MODEL, "nothing", "-o", "p.txt").stderr == (
        "xaionnx: -o must end in .npz. Got 'p.txt' instead.\n"
    )
    np.save("one.npy", np.zeros((1, 28, 28), np.uint8))
    lacking = run("explain", "pattern_net", MODEL, "one.npy")
    assert lacking.exit_code == 2
    assert "Make a file with xaionnx patterns MODEL FOLDER -o FILE.npz." in lacking.stderr
    for inputs in ("one.npy", "nothing.png"):
        nothing = run("explain", "pattern_net", MODEL, inputs, "--patterns", "nope.npz")
        assert nothing.exit_code == DataError.exit_code
        assert nothing.stderr.startswith("xaionnx: There is no file 'nope.npz' with patterns. Make a file of them")
    nothing = run("explain", "pattern_net", MODEL, "one.npy", "--patterns", "nope")
    assert nothing.stderr == ("xaionnx: There is no 'nope' to estimate patterns from. Give a folder of inputs.\n")
    missing = run("patterns", MODEL, "nothing", "-o", "p.npz")
    assert missing.exit_code != 0
    assert "nothing" in missing.stderr
    assert not Path("p.npz").exists()


def test_patterns_are_estimated_once_and_before_any_input(run, tmp_path, monkeypatch):
    from xaionnx.patterns import estimate_patterns

    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 28, 28), dtype=np.uint8)
    np.save("digits.npy", pixels)
    Path("folder").mkdir()
    np.save("folder/digits.npy", pixels)
    counted = []
    monkeypatch.setattr(
        "xaionnx.patterns.estimate_patterns", lambda *given: (counted.append(given), estimate_patterns(*given))[1]
    )
    assert run("explain", "pattern_net", MODEL, "digits.npy", "--patterns", "folder").exit_code == 0
    assert len(counted) == 1


def test_faulty_patterns_are_not_put_down_to_the_inputs(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    tiny.linear(tmp_path / "table.onnx", np.ones((4, 2)))
    np.save("rows.npy", rng.normal(size=(5, 4)).astype(np.float32))
    np.save("narrow.npy", rng.normal(size=(5, 3)).astype(np.float32))
    np.save("digits.npy", rng.integers(0, 256, (2, 28, 28), dtype=np.uint8))
    assert run("patterns", "table.onnx", "rows.npy", "-o", "p.npz").exit_code == 0
    other = run("explain", "pattern_net", MODEL, "digits.npy", "--patterns", "p.npz")
    assert other.exit_code == DataError.exit_code
    assert other.stderr.startswith("xaionnx: The patterns were estimated for another model than mnist_cnn.onnx: sha256")
    assert "digits.npy" not in other.stdout + other.stderr
    wrong = run("explain", "pattern_net", "table.onnx", "rows.npy", "--patterns", "narrow.npy")
    assert wrong.exit_code == DataError.exit_code
    assert wrong.stderr.startswith("xaionnx: Patterns cannot be estimated: Input 'x' of table.onnx expects")
    assert "rows.npy" not in wrong.stdout + wrong.stderr
