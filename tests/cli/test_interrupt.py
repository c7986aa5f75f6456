"""Ctrl-C: exit within a second with one line and code 130; finished results are kept and no file is half-written."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import tomllib
from pathlib import Path

import pytest
from xaionnx_cli._interrupts import Terminated, handled, held
from xaionnx_cli.app import _repeat_lost_interrupts

import xaionnx
from xaionnx.data import storage

MODELS = Path(__file__).resolve().parents[2] / "models"
# More than a minute of work.
FINE = ("--window", "32", "--stride", "2")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGINT cannot be sent to another process there")


def _interrupt(process, sought: str) -> tuple[str, float]:
    """Read until a line contains ``sought``, wait a little, and interrupt; return stderr and the seconds until the
    exit.
    """
    for line in process.stdout:
        if sought in line:
            break
    time.sleep(0.5)
    assert process.poll() is None, process.stderr.read()
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    # An unread report fills its pipe and blocks the writer.
    _, told = process.communicate(timeout=30)
    return told, time.monotonic() - began


def _inputs(done: int) -> str:
    """The number of inputs in words; a busy machine may have finished only one."""
    return "1 input is" if done == 1 else f"{done} inputs are"


@pytest.mark.parametrize(
    ("method", "options"),
    [("occlusion", FINE), *((name, ("--steps", "1000000")) for name in ("extremal_masks", "meaningful_perturbation"))],
)
def test_in_the_middle_of_a_run(start, tmp_path, method, options):
    photo = MODELS / "photos" / "cat.png"
    process = start("explain", method, MODELS / "efficientnet_lite0.onnx", photo, *options, "-o", tmp_path / "out.png")
    told, seconds = _interrupt(process, f"{method} of")
    assert process.returncode == 130
    assert told == "xaionnx: interrupted.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
    # Stopping takes milliseconds; the rest is the interpreter on a possibly busy machine.
    assert seconds < 2


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """More rows than can be finished before the interrupt."""
    head, *rest = (MODELS / "data" / "german_credit_sample.csv").read_text().splitlines()
    (tmp_path / "rows.csv").write_text("\n".join([head, *rest * 1000]) + "\n")
    return tmp_path / "rows.csv"


TABLE = ("explain", "feature_ablation", MODELS / "german_credit_mlp.onnx", "--no-shards")


@pytest.mark.parametrize("place", ["out.npz", "out"])
def test_finished_inputs_are_kept(start, tmp_path, rows, place):
    process = start(*TABLE, rows, "-o", tmp_path / place)
    told, seconds = _interrupt(process, "evaluations in")
    assert process.returncode == 130, (process.returncode, told, seconds)
    done = int(told.removeprefix("xaionnx: interrupted; ").split()[0])
    assert told == f"xaionnx: interrupted; {_inputs(done)} done and saved in {tmp_path / place}.\n"
    if place == "out.npz":
        assert xaionnx.Explanation.load(tmp_path / place).samples == done
    else:
        records = list((tmp_path / place).glob("*.npz"))
        # The last record may be complete but not counted yet.
        assert len(records) in (done, done + 1)
        assert all(xaionnx.Explanation.load(record).samples == 1 for record in records)
    assert not list(tmp_path.rglob(".*"))


def test_json_of_what_is_done(start, tmp_path, rows):
    process = start(*TABLE, rows, "-o", tmp_path / "out", "--json")
    while not list(tmp_path.glob("out/*.npz")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, told = process.communicate(timeout=30)
    document = json.loads(out)
    assert process.returncode == 130
    assert document["complete"] is False
    done = len(document["results"])
    assert told == f"xaionnx: interrupted; {_inputs(done)} done and saved in {tmp_path / 'out'}.\n"


@pytest.mark.sampled(percent=50)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_same_signal_several_times_keeps_what_is_finished(start, tmp_path, rows, number, code):
    process = start(*TABLE, rows, "-o", tmp_path / "all.npz", "--json")
    while not list(tmp_path.glob(".xaionnx-parts-*/*.npz")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    for _ in range(6):
        process.send_signal(number)
        time.sleep(0.01)
    out, told = process.communicate(timeout=30)
    document = json.loads(out)
    done = len(document["results"])
    word = "interrupted" if number == signal.SIGINT else "terminated"
    assert process.returncode == code
    assert told == f"xaionnx: {word}; {_inputs(done)} done and saved in {tmp_path / 'all.npz'}.\n"
    assert xaionnx.Explanation.load(tmp_path / "all.npz").samples == done > 0
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_in_the_last_save(run, tmp_path, monkeypatch, number, code):
    table = MODELS / "data" / "german_credit_sample.csv"
    before = storage._rename

    def rename(temporary, target):
        if target.name == "all.npz":
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), signal.SIGINT)
        return before(temporary, target)

    monkeypatch.setattr(storage, "_rename", rename)
    result = run(*TABLE, table, "-o", tmp_path / "all.npz", "--json")
    document = json.loads(result.stdout)
    word = "interrupted" if number == signal.SIGINT else "terminated"
    assert result.exit_code == code
    assert result.stderr == f"xaionnx: {word}; 50 inputs are done and saved in {tmp_path / 'all.npz'}.\n"
    assert document["complete"] is True
    assert xaionnx.Explanation.load(tmp_path / "all.npz").samples == len(document["results"]) == 50
    assert [path.name for path in tmp_path.iterdir()] == ["all.npz"]


def test_signals_wait_for_the_end_of_what_is_held():
    with handled():
        with pytest.raises(Terminated) as caught, held():
            assert os.kill(os.getpid(), signal.SIGTERM) is os.kill(os.getpid(), signal.SIGINT) is None
        assert caught.value.number == signal.SIGTERM
        # So soon after the first it asks for nothing new.
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_signal_that_the_process_was_started_to_ignore_stays_ignored():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with handled():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_killed_run_of_one_file_is_resumed(start, run, tmp_path, rows):
    process = start(*TABLE, rows, "-o", tmp_path / "all.npz")
    while not list(tmp_path.glob(".xaionnx-parts-*/[!.]*.npz")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert {path.name[:15] for path in tmp_path.iterdir() if path.name.startswith(".")} == {".xaionnx-parts-"}
    few = tmp_path / "rows.csv"
    few.write_text("\n".join(few.read_text().splitlines()[:21]) + "\n")
    result = run(*TABLE, few, "-o", tmp_path / "all.npz", "--json")
    document = json.loads(result.stdout)
    assert len(document["kept"]) >= 1
    assert xaionnx.Explanation.load(tmp_path / "all.npz").samples == 20
    assert not list(tmp_path.rglob(".*"))


def test_an_interrupt_that_python_drops_comes_again():
    class Dropping:
        def __del__(self):
            raise KeyboardInterrupt

    with _repeat_lost_interrupts():
        Dropping()
        with pytest.raises(KeyboardInterrupt):
            time.sleep(1)


def _console_script() -> str:
    return tomllib.loads((MODELS.parent / "pyproject.toml").read_text())["project"]["scripts"]["xaionnx"]


# Python imports the modules in this order: before the application, in a command, and deep inside the library.
@pytest.mark.parametrize("module", ["click", "xaionnx.discovery", "numpy", "onnxruntime"])
def test_during_imports(start, module):
    code = f"""
import sys
class Interrupting:
    def find_spec(self, name, *_):
        if name == {module!r}:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupting())
sys.argv = ["xaionnx", "explain", "rise", "--help"]
from importlib.metadata import EntryPoint
EntryPoint("xaionnx", {_console_script()!r}, "console_scripts").load()()
"""
    process = start("-c", code)
    out, told = process.communicate(timeout=60)
    assert (process.returncode, out, told) == (130, "", "xaionnx: interrupted.\n")


def test_a_thread_that_still_reads_is_not_waited_for(start):
    code = (
        "import sys, time; from concurrent.futures import ThreadPoolExecutor; import xaionnx_cli.app as app;"
        "from xaionnx_cli.__main__ import main; ThreadPoolExecutor(1).submit(time.sleep, 60);"
        "app.main = lambda **_: sys.exit(130); main()"
    )
    process = start("-c", code)
    process.communicate(timeout=30)
    assert process.returncode == 130
