"""Games on files that packages of others ship, against all coalitions run by the bare session.

Run: python -m tests.real CACHE --fetch --only surface alexa dicom, then XAIONNX_REAL=CACHE pytest -m slow tests/real.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

import xaionnx
from tests.oracles import games, interactions
from tests.oracles.owen import owen
from tests.real.catalogue import catalogue
from xaionnx import Model, Target

CACHE = os.environ.get("XAIONNX_REAL")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CACHE is None, reason="XAIONNX_REAL names no folder of files"),
    pytest.mark.filterwarnings("ignore:no spec beside the model:UserWarning"),
]


@dataclass(frozen=True)
class Real:
    """A file, a sample, and its players with the groups that they form."""

    name: str
    shape: tuple[int, ...]
    labels: np.ndarray
    groups: list[list[int]]
    target: Target
    threshold: float
    scale: float

    @property
    def path(self) -> Path:
        (entry,) = (entry for entry in catalogue() if entry.name == self.name)
        return Path(CACHE or ".") / entry.path

    @property
    def x(self) -> np.ndarray:
        rng = np.random.default_rng(3)
        return (np.abs(rng.normal(size=(1, *self.shape))) * self.scale).astype(np.float32)

    @cached_property
    def values(self) -> dict[frozenset[int], float]:
        """The value of each coalition of players, absent ones at zero."""
        session = ort.InferenceSession(str(self.path), providers=["CPUExecutionProvider"])
        found, name, players = {}, session.get_inputs()[0].name, int(self.labels.max()) + 1
        for code in range(2**players):
            kept = np.where(code >> self.labels & 1, self.x, 0).astype(np.float32)
            output = session.run([session.get_outputs()[-1].name], {name: kept})[0]
            # A ZipMap returns one mapping a row.
            found[frozenset(k for k in range(players) if code >> k & 1)] = float(
                output[0][0] if isinstance(output, list) else np.ravel(output)[0]
            )
        return found


FILES = [
    Real("surface surrogate, MLP", (4,), np.arange(4), [[0, 1], [2, 3]], Target.index(0), 0.5, 3.0),
    Real(
        "wake word alexa",
        (16, 96),
        (np.arange(16) // 2)[:, None] + np.zeros((1, 96), int),
        [[0, 1, 2, 3], [4, 5], [6, 7]],
        Target.index(0),
        1e-4,
        8.0,
    ),
    Real("DICOM series, forest", (28,), np.arange(28) // 4, [[0, 1], [2, 3, 4], [5, 6]], Target.index(0), 0.2, 3.0),
]


@pytest.fixture(params=FILES, ids=lambda real: real.name)
def real(request):
    return request.param


def _explained(real, method, **settings):
    return xaionnx.explain(
        Model.load(real.path), real.x, method, real.target, baseline=0.0, features=real.labels, **settings
    )


def _close(found, expected):
    expected = np.asarray(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-6 * max(1e-6, np.abs(expected).max()))


def test_shapley_values(real):
    players = int(real.labels.max()) + 1
    expected = games.shapley(real.values, players)
    for method in ("kernel_shap", "exact_shapley"):
        _close(_explained(real, method).feature_values[0], expected)


def test_lime_of_all_coalitions(real):
    players = int(real.labels.max()) + 1
    z = np.array([[code >> k & 1 for k in range(players)] for code in range(2**players)], float)
    y = np.array([real.values[frozenset(np.flatnonzero(row).tolist())] for row in z])
    w = np.exp(-(((1 - np.sqrt(z.mean(axis=1))) / 0.25) ** 2) / 2)
    centred = z - w @ z / w.sum()
    gram = (centred * w[:, None]).T @ centred + 0.5 * np.eye(players)
    expected = np.linalg.solve(gram, (centred * w[:, None]).T @ (y - w @ y / w.sum()))
    _close(_explained(real, "lime", alpha=0.5, budget=2**players + 2).feature_values[0], expected)


def test_owen_values(real):
    players = int(real.labels.max()) + 1
    group = np.zeros(players, int)
    for number, members in enumerate(real.groups):
        group[members] = number
    found = _explained(real, "partition_shap", hierarchy=group[real.labels], budget=10_000)
    _close(found.feature_values[0], owen(real.values, real.groups, players))


def test_interactions_of_pairs(real):
    players = int(real.labels.max()) + 1
    expected = interactions.sii(real.values, players, 2)
    found = np.asarray(_explained(real, "shapley_interactions", index="sii").maps["interactions"])[0]
    pairs = [(i, j) for i in range(players) for j in range(i)]
    # A pair has half of its interaction in each of two places.
    _close([found[i, j] + found[j, i] for i, j in pairs], [expected[frozenset(pair)] for pair in pairs])


def test_the_precision_of_an_anchor_over_all_coalitions(real):
    whole = real.values[frozenset(range(int(real.labels.max()) + 1))]
    above = whole > real.threshold
    told = _explained(real, "anchors", threshold=real.threshold).diagnostics
    (anchor,), (low, high) = told["anchor"][0], told["precision_bounds"][0][0]
    kept = [value for present, value in real.values.items() if set(anchor) <= present]
    precision = np.mean([(value > real.threshold) == above for value in kept])
    assert low <= precision <= high
    assert told["found"] == [[precision >= 0.95]]
    assert told["coverage"] == [[len(kept) / len(real.values)]]
