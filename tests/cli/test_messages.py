"""Messages of the library, translated for the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from xaionnx_cli._messages import for_shell
from xaionnx_cli._report import cost_line, warning_lines

from tests import tiny
from xaionnx import Explanation
from xaionnx.errors import ParameterError
from xaionnx.runtime.model import Model
from xaionnx.targets.resolve import resolve

MODELS = Path(__file__).resolve().parents[2] / "models"


@pytest.mark.parametrize(
    ("said", "typed"),
    [
        ("Use Target.index with one int per axis.", "Use --target element:I,J,... with one int per axis."),
        ("Explain Target.probability instead.", "Explain --target probability[:CLASS] instead."),
        ("Use Target.sum.", "Use --target sum."),
        ("Name a tensor with output=...", "Name a tensor with --output"),
        ("Name a tensor with output=.", "Name a tensor with --output."),
        ("or choose gradient='finite_differences:random:500'", "or choose --gradient finite_differences:random:500"),
        ("surrogate='ridge' with alpha=0 is", "--surrogate ridge with --alpha 0 is"),
        ("Give max_steps=64.", "Give --max-steps 64."),
        ("Set relu=False or absolute=True.", "Set --no-relu or --absolute."),
        ("The 'steps' parameter of Saliency must be an int.", "--steps must be an int."),
        ("The 'target' parameter must be an int in [0, 9].", "--target must be an int in [0, 9]."),
        ("The 'top' parameter of overlay needs a method.", "--top needs a method."),
        ("The 'patterns' parameter must be a file. Got None instead.", "--patterns must be a file. It was not given."),
        ("give rows of data, as in background='rows.csv', or", "give rows of data, as in --background rows.csv, or"),
        ("group features (features=), train", "group features (--features), train"),
        ("Name with layer= a map", "Name with --layer a map"),
        ("and 256 MB may be added (max_added_mb).", "and 256 MB may be added (--max-added-mb)."),
        ("State them with axes={'y': 'N T'}.", "State them with --axes 'y=N T'."),
        ("replace it with resume=False.", "replace it with --no-resume."),
        (
            "--shards is of a run. Give rows, as in donors='FILE'.",
            "--shards is of a run. Give rows, as in --donors FILE.",
        ),
        ("Raise timeout_s, or lower the batch size.", "Raise --timeout, or lower the batch size."),
        # These stay: a field of a spec, an assignment in quotes, a class method that is not a target.
        ("The 'size' parameter of InputSpec must be two ints.", "The 'size' parameter of InputSpec must be two ints."),
        ("There is no file 'a/step=3.png'.", "There is no file 'a/step=3.png'."),
        ("target is Index(k=4, each=False) here.", "target is Index(k=4, each=False) here."),
        ("Target.of takes it.", "Target.of takes it."),
        ("relu=False, or --no-relu, shows them.", "relu=False, or --no-relu, shows them."),
    ],
)
def test_what_can_be_typed(said, typed):
    assert for_shell(said) == typed


def test_reasons_of_scores_name_options_that_the_command_has(run, tmp_path):
    """``evaluate`` has an option for rows of data, and none for the patterns or the gradients of one method."""
    graph = """g (string[N, 2] x) => (float[N, 1] y) {
        numbers = ai.onnx.ml.LabelEncoder <keys_strings = ["a", "b"], values_floats = [1.0, 2.0]> (x)
        y = ReduceSum <keepdims = 1> (numbers, axes) }"""
    proto = tiny.parsed(graph, axes=np.array([1]))
    proto.opset_import.append(helper.make_opsetid("ai.onnx.ml", 2))
    onnx.save(proto, tmp_path / "words.onnx")
    (tmp_path / "words.toml").write_text('[input]\nkind = "table"\ncolumns = ["one", "two"]')
    (tmp_path / "rows.csv").write_text("one,two\na,b\nb,b\n")
    found = run(
        *("evaluate", tmp_path / "words.onnx", tmp_path / "rows.csv", "--metrics", "deletion", "--target", "0"),
        *("--methods", "pattern_net,feature_ablation", "--json"),
    )
    reasons = json.loads(found.stdout)["refused"]
    assert "give rows of data, as in --background rows.csv, or in Python" in reasons["feature_ablation"]
    assert reasons["pattern_net"].startswith("The 'patterns' parameter must be Patterns")


def test_python_keeps_its_own_words():
    model = Model.load(MODELS / "selfie_segmentation.onnx")
    with pytest.raises(ParameterError, match=r"Use Target\.index with one int per axis, Target\.region, "):
        resolve(3, model, {"input": np.zeros((1, 256, 256, 3), np.float32)})


def test_the_command_line_translates(run):
    model, photo = MODELS / "selfie_segmentation.onnx", MODELS / "photos" / "cat.png"
    refused = run("explain", "saliency", model, photo, "-t", "3")
    assert refused.exit_code == 2
    assert refused.stderr == (
        "xaionnx: Tensor 'mask' has the shape (N, 256, 256, 1), not one axis of classes. Use --target element:I,J,... "
        "with one int per axis, --target region[:THRESHOLD], --target channel[:K] or "
        "--target sum, for a segmentation --target segment[:CLASS], or for an embedding --target similarity:FILE.\n"
    )


def test_warnings_of_a_report_name_options():
    advice = {"zero_by_default": ["x"]}
    one = Explanation("saliency", np.ones((1, 3)), np.array(["y[0]"]), np.ones(1), provenance=advice)
    (line,) = warning_lines(one)
    assert line.startswith("  warning: No baseline was given")
    assert "as in --baseline median:rows.csv" in line


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(12.345, "12.35 s"), (0.1, "0.10 s"), (0.0999, "100 ms"), (0.0123, "12 ms"), (9.99e-5, "100 µs"), (0.0, "0 µs")],
)
def test_times_are_written_without_powers_of_ten(seconds, said):
    record = Explanation(
        "saliency",
        np.zeros((1, 2), np.float32),
        np.array(["y[0]"]),
        np.zeros(1),
        diagnostics={"evaluations": [1], "seconds": seconds},
    )
    assert cost_line(record) == f"  1 evaluation in {said}"
