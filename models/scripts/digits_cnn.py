"""Train a small convolutional network on scikit-learn's 8 x 8 digits and export it.

Install: torch==2.13.0 onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6 scikit-learn==1.9.1.
Run: python models/scripts/digits_cnn.py (a few seconds)
"""

import torch
from exporting import MODELS, export, seed_everything
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from training import accuracy, fit


def digits() -> tuple[torch.Tensor, torch.Tensor, list[int], list[int]]:
    """Digits (N, 1, 8, 8) from 0 to 1, their classes, and the numbers of those to learn from and to test with."""
    data = load_digits()
    x = torch.tensor(data.images[:, None] / 16, dtype=torch.float32)
    y = torch.tensor(data.target)
    train, test = train_test_split(range(len(y)), test_size=360, random_state=0, stratify=data.target)
    return x, y, train, test


def untrained() -> nn.Module:
    """The network, with random weights."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 4 * 4, 10),
    )


def main() -> None:
    seed_everything(0)
    x, y, train, test = digits()
    network = untrained()
    fit(network, x[train], y[train], epochs=20, rate=3e-3)
    print(f"digits_cnn: accuracy {accuracy(network, x[test], y[test]):.4f} on 360 held-out digits")
    export(network, x[:2], MODELS / "digits_cnn.onnx", input_name="pixels", output_name="logits")


if __name__ == "__main__":
    main()
