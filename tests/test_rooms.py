"""`import xaionnx` gives access to its subpackages, which are loaded on first use."""

import os
import subprocess
import sys

import pytest

import xaionnx

ROOMS = ["autodiff", "compilation", "discovery", "errors", "explainers", "gradients", "patterns", "render", "runs"]


def answer(code):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    return done.stdout.strip()


def test_every_room_is_there_after_one_import():
    # In a separate process, because any test that imports a subpackage binds it to the package.
    code = f"import xaionnx; print([getattr(xaionnx, name).__name__ for name in {ROOMS}])"
    assert answer(code) == str([f"xaionnx.{name}" for name in ROOMS])


def test_a_room_is_loaded_when_it_is_asked_for():
    later = ["xaionnx.render", "xaionnx.autodiff", "xaionnx.compilation", "xaionnx.patterns"]
    assert answer(f"import sys, xaionnx; dir(xaionnx); print([m for m in {later} if m in sys.modules])") == "[]"


def test_dir_lists_rooms_and_names():
    assert set(ROOMS) <= set(dir(xaionnx))
    assert set(xaionnx.__all__) <= set(dir(xaionnx))


def test_an_unknown_name_is_no_room():
    with pytest.raises(AttributeError, match="module 'xaionnx' has no attribute 'pictures'"):
        xaionnx.pictures  # noqa: B018 - the access is what is tried
