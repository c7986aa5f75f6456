"""The progress bar: its arithmetic, and when it is shown."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from xaionnx_cli import _progress, _report

ROOT = Path(__file__).resolve().parents[2]


class _Bar:
    """A stand-in for rich's bar that keeps the last update."""

    def __init__(self) -> None:
        self.told: dict[str, object] = {}

    def add_task(self, description: str, total: float | None) -> int:
        self.told = {"description": description, "total": total}
        return 0

    def update(self, task: int, **told: object) -> None:
        self.told |= told


def test_inputs_still_to_come_cost_what_this_one_costs():
    bar = _Bar()
    meter = _progress.Meter(bar)
    meter.start("a.png", 0, 3)
    assert (bar.told["description"], bar.told["total"]) == ("a.png (1 of 3)", None)
    meter.expect(100)
    meter.advance(60)
    assert (bar.told["completed"], bar.told["total"]) == (60, 300)
    # The first input stops early, at 60.
    meter.expect(-40)
    assert bar.told["total"] == 180
    meter.start("b.png", 1, 3)
    meter.expect(50)
    assert (bar.told["description"], bar.told["total"]) == ("b.png (2 of 3)", 160)
    meter.start("c.png", 2, 3)
    meter.expect(10)
    assert bar.told["total"] == 70


def test_batches_still_to_come_cost_what_this_one_costs():
    bar = _Bar()
    meter = _progress.Meter(bar)
    meter.start("a.csv[0]", 0, 1001)
    meter.expect(20)
    assert bar.told["total"] == 20_020
    meter.advance(20)
    meter.start("a.csv[1]", 1, 1001, 100)
    assert bar.told["description"] == "a.csv[1] (2 of 1,001)"
    meter.expect(2000)
    meter.advance(500)
    assert (bar.told["completed"], bar.told["total"], bar.told["unit"]) == (520, 20_020, "evaluations")


def test_inputs_are_counted_where_no_evaluations_are_announced():
    bar = _Bar()
    meter = _progress.Meter(bar)
    meter.start("a.csv[0]", 0, 1001)
    meter.start("a.csv[1]", 1, 1001, 100)
    meter.start("a.csv[101]", 101, 1001, 100)
    assert (bar.told["completed"], bar.told["total"], bar.told["unit"]) == (101, 1001, "inputs")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_a_terminal_sees_it_and_a_file_does_not(tmp_path, digits, picture):
    import pty

    reader, writer = pty.openpty()
    path = os.pathsep.join(str(ROOT / folder) for folder in ("", "kernels", "cli"))
    words = ["explain", "rise", str(digits), str(picture), "--budget", "20000"]
    environment = {**os.environ, "PYTHONPATH": path, "TERM": "xterm", "COLUMNS": "120"}
    with (tmp_path / "stdout.txt").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "xaionnx_cli", *words], stdout=out, stderr=writer, env=environment
        )
    os.close(writer)
    seen = b""
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        try:
            piece = os.read(reader, 65536)
        except OSError:  # Linux raises this at the end of a pseudo-terminal
            break
        if not piece:
            break
        seen += piece
    os.close(reader)
    assert process.wait(timeout=30) == 0
    assert b"/20,000 evaluations" in seen or b"/19,999 evaluations" in seen
    assert b"one.png" in seen
    text = (tmp_path / "stdout.txt").read_text()
    assert "\x1b" not in text
    assert "  20,000 evaluations in " in text


def test_json_has_no_infinity():
    text = _report.dump_json({"a": [float("nan"), 1.5, float("-inf")], "b": ("é", None, True), 3: {}})
    assert text == '{"a": [null, 1.5, null], "b": ["\\u00e9", null, true], "3": {}}'
