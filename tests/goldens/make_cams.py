"""Save the class activation maps of other libraries for three nets.

Needs what `tests.goldens.make_propagation` and `tests.goldens.make_architectures` need, then without dependencies
grad-cam==1.5.7 ttach==0.0.3 opencv-python-headless==5.0.0.93, and tqdm and scikit-learn, which grad-cam imports.

    python -m tests.goldens.make_cams     from the root of the repository

For each net a file ``cams/NAME.npz``; its graph is that of those two scripts:

target, out
    The class of each of two inputs, which `tests.goldens.weights.inputs` draws, and the logits.
layer
    The name of the graph's tensor that is mapped.
grad-cam:METHOD, captum:METHOD
    The peer's map (2, h, w) at the layer's own resolution, before its last rectifier: calculated in float64 (but for
    what grad-cam itself rounds) and kept in float32.
grad-cam:AblationCAM:zeros
    Of the transformer, where channels are set to 0 instead.
grad-cam:GradCAM:picture
    What grad-cam hands out in the end (2, H, W): rectified, scaled to 0..1 and resized by OpenCV.
grad-cam:FullGrad, captum:GuidedGradCam
    At the resolution of the input, (2, H, W) and (2, 3, H, W): there is no single layer.
comparison
    The classes (2, 3) that FinerCAM took the first of, which it finds itself: those with the nearest logits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from tests.goldens import make_architectures, make_propagation
from tests.goldens.weights import drawn, inputs

# isort: split
import captum.attr
import pytorch_grad_cam as peer
from pytorch_grad_cam.ablation_layer import AblationLayerVit
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

FOLDER = Path(__file__).parent / "cams"
NETS = {"vgg": make_propagation.Vgg, "resnet": make_propagation.ResNet, "vit": make_propagation.Vit}
# The mapped module, and the name of its output in the graph. All are followed by nonlinear layers, without which half
# of the methods would be equal.
LAYERS = {
    "vgg": ("11", "/11/Relu_output_0"),
    "resnet18": ("layer3", "/layer3/layer3.1/act2/Relu_output_0"),
    "vit": ("layers.0", "/layers/layers.0/Add_1_output_0"),
}
METHODS = (
    "GradCAM", "HiResCAM", "GradCAMPlusPlus", "XGradCAM", "LayerCAM", "EigenCAM", "EigenGradCAM", "ScoreCAM",
    "AblationCAM", "FinerCAM",
)  # fmt: skip


def net(name: str) -> nn.Module:
    """The net in float64 with the weights that its graph has."""
    if name == "vgg":  # with its initial weights the logits hardly depend on the input
        network = NETS[name]()
        weights = {key: drawn(key, value.shape) for key, value in network.state_dict().items()}
    elif name in NETS:
        network = NETS[name]()
        graph = onnx.load(make_propagation.FOLDER / f"{name}.onnx").graph
        weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    else:
        network = make_architectures.ARCHITECTURES[name].build()
        golden = np.load(make_architectures.FOLDER / f"{name}.npz")
        kept = {key.partition(":")[2]: golden[key] for key in golden if key.startswith("statistics:")}
        weights = {key: kept.get(key, drawn(key, value.shape)) for key, value in network.state_dict().items()}
    state = network.state_dict()
    for key, value in state.items():
        if not key.endswith("num_batches_tracked"):
            value.copy_(torch.from_numpy(weights[key].astype(np.float32)))
    network.load_state_dict(state)
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False  # hooks need the inputs
    return network.eval().double()


def squared(tokens: torch.Tensor) -> torch.Tensor:
    """Tokens (N, 16, D) as channels (N, D, 4, 4)."""
    return tokens.transpose(1, 2).unflatten(2, (4, 4))


class Zeros(AblationLayerVit):
    """Ablation with 0, as in the paper; the peer's layer uses a value far below that of any token."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        held = self.activations.clone()
        for row, channel in enumerate(self.indices[: len(held)]):
            held[row, :, channel] = 0
        return held


def watched(cam: Any) -> list[np.ndarray[Any, Any]]:
    """Record the results of the peer's ``get_cam_image``: its maps before scaling and resizing."""
    seen: list[np.ndarray[Any, Any]] = []
    answer: Callable[..., np.ndarray[Any, Any]] = cam.get_cam_image

    def keep(*arguments: Any, **named: Any) -> np.ndarray[Any, Any]:
        seen.append(answer(*arguments, **named))
        return seen[-1]

    cam.get_cam_image = keep
    return seen


def answers(name: str, x: torch.Tensor, target: torch.Tensor) -> Iterator[tuple[str, Any]]:
    """The maps of each peer, each on its own copy of the net."""
    path = LAYERS[name][0]
    chosen = [ClassifierOutputTarget(int(label)) for label in target]
    cases: list[tuple[str, dict[str, Any]]] = [(method, {}) for method in METHODS]
    if name == "vit":
        cases = [(method, {"reshape_transform": squared}) for method in METHODS]
        cases[METHODS.index("AblationCAM")][1]["ablation_layer"] = AblationLayerVit()
        cases.append(("AblationCAM:zeros", {"reshape_transform": squared, "ablation_layer": Zeros()}))
    for case, options in cases:
        network, method = net(name), case.partition(":")[0]
        cam = getattr(peer, method)(network, [network.get_submodule(path)], **options)
        seen = watched(getattr(cam, "base_cam", cam))
        # With given targets, FinerCAM would explain them instead of finding the classes to compare with.
        picture = cam(x, targets=None if method == "FinerCAM" else chosen)
        yield f"grad-cam:{case}", seen[0]
        if method == "GradCAM":
            yield "grad-cam:GradCAM:picture", picture
    if name == "vit":
        return  # it has neither convolution biases for FullGrad, nor a layer of the shape that Captum needs
    network = net(name)
    yield "grad-cam:FullGrad", peer.FullGrad(network, [])(x, targets=chosen)
    network = net(name)
    layer = network.get_submodule(path)
    yield "captum:LayerGradCam", captum.attr.LayerGradCam(network, layer).attribute(x, target)[:, 0].detach().numpy()
    network = net(name)
    layer = network.get_submodule(path)
    yield "captum:GuidedGradCam", captum.attr.GuidedGradCam(network, layer).attribute(x, target).detach().numpy()


def main() -> None:
    torch.set_num_threads(1)
    FOLDER.mkdir(exist_ok=True)
    for name, (_, tensor) in LAYERS.items():
        x = torch.from_numpy(inputs(name)).double()
        out = net(name)(x).detach()
        target = out.argmax(dim=1)
        nearest = (out - out.gather(1, target[:, None])).abs().argsort(dim=1)[:, 1:4]
        arrays = {key: np.asarray(value, np.float32) for key, value in answers(name, x, target)}
        np.savez_compressed(
            FOLDER / f"{name}.npz", target=target.numpy(), layer=np.array(tensor),
            out=out.numpy().astype(np.float32), comparison=nearest.numpy(), **arrays,
        )  # fmt: skip


if __name__ == "__main__":
    main()
