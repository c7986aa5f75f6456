"""Fixtures for the command line: runs inside this process, and runs in a separate process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from xaionnx_cli.app import main

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"


@pytest.fixture
def run() -> Callable[..., Result]:
    """Run a command in this process."""

    def call(*words: str | Path) -> Result:
        return CliRunner().invoke(main, [str(word) for word in words], prog_name="xaionnx")

    return call


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start Python in an empty folder: with ``-m xaionnx_cli`` and arguments, or with ``-c CODE``."""
    (tmp_path / "empty").mkdir()
    started = []

    def call(*words: str | Path) -> subprocess.Popen[str]:
        path = os.pathsep.join(str(ROOT / folder) for folder in ("", "kernels", "cli"))
        head = [] if words[0] == "-c" else ["-m", "xaionnx_cli"]
        process = subprocess.Popen(
            [sys.executable, *head, *map(str, words)],
            cwd=tmp_path / "empty",
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield call
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


@pytest.fixture
def digits() -> Path:
    """A small model with a spec and labels."""
    return MODELS / "digits_cnn.onnx"


@pytest.fixture
def bare_digits(tmp_path: Path) -> Path:
    """The same model without a spec."""
    (tmp_path / "bare").mkdir()
    return Path(shutil.copy(MODELS / "digits_cnn.onnx", tmp_path / "bare"))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A small picture of a vertical bar."""
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[2:14, 7:10] = 255
    Image.fromarray(pixels).save(tmp_path / "one.png")
    return tmp_path / "one.png"
