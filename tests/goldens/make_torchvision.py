"""Lets torchvision be imported beside a CPU build of PyTorch, by whoever imports this first.

PyPI's torchvision is built for CUDA, and its import fails for want of two operators.
"""

import torch

library = torch.library.Library("torchvision", "DEF")
for operator in ("nms", "qnms"):
    library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
