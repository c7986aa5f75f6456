"""Output that cannot be written, and names that could rewrite the terminal."""

import os
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
from xaionnx_cli import app

from tests.cli.conftest import ROOT

COMMANDS = (["--help"], ["methods", "--json"], ["inspect", str(ROOT / "models" / "digits_cnn.onnx")])


def started(words, **streams):
    path = os.pathsep.join(str(ROOT / folder) for folder in ("", "kernels", "cli"))
    words = [sys.executable, "-m", "xaionnx_cli", *words]
    return subprocess.run(
        words, env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.PIPE, text=True, check=False, **streams
    )


@pytest.mark.sampled(percent=40)
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")  # noqa: PTH110
@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_a_full_device(words):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = started(words, stdout=full)
    assert (done.returncode, done.stderr.count("\n")) == (6, 1)
    assert done.stderr.startswith("xaionnx: Cannot write to standard output: No space left on device.")


def test_a_closed_stdout():
    done = started(COMMANDS[0], preexec_fn=lambda: os.close(1))
    assert (done.returncode, done.stderr.count("\n")) == (6, 1)
    assert "it is closed" in done.stderr


def test_errors_and_warnings_are_escaped(run, tmp_path):
    name = "a\x1b[2J\n\u202eb"
    refused = run("explain", "occlusion", f"{name}.onnx", "x.npy").stderr
    assert refused.isascii()
    assert refused.count("\n") == 1
    np.savez(tmp_path / "x.npz", **{f"{name}1": np.ones(3), f"{name}2": np.ones(3)})
    refused = run("explain", "occlusion", ROOT / "models" / "digits_cnn.onnx", tmp_path / "x.npz").stderr
    assert refused.isascii()
    assert "\x1b" not in refused
    assert r"\x1b[2J\n\u202eb1" in refused


def test_a_long_name_is_cut(run):
    refused = run("explain", "occlusion", "a" * 5000, "x.npy")
    assert (refused.exit_code, len(refused.stderr) < 1100) == (3, True)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_long_text_is_whole_if_a_signal_arrives_while_the_reader_of_a_pipe_is_slow():
    code = (
        "import signal, sys; signal.signal(signal.SIGUSR1, lambda *_: None)\n"
        "from xaionnx_cli._streams import checked_streams\n"
        "with checked_streams(): sys.stdout.write(''.join(f'{n:07d}' for n in range(50000)))"
    )
    path = os.pathsep.join(str(ROOT / folder) for folder in ("", "kernels", "cli"))
    process = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE
    )
    first = os.read(process.stdout.fileno(), 7)
    for _ in range(4):
        time.sleep(0.05)
        process.send_signal(signal.SIGUSR1)
    assert (first + process.communicate(timeout=30)[0]).decode() == "".join(f"{n:07d}" for n in range(50000))


def test_a_warning_of_every_part_is_printed_once(capsys):
    with app._safe_streams():
        # Python forgets what it has shown whenever filters change, as they do while a model is read.
        warnings.simplefilter("always")
        for _ in range(3):
            warnings.warn("the spec was guessed", stacklevel=1)
        warnings.warn("another", stacklevel=1)
    assert capsys.readouterr().err.splitlines() == [
        "xaionnx: warning: the spec was guessed",
        "xaionnx: warning: another",
    ]
