"""Maskers for tests of all methods: of few steps, which is enough for all but what the masks show."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.tiny import trained
from xaionnx import Model
from xaionnx.errors import XaionnxError
from xaionnx.masker import Masker
from xaionnx.optimization import MaskerTraining
from xaionnx.typing import InputLike

SHORT = MaskerTraining(steps=1, batch=2, width=1)
_known: dict[str, Masker] = {}


def masker_of(model: Model, x: InputLike, training: MaskerTraining = SHORT) -> Masker:
    """A masker of a model; of one that can have none, one of digits that says to be its own."""
    if model.sha256 not in _known:
        with tempfile.TemporaryDirectory() as folder:
            try:
                found = training.train(model, x, Path(folder) / "masker.onnx")
            except XaionnxError:
                found = Masker(trained("mnist_cnn"), model.sha256)
        _known[model.sha256] = found
    return _known[model.sha256]
