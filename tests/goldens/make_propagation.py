"""Export six small nets, and save the results of other libraries' propagation rules.

Needs torch==2.13.0 (a CPU build serves) and onnx==1.23.2, then without dependencies torchvision==0.28.0 captum==0.9.0
zennit==0.5.1, and matplotlib, which captum imports.

    python -m tests.goldens.make_propagation [NET ...]     from the root of the repository

For each net a graph ``propagation/NAME.onnx`` and its answers ``propagation/NAME.npz``:

x, target, out
    The inputs (N, 3, H, W), the class of each and the logits.
captum:METHOD, zennit:COMPOSITE
    What the peer answers, calculated in float64 and rounded to float32. With ``:all_first`` zennit's rule of the first
    layer is given to every layer that reads the input; with ``:own_layer`` a normalisation ahead of a convolution
    follows the epsilon rule, as a linear layer of its own.
detached
    Input times gradient by torch itself, with attention weights, deviations and gates taken out of the graph: what
    Ali et al. 2022, arXiv:2202.07304, define.
"""

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import tests.goldens.make_torchvision  # noqa: F401 - before what needs torchvision

# isort: split
import captum.attr
import zennit.attribution
import zennit.composites
import zennit.layer
import zennit.rules
import zennit.types
from captum.attr._utils.lrp_rules import EpsilonRule

FOLDER = Path(__file__).parent / "propagation"
CLASSES, SIZE = 10, 32
# Bounds of the inputs, for z-box.
LOW, HIGH = -2.0, 2.0


class Vgg(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(256, 32), nn.ReLU(), nn.Linear(32, CLASSES),
        )  # fmt: skip


class Block(nn.Module):
    """Two convolutions with normalisation, and a residual connection."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False), nn.BatchNorm2d(outer)
        self.conv2, self.bn2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False), nn.BatchNorm2d(outer)
        self.skip: nn.Module = nn.Identity()
        if stride > 1:
            self.skip = nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.sum = zennit.layer.Sum()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.relu2(self.sum(torch.stack([h, self.skip(x)], dim=-1)))


class ResNet(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8)), nn.ReLU(),
            Block(8, 8, 1), Block(8, 16, 2), Block(16, 24, 2),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, CLASSES),
        )  # fmt: skip


class Mlp(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Flatten(), nn.Linear(192, 24), nn.ReLU(), nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, CLASSES)
        )


class Inception(nn.Module):
    """Three convolutions of the input side by side, and one of what they found."""

    def __init__(self) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Conv2d(3, 4, size, padding=size // 2), nn.ReLU()) for size in (1, 3, 5)
        )
        self.conv, self.relu = nn.Conv2d(12, 8, 3), nn.ReLU()
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.relu(self.conv(torch.cat([branch(x) for branch in self.branches], dim=1))))


class Dense(nn.Module):
    """Two layers of normalisation, rectifier and convolution, each beside what it read."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 4, 3, padding=1)) for width in (6, 10)
        )
        self.head = nn.Sequential(
            nn.BatchNorm2d(14), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(14, CLASSES)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.stem(x)
        for layer in self.layers:
            h = torch.cat([h, layer(h)], dim=1)
        return self.head(h)


class Layer(nn.Module):
    """Attention and two linear layers, each after a normalisation and with a residual connection."""

    def __init__(self, width: int, heads: int, activation: nn.Module) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out, self.heads = nn.Linear(width, 3 * width), nn.Linear(width, width), heads
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), activation, nn.Linear(2 * width, width))
        self.constant: nn.Module = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, t, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        weights = self.constant(torch.softmax(q @ k.transpose(-1, -2) * (d // self.heads) ** -0.5, dim=-1))
        x = x + self.out((weights @ v).permute(0, 2, 1, 3).reshape(n, t, d))
        return x + self.mlp(self.norm2(x))


class Vit(nn.Module):
    """A transformer over patches of 8 x 8, with one rectifier and one Gelu."""

    def __init__(self) -> None:
        super().__init__()
        width = 24
        self.embed = nn.Conv2d(3, width, 8, stride=8)
        self.place = nn.Parameter(torch.randn(1, 16, width) * 0.5)
        self.layers = nn.Sequential(Layer(width, 2, nn.ReLU()), Layer(width, 2, nn.GELU()))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.layers(self.embed(x).flatten(2).transpose(1, 2) + self.place)
        return self.head(self.norm(h).mean(dim=1))


class Detached(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.detach()


class DetachedNorm(nn.LayerNorm):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        centred = x - x.mean(dim=-1, keepdim=True)
        deviation = ((centred**2).mean(dim=-1, keepdim=True) + self.eps).sqrt()
        return centred / deviation.detach() * self.weight + self.bias


class DetachedGelu(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.special.ndtr(x).detach()


def detached(net: Vit, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Input times gradient, with attention weights, deviations and gates as constants."""
    for module in list(net.modules()):
        if isinstance(module, nn.LayerNorm):
            module.__class__ = DetachedNorm
        if isinstance(module, Layer):
            module.constant = Detached()
            if isinstance(module.mlp[1], nn.GELU):
                module.mlp[1] = DetachedGelu()
    x = x.clone().requires_grad_(True)
    net(x).gather(1, target[:, None]).sum().backward()
    assert x.grad is not None
    return x.detach() * x.grad


def folded(net: nn.Module) -> nn.Module:
    """The net with normalisation folded into the convolutions, as zennit's rules expect."""
    for module in net.modules():
        if isinstance(module, Block):
            module.conv1 = nn.utils.fuse_conv_bn_eval(module.conv1, module.bn1)
            module.conv2 = nn.utils.fuse_conv_bn_eval(module.conv2, module.bn2)
            module.bn1 = module.bn2 = nn.Identity()
        if isinstance(module, nn.Sequential) and len(module) == 2 and isinstance(module[1], nn.BatchNorm2d):
            module[0], module[1] = nn.utils.fuse_conv_bn_eval(module[0], module[1]), nn.Identity()
    return net


def composites() -> dict[str, zennit.composites.Composite]:
    rules, kinds = zennit.rules, zennit.types
    base = zennit.composites.layer_map_base()

    def alike(rule: Callable[[], zennit.rules.BasicHook]) -> zennit.composites.Composite:
        return zennit.composites.LayerMapComposite([*base, (kinds.Linear, rule())])

    named = zennit.composites.COMPOSITES
    return {
        "epsilon": alike(rules.Epsilon),
        "gamma": alike(rules.Gamma),
        "alpha2_beta1": alike(rules.AlphaBeta),
        # By default zennit includes the square of the bias in the sum; Montavon et al. 2017 do not.
        "w_square": alike(lambda: rules.WSquare(zero_params="bias")),
        "flat": alike(rules.Flat),
        # As in Montavon et al. 2017, whose z-plus gives a bias nothing; zennit's own composites give it a share.
        "epsilon_plus_without_bias": zennit.composites.LayerMapComposite(
            [*base, (kinds.Convolution, rules.ZPlus(zero_params="bias")), (kinds.Linear, rules.Epsilon())]
        ),
        "epsilon_plus": named["epsilon_plus"](),
        "epsilon_plus_flat": named["epsilon_plus_flat"](),
        "epsilon_gamma_box": named["epsilon_gamma_box"](low=torch.tensor(LOW), high=torch.tensor(HIGH)),
        "epsilon_alpha2_beta1": named["epsilon_alpha2_beta1"](),
        "epsilon_alpha2_beta1_flat": named["epsilon_alpha2_beta1_flat"](),
    }


# The layers that read the input, by net.
FIRST = {"mlp": ["1"], "inception": ["branches.0.0", "branches.1.0", "branches.2.0"]}


def with_all_first(net: str) -> dict[str, zennit.composites.Composite]:
    """Composites with a rule for the first layer, given to all layers that read the input."""
    rules = zennit.rules
    low, high = torch.tensor(LOW), torch.tensor(HIGH)
    first = {
        "epsilon_plus_flat": rules.Flat(),
        "epsilon_gamma_box": rules.ZBox(low=low, high=high),
        "epsilon_alpha2_beta1_flat": rules.Flat(),
    }
    found = {}
    for name, rule in first.items():
        rest = composites()[name]
        rest.first_map = []
        found[name] = zennit.composites.MixedComposite(
            [zennit.composites.NameMapComposite([(tuple(FIRST[net]), rule)]), rest]
        )
    return found


def with_own_layers() -> dict[str, zennit.composites.Composite]:
    """Composites in which a normalisation that no canonizer merges is a linear layer with the epsilon rule."""
    base, rules = zennit.composites.layer_map_base(), zennit.rules
    norm = (zennit.types.BatchNorm, rules.Epsilon())
    alike = {"epsilon": rules.Epsilon(), "gamma": rules.Gamma(), "alpha2_beta1": rules.AlphaBeta()}
    return {
        name: zennit.composites.LayerMapComposite([norm, *base, (zennit.types.Linear, rule)])
        for name, rule in alike.items()
    }


def branched_answers(name: str, net: nn.Module, x: torch.Tensor, target: torch.Tensor) -> Iterator[tuple[str, Any]]:
    """zennit's answers for the nets on which it depends which layers count as first, or how a normalisation counts."""
    one_hot = torch.nn.functional.one_hot(target, CLASSES)
    named = composites()
    if name == "dense":
        found = {key: named[key] for key in with_own_layers()}
        found |= {f"{key}:own_layer": composite for key, composite in with_own_layers().items()}
    else:
        found = {key: named[key] for key in with_all_first(name)}
        found |= {f"{key}:all_first": composite for key, composite in with_all_first(name).items()}
    for key, composite in found.items():
        with zennit.attribution.Gradient(copy.deepcopy(net), composite) as attributor:
            yield f"zennit:{key}", attributor(x.clone(), lambda out: out * one_hot)[1]


def answers(name: str, net: nn.Module, x: torch.Tensor, target: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    """The results of each peer, each on its own copy of the net, since some leave their hooks behind."""
    if name in ("mlp", "inception", "dense"):
        yield from branched_answers(name, net, x, target)
        return
    one_hot = torch.nn.functional.one_hot(target, CLASSES)
    yield "captum:guided_backprop", captum.attr.GuidedBackprop(copy.deepcopy(net)).attribute(x, target)
    yield "captum:deconvnet", captum.attr.Deconvolution(copy.deepcopy(net)).attribute(x, target)
    if name == "vgg":
        # At a residual sum captum passes the whole relevance to both operands.
        ruled = copy.deepcopy(net)
        for module in ruled.modules():
            if isinstance(module, nn.Flatten):
                module.rule = EpsilonRule()  # which passes each number on; by default captum refuses the module
        yield "captum:epsilon", captum.attr.LRP(ruled).attribute(x, target).detach()
    if name == "vit":
        yield "detached", detached(copy.deepcopy(net), x, target)
        return
    for key, composite in composites().items():
        with zennit.attribution.Gradient(folded(copy.deepcopy(net)), composite) as attributor:
            yield f"zennit:{key}", attributor(x.clone(), lambda out: out * one_hot)[1]


def settled(net: nn.Module, x: torch.Tensor) -> nn.Module:
    """The net with normalisation statistics of some inputs, and scales other than 1."""
    net.train()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)
    with torch.no_grad():
        for _ in range(40):
            net(x)
    return net.eval()


NETS: dict[str, tuple[type[nn.Module], int]] = {
    "vgg": (Vgg, SIZE),
    "resnet": (ResNet, SIZE),
    "vit": (Vit, SIZE),
    "mlp": (Mlp, 8),
    "inception": (Inception, 10),
    "dense": (Dense, 10),
}


def main() -> None:
    torch.set_num_threads(1)
    FOLDER.mkdir(exist_ok=True)
    for name in sys.argv[1:] or NETS:
        build, size = NETS[name]
        torch.manual_seed(0)
        net = settled(build(), torch.empty(64, 3, size, size).uniform_(LOW, HIGH))
        x = torch.empty(2, 3, size, size).uniform_(LOW, HIGH)
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # the tracing exporter is deprecated, but writes no local paths into the file
            torch.onnx.export(
                net, (x,), str(FOLDER / f"{name}.onnx"), dynamo=False, opset_version=17, input_names=["x"],
                output_names=["y"], dynamic_axes={"x": {0: "N"}, "y": {0: "N"}},
                training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False,
            )  # fmt: skip
            wide = net.double()
            out = wide(x.double()).detach()
            target = out.argmax(dim=1)
            found: dict[str, Any] = dict(answers(name, wide, x.double(), target))
        arrays = {key: value.detach().numpy().astype(np.float32) for key, value in found.items()}
        np.savez_compressed(
            FOLDER / f"{name}.npz", x=x.numpy(), target=target.numpy(), out=out.numpy().astype(np.float32), **arrays
        )


if __name__ == "__main__":
    main()
