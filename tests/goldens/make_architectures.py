"""Export architectures by both exporters of PyTorch, and save them with PyTorch's gradients.

Needs torch==2.13.0 (a CPU build serves), then without dependencies torchvision==0.28.0 timm==1.0.31
huggingface_hub==2.4.0 safetensors==0.8.0 pyyaml==6.0.3; and onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.31.1 numpy.

    python -m tests.goldens.make_architectures [NAME ...]     from the root of the repository

For each name a file ``architectures/NAME.npz``:

graph_trace, graph_dynamo
    The graphs as ONNX bytes without the weights that `tests.goldens.weights.drawn` makes from their names.
statistics:NAME
    Statistics of normalisation over noise, which are not drawn, in float16; the network used these rounded ones.
x, cotangent
    The input (1, ...) and what the output was multiplied by.
out, gradient, gradient_inner
    PyTorch's output and gradients with respect to the input (left out where it is of integers) and an inner tensor,
    computed in float64 and rounded to float32.
error_out, error_gradient, error_gradient_inner
    How far PyTorch's own float32 is from that, over the root mean square: (median, root mean square, largest).
inner_trace, inner_dynamo
    How each graph calls the inner tensor.
"""

from __future__ import annotations

import copy
import io
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import nn

import tests.goldens.make_torchvision  # noqa: F401 - before what needs torchvision
from tests.goldens.weights import drawn, uniform

# isort: split
import timm
from timm.layers import ScaledStdConv2d
from timm.models.densenet import DenseNet
from timm.models.hrnet import HighResolutionNet, cfg_cls

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).parent / "architectures"
sys.path.insert(0, str(ROOT / "models" / "scripts"))

from networks import Encoder, UNet  # noqa: E402 - lies beside the scripts that export models

CLASSES = 10
OPSET = 18


@dataclass(frozen=True)
class Architecture:
    """A network, the size of its input, and the module whose output is the inner tensor."""

    build: Callable[[], nn.Module]
    inner: str
    size: int = 64
    tokens: int = 0

    def x(self, name: str) -> np.ndarray[Any, Any]:
        if self.tokens:
            return (uniform(name, (1, self.size), 0, self.tokens)).astype(np.int64)
        return uniform(name, (1, 3, self.size, self.size), -1.7, 1.7)


def _timm(name: str, **options: Any) -> Callable[[], nn.Module]:
    return lambda: timm.create_model(name, pretrained=False, num_classes=CLASSES, **options)


def _hrnet() -> nn.Module:
    settings = copy.deepcopy(cfg_cls["hrnet_w18_small"])
    for stage in ("stage2", "stage3", "stage4"):
        settings[stage]["num_channels"] = [channels // 2 for channels in settings[stage]["num_channels"]]
    return HighResolutionNet(settings, num_classes=CLASSES)


def _nfnet() -> nn.Module:
    """The net with standardised kernels as constants, as after training; ONNX has no op for the standardisation."""
    network = timm.create_model(
        "nfnet_l0", num_classes=CLASSES, channels=(32, 64, 96, 96), depths=(1, 2, 2, 1), group_size=8
    )
    for name, module in list(network.named_modules()):
        if isinstance(module, ScaledStdConv2d):
            plain = nn.Conv2d(
                module.in_channels, module.out_channels, module.kernel_size, module.stride, module.padding,
                module.dilation, module.groups, module.bias is not None,
            )  # fmt: skip
            parent, _, child = name.rpartition(".")
            setattr(network.get_submodule(parent), child, plain)
    return network


ARCHITECTURES = {
    "resnet18": Architecture(_timm("resnet18", zero_init_last=False, channels=(16, 32, 64, 128)), "layer2"),
    "densenet": Architecture(
        lambda: DenseNet(growth_rate=16, block_config=(3, 4, 4, 3), num_classes=CLASSES), "features.denseblock2"
    ),
    "mobilenetv3": Architecture(_timm("mobilenetv3_small_050"), "blocks.2"),
    "efficientnet": Architecture(_timm("efficientnet_b0"), "blocks.3"),
    "convnext": Architecture(_timm("convnext_atto", depths=(1, 2, 2, 1), dims=(16, 32, 64, 96)), "stages.1"),
    "vit": Architecture(
        _timm("vit_tiny_patch16_224", img_size=64, depth=2, embed_dim=32, num_heads=2), "blocks.0"
    ),
    "swin": Architecture(
        _timm("swin_tiny_patch4_window7_224", img_size=56, embed_dim=16, depths=(2, 2), num_heads=(2, 4)),
        "layers.0", 56,
    ),
    "unet": Architecture(lambda: UNet(width=8, levels=3), "bottom"),
    "hrnet": Architecture(_hrnet, "stage2"),
    "inception": Architecture(_timm("inception_v3", aux_logits=False), "Mixed_5d", 80),
    "nfnet": Architecture(_nfnet, "stages.1"),
    "bert": Architecture(
        lambda: Encoder(tokens=100, width=32, layers=2, heads=4, length=24, classes=CLASSES), "word", 24, 100
    ),
}  # fmt: skip


def weighted(network: nn.Module, architecture: Architecture) -> tuple[nn.Module, dict[str, np.ndarray[Any, Any]]]:
    """The network with random weights and statistics of noise, and those statistics."""
    state = network.state_dict()
    fixed = {name for name, _ in network.named_buffers()}
    for name, value in state.items():
        if name not in fixed:
            value.copy_(torch.from_numpy(drawn(name, value.shape)))
    network.load_state_dict(state)
    if not architecture.tokens:
        norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        for norm in norms:
            norm.momentum = None  # a plain average
            norm.reset_running_stats()
        network.train()
        with torch.no_grad():
            for turn in range(4):
                x = np.concatenate([architecture.x(f"noise {turn} {row}") for row in range(8)])
                network(torch.from_numpy(x))
    statistics = {}
    for name, value in network.state_dict().items():
        if name.rsplit(".", 1)[-1] in ("running_mean", "running_var"):
            statistics[name] = value.numpy().astype(np.float16)
            value.copy_(torch.from_numpy(statistics[name].astype(np.float32)))
    return network.eval(), statistics


def slopes(network: nn.Module, inner: str, x: torch.Tensor, cotangent: torch.Tensor) -> dict[str, np.ndarray[Any, Any]]:
    """The output, the inner tensor and the gradients, by autograd."""
    seen: list[torch.Tensor] = []

    def keep(module: nn.Module, inputs: Any, output: torch.Tensor | list[torch.Tensor]) -> None:
        seen.append(output if isinstance(output, torch.Tensor) else output[0])

    handle = network.get_submodule(inner).register_forward_hook(keep)
    sources = [x.requires_grad_()] if x.is_floating_point() else []
    out = network(x)
    handle.remove()
    found = torch.autograd.grad((out * cotangent).sum(), [seen[0], *sources])
    answer = {"out": out, "inner": seen[0], "gradient_inner": found[0]}
    if sources:
        answer["gradient"] = found[1]
    return {name: value.detach().numpy() for name, value in answer.items()}


def errors(found: np.ndarray[Any, Any], exact: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Median, root mean square and maximum of the errors, relative to the root mean square of the exact values."""
    difference = np.abs(found.astype(np.float64) - exact)
    size = np.sqrt(np.mean(np.square(exact, dtype=np.float64)))
    return np.array([np.median(difference), np.sqrt(np.mean(difference**2)), difference.max()]) / size


def exported(network: nn.Module, x: torch.Tensor, dynamo: bool) -> onnx.ModelProto:
    """The graph with a free batch; weights keep their names of the network.

    The newer exporter folds normalisation into the kernels before it, and so changes weights; with normalisation over
    batches its optimisation is left out. The engine folds it all the same.
    """
    folds = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())
    two = torch.cat([x, x.roll(1, -1)])
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        path = Path(folder) / "model.onnx"
        if dynamo:
            batch = torch.export.Dim("N", min=1, max=64)
            program = torch.onnx.export(
                network, (two,), dynamo=True, opset_version=OPSET, input_names=["x"], output_names=["y"],
                dynamic_shapes=({0: batch},), verbose=False, optimize=not folds,
            )  # fmt: skip
            program.save(path)
        else:
            torch.onnx.export(
                network, (two,), str(path), dynamo=False, opset_version=17, input_names=["x"], output_names=["y"],
                dynamic_axes={"x": {0: "N"}, "y": {0: "N"}}, do_constant_folding=False,
                training=torch.onnx.TrainingMode.PRESERVE, keep_initializers_as_inputs=False,
            )  # fmt: skip
        return onnx.load(path)


def stripped(model: onnx.ModelProto, known: dict[str, np.ndarray[Any, Any]]) -> bytes:
    """The graph without weights that can be drawn or are stored elsewhere, and without source locations of the
    exporter.
    """
    for tensor in model.graph.initializer:
        if tensor.name in known:
            np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensor), known[tensor.name])
            for field in ("raw_data", "float_data"):
                tensor.ClearField(field)
    for item in (model, model.graph, *model.graph.node, *model.graph.initializer, *model.graph.input,
                 *model.graph.output):  # fmt: skip
        item.ClearField("doc_string")
        item.ClearField("metadata_props")
    del model.graph.value_info[:]
    for function in model.functions:
        for item in (function, *function.node):
            item.ClearField("doc_string")
            item.ClearField("metadata_props")
        del function.value_info[:]
    return model.SerializeToString(deterministic=True)


def called(model: onnx.ModelProto, x: np.ndarray[Any, Any], value: np.ndarray[Any, Any], out: Any) -> str:
    """The name of the tensor with the values ``value``; checks that the graph's output equals PyTorch's."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:]
    names = [name for node in shown.graph.node for name in node.output if name]
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(shown.SerializeToString(), options, providers=["CPUExecutionProvider"])
    answers = dict(zip(names, session.run(names, {"x": x}), strict=True))
    np.testing.assert_allclose(answers["y"], out, rtol=1e-2, atol=1e-3 * np.abs(out).max())
    alike = {
        name: np.linalg.norm(answer - value)
        for name, answer in answers.items()
        if getattr(answer, "shape", None) == value.shape and answer.dtype == np.float32
    }
    best = min(alike, key=lambda name: alike[name])
    if alike[best] > 1e-3 * np.linalg.norm(value):
        raise RuntimeError(f"no tensor holds the inner one: nearest is {best}, {alike[best]} away")
    return best


def make(name: str) -> None:
    architecture = ARCHITECTURES[name]
    network, statistics = weighted(architecture.build(), architecture)
    known = {key: value.numpy() for key, value in network.state_dict().items() if value.is_floating_point()}
    x = architecture.x("input")
    with torch.no_grad():
        shape = network(torch.from_numpy(x)).shape
    cotangent = np.zeros(shape, np.float32)
    # One logit; for a map, its whole second channel.
    cotangent[:, 1] = 1
    single = slopes(network, architecture.inner, torch.from_numpy(x), torch.from_numpy(cotangent))
    wide = torch.from_numpy(x if architecture.tokens else x.astype(np.float64))
    double = slopes(copy.deepcopy(network).double(), architecture.inner, wide, torch.from_numpy(cotangent).double())
    kept: dict[str, Any] = {f"statistics:{key}": value for key, value in statistics.items()}
    kept |= {"x": x, "cotangent": cotangent}
    for key in double:
        if key != "inner":
            kept[key] = double[key].astype(np.float32)
            kept[f"error_{key}"] = errors(single[key], double[key])
    print(
        name,
        {key: " ".join(f"{error:.1e}" for error in value) for key, value in kept.items() if key.startswith("error")},
    )
    names = set(known) - {key for key, _ in network.named_buffers()} | set(statistics)
    for kind in ("trace", "dynamo"):
        model = exported(network, torch.from_numpy(x), kind == "dynamo")
        kept[f"inner_{kind}"] = np.array(called(model, x, double["inner"].astype(np.float32), double["out"]))
        content = stripped(model, {key: value for key, value in known.items() if key in names})
        kept[f"graph_{kind}"] = np.frombuffer(content, np.uint8)
        print(" ", kind, len(model.graph.node), "nodes", len(content), "bytes, inner", kept[f"inner_{kind}"])
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **kept)
    (FOLDER / f"{name}.npz").write_bytes(buffer.getvalue())
    print(" ", len(buffer.getvalue()), "bytes kept")


def main() -> None:
    torch.set_num_threads(1)
    # No exporter supports the fused op of the fast path of encoders.
    torch.backends.mha.set_fastpath_enabled(False)
    for name in sys.argv[1:] or ARCHITECTURES:
        make(name)


if __name__ == "__main__":
    main()
