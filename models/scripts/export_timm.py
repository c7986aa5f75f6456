"""Export architectures with seeded random weights into a folder, as graphs of real size for benchmarks and tests.

The architectures are those of timm, and two of `networks`: ``unet`` and ``encoder``.

Install: torch==2.13.0 first; then without dependencies torchvision==0.28.0 timm==1.0.31 huggingface_hub==2.4.0
safetensors==0.8.0 pyyaml==6.0.3; and pillow==13.0.0 tqdm onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6. The
report of huggingface_hub that its web client is missing does not matter: nothing is downloaded.
Run: python models/scripts/export_timm.py FOLDER [NAME ...] (default: all that the bench times)
"""

import argparse
from pathlib import Path

import torch
from exporting import export, seed_everything
from networks import Encoder, UNet
from torch import nn

# PyPI's torchvision is built for CUDA. With a CPU build of torch its library does not load, and the import fails for
# lack of two operators. No classifier uses them, so declaring them is enough.
library = torch.library.Library("torchvision", "DEF")
for operator in ("nms", "qnms"):
    library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import timm  # noqa: E402 - needs the two operators

TIMED = (
    "mobilenetv3_small_100", "mobilenetv3_large_100", "efficientnet_b0", "efficientnet_lite0", "resnet18",
    "vit_small_patch16_224", "unet", "encoder",
)  # fmt: skip
TOKENS, LENGTH = 30_000, 128


def with_live_statistics(network: nn.Module) -> nn.Module:
    """Set normalisation to the statistics of noise, and layer scales to a size at which gradients do not vanish."""
    network.train()
    with torch.no_grad():
        for _ in range(4):
            network(torch.randn(8, 3, 224, 224))
        for name, parameter in network.named_parameters():
            if name.endswith(("gamma", "layer_scale")):
                parameter.uniform_(0.25, 0.75)
    return network.eval()


def network(name: str) -> nn.Module:
    """An architecture by name, in evaluation mode; the same weights each time."""
    seed_everything(0)
    if name == "encoder":
        return Encoder(TOKENS, width=256, layers=6, heads=4, length=LENGTH).eval()
    if name == "unet":
        return with_live_statistics(UNet())
    # timm initialises the last normalisation of a ResNet block to zero, which would block the gradient of its branch.
    options = {"zero_init_last": False} if "resnet" in name else {}
    return with_live_statistics(timm.create_model(name, pretrained=False, **options))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", default=TIMED)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    # The exporter does not support the fused op of the fast path of encoders.
    torch.backends.mha.set_fastpath_enabled(False)
    for name in arguments.names:
        module = network(name)
        x = torch.randint(TOKENS, (2, LENGTH)) if name == "encoder" else torch.randn(2, 3, 224, 224)
        input_name = "ids" if name == "encoder" else "images"
        export(module, x, arguments.folder / f"{name}.onnx", input_name=input_name, output_name="logits")


if __name__ == "__main__":
    main()
