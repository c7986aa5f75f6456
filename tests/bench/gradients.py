"""The cost of a gradient relative to the forward run of the same file, and to PyTorch's forward and backward.

Both run alternately in one process on one thread. All times are CPU times.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench import fresh
from tests.bench.tasks import MODELS
from tests.bench.turns import runner, turns
from xaionnx import Model
from xaionnx.autodiff import gradient
from xaionnx.explainers.grad_cam import GradCam
from xaionnx.typing import Array

BATCH = 8
# Batch sizes whose peaks of memory are compared; constant parts, such as the weights, cancel.
FEW, MANY = 4, 12


@dataclass(frozen=True)
class Net:
    """A graph to time: its name, the required ratio, and the explained tensor."""

    name: str
    file: str
    target: float
    wrt: str = "images"

    def x(self) -> Array:
        """A batch of noise, or of tokens."""
        rng = np.random.default_rng(0)
        if self.file == "encoder":
            return rng.integers(0, 30_000, (BATCH, 128))
        return rng.standard_normal((BATCH, 3, 224, 224)).astype(np.float32)


NETS = (
    Net("ResNet18", "resnet18", 2.5),
    Net("ViT-S/16", "vit_small_patch16_224", 2.5),
    Net("U-Net", "unet", 2.5),
    Net("MobileNetV3-small", "mobilenetv3_small_100", 4.0),
    Net("MobileNetV3-large", "mobilenetv3_large_100", 4.0),
    Net("EfficientNet-B0", "efficientnet_b0", 4.0),
    Net("EfficientNet-Lite0", "efficientnet_lite0", 4.0),
    # Tokens have no gradient; their embedding has.
    Net("BERT, 6 layers of 256, 128 tokens", "encoder", 2.5, "/norm/LayerNormalization_output_0"),
)


def rows(folder: Path, only: str, rounds: int) -> Iterator[dict[str, Any]]:
    """A row for each net whose graph is in the folder; compared with PyTorch where torch and timm are installed."""
    for net in NETS:
        path = folder / f"{net.file}.onnx"
        name = f"gradient, {net.name}"
        if only not in name or not path.exists():
            continue
        model = Model.load(path, device="cpu", threads=1)
        found = gradient(model, model.output().name, [net.wrt])
        assert found.model.graph is not None
        with tempfile.TemporaryDirectory() as scratch:
            derived = Path(scratch) / "gradient.onnx"
            derived.write_bytes(found.model.graph.SerializeToString())
            x, entry = net.x(), model.input().name
            cotangent = np.zeros((BATCH, *model.run({entry: x[:1]})[found.out].shape[1:]), np.float32)
            cotangent[:, 0] = 1
            feeds = {entry: x, found.cotangent: cotangent}
            steps = {
                "forward": runner(path, [found.out], {entry: x}),
                "gradient": runner(derived, list(found.names.values()), feeds),
            }
            if find_spec("torch") and find_spec("timm"):
                steps["torch"] = _peer(net, x, cotangent)
            times = turns(steps, rounds)
            memory = {"forward": _memory(path, {entry: x}), "gradient": _memory(derived, feeds)}
        yield {
            "kind": "gradient",
            "name": name,
            "target": net.target,
            "rounds": [round(b / a, 3) for a, b in zip(times["forward"], times["gradient"], strict=True)],
            "peer": [round(b / a, 3) for a, b in zip(times.get("torch", []), times["gradient"], strict=False)],
            "forward_s": round(statistics.median(times["forward"]) / BATCH, 5),
            "memory": {kind: round(mb, 2) for kind, mb in memory.items()},
        }


# Nets with a head after the last convolution, and the allowed ratio of Grad-CAM to a forward run.
CAMS, CAM_LIMIT = ("resnet18", "mobilenetv3_large_100", "efficientnet_lite0"), 1.15


def cam_rows(folder: Path, only: str, rounds: int) -> Iterator[dict[str, Any]]:
    """A row for each of :data:`CAMS` in the folder: a whole explanation over the bare forward run of its batch."""
    for net in NETS:
        path = folder / f"{net.file}.onnx"
        name = f"grad_cam over forward, {net.name}"
        if net.file not in CAMS or only not in name or not path.exists():
            continue
        model = Model.load(path, device="cpu", threads=1, batch_size=BATCH)
        x, method = net.x(), GradCam()
        method.attribute(model, x)
        bare = runner(path, [model.output().name], {model.input().name: x})
        times = turns({"forward": bare, "cam": partial(method.attribute, model, x)}, rounds)
        yield {
            "kind": "cam",
            "name": name,
            "target": CAM_LIMIT,
            "rounds": [round(b / a, 3) for a, b in zip(times["forward"], times["cam"], strict=True)],
            "forward_s": round(statistics.median(times["forward"]) / BATCH, 5),
        }


def module_of(name: str) -> Any:
    """The PyTorch module of a graph, on one thread, without gradients of the weights, as in the graph."""
    import torch

    scripts = str(MODELS / "scripts")
    if scripts not in sys.path:
        sys.path.insert(0, scripts)
    from export_timm import network

    module = network(name)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(False)
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return module


def _peer(net: Net, x: Array, cotangent: Array) -> Callable[[], object]:
    """PyTorch's forward and backward to the same tensor."""
    import torch

    module = module_of(net.file)
    data, weight = torch.from_numpy(x), torch.from_numpy(cotangent)
    embedded: list[Any] = []
    if net.file == "encoder":

        def keep(layer: Any, inputs: Any, output: Any) -> Any:
            embedded[:] = [output.detach().requires_grad_()]
            return embedded[0]

        module.norm.register_forward_hook(keep)

    def step() -> object:
        if not data.is_floating_point():
            answer = module(data)
            return torch.autograd.grad(answer, embedded, weight)
        source = data.clone().requires_grad_()
        return torch.autograd.grad(module(source), [source], weight)

    return step


_RUN = """
import numpy as np, onnxruntime as ort
options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession({path!r}, options, providers=["CPUExecutionProvider"])
feeds = {{name: np.zeros(({batch}, *shape), kind) for name, (shape, kind) in {feeds!r}.items()}}
session.run(None, feeds)
"""


def _memory(path: Path, feeds: dict[str, Array]) -> float:
    """MB that each additional sample adds to the peak of a process."""
    told = {name: (array.shape[1:], array.dtype.str) for name, array in feeds.items()}
    few, many = (fresh.peak(_RUN.format(path=str(path), batch=batch, feeds=told)) for batch in (FEW, MANY))
    return (many - few) / (MANY - FEW)
