"""Make torchvision importable with a CPU build of PyTorch; import this module first.

PyPI's torchvision is built for CUDA, and its import fails because two operators are missing.
"""

import torch

library = torch.library.Library("torchvision", "DEF")
for operator in ("nms", "qnms"):
    library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
