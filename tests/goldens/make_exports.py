"""Export small modules with PyTorch's dynamo exporter and a free batch, and save their gradients by autograd.

Needs torch==2.13.0 (a CPU build serves), onnx==1.23.2 and onnxscript==0.7.2.

    python -m tests.goldens.make_exports     from the root of the repository

The exporter writes interpolation, assignments in place and indexing as GatherND and ScatterND on transposed tensors,
so that the batch is not the first axis. ``exports.npz`` has for each module ``NAME:model``, the graph as bytes,
``NAME:x`` (3, ...), ``NAME:cotangent`` and ``NAME:gradient``, computed in float64 and rounded to float32.
"""

from __future__ import annotations

import contextlib
import copy
import io
import math
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn import functional

FILE = Path(__file__).parent / "exports.npz"
PICTURE, SERIES, VOLUME, ROWS = (3, 5, 6), (3, 9), (2, 3, 4, 5), (4, 6)

Body = Callable[[nn.Module, torch.Tensor], torch.Tensor]


class Case(nn.Module):
    def __init__(self, body: Body, layer: nn.Module) -> None:
        super().__init__()
        self.body, self.layer = body, layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(self.layer, x)


def resized(**options: object) -> Body:
    return lambda layer, x: functional.interpolate(layer(x), **options)


def assigned(assign: Callable[[torch.Tensor, torch.Tensor], None]) -> Body:
    """A layer's output of which a function of the input assigns some entries in place."""

    def body(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
        y = layer(x).tanh().clone()
        assign(y, x)
        return y

    return body


def set_channel(y: torch.Tensor, x: torch.Tensor) -> None:
    y[:, 1] = x[:, 0] * 2


def set_strided_block(y: torch.Tensor, x: torch.Tensor) -> None:
    y[:, :, 1:4, 0:5:2] += x[:, :1, 0:3, 0:3]


def set_last_column(y: torch.Tensor, x: torch.Tensor) -> None:
    y[..., -1] = y[..., 0] + x[:, :1, :, 1]


def fill_block(y: torch.Tensor, x: torch.Tensor) -> None:
    y[:, :, 2:4, 1:3] = 0
    y[:, 0].fill_(1.5)


def add_and_copy(y: torch.Tensor, x: torch.Tensor) -> None:
    y.add_(x.mean(1, keepdim=True)).mul_(2.0)
    y[:, 0].copy_(x[:, 1])


def put_list(y: torch.Tensor, x: torch.Tensor) -> None:
    y[:, torch.tensor([0, 2, 1])] = x[:, [1, 0, 2]] ** 2


def put_points(y: torch.Tensor, x: torch.Tensor) -> None:
    y[:, :, torch.tensor([0, 2]), torch.tensor([1, 3])] = x[:, :, 0, :2] ** 2


def put_mask(y: torch.Tensor, x: torch.Tensor) -> None:
    y[y < 0] = 0.1


def conv(rank: int = 2, channels: int = 3) -> nn.Module:
    return (nn.Conv1d, nn.Conv2d, nn.Conv3d)[rank - 1](channels, 3, 3, padding=1)


def own_scores(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return (layer(x) * 2)[torch.arange(x.shape[0]), x.sum(-1).argmax(1)]


def added_at(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    rows = x.transpose(0, 1)
    return layer(x).transpose(0, 1).index_put((torch.tensor([0, 2, 2]),), rows * 2, accumulate=True).transpose(0, 1)


def shifted(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    y = torch.zeros_like(x)
    y[:, :, 1:] = layer(x)[:, :, :-1].sin()
    return y


def cases() -> dict[str, tuple[tuple[int, ...], Body, nn.Module]]:
    plain = nn.Tanh()
    found: dict[str, tuple[tuple[int, ...], Body, nn.Module]] = {}
    for mode in ("nearest-exact", "area"):
        found[f"{mode} twice"] = PICTURE, resized(scale_factor=2, mode=mode), conv()
        found[f"{mode} 1.7 times"] = PICTURE, resized(scale_factor=1.7, mode=mode), conv()
        found[f"{mode} to a size"] = PICTURE, resized(size=(4, 8), mode=mode), conv()
        found[f"{mode} series"] = SERIES, resized(scale_factor=2, mode=mode), conv(1)
        found[f"{mode} series to a size"] = SERIES, resized(size=7, mode=mode), conv(1)
    found["nearest-exact volume"] = VOLUME, resized(size=(4, 3, 7), mode="nearest-exact"), conv(3, 2)
    found["linear series"] = SERIES, resized(scale_factor=2, mode="linear"), conv(1)
    found["linear series to a size"] = SERIES, resized(size=14, mode="linear"), conv(1)
    found["bicubic aligned"] = PICTURE, resized(size=(7, 9), mode="bicubic", align_corners=True), conv()
    found["adaptive average"] = PICTURE, lambda layer, x: functional.adaptive_avg_pool2d(layer(x), (3, 4)), conv()
    puts = (
        set_channel, set_strided_block, set_last_column, fill_block, add_and_copy, put_list, put_points, put_mask,
    )  # fmt: skip
    found |= {put.__name__.replace("_", " "): (PICTURE, assigned(put), conv()) for put in puts}
    found["shifted"] = PICTURE, shifted, conv()
    found["added at"] = PICTURE, added_at, conv()
    found["added along"] = PICTURE, lambda layer, x: layer(x).index_add(1, torch.tensor([0, 2, 2]), x * 2), conv()
    found["copied along"] = (
        PICTURE,
        lambda layer, x: layer(x).index_copy(1, torch.tensor([0, 2]), x[:, 1:] ** 2),
        conv(),
    )
    found["filled along"] = PICTURE, lambda layer, x: layer(x).index_fill(1, torch.tensor([0, 2]), 3.0) * x, conv()
    found["at points"] = (
        PICTURE,
        lambda layer, x: layer(x)[:, :, torch.tensor([0, 2, 3]), torch.tensor([1, 1, 5])],
        plain,
    )
    found["at a grid"] = (
        PICTURE,
        lambda layer, x: layer(x)[:, torch.tensor([[0], [2]]), torch.tensor([[1, 4, 3]])],
        plain,
    )
    found["at each sample's own"] = ROWS, own_scores, plain
    found["reflected"] = PICTURE, lambda layer, x: layer(functional.pad(x.tanh(), (1, 2, 2, 1), mode="reflect")), conv()
    found["circular"] = PICTURE, lambda layer, x: layer(functional.pad(x.tanh(), (1, 2, 2, 1), mode="circular")), conv()
    found["rolled"] = PICTURE, lambda layer, x: torch.roll(layer(x), (1, -2), (2, 3)), plain
    found["windows"] = SERIES, lambda layer, x: layer(x).unfold(2, 4, 3), plain
    return found


def main() -> None:
    torch.set_num_threads(1)
    arrays: dict[str, np.ndarray] = {}
    for number, (name, (shape, body, layer)) in enumerate(cases().items()):
        torch.manual_seed(number)
        net = Case(body, layer).eval()
        for parameter in net.parameters():
            fan = math.prod(parameter.shape[1:])
            nn.init.normal_(parameter, std=fan**-0.5)
        x = torch.randn(3, *shape)
        exact = x.double().requires_grad_()
        torch.set_default_dtype(torch.float64)
        y = copy.deepcopy(net).double()(exact)
        cotangent = torch.randn(y.shape)
        (gradient,) = torch.autograd.grad((y * cotangent).sum(), exact)
        torch.set_default_dtype(torch.float32)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # of the exporter about itself
            program = torch.onnx.export(
                net, (x,), dynamo=True, dynamic_shapes=({0: torch.export.Dim("batch")},), input_names=["x"],
                output_names=["y"], verbose=False,
            )  # fmt: skip
        assert program is not None
        model = program.model_proto
        # Call stacks with local paths.
        for holder in (model, model.graph, *model.graph.node, *model.graph.value_info):
            holder.ClearField("metadata_props")
        for node in model.graph.node:
            node.ClearField("doc_string")
        onnx.checker.check_model(model)
        arrays |= {
            f"{name}:model": np.frombuffer(model.SerializeToString(), np.uint8),
            f"{name}:x": x.numpy(),
            f"{name}:cotangent": cotangent.numpy().astype(np.float32),
            f"{name}:gradient": gradient.numpy().astype(np.float32),
        }
    np.savez_compressed(FILE, **arrays)


if __name__ == "__main__":
    main()
