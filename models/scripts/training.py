"""Data and training for the scripts of this folder: digits as tensors, and a seeded training loop."""

import torch
from digits import mnist_arrays
from torch import nn


def mnist(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The digits of :func:`digits.mnist_arrays` as tensors."""
    x, y, x_test, y_test = (torch.from_numpy(array) for array in mnist_arrays(seed))
    return x, y, x_test, y_test


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
