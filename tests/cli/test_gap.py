"""What the report says of values that do not add up."""

import re

import pytest


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("lrp", ("--composite", "epsilon"), r"\d+(\.\d+)? % (of the score stayed in biases|more than the score)"),
        ("deep_lift", (), r"gap \S+ % of the change"),
        ("integrated_gradients", ("--steps", "4"), r"gap \S+ % of the change, 4 steps"),
    ],
)
def test_the_report_tells_the_gap(run, digits, picture, method, options, said):
    lines = run("explain", method, digits, picture, "-t", "3", *options).stdout.splitlines()
    assert [line for line in lines if re.fullmatch(f"  {said}", line)] == [lines[9]]
    two = run("explain", method, digits, picture, "-t", "3", "-t", "probability:1", *options).stdout.splitlines()
    assert re.fullmatch(rf"  3 \(3\): {said}", two[9])
    assert re.fullmatch(rf"  1 \(1\), probability: {said.replace('score', 'probability')}", two[10])


def test_a_method_without_a_gap_has_no_line(run, digits, picture):
    assert " % of the " not in run("explain", "saliency", digits, picture, "-t", "3").stdout


def test_an_option_without_a_use_is_refused(run, digits, picture):
    found = run("explain", "lrp", digits, picture, "--gamma", "5")
    assert (found.exit_code, found.stdout) == (2, "")
    assert "The 'gamma' parameter of Lrp must be left out for composite='epsilon_plus'" in found.stderr
