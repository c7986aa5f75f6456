"""Messages of the command line if onnxruntime is broken or installed twice."""

from __future__ import annotations

import pytest

from xaionnx.errors import InstallationError
from xaionnx.runtime import installation


def test_a_broken_onnxruntime_is_one_line(start):
    code = """
import sys, types
sys.modules["onnxruntime"] = types.ModuleType("onnxruntime")
sys.argv = ["xaionnx", "methods"]
from xaionnx_cli.__main__ import main
main()
"""
    out, told = start("-c", code).communicate(timeout=60)
    assert out == ""
    assert told.startswith("xaionnx: Files of onnxruntime are missing, ")
    assert told.count("\n") == 1


def test_its_exit_code_is_that_of_resources():
    assert InstallationError.exit_code == 6


@pytest.fixture
def two(monkeypatch):
    installation.warn_of_several.cache_clear()
    monkeypatch.setattr(installation, "installed", lambda: ["onnxruntime", "onnxruntime-gpu"])
    yield
    installation.warn_of_several.cache_clear()


@pytest.mark.usefixtures("two")
def test_two_packages_are_a_warning_and_no_failure(run, digits, picture):
    result = run("explain", "occlusion", digits, picture, "--window", "4", "--stride", "4")
    assert result.exit_code == 0
    assert result.stderr.startswith("xaionnx: warning: onnxruntime and onnxruntime-gpu are both installed ")
    assert result.stderr.count("\n") == 1
