"""The time limit of a command also ends Python's own work, and no handler of errors takes its end for another error."""

import contextlib
import re
import signal
import sys
import time

import numpy as np
import pytest
from xaionnx_cli import _deadline, app
from xaionnx_cli._method_group import MethodGroup
from xaionnx_cli._options import TIMEOUT_HELP, Seconds

from tests.tiny import endless
from xaionnx import discovery
from xaionnx.errors import TimeLimitError
from xaionnx.runtime import progress
from xaionnx.runtime.session import DEFAULT_LIMIT_S

MASKS, TRAINING = "xaionnx.explainers._masks", "xaionnx.optimization.masker.MaskerTraining"
DIGITS, DECODER, MNIST = "models/digits_cnn.onnx", "models/mnist_vae_decoder.onnx", "models/mnist_cnn.onnx"

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows has no timer that interrupts")


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
    with _deadline.time_limit_between_runs(0.3, "Work"):
        for _ in range(8):
            time.sleep(0.1)
            progress.advance(1)
    with (
        pytest.raises(TimeLimitError, match="Work took longer"),
        _deadline.time_limit_between_runs(0.3, "Work"),
    ):
        swallow_errors()


def test_inspect_is_stopped_while_methods_are_tried(run, monkeypatch, digits):
    from xaionnx_cli import _trials

    monkeypatch.setattr(_trials._Trials, "of_method", lambda *_: swallow_errors())
    result = run("inspect", digits, "--timeout", "1.5")
    assert result.exit_code == 6
    assert "took longer than 1.5 s and was stopped. Raise --timeout." in result.stderr


def test_each_command_that_reads_a_model_has_the_same_limit():
    commands = [app.main.get_command(None, name) for name in app.main.list_commands(None)]
    kinds = {command for one in commands for command in _methods(one)}
    reading = [one for one in kinds if any(p.name in ("model", "models") for p in one.params)]
    options = [next(p for p in one.params if p.name == "timeout") for one in reading]
    assert len(reading) == 13
    assert {(*one.opts, one.help, one.required) for one in options} == {("--timeout", TIMEOUT_HELP, False)}
    assert f"{DEFAULT_LIMIT_S:g}" in TIMEOUT_HELP


def _methods(command):
    """A command, or one of a method of it."""
    if not isinstance(command, MethodGroup):
        return [command]
    names = command.method_names()
    return [command.method_command("saliency" if "saliency" in names else names[0])]


@pytest.mark.sampled(percent=50)
@pytest.mark.parametrize(
    ("module", "name", "words", "what"),
    [
        ("xaionnx.loading", "read_model", ("compile", "saliency", DIGITS, "-o", "out.onnx"), "Opening models/"),
        ("xaionnx.loading", "read_model", ("patterns", DIGITS, "x.npy", "-o", "out.npz"), "Opening models/"),
        ("xaionnx.loading", "read_model", ("explain", "rise", DIGITS, "x.npy"), "Opening models/"),
        ("xaionnx.loading", "read_model", ("inspect", DIGITS), "Opening models/"),
        ("xaionnx.loading", "read_model", ("join", DIGITS, DIGITS, "-o", "out.onnx"), "Joining the models"),
        ("xaionnx.compilation.compiled", "gradient_graph", ("compile", "saliency", DIGITS, "-o", "out.onnx"), "Comp"),
        ("xaionnx.runtime.joining", "join", ("join", DECODER, MNIST, "-o", "out.onnx"), "Joining the models"),
        ("xaionnx.patterns", "estimate_patterns", ("patterns", DIGITS, "x.npy", "-o", "out.npz"), "A step of est"),
        ("xaionnx.explainers.pattern_net.PatternNet", "bind", ("explain", "pattern_net", DIGITS, "x.npy"), "Work"),
        (f"{MASKS}.search.MaskSearch", "_slopes", ("explain", "meaningful_perturbation", DIGITS, "x.npy"), "Work"),
        (f"{MASKS}.upsampling.SmoothMaximum", "up", ("explain", "extremal_masks", DIGITS, "x.npy"), "Work"),
        (TRAINING, "_stepped", ("masker", DIGITS, "x.npy", "-o", "out.onnx"), "A step of the training"),
    ],
)  # fmt: skip
def test_every_command_stops_wherever_python_works(run, monkeypatch, tmp_path, module, name, words, what):
    monkeypatch.setattr(_deadline, "_AFTER_RUNS_S", 0.0)
    monkeypatch.setattr(f"{module}.{name}", lambda *_, **__: swallow_errors())
    np.save(tmp_path / "x.npy", np.zeros((1, 1, 8, 8), np.float32))
    given = [tmp_path / word if word.startswith(("x.", "out.")) else word for word in words]
    began = time.monotonic()
    result = run(*given, "--timeout", "0.7")
    assert result.exit_code == 6, result.stderr
    assert what in result.stderr
    assert "took longer than 0.7 s and was stopped. Raise --timeout." in result.stderr
    assert time.monotonic() - began < 10
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


def test_each_trial_of_inspect_is_a_step(run, monkeypatch, digits):
    from xaionnx_cli import _trials

    monkeypatch.setattr(
        _trials._Trials, "of_method", lambda *_: time.sleep(0.05) or _trials.Trial("rise", "works", "", {})
    )
    # Together the trials take longer.
    assert 0.05 * len(discovery.methods()) > 2
    assert run("inspect", digits, "--timeout", "2").exit_code == 0


@pytest.mark.parametrize("command", ["compile", "patterns", "join"])
def test_the_limit_of_a_run_holds_for_every_command(run, tmp_path, command):
    path = endless(tmp_path)
    np.save(tmp_path / "x.npy", np.ones((2, 2), np.float32))
    words = {
        "compile": ("compile", "saliency", path, "-o", tmp_path / "out.onnx"),
        "patterns": ("patterns", path, tmp_path / "x.npy", "-o", tmp_path / "out.npz"),
        "join": ("join", path, path, "-o", tmp_path / "out.onnx"),
    }
    result = run(*words[command], "--timeout", "0.5")
    assert result.exit_code == 6, result.stderr
    assert "took longer than 0.5 s and was stopped" in result.stderr


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
from xaionnx.runtime import worker
worker._PATIENCE_S = 0.01
try:
    worker.current_worker().call(lambda: time.sleep(30), lambda: None, 0.01)
except worker.Expired:
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


@pytest.mark.parametrize(
    ("time", "said"),
    [
        ("soon", "'soon' is not a time. Write seconds, minutes or hours: 90s, 10m or 2h."),
        ("m", "'m' is not a time."),
        ("0s", "'0s' is not a finite time above 0."),
        ("-3", "'-3' is not a finite time above 0."),
        ("nan", "'nan' is not a finite time above 0."),
        ("1e308h", "'1e308h' is not a finite time above 0."),
    ],
)
def test_what_is_no_time_is_refused_in_plain_words(run, time, said):
    result = run("recommend", "models/digits_cnn.onnx", "digits.npy", "--budget", time)
    assert result.exit_code == 2
    assert f"Invalid value for '--budget': {said}" in result.stderr


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("1.5s", 1.5), ("10m", 600), ("2h", 7200)])
def test_times_have_units(text, seconds):
    assert Seconds().convert(text, None, None) == seconds
