"""Files that say to be Parquet; and the good table beside which they lie."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.corpus.case import MODELS, REFUSED, Case

_WORDS = ("explain", "feature_ablation", "table.onnx", "bad.parquet", "--json")


def copy_table(folder: Path) -> None:
    """Copy a model of table rows, with its spec."""
    for suffix in (".onnx", ".toml"):
        shutil.copy(MODELS / f"german_credit_mlp{suffix}", folder / f"table{suffix}")


def cases() -> Iterator[Case]:
    for name, content in _contents().items():

        def build(folder: Path, content: bytes = content) -> None:
            copy_table(folder)
            (folder / "bad.parquet").write_bytes(content)

        yield Case(f"parquet/{name}", _WORDS, REFUSED, build)
        background = ("explain", "kernel_shap", "table.onnx", "array.npy", "--background", "bad.parquet", "--json")
        yield Case(f"parquet/background-{name}", background, REFUSED, build)


def _contents() -> dict[str, bytes]:
    footer = bytes(range(60))
    return {
        "empty": b"",
        "marks alone": b"PAR1PAR1",
        "zeros between": b"PAR1" + bytes(32) + b"PAR1",
        "no end": b"PAR1" + bytes(64),
        "no start": bytes(64) + b"PAR1",
        "footer of nothing": b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1",
        "footer too long": b"PAR1" + footer + (2**31 - 1).to_bytes(4, "little") + b"PAR1",
        "encrypted": b"PARE" + footer + len(footer).to_bytes(4, "little") + b"PARE",
        "csv": b"a,b\n1,2\n",
        "feather": b"ARROW1\0\0" + bytes(32) + b"ARROW1",
        "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    }
