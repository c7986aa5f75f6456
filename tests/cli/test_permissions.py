"""Files that this user may not read or write, and files that go or change while a folder is explained."""

import os
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
from PIL import Image
from xaionnx_cli import _run

from tests.cli.conftest import MODELS, ROOT

# An administrator may read all files, unless these rights are given up.
IS_ADMIN = hasattr(os, "geteuid") and os.geteuid() == 0
SETPRIV = shutil.which("setpriv")
AS_USER = [SETPRIV, "--inh-caps=-all", "--bounding-set=-all"] if IS_ADMIN else []
MODEL, DATA, WRITE = 3, 4, 6


def may_be_refused(folder):
    """Whether the system refuses to read a file without permissions."""
    if not hasattr(os, "geteuid") or (IS_ADMIN and SETPRIV is None):
        return False
    (folder / "probe").touch(0o000)
    code = "import sys; open(sys.argv[1])"
    tried = subprocess.run(
        [*AS_USER, sys.executable, "-c", code, folder / "probe"], check=False, capture_output=True, text=True
    )
    return "PermissionError" in tried.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("permissions")
    if not may_be_refused(folder):
        pytest.skip("this system refuses no file")
    spec = (MODELS / "mnist_cnn.toml").read_text()
    for name in ("model", "closed", "spec", "labels"):
        shutil.copy(MODELS / "mnist_cnn.onnx", folder / f"{name}.onnx")
        (folder / f"{name}.toml").write_text(spec)
    labels = ['labels = "classes.json"' if line.startswith("labels") else line for line in spec.splitlines()]
    (folder / "labels.toml").write_text("\n".join(labels))
    (folder / "classes.json").write_text('["a"]')
    whole = onnx.load(MODELS / "mnist_cnn.onnx")
    onnx.save(whole, folder / "outside.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    noise = np.random.default_rng(0).integers(0, 255, (3, 28, 28)).astype(np.uint8)
    for name in ("pictures", "closed", "locked"):
        (folder / name).mkdir()
        for number, pixels in enumerate(noise):
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    Image.fromarray(noise[0]).save(folder / "closed.png")
    (folder / "closed.csv").write_text("1,2\n")
    np.savez(folder / "closed.npz", x=np.ones(3))
    (folder / "out").mkdir()
    for name in ("closed.onnx", "spec.toml", "classes.json", "weights.bin", "closed.png", "closed.csv", "closed.npz"):
        (folder / name).chmod(0o000)
    modes = {"closed": 0o300, "locked": 0o400, "out": 0o500}
    for name, mode in modes.items():
        (folder / name).chmod(mode)
    yield folder
    for name in modes:
        (folder / name).chmod(0o700)


def called(folder, *words):
    path = os.pathsep.join(str(ROOT / part) for part in ("", "kernels", "cli"))
    done = subprocess.run(
        [*AS_USER, sys.executable, "-m", "xaionnx_cli", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        check=False,
        text=True,
    )
    return done.returncode, done.stdout, done.stderr


SALIENCY = ("explain", "saliency")
CASES = {
    "model": (("inspect", "closed.onnx"), MODEL, "closed.onnx may not be read by this user"),
    "part": (("join", "model.onnx", "closed.onnx", "-o", "j.onnx"), MODEL, "closed.onnx may not be read by this user"),
    "weights": (("inspect", "outside.onnx"), MODEL, "weights.bin may not be read by this user"),
    "spec": ((*SALIENCY, "spec.onnx", "pictures/0.png"), 2, "spec.toml: the file cannot be read (Permission denied)"),
    "labels": ((*SALIENCY, "labels.onnx", "pictures/0.png"), 2, "classes.json' cannot be read (Permission denied)"),
    "picture": ((*SALIENCY, "model.onnx", "closed.png"), DATA, "'closed.png' cannot be read (Permission denied)"),
    "table": ((*SALIENCY, "model.onnx", "closed.csv"), DATA, "'closed.csv' cannot be read (Permission denied)"),
    "arrays": ((*SALIENCY, "model.onnx", "closed.npz"), DATA, "'closed.npz' cannot be read (Permission denied)"),
    "folder": ((*SALIENCY, "model.onnx", "closed"), DATA, "'closed' cannot be read (Permission denied)"),
    "folder that cannot be entered": ((*SALIENCY, "model.onnx", "locked"), DATA, "'locked' cannot be read (Permission"),
    "data of patterns": (("patterns", "model.onnx", "closed.png", "-o", "p.npz"), DATA, "'closed.png' cannot be read"),
    "picture to write": (
        (*SALIENCY, "model.onnx", "pictures/0.png", "-o", "out/a.png"), WRITE, "The folder out is not writable",
    ),
    "folder to write": (
        (*SALIENCY, "model.onnx", "pictures", "-o", "out/a"), WRITE, "The folder out is not writable",
    ),
    "model to write": (
        ("compile", "saliency", "model.onnx", "-o", "out/a.onnx"), WRITE, "The folder out is not writable",
    ),
}  # fmt: skip


@pytest.mark.sampled(percent=25)
@pytest.mark.parametrize("name", CASES)
def test_what_may_not_be_read_or_written_is_refused_in_one_sentence(place, name):
    words, code, sentence = CASES[name]
    found, _, said = called(place, *words)
    assert (found, "Traceback" in said) == (code, False)
    assert sentence in said.splitlines()[-1]


def test_the_other_inputs_are_explained(place):
    code, _, said = called(place, *SALIENCY, "model.onnx", "pictures/0.png", "closed.png", "pictures/1.png", "--json")
    assert code == DATA
    assert "1 of 3 inputs refused" in said
    assert "'closed.png' cannot be read (Permission denied)" in said


def test_inputs_that_go_or_change_during_a_run_are_refused_row_by_row(run, tmp_path, monkeypatch):
    folder = tmp_path / "pictures"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (40, 28, 28)).astype(np.uint8)
    for number, pixels in enumerate(noise):
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    read_inputs_of = _run.read_inputs_of

    def join(*given):
        (folder / "37.png").unlink(missing_ok=True)
        (folder / "38.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        (folder / "39.png").write_bytes(b"")
        return read_inputs_of(*given)

    monkeypatch.setattr(_run, "read_inputs_of", join)
    found = run("explain", "saliency", MODELS / "mnist_cnn.onnx", folder, "-o", tmp_path / "out")
    assert found.exit_code == DATA
    assert "3 of 40 inputs refused" in found.output
    assert all(f"{number}.png" in found.output.partition("refused")[2] for number in (37, 38, 39))
    assert len(list((tmp_path / "out").glob("*.npz"))) == 37
