"""Maskers for tests of all methods, which are trained only where it matters what their masks show."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import onnx

from tests.tiny import trained
from xaionnx import Model
from xaionnx.errors import XaionnxError
from xaionnx.masker import ABOUT, Masker
from xaionnx.optimization import MaskerTraining
from xaionnx.optimization.classifier import Classifier
from xaionnx.optimization.masker_network import masker_network
from xaionnx.typing import InputLike

_known: dict[str, Masker] = {}


def masker_of(model: Model, x: InputLike, training: MaskerTraining | None = None) -> Masker:
    """A masker of a model, with random weights if there is no training.

    A model that can have none gets one of digits that says to be its own.
    """
    if model.sha256 not in _known:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "masker.onnx"
            try:
                _known[model.sha256] = training.train(model, x, path) if training else _untrained(model, x, path)
            except XaionnxError:
                _known[model.sha256] = Masker(trained("mnist_cnn"), model.sha256)
    return _known[model.sha256]


def _untrained(model: Model, x: InputLike, path: Path) -> Masker:
    classifier = Classifier.of(model, x)
    proto = masker_network(classifier.positions, classifier.classes, 1, np.random.default_rng(0))
    onnx.helper.set_model_props(proto, {ABOUT: json.dumps({"of": model.sha256, "objective": [], "training": {}})})
    path.write_bytes(proto.SerializeToString())
    return Masker.load(path, "cpu")
