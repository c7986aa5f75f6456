"""Fetch a small detector by its package name, and draw three of its boxes, each explained by three methods.

The SSD MobileNetV2 of the npm package @mediapipe/objectron (Google, Apache-2.0), trained on Open Images, finds 23
classes in pictures of 300 x 300 pixels. Its TensorFlow Lite file becomes ONNX; the anchors and the decoding of boxes,
which MediaPipe computes after the model (ssd_anchors_calculator.cc and its settings for this model), become part of
the graph. Nothing of it is kept in the repository. Needs npm, and the PyPI packages ``tflite`` and ``flatbuffers``::

    python models/scripts/detector.py FOLDER [docs/pictures/detector.jpg]

FOLDER gets the model with its spec; the picture shows the photographs of the astronaut, the cat and the coffee as one.
"""

import json
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

import xaionnx
from xaionnx import Target, render

PACKAGE = "@mediapipe/objectron@0.4.1675468480"
SIZE, CLASSES = 300, 24
# Sides of the grids of boxes, and the scales of their anchors.
GRIDS, SMALLEST, LARGEST = (19, 10, 5, 3, 2, 1), 0.2, 0.95
COUNT = 3
METHODS: dict[str, dict[str, Any]] = {
    "grad_cam": {},
    "d_rise": {"budget": 2001, "grid": 8},
    "integrated_gradients": {"steps": 512},
}
PHOTOS = Path(__file__).resolve().parents[1] / "photos"

Floats = npt.NDArray[np.float32]


def fetch(folder: Path) -> tuple[bytes, list[str]]:
    """The TensorFlow Lite file and the names of its classes, from the npm registry."""
    done = subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, capture_output=True, text=True)
    with tarfile.open(folder / done.stdout.split()[-1]) as archive:
        archive.extractall(folder, filter="data")
    package = folder / "package"
    loader = (package / "objectron_solution_packed_assets_loader.js").read_text(encoding="utf-8")
    found = re.search(r"loadPackage\((\{.*?\})\)", loader, re.DOTALL)
    assert found is not None, "the package has another form"
    content = (package / "objectron_solution_packed_assets.data").read_bytes()
    files = {Path(one["filename"]).suffix: content[one["start"] : one["end"]] for one in json.loads(found[1])["files"]}
    return files[".tflite"], files[".txt"].decode().split("\n")[1:CLASSES]


def anchors() -> Floats:
    """Centres and sizes (1917, 4) of the anchors, as x, y, width, height in shares of the picture."""
    steps = len(GRIDS) - 1
    scales = [SMALLEST + (LARGEST - SMALLEST) * step / steps for step in range(len(GRIDS))] + [1.0]
    boxes = []
    for level, side in enumerate(GRIDS):
        scale = scales[level]
        shapes = [(scale, ratio) for ratio in (1.0, 2.0, 0.5, 3.0, 1 / 3)] + [(np.sqrt(scale * scales[level + 1]), 1.0)]
        if level == 0:
            shapes = [(0.1, 1.0), (scale, 2.0), (scale, 0.5)]
        for y, x in np.ndindex(side, side):
            for size, ratio in shapes:
                width, height = size * np.sqrt(ratio), size / np.sqrt(ratio)
                boxes.append(((x + 0.5) / side, (y + 0.5) / side, width, height))
    return np.array(boxes, np.float32)


class Converter:
    """Converts the few ops of the file; feature maps become (N, C, H, W)."""

    def __init__(self, content: bytes) -> None:
        import tflite

        self.tflite = tflite
        self.file = tflite.Model.GetRootAsModel(content, 0)
        self.graph = self.file.Subgraphs(0)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, npt.NDArray[Any]] = {}
        self.held: dict[int, npt.NDArray[Any]] = {}

    def name(self, index: int) -> str:
        return f"t{index}"

    def shape(self, index: int) -> list[int]:
        return [int(size) for size in self.graph.Tensors(index).ShapeAsNumpy()]

    def constant(self, index: int) -> npt.NDArray[Any]:
        """The numbers of a constant, which are stored in half precision."""
        if index not in self.held:
            tensor = self.graph.Tensors(index)
            kind = {self.tflite.TensorType.FLOAT16: np.float16, self.tflite.TensorType.INT32: np.int32}[tensor.Type()]
            content = self.file.Buffers(tensor.Buffer()).DataAsNumpy()
            self.held[index] = np.frombuffer(content.tobytes(), kind).reshape(self.shape(index))
        return self.held[index]

    def add(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=output, **attributes))
        return output

    def weight(self, name: str, values: npt.ArrayLike) -> str:
        self.weights[name] = np.asarray(values)
        return name

    def convert(self) -> None:
        """Convert all ops in order."""
        kinds = {value: key for key, value in vars(self.tflite.BuiltinOperator).items() if isinstance(value, int)}
        for number in range(self.graph.OperatorsLength()):
            op = self.graph.Operators(number)
            code = self.file.OperatorCodes(op.OpcodeIndex())
            kind = kinds[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
            inputs, output = [int(i) for i in op.InputsAsNumpy()], int(op.OutputsAsNumpy()[0])
            getattr(self, f"_{kind.lower()}")(op, inputs, output)

    def _dequantize(self, op: Any, inputs: list[int], output: int) -> None:
        self.held[output] = self.constant(inputs[0]).astype(np.float32)

    def _conv_2d(self, op: Any, inputs: list[int], output: int) -> None:
        self._conv(op, inputs, output, self.tflite.Conv2DOptions(), depthwise=False)

    def _depthwise_conv_2d(self, op: Any, inputs: list[int], output: int) -> None:
        self._conv(op, inputs, output, self.tflite.DepthwiseConv2DOptions(), depthwise=True)

    def _conv(self, op: Any, inputs: list[int], output: int, options: Any, *, depthwise: bool) -> None:
        options.Init(op.BuiltinOptions().Bytes, op.BuiltinOptions().Pos)
        kernel = self.constant(inputs[1]).transpose((3, 0, 1, 2) if depthwise else (0, 3, 1, 2))
        stride = options.StrideH()
        pads = [0, 0, 0, 0]
        if options.Padding() == self.tflite.Padding.SAME:
            for axis in (0, 1):
                size, made = self.shape(inputs[0])[1 + axis], self.shape(output)[1 + axis]
                whole = max((made - 1) * stride + kernel.shape[2 + axis] - size, 0)
                pads[axis], pads[2 + axis] = whole // 2, whole - whole // 2
        name = self.name(output)
        weights = [self.weight(f"{name}_kernel", kernel), self.weight(f"{name}_bias", self.constant(inputs[2]))]
        clipped = options.FusedActivationFunction() == self.tflite.ActivationFunctionType.RELU6
        made_name = f"{name}_sum" if clipped else name
        groups = len(kernel) if depthwise else 1
        self.add(
            "Conv", [self.name(inputs[0]), *weights], made_name, pads=pads, strides=[stride, stride], group=groups,
            kernel_shape=kernel.shape[2:],
        )  # fmt: skip
        if clipped:
            self.add("Clip", [made_name, self.weight("zero", np.float32(0)), self.weight("six", np.float32(6))], name)

    def _add(self, op: Any, inputs: list[int], output: int) -> None:
        self.add("Add", [self.name(i) for i in inputs], self.name(output))

    def _reshape(self, op: Any, inputs: list[int], output: int) -> None:
        source = self.name(inputs[0])
        if source in {node.output[0] for node in self.nodes if node.op_type == "Conv"}:
            source = self.add("Transpose", [source], f"{source}_last", perm=[0, 2, 3, 1])
        sizes = self.weight(f"{self.name(output)}_shape", np.array([-1, *self.shape(output)[1:]]))
        self.add("Reshape", [source, sizes], self.name(output))

    def _concatenation(self, op: Any, inputs: list[int], output: int) -> None:
        self.add("Concat", [self.name(i) for i in inputs], self.name(output), axis=1)


def convert(content: bytes) -> onnx.ModelProto:
    """The detector: pictures (N, 3, 300, 300) from -1 to 1, to corners "boxes" and probabilities "scores"."""
    made = Converter(content)
    made.convert()
    encodings, logits = (made.name(int(i)) for i in made.graph.OutputsAsNumpy())
    first = made.weight("first", np.array([0]))
    for part, (begin, end) in {"y": (0, 1), "x": (1, 2), "h": (2, 3), "w": (3, 4)}.items():
        bounds = [made.weight(f"{part}_{word}", np.array([at])) for word, at in (("begin", begin), ("end", end))]
        made.add("Slice", [encodings, *bounds, made.weight("last", np.array([2]))], f"encoded_{part}")
    grid = anchors()
    tenth, fifth = made.weight("tenth", np.float32(0.1)), made.weight("fifth", np.float32(0.2))
    half = made.weight("half", np.float32(0.5))
    for axis, (centre, side) in enumerate((("x", "w"), ("y", "h"))):
        middle, length = (
            made.weight(f"anchor_{n}", grid[None, :, i : i + 1]) for n, i in ((centre, axis), (side, axis + 2))
        )
        made.add("Mul", [made.add("Mul", [f"encoded_{centre}", tenth], f"shift_{centre}"), length], f"move_{centre}")
        made.add("Add", [f"move_{centre}", middle], f"centre_{centre}")
        made.add("Exp", [made.add("Mul", [f"encoded_{side}", fifth], f"log_{side}")], f"factor_{side}")
        made.add("Mul", [made.add("Mul", [f"factor_{side}", length], f"size_{side}"), half], f"half_{side}")
        made.add("Sub", [f"centre_{centre}", f"half_{side}"], f"low_{centre}")
        made.add("Add", [f"centre_{centre}", f"half_{side}"], f"high_{centre}")
    made.add("Concat", ["low_x", "low_y", "high_x", "high_y"], "boxes", axis=2)
    # The first class stands for anything else.
    ends = [made.weight("second", np.array([1])), made.weight("classes", np.array([CLASSES])), "last"]
    made.add("Sigmoid", [made.add("Slice", [logits, *ends], "class_logits")], "scores")
    made.weights.pop(first)
    source = made.name(int(made.graph.InputsAsNumpy()[0]))
    for node in made.nodes:
        node.input[:] = ["images" if name == source else name for name in node.input]
    outputs = {"boxes": 4, "scores": CLASSES - 1}
    graph = helper.make_graph(
        made.nodes,
        "ssd_mobilenet_v2",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", len(grid), k]) for n, k in outputs.items()],
        [numpy_helper.from_array(np.asarray(values), name) for name, values in made.weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def together() -> Image.Image:
    """The photographs of the astronaut, the cat and the coffee as one square picture."""
    whole = Image.new("RGB", (2 * SIZE, 2 * SIZE), "white")
    parts = {
        "astronaut.jpg": (0, 0, SIZE, 2 * SIZE),
        "cat.png": (SIZE, 0, SIZE, SIZE),
        "coffee.jpg": (SIZE, SIZE, SIZE, SIZE),
    }
    for name, (x, y, width, height) in parts.items():
        photo = Image.open(PHOTOS / name).convert("RGB")
        scale = max(width / photo.width, height / photo.height)
        photo = photo.resize((round(photo.width * scale), round(photo.height * scale)), Image.Resampling.LANCZOS)
        left, top = (photo.width - width) // 2, (photo.height - height) // 2
        whole.paste(photo.crop((left, top, left + width, top + height)), (x, y))
    return whole


def main(folder: Path, picture: Path | None) -> None:
    """Write the model and its spec into a folder, and draw the picture."""
    with tempfile.TemporaryDirectory() as temporary:
        content, labels = fetch(Path(temporary))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "ssd_mobilenet_v2.onnx"
    onnx.save(convert(content), path)
    listed = ", ".join(json.dumps(label) for label in labels)
    path.with_suffix(".toml").write_text(
        f'[input]\nsize = [{SIZE}, {SIZE}]\nmean = 127.5\nscale = 127.5\nresize = "stretch"\n\n'
        f'[output]\nname = "scores"\nactivation = "sigmoid"\nlabels = [{listed}]\nboxes = "ssd"\n',
        encoding="utf-8",
    )
    if picture is None:
        return
    model, photo = xaionnx.Model.load(path, batch_size=4), together()
    results = []
    for method, settings in METHODS.items():
        result = xaionnx.explain(model, photo, method, Target.boxes(COUNT), **settings)
        print(method, result.target.ravel().tolist(), result.prediction.ravel().round(3).tolist())
        results.append(result)
    # A row for each box.
    rows = [
        render.sheet([result.sample(0, number) for result in results], np.asarray(photo), columns=4, side=260)
        for number in range(COUNT)
    ]
    whole = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)), "white")
    for number, row in enumerate(rows):
        whole.paste(row, (0, sum(above.height for above in rows[:number])))
    whole.save(picture, quality=85, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
