"""The files that ``-o`` names."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from xaionnx_cli._destination import Destination, check_outside

from xaionnx.errors import ParameterError, StorageError, UsageError


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (None, "nothing"),
        ("a.png", "picture"),
        ("a.JPG", "picture"),
        ("a.npz", "record"),
        ("new", "folder"),
        ("x.d/", "folder"),
    ],
)
def test_kinds(tmp_path, monkeypatch, given, kind):
    monkeypatch.chdir(tmp_path)
    assert Destination.of(given, []).kind == kind
    assert list(tmp_path.iterdir()) == []


def test_names_of_inputs_never_repeat(tmp_path):
    place = Destination.of(str(tmp_path), [])
    names = [place.name(name) for name in ("a/cat.png", "b/cat.jpg", "rows.csv[12]", "x.npy[3]", "b/cat_2.png", "n[0]")]
    assert names == ["cat", "cat_2", "rows-12", "x-3", "cat_2_2", "n-0"]


def test_results_are_kept_out_of_folders_of_inputs(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    (tmp_path / "in.png").touch()
    monkeypatch.chdir(tmp_path / "in")
    for given in (".", "run", "../in/new/run", "a.png"):
        with pytest.raises(UsageError, match=r"is in the folder of inputs \.\./in, whose files are"):
            check_outside(given, ["../in.png", "../in"])
    # A folder beside it may begin with its name, and inputs may be files of the folder.
    for given in (None, "..", "../in2"):
        check_outside(given, ["../in"])
    check_outside("run", ["../in.png"])


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError) as error:
        Destination.of(str(tmp_path / "file" / "in"), [])
    assert str(error.value) == f"{tmp_path / 'file'} is not a folder. Choose another with -o."


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_rights(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="is not writable"):
        Destination.of(str(tmp_path / "a.png"), [])


def test_other_suffixes(tmp_path):
    with pytest.raises(ParameterError):
        Destination.of(str(tmp_path / "a.tiff"), [])


def test_inputs_are_protected(tmp_path):
    (tmp_path / "cat.png").touch()
    with pytest.raises(UsageError):
        Destination.of(str(tmp_path / "cat.png"), [tmp_path / "cat.png"])
    place = Destination.of(str(tmp_path), [Path(os.path.relpath(tmp_path / "cat.png"))])
    with pytest.raises(UsageError):
        place.picture("cat", several=False, target=None)


def test_names_that_differ_in_case_alone_are_one_name_to_some_file_systems(tmp_path):
    place = Destination.of(str(tmp_path), [])
    assert [place.name(name) for name in ("a/Cat.png", "b/cat.png")] == ["Cat", "cat_2"]


def test_a_target_of_one_input_is_never_called_as_another_input(tmp_path):
    place = Destination.of(str(tmp_path), [])
    stems = set()
    for name in (place.name("y.png"), place.name("y-1.png"), place.name("y.npy[1]")):
        own = {place.record(name).stem, *(place.picture(name, several=True, target=t).stem for t in range(3))}
        assert not stems & own
        stems |= own
    assert "y-target1" in stems


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(StorageError, match=r"out is not a folder\. Choose another with -o\."):
        Destination.of(str(tmp_path / "out"), [])
