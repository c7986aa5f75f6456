"""Distributions of onnxruntime: none, one, two, or the rest of an uninstalled one."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from types import ModuleType

import pytest

from xaionnx.errors import InstallationError
from xaionnx.runtime import installation


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Let only these distributions be found."""

    def install(*names: str) -> None:
        for name in names:
            folder = tmp_path / f"{name.replace('-', '_')}-9.0.dist-info"
            folder.mkdir()
            (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.0\n")
        monkeypatch.setattr("sys.path", [str(tmp_path)])
        installation.warn_of_several.cache_clear()

    yield install
    installation.warn_of_several.cache_clear()


def test_two_distributions_are_warned_of_once(installed):
    installed("onnxruntime", "onnxruntime-gpu", "onnxruntime-extensions")
    with pytest.warns(RuntimeWarning) as caught:
        assert [installation.warn_of_several() for _ in range(2)] == [None, None]
    assert [str(one.message) for one in caught] == [
        "onnxruntime and onnxruntime-gpu are both installed and share one folder: the one installed last runs, and "
        "uninstalling one breaks the other. Keep one: pip uninstall -y onnxruntime onnxruntime-gpu && pip install "
        "onnxruntime-gpu (runs on CPU and CUDA) or onnxruntime (CPU alone)."
    ]


@pytest.mark.parametrize("names", [(), ("onnxruntime",), ("onnxruntime-gpu",), ("onnxruntime-openvino",)])
def test_one_is_no_cause_for_a_warning(installed, names):
    installed(*names)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        installation.warn_of_several()
    assert installation.installed() == list(names)


def test_what_is_left_of_an_uninstalled_one(installed, monkeypatch):
    installed("onnxruntime-gpu")
    monkeypatch.setattr(installation, "import_module", ModuleType)
    with pytest.raises(InstallationError) as caught:
        installation.runtime()
    assert str(caught.value) == (
        "Files of onnxruntime are missing, as happens when one of two of its packages was uninstalled. Keep one: "
        "pip uninstall -y onnxruntime-gpu && pip install onnxruntime-gpu (runs on CPU and CUDA) or onnxruntime "
        "(CPU alone)."
    )


def _missing(name):
    raise ModuleNotFoundError(f"No module named '{name}'", name=name)


def test_none(installed, monkeypatch):
    installed()
    monkeypatch.setattr(installation, "import_module", _missing)
    with pytest.raises(ImportError) as caught:
        installation.runtime()
    assert str(caught.value) == (
        "onnxruntime is not installed. Install one: pip install onnxruntime-gpu (runs on CPU and CUDA) or onnxruntime "
        "(CPU alone)."
    )


def test_one_that_cannot_be_loaded(installed, monkeypatch):
    installed("onnxruntime")

    def broken(name):
        raise ImportError("libstdc++.so.6: version not found")

    monkeypatch.setattr(installation, "import_module", broken)
    with pytest.raises(InstallationError, match=r"cannot be loaded: libstdc.* not found\. Keep one: pip uninstall"):
        installation.runtime()


def test_ctrl_c_while_it_is_loaded_is_no_fault_of_it(monkeypatch):
    def interrupted(name):
        raise ImportError("initialization failed") from KeyboardInterrupt()

    monkeypatch.setattr(installation, "import_module", interrupted)
    with pytest.raises(KeyboardInterrupt):
        installation.runtime()


def test_nothing_is_stored_in_the_home_folder_or_sent(tmp_path):
    code = """
import os, xaionnx
xaionnx.Model.load("models/digits_cnn.onnx")
print(os.environ.get("ORT_DISABLE_TELEMETRY"))
"""
    env = {**os.environ, "HOME": str(tmp_path)}
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "ORT_DISABLE_TELEMETRY"):
        env.pop(name, None)
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("None\n", "")
    assert [*tmp_path.rglob("*")] == []
