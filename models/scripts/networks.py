"""Networks that no package ships in a plain form: a U-Net, and a token encoder like BERT."""

import torch
from torch import nn


class UNet(nn.Module):
    """Ronneberger et al. 2015 (arXiv:1505.04597) with normalisation and padded convolutions.

    The last upsampling is bilinear and the others are transposed convolutions, since both occur in practice.

    Parameters
    ----------
    width : int
        Channels of the first level; each further level has twice as many.
    levels : int
        Number of times that the picture is halved.
    classes : int
    """

    def __init__(self, width: int = 32, levels: int = 4, classes: int = 2) -> None:
        super().__init__()
        widths = [width << level for level in range(levels + 1)]
        self.down = nn.ModuleList(_double(a, b) for a, b in zip([3, *widths[:-2]], widths[:-1], strict=True))
        self.pool = nn.MaxPool2d(2)
        self.bottom = _double(widths[-2], widths[-1])
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in widths[-2:0:-1])
        self.up.append(
            nn.Sequential(
                nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False), nn.Conv2d(2 * width, width, 1)
            )
        )
        self.merge = nn.ModuleList(_double(2 * w, w) for w in widths[-2::-1])
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
            x = self.pool(x)
        x = self.bottom(x)
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([skips.pop(), up(x)], dim=1))
        return self.head(x)


def _double(inner: int, outer: int) -> nn.Sequential:
    layers = []
    for channels in (inner, outer):
        layers += [nn.Conv2d(channels, outer, 3, padding=1, bias=False), nn.BatchNorm2d(outer), nn.ReLU()]
    return nn.Sequential(*layers)


class Encoder(nn.Module):
    """Integer tokens (N, T) to classes (N, K), like BERT (arXiv:1810.04805)."""

    def __init__(
        self, tokens: int, width: int, layers: int, heads: int, length: int, classes: int = 2, hidden: int = 4
    ) -> None:
        super().__init__()
        self.word = nn.Embedding(tokens, width)
        self.position = nn.Parameter(torch.randn(1, length, width) * 0.5)
        self.norm = nn.LayerNorm(width)
        layer = nn.TransformerEncoderLayer(
            width, heads, hidden * width, dropout=0.0, activation="gelu", batch_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.pooler = nn.Linear(width, width)
        self.head = nn.Linear(width, classes)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.word(ids) + self.position)
        return self.head(torch.tanh(self.pooler(self.layers(x)[:, 0])))
