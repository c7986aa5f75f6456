"""Export architectures of timm with seeded random weights into a folder: graphs of real size to time and differentiate.

Install: torch==2.13.0 first; then without dependencies torchvision==0.28.0 timm==1.0.31 huggingface_hub==2.4.0
safetensors==0.8.0 pyyaml==6.0.3; and pillow==13.0.0 tqdm onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6. That
huggingface_hub reports that its web client is missing is of no matter: nothing is downloaded.
Run: python models/scripts/export_timm.py FOLDER [NAME ...] (default: mobilenetv3_small_100 resnet18)
"""

import argparse
from pathlib import Path

import torch
from exporting import export, seed_everything
from torch import nn

# PyPI's torchvision is built for CUDA. Beside a CPU build of torch its library does not load, and its import fails for
# want of two operators, which no classifier uses: their declaration suffices.
library = torch.library.Library("torchvision", "DEF")
for operator in ("nms", "qnms"):
    library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import timm  # noqa: E402 - needs the two operators


def with_live_statistics(network: nn.Module) -> nn.Module:
    """Give normalisation the statistics of noise batches, and layer scales a size at which gradients are not lost."""
    network.train()
    with torch.no_grad():
        for _ in range(4):
            network(torch.randn(8, 3, 224, 224))
        for name, parameter in network.named_parameters():
            if name.endswith(("gamma", "layer_scale")):
                parameter.uniform_(0.25, 0.75)
    return network.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", default=["mobilenetv3_small_100", "resnet18"])
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.names:
        seed_everything(0)
        # ResNets start their last normalisation at zero: such a block would pass no gradient to its branch.
        options = {"zero_init_last": False} if "resnet" in name else {}
        network = with_live_statistics(timm.create_model(name, pretrained=False, **options))
        path = arguments.folder / f"{name}.onnx"
        export(network, torch.randn(2, 3, 224, 224), path, input_name="images", output_name="logits")


if __name__ == "__main__":
    main()
