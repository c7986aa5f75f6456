"""A table of many rows: what is printed of it, and what is kept in memory."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest

import xaionnx
from tests.cli.conftest import MODELS

TABLE = MODELS / "data" / "german_credit.csv"
WORDS = ("explain", "feature_ablation", MODELS / "german_credit_mlp.onnx", TABLE)


def heads(text: str) -> int:
    """How many rows are printed."""
    return len(re.findall(r"^.*german_credit\.csv\[\d+\]$", text, flags=re.MULTILINE))


def test_the_first_rows_are_printed_and_a_summary_of_all(run):
    done = run(*WORDS, "--rows", "0-149", "-t", "1", "--background", TABLE, "--background-size", "3")
    assert (done.exit_code, done.stderr) == (0, "")
    assert heads(done.stdout) == 5
    assert "\nand 145 more rows, which --json prints too\n" in done.stdout
    summary = done.stdout.split("mean size of the values over 150 rows\n")[1].splitlines()
    rows = xaionnx.Model.load(WORDS[2]).read(TABLE).arrays["features"][:150]
    whole = xaionnx.explain(WORDS[2], rows, "feature_ablation", 1, background=TABLE, background_size=3)
    sizes = np.abs(whole.feature_values if whole.feature_values is not None else whole.values).mean(axis=0)
    order = np.argsort(-sizes, kind="stable")[:10]
    assert summary[10] == "  and 10 more"
    for line, k in zip(summary[:10], order, strict=True):
        name, size = line.split()
        assert (name, size) == (whole.feature_names[k], f"{sizes[k]:.4g}")


def test_up_to_a_hundred_rows_are_printed_each(run):
    done = run(*WORDS, "--rows", "0-19")
    assert heads(done.stdout) == 20
    assert "more rows" not in done.stdout


def test_a_warning_about_all_rows_is_printed_once(run):
    done = run(*WORDS, "--rows", "0-149")
    assert done.stdout.count("No baseline was given") == 1
    assert done.stdout.index("mean size of the values") < done.stdout.index("No baseline was given")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "wait4"), reason="no peak of a process")
@pytest.mark.parametrize(
    "words", [("-o", "all.npz"), ("--json",), ("-o", "all.png")], ids=["file", "document", "picture"]
)
def test_memory_grows_by_the_arrays(start, tmp_path, words):
    """A row of 20 columns is 0.3 kB in the file and 0.4 kB in the arrays of its result, and 0.6 kB encoded as JSON."""
    head, *rows = TABLE.read_text().splitlines()
    peaks = []
    for times in (5, 55):
        table = tmp_path / f"{times}.csv"
        table.write_text("\n".join([head, *rows * times]) + "\n")
        options = [tmp_path / word if "." in word else word for word in words]
        process = start("explain", "saliency", WORDS[2], table, "--no-resume", *options)
        while process.stdout.read(2**20):
            pass
        _, status, usage = os.wait4(process.pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        peaks.append(usage.ru_maxrss * 1024)
    assert (peaks[1] - peaks[0]) / (50 * len(rows)) < 3000
