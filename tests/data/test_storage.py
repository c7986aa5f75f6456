"""Storage: a file is written whole or not at all."""

import errno
import os
import stat
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from xaionnx import Explanation
from xaionnx.data import storage
from xaionnx.data.storage import locked, sweep, temporary_folder, write_npz, write_whole
from xaionnx.errors import StorageError


def full_disk(stream):
    stream.write(b"the first half")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_is_written_with_the_rights_of_an_ordinary_one(tmp_path):
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    path = write_whole(str(tmp_path / "result.bin"), lambda stream: stream.write(b"content"))
    assert path.read_bytes() == b"content"
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(ordinary.stat().st_mode)
    write_whole(path, lambda stream: stream.write(b"new"))
    assert path.read_bytes() == b"new"
    assert sorted(tmp_path.iterdir()) == [ordinary, path]


@pytest.mark.parametrize("earlier", [None, b"earlier"])
def test_on_a_full_disk_nothing_is_left_and_the_earlier_file_stays(tmp_path, earlier):
    path = tmp_path / "result.npz"
    if earlier:
        path.write_bytes(earlier)
    with pytest.raises(StorageError) as caught:
        write_whole(path, full_disk)
    assert str(caught.value) == (
        f"Cannot write {path}: No space left on device. Free some space or choose another folder, then run again."
    )
    assert caught.value.exit_code == 6
    assert [p.read_bytes() for p in tmp_path.iterdir()] == ([earlier] if earlier else [])


def test_on_a_full_disk_an_explanation_leaves_nothing(tmp_path, monkeypatch):
    def refusing(stream, *_args, **_settings):
        full_disk(stream)

    monkeypatch.setattr(np.lib.format, "write_array", refusing)
    with pytest.raises(StorageError, match="No space left on device"):
        Explanation("m", np.ones((1, 3)), np.array(["y"]), np.array([2.0])).save(tmp_path / "result.npz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError])
def test_whatever_stops_the_writing_nothing_is_left(tmp_path, failure):
    def stopped(stream):
        stream.write(b"half")
        raise failure

    with pytest.raises(failure):
        write_whole(tmp_path / "result.npz", stopped)
    assert list(tmp_path.iterdir()) == []


def test_a_reason_without_words_of_the_system_is_told(tmp_path):
    def strange(stream):
        raise OSError("quota of the project exceeded")

    with pytest.raises(StorageError, match="result: quota of the project exceeded"):
        write_whole(tmp_path / "result", strange)


def test_a_folder_that_is_missing_or_a_name_that_is_taken_by_a_folder(tmp_path):
    path = tmp_path / "missing" / "result.npz"
    with pytest.raises(StorageError) as caught:
        write_whole(path, full_disk)
    assert str(caught.value) == f"Cannot write {path}: No such file or directory. Choose another folder."
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match="Is a directory"):
        write_whole(tmp_path / "folder", lambda stream: stream.write(b"content"))
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]
    assert list((tmp_path / "folder").iterdir()) == []


def test_names_as_long_as_the_system_allows(tmp_path):
    path = write_whole(tmp_path / ("n" * 255), lambda stream: stream.write(b"content"))
    assert path.read_bytes() == b"content"


def test_only_arrays_that_shrink_are_compressed(tmp_path):
    arrays = {
        "noise": np.random.default_rng(0).normal(size=(300, 300)),
        "zeros": np.zeros((300, 300)),
        "spots": np.where(np.arange(90_000).reshape(300, 300) % 50, 0.0, 1.5),
        "turned": np.asfortranarray(np.arange(60_000.0).reshape(200, 300)),
        "words": np.array(["a", "longer"]),
        "none": np.zeros((0, 3)),
    }
    path = write_npz(tmp_path / "some.npz", arrays)
    with zipfile.ZipFile(path) as archive:
        kinds = {entry.filename: entry.compress_type for entry in archive.infolist()}
    assert kinds["noise.npy"] == zipfile.ZIP_STORED
    assert kinds["zeros.npy"] == kinds["spots.npy"] == kinds["words.npy"] == zipfile.ZIP_DEFLATED
    with np.load(path, allow_pickle=False) as found:
        assert {*found} == {*arrays}
        for name, array in arrays.items():
            assert found[name].dtype == array.dtype
            np.testing.assert_array_equal(found[name], array)


def test_what_killed_processes_left_is_swept_and_nothing_else(tmp_path):
    own = tmp_path / ".xaionnx-0123456789abcdef"
    own.write_bytes(b"half")
    folder = tmp_path / "xaionnx-0123456789abcdef"
    folder.mkdir()
    (folder / "inside").touch()
    others = [".xaionnx-0123", ".xaionnx-0123456789abcdeg", "xaionnx-0123456789abcdef.npz", "cat.png"]
    for name in others:
        (tmp_path / name).touch()
    (tmp_path / ".xaionnx-0000000000000000").symlink_to(tmp_path / "cat.png")
    sweep(tmp_path)
    sweep(tmp_path / "missing")
    assert {path.name for path in tmp_path.iterdir()} == {*others, ".xaionnx-0000000000000000"}


@pytest.mark.skipif(storage.fcntl is None, reason="no locks")
def test_what_a_living_process_writes_is_not_swept(tmp_path):
    code = """
import sys
from xaionnx.data.storage import write_whole
def write(stream):
    print(flush=True)
    sys.stdin.read()
    stream.write(b"whole")
write_whole(sys.argv[1], write)
"""
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "result")], **streams) as process:
        process.stdout.readline()
        (temporary,) = tmp_path.iterdir()
        sweep(tmp_path)
        assert list(tmp_path.iterdir()) == [temporary]
        with locked(temporary) as free:
            assert not free
        process.stdin.close()
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"whole"]
    with locked(tmp_path / "result") as free, locked(tmp_path / "result") as again:
        assert (free, again) == (True, False)


def test_a_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(storage.tempfile, "tempdir", str(tmp_path))
    (tmp_path / "xaionnx-0123456789abcdef").mkdir()
    with temporary_folder() as folder:
        assert list(tmp_path.iterdir()) == [folder]
        (folder / "file").touch()
        sweep(tmp_path)
        assert folder.is_dir()
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(storage.tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(
        StorageError, match=r"Cannot write temporary files to .*missing.* Name another folder in TMPDIR"
    ):
        temporary_folder().__enter__()


def test_the_content_is_on_the_disk_before_it_gets_the_name(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(storage.os, "fsync", lambda handle: calls.append("sync"))
    before = storage._rename
    monkeypatch.setattr(storage, "_rename", lambda *paths: calls.append("rename") or before(*paths))
    write_whole(tmp_path / "result", lambda stream: stream.write(b"content"))
    assert calls == ["sync", "rename"]


def test_a_folder_that_another_process_sweeps_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(storage.tempfile, "tempdir", str(tmp_path))
    opened, swept = os.open, []

    def sweeping(path, *args, **named):
        if not swept:
            swept.append(path)
            path.rmdir()
        return opened(path, *args, **named)

    monkeypatch.setattr(storage.os, "open", sweeping)
    with temporary_folder() as folder:
        assert folder.is_dir()
        assert swept[0] != folder
    assert not any(tmp_path.iterdir())
