"""Heavy modules are loaded late, exports and errors are documented, and the changelog has the version."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import xaionnx

ROOT = Path(__file__).parents[1]


def test_nothing_heavy_is_loaded_before_it_is_needed():
    heavy = ("matplotlib", "skimage", "sklearn", "scipy", "onnx_ir", "numba", "rich")
    code = f"import sys, xaionnx; print([m for m in {heavy} if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"


def test_exports_exist_and_are_documented():
    for name in set(xaionnx.__all__) - {"__version__"}:
        assert getattr(xaionnx, name).__doc__, name


def test_the_changelog_knows_the_version():
    assert f"## [{xaionnx.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "version" in project["dynamic"]


def test_every_error_stands_in_the_tree():
    from xaionnx import errors

    tree = errors.__doc__
    for name, item in vars(errors).items():
        if isinstance(item, type) and issubclass(item, Exception):
            assert re.search(rf"\b{name}\b", tree), name
