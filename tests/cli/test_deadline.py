"""The time limit of a command also ends Python's own work, and no handler of errors takes its end for another error."""

import contextlib
import re
import signal
import sys
import time

import pytest
from xaionnx_cli import _deadline

from xaionnx.errors import TimeLimitError
from xaionnx.runtime import progress

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows has no timer that interrupts")


class Silent:
    def expect(self, evaluations):
        pass

    advance = phase = expect


def swallow_errors():
    """Work that takes any error for a refusal of a method, and goes on."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with contextlib.suppress(Exception):
            time.sleep(0.01)


def test_work_that_handles_all_errors_is_stopped():
    with (
        pytest.raises(TimeLimitError, match=re.escape("Inspecting it took longer than 0.05 s and was stopped")),
        _deadline.time_limit(0.05, "Inspecting it"),
    ):
        swallow_errors()
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_an_alarm_whose_error_python_drops_comes_again(monkeypatch):
    monkeypatch.setattr(_deadline, "_AGAIN_S", 0.05)
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)

    class Dropping:
        def __del__(self):
            time.sleep(0.2)

    def work():
        Dropping()
        swallow_errors()

    with pytest.raises(TimeLimitError), _deadline.time_limit(0.1, "It"):
        work()


def test_each_evaluation_starts_the_time_between_runs_anew(monkeypatch):
    monkeypatch.setattr(_deadline, "_AFTER_RUNS_S", 0.0)
    with _deadline.time_limit_between_runs(0.3, "Work", Silent()):
        for _ in range(8):
            time.sleep(0.1)
            progress.advance(1)
    with (
        pytest.raises(TimeLimitError, match="Work took longer"),
        _deadline.time_limit_between_runs(0.3, "Work", Silent()),
    ):
        swallow_errors()


def test_inspect_is_stopped_while_methods_are_tried(run, monkeypatch, digits):
    from xaionnx_cli import _trials

    monkeypatch.setattr(_trials._Trials, "of_method", lambda *_: swallow_errors())
    result = run("inspect", digits, "--timeout", "1.5")
    assert result.exit_code == 6
    assert "took longer than 1.5 s and was stopped. Raise --timeout." in result.stderr


def test_explain_is_stopped_between_two_runs(run, monkeypatch, bare_digits, picture):
    from xaionnx.explainers.saliency import Saliency

    monkeypatch.setattr(_deadline, "_AFTER_RUNS_S", 0.0)
    monkeypatch.setattr(Saliency, "explain", lambda *_: swallow_errors())
    result = run("explain", "saliency", bare_digits, picture, "--timeout", "2")
    assert result.exit_code == 6
    assert "Work between two runs of the model took longer than 2 s and was stopped" in result.stderr


def test_the_process_ends_with_its_code_while_onnxruntime_goes_on(start):
    code = """
import sys, threading, time
from xaionnx.runtime import session
session._PATIENCE_S = 0.01
try:
    session._worker().call(lambda: time.sleep(30), lambda: None, 0.01)
except session._Expired:
    pass
import xaionnx_cli.__main__ as entry, xaionnx_cli.app as app
def left(prog_name):
    print("kept")
    sys.exit(6)
app.main = left
entry.main()
"""
    process = start("-c", code)
    began = time.monotonic()
    out, told = process.communicate(timeout=60)
    assert (process.returncode, out, told) == (6, "kept\n", "")
    assert time.monotonic() - began < 20
