"""Save the values of Captum's DeepLIFT on four nets, with their completeness gaps.

Needs what `tests.goldens.make_propagation` and `tests.goldens.make_architectures` need.

    python -m tests.goldens.make_deep_lift     from the root of the repository

For each net a file ``deep_lift/NAME.npz``; its graph is that of those two scripts:

target, out, out_baselines
    The class of each of two inputs, and the logits of those and of four baselines, which
    `tests.goldens.weights.inputs` draws.
captum:DeepLift, captum:DeepLiftShap
    With the first baseline, and the mean over all (2, 3, H, W): calculated in float64 and rounded to float32. Captum
    knows the rescale rule for modules of ReLU and the like, max pooling and softmax; all else counts as linear.
captum:DeepLift:apart
    As the first, of the net with a product with 1 in front of each max pooling, where there is any. Directly behind a
    ReLU Captum's rule for max pooling is lost: its hooks of both are on one tensor, and that of the ReLU, which is
    older, reads the slope of the pooling before the other replaces it.
gap:DeepLift, gap:DeepLiftShap, gap:DeepLift:apart
    Their sum less the difference of the logits between input and baseline (2,), for the second its mean over baselines.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import captum.attr
import numpy as np
import torch
from torch import nn

from tests.goldens.make_cams import NETS, net
from tests.goldens.weights import inputs

FOLDER = Path(__file__).parent / "deep_lift"
# The windows of max pooling overlap in resnet18 but not in vgg; resnet and vit have none.
NAMES = (*NETS, "resnet18")
POOLED = ("vgg", "resnet18")


class Times1(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 1.0


def apart(network: nn.Module) -> nn.Module:
    """The net with a product with 1 before each max pooling."""
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.MaxPool2d):
            parent, _, child = name.rpartition(".")
            setattr(network.get_submodule(parent), child, nn.Sequential(Times1(), module))
    return network


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # Captum warns that it sets hooks
    FOLDER.mkdir(exist_ok=True)
    for name in NAMES:
        x, baselines = (torch.from_numpy(array).double() for array in (inputs(name), inputs(name, baselines=True)))
        out, out_baselines = net(name)(x).detach(), net(name)(baselines).detach()
        target = out.argmax(dim=1)
        given = {"DeepLift": (net(name), baselines[:1]), "DeepLiftShap": (net(name), baselines)}
        if name in POOLED:
            given["DeepLift:apart"] = (apart(net(name)), baselines[:1])
        arrays = {}
        for method, (network, chosen) in given.items():
            found = getattr(captum.attr, method.partition(":")[0])(network).attribute(x, chosen, target).detach()
            reference = out_baselines[: len(chosen)].mean(dim=0)
            difference = (out - reference).gather(1, target[:, None])[:, 0]
            arrays[f"captum:{method}"] = found.numpy().astype(np.float32)
            arrays[f"gap:{method}"] = (found.sum(dim=(1, 2, 3)) - difference).numpy()
        np.savez_compressed(
            FOLDER / f"{name}.npz", target=target.numpy(), out=out.numpy().astype(np.float32),
            out_baselines=out_baselines.numpy().astype(np.float32), **arrays,
        )  # fmt: skip


if __name__ == "__main__":
    main()
