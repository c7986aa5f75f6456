"""Export two small nets with seeded weights, and save PyTorch's gradients with respect to all of their weights.

Needs torch==2.13.0 (a CPU build serves), onnx==1.23.2 and numpy.

    python -m tests.goldens.make_weight_gradients     from the root of the repository

For each net a graph ``weight_gradients/NAME.onnx`` and its answers ``weight_gradients/NAME.npz``:

x, cotangent, out
    The inputs of 3 samples, what weighs the outputs, and the outputs.
gradient:WEIGHT
    The gradient of ``(cotangent * out).sum()`` with respect to a weight of the file, calculated in float64 and rounded
    to float32, under the name and in the layout that the weight has in the file.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

FOLDER = Path(__file__).parent / "weight_gradients"
SAMPLES, CLASSES = 3, 4
# In the order of ONNX, those of PyTorch are input, forget, cell, output and reset, update, new.
LSTM, GRU = (0, 3, 1, 2), (1, 0, 2)


class Pictures(nn.Sequential):
    """Each kind of convolution, normalisation and rectifier with weights."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.PReLU(8),
            nn.Conv2d(8, 8, 3, padding=1, groups=4), nn.GroupNorm(2, 8), nn.SiLU(),
            nn.ConvTranspose2d(8, 6, 4, stride=2, padding=1), nn.InstanceNorm2d(6, affine=True), nn.LeakyReLU(),
            nn.AvgPool2d(2), nn.Conv2d(6, 5, 1), nn.Softplus(),
            nn.Flatten(), nn.Linear(5 * 16, CLASSES),
        )  # fmt: skip


class Tokens(nn.Module):
    """Embeddings, recurrent layers in both directions, attention and its normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.word, self.place = nn.Embedding(11, 8), nn.Parameter(torch.randn(1, 6, 8))
        self.lstm = nn.LSTM(8, 5, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(10, 8, batch_first=True)
        self.query, self.key, self.value = nn.Linear(8, 8), nn.Linear(8, 8, bias=False), nn.Linear(8, 8)
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, CLASSES)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        h, _ = self.lstm(self.word(ids) + self.place)
        h, _ = self.gru(h)
        weights = torch.softmax(self.query(h) @ self.key(h).transpose(1, 2) / 8**0.5, dim=-1)
        return self.head(self.norm(h + weights @ self.value(h))[:, -1])


def inputs(net: nn.Module) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    if isinstance(net, Tokens):
        return torch.randint(0, 11, (SAMPLES, 6), generator=generator)
    return torch.randn(SAMPLES, 3, 8, 8, generator=generator)


def export(net: nn.Module, x: torch.Tensor, path: Path) -> onnx.ModelProto:
    """Write the net with its normalisation apart from its convolutions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracing exporter is deprecated
        torch.onnx.export(
            net,
            (x,),
            str(path),
            dynamo=False,
            opset_version=17,
            input_names=["x"],
            output_names=["out"],
            dynamic_axes={"x": {0: "N"}, "out": {0: "N"}},
            training=torch.onnx.TrainingMode.PRESERVE,
        )
    model = onnx.load(path)
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    onnx.save(model, path)
    return model


def recurrent(layer: nn.LSTM | nn.GRU, order: tuple[int, ...], of: dict[str, np.ndarray]) -> list[np.ndarray]:
    """W, R and B of a recurrent layer in the layout of ONNX, from arrays by the names of its parameters."""

    def gates(array: np.ndarray) -> np.ndarray:
        return np.concatenate([np.split(array, len(order))[gate] for gate in order])

    ends = ("", "_reverse") if layer.bidirectional else ("",)
    first = [np.stack([gates(of[f"weight_{kind}_l0{end}"]) for end in ends]) for kind in ("ih", "hh")]
    biases = [np.concatenate([gates(of[f"bias_{kind}_l0{end}"]) for kind in ("ih", "hh")]) for end in ends]
    return [*first, np.stack(biases)]


def pairs(net: nn.Module) -> list[tuple[np.ndarray, np.ndarray]]:
    """Each array of weights that a file may hold, with its gradient."""
    found = []
    for module in net.modules():
        own = {name: (p.detach().numpy(), p.grad.numpy()) for name, p in module.named_parameters(recurse=False)}
        if isinstance(module, nn.LSTM | nn.GRU):
            order = LSTM if isinstance(module, nn.LSTM) else GRU
            values, slopes = (recurrent(module, order, {name: pair[k] for name, pair in own.items()}) for k in (0, 1))
            found += list(zip(values, slopes, strict=True))
        else:
            found += own.values()
    return found


def golden(net: nn.Module, model: onnx.ModelProto, x: torch.Tensor) -> dict[str, np.ndarray]:
    """What the docstring says."""
    exact = net.double()
    out = exact(x if not x.is_floating_point() else x.double())
    cotangent = torch.randn(out.shape, generator=torch.Generator().manual_seed(2))
    (out * cotangent.double()).sum().backward()
    answers = {"x": x.numpy(), "cotangent": cotangent.numpy(), "out": out.detach().numpy().astype(np.float32)}
    known = pairs(exact)
    for tensor in model.graph.initializer:
        stored = numpy_helper.to_array(tensor)
        if stored.dtype != np.float32 or not stored.ndim:
            continue
        for value, slope in known:
            same = [each for each in (np.asarray, np.transpose) if np.size(value) == stored.size]
            fits = [each for each in same if np.array_equal(each(value).astype(np.float32).ravel(), stored.ravel())]
            if fits:
                answers[f"gradient:{tensor.name}"] = fits[0](slope).reshape(stored.shape).astype(np.float32)
                break
    return answers


def main() -> None:
    torch.set_num_threads(1)
    FOLDER.mkdir(exist_ok=True)
    for name, kind in (("pictures", Pictures), ("tokens", Tokens)):
        torch.manual_seed(0)
        net = kind()
        with torch.no_grad():
            for parameter in net.parameters():
                if parameter.ndim == 1:  # scales of 1 and offsets of 0 would hide a missing factor
                    parameter += 0.3 * torch.randn_like(parameter)
        net.eval()
        x = inputs(net)
        model = export(net, x, FOLDER / f"{name}.onnx")
        answers = golden(net, model, x)
        np.savez_compressed(FOLDER / f"{name}.npz", **answers)
        print(name, [node.op_type for node in model.graph.node], [key for key in answers if ":" in key])
        count = sum(p.numel() for p in net.parameters())
        print(count, "parameters,", sum(a.size for key, a in answers.items() if ":" in key), "in the file")


if __name__ == "__main__":
    main()
