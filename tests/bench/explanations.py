"""The cost of whole explanations relative to their compiled graph, to one target, and to a peer; and of a folder.

The two sides of a comparison alternate in one process.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import xaionnx
from tests.bench import fresh
from tests.bench.gradients import module_of
from tests.bench.tasks import MODELS, NETS, picture
from tests.bench.turns import Step, runner, turns
from xaionnx import InputSpec, Model
from xaionnx.data.batch import read_inputs
from xaionnx.typing import Array

Row = dict[str, Any]

BATCH = 8
# Methods that are a single graph, and the allowed ratio of a whole explanation to a run of that graph.
GRAPHS, GRAPH_LIMIT = ("saliency", "lrp", "deep_lift"), 1.05
TARGETS = 100
# Noisy copies of SmoothGrad, and the batch sizes from which the peer's best is taken.
COPIES, PEER_BATCHES = 32, (1, 2, 4, 8, 16, 32)
PHOTOS = 200
# Nodes of the chains, and the allowed ratio of an explanation, from the file on, to opening the file and one run.
LENGTHS = (1_000, 4_000)
CHAIN_LIMITS = {"saliency": 40.0, "lrp": 100.0, "deep_lift": 100.0}


@dataclass(frozen=True)
class Several:
    """A method that is run for 100 targets and for one."""

    name: str
    method: str
    settings: dict[str, int]


REMOVALS = (
    Several("RISE, 300 masks", "rise", {"budget": 301}),
    Several("occlusion 224, window 32 stride 16", "occlusion", {"window": 32, "stride": 16}),
)
# Allowed ratio of time of 100 targets to one, and allowed additional MB.
TIME_LIMIT, MEMORY_LIMIT = 1.3, 64


def rows(folder: Path, only: str, rounds: int) -> Iterator[Row]:
    """All rows whose name contains a word and whose graphs are in the folder."""
    for name, file in NETS.items():
        if (folder / file).exists():
            yield from graph_rows(name, folder / file, only, rounds)
    small, large = folder / NETS["MobileNetV3-small"], folder / NETS["ResNet18"]
    if small.exists():
        yield from target_rows(small, only, rounds)
        yield from path_rows(small, only, rounds)
    if large.exists():
        yield from peer_rows(large, only, rounds)
    yield from length_rows(only, rounds)
    yield from folder_rows(MODELS / "efficientnet_lite0.onnx", only, rounds)


def graph_rows(net: str, path: Path, only: str, rounds: int) -> Iterator[Row]:
    """A row for each of :data:`GRAPHS`: ``explain`` over a run of the compiled file, both on one thread."""
    for method in GRAPHS:
        name = f"{method} over its compiled graph, {net}"
        if only not in name:
            continue
        model = Model.load(path, device="cpu", threads=1, batch_size=BATCH)
        x = np.repeat(picture(), BATCH, axis=0)
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / "compiled.onnx"
            xaionnx.compile(model, method, 0).save(file)
            steps = {
                "graph": runner(file, None, {model.input().name: x}),
                "explain": partial(xaionnx.explain, model, x, method, 0),
            }
            times = turns(steps, rounds)
        yield _ratio(name, GRAPH_LIMIT, times["explain"], times["graph"])


def target_rows(path: Path, only: str, rounds: int) -> Iterator[Row]:
    """A row for each of :data:`REMOVALS`: time and peak of memory of 100 targets over those of one."""
    for several in REMOVALS:
        name = f"{several.name}, {TARGETS} targets over one, MobileNetV3-small"
        if only not in name:
            continue
        model, x = Model.load(path, device="cpu", threads=1, batch_size=BATCH), picture()
        explain = partial(xaionnx.explain, model, x, several.method, **several.settings)
        steps = {"one": partial(explain, target=0), "all": partial(explain, target=list(range(TARGETS)))}
        times = turns(steps, rounds)
        script = partial(_EXPLAINED.format, path=str(path), method=several.method, settings=several.settings)
        peaks = {str(count): round(fresh.peak(script(count=count)), 1) for count in (1, TARGETS)}
        yield _ratio(name, TIME_LIMIT, times["all"], times["one"]) | {"peaks": peaks, "more": MEMORY_LIMIT}


def path_rows(path: Path, only: str, rounds: int) -> Iterator[Row]:
    """Integrated gradients of 100 targets, over the bare graphs with the forward part run once."""
    name = f"integrated gradients, 8 steps, {TARGETS} targets over the forward part once, MobileNetV3-small"
    if only not in name:
        return
    model, x, steps = Model.load(path, device="cpu", threads=1, batch_size=BATCH), picture(), 8
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "compiled.onnx"
        xaionnx.compile(model, "saliency", 0).save(file)
        feeds = {model.input().name: np.repeat(x, BATCH, axis=0)}
        ours = partial(
            xaionnx.explain, model, x, "integrated_gradients", list(range(TARGETS)), steps=steps, baseline=0.0
        )
        times = turns(
            {"all": ours, "forward": runner(path, None, feeds), "gradient": runner(file, None, feeds)}, rounds
        )
    points = steps / BATCH
    least = [
        points * (forward + TARGETS * max(gradient - forward, 0.0))
        for forward, gradient in zip(times["forward"], times["gradient"], strict=True)
    ]
    yield _ratio(name, 1.1, times["all"], least)


def peer_rows(path: Path, only: str, rounds: int) -> Iterator[Row]:
    """SmoothGrad relative to captum's at its best batch size, on one thread; empty if captum is not installed."""
    name = f"SmoothGrad of {COPIES} copies over captum, ResNet18"
    if only not in name or not (find_spec("captum") and find_spec("timm")):
        return
    model, x = Model.load(path, device="cpu", threads=1), picture()
    ours: Step = partial(xaionnx.explain, model, x, "smooth_grad", 0, draws=COPIES)
    peers = {f"captum {batch}": smooth_grad_of_peer("resnet18", x, batch) for batch in PEER_BATCHES}
    times = turns({"ours": ours, **peers}, rounds)
    best = min(peers, key=lambda kind: statistics.median(times[kind]))
    yield _ratio(f"{name} at its best batch, {best.split()[-1]}", 1.0, times["ours"], times[best])


def smooth_grad_of_peer(net: str, x: Array, batch: int) -> Step:
    """Captum's mean of gradients at noisy copies."""
    import torch
    from captum.attr import NoiseTunnel, Saliency  # type: ignore[import-not-found]  # only where peers are compared

    module, data = module_of(net), torch.from_numpy(x)
    spread = 0.15 * float(x.max() - x.min())

    def step() -> object:
        return NoiseTunnel(Saliency(module)).attribute(
            data.clone().requires_grad_(),
            nt_type="smoothgrad",
            nt_samples=COPIES,
            nt_samples_batch_size=batch,
            stdevs=spread,
            target=0,
            abs=False,
        )

    return step


def length_rows(only: str, rounds: int, lengths: Sequence[int] = LENGTHS) -> Iterator[Row]:
    """A row for each method and length of a chain: from the file to the explanation, over opening and one bare run."""
    for method in GRAPHS:
        for length in lengths:
            name = f"{method} of a chain of {length:,} nodes from its file, over opening and running it"
            if only not in name:
                continue
            with tempfile.TemporaryDirectory() as scratch:
                path, x = Path(scratch) / "chain.onnx", np.ones((1, 8), np.float32)
                onnx.save(chain(length), path)
                times = turns(
                    {
                        "bare": lambda path=path, x=x: runner(path, None, {"x": x})(),
                        "explain": lambda path=path, x=x, method=method: xaionnx.explain(
                            Model.load(path, device="cpu", threads=1), x, method, 0
                        ),
                    },
                    rounds,
                )
            yield _ratio(name, CHAIN_LIMITS[method], times["explain"], times["bare"])


def chain(length: int) -> onnx.ModelProto:
    """Dense layers of eight units, a weight added to each, and tanh, one node after the other."""
    rng, weights, nodes = np.random.default_rng(0), [], []
    for k in range(length):
        op = ("MatMul", "Add", "Tanh")[k % 3]
        reads = ["x" if k == 0 else f"t{k - 1}"]
        if op != "Tanh":
            numbers = rng.normal(size=(8, 8) if op == "MatMul" else 8) / 8**0.5
            weights.append(onnx.numpy_helper.from_array(numbers.astype(np.float32), f"w{k}"))
            reads.append(f"w{k}")
        nodes.append(onnx.helper.make_node(op, reads, [f"t{k}" if k < length - 1 else "y"]))
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 8]) for name in "xy"]
    graph = onnx.helper.make_graph(nodes, "chain", ends[:1], ends[1:], weights)
    return onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 20)])


def folder_rows(path: Path, only: str, rounds: int, photos: int = PHOTOS) -> Iterator[Row]:
    """Grad-CAM of a folder by the command line, without and with pictures, over reading and bare runs; wall time."""
    names = {
        "record": f"folder of {photos} photos by Grad-CAM, record alone",
        "pictures": f"folder of {photos} photos by Grad-CAM, with pictures",
    }
    if not any(only in name for name in names.values()):
        return
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "photos"
        copied(source, photos)
        steps: dict[str, Step] = {
            "bare": partial(read_and_run, path, source),
            "record": partial(_command, path, source, Path(scratch) / "out.npz"),
            "pictures": partial(_command, path, source, Path(scratch) / "out"),
        }
        times = turns(steps, rounds, time.perf_counter)
    for kind, limit in (("record", 1.5), ("pictures", 3.0)):
        if only in names[kind]:
            yield _ratio(names[kind], limit, times[kind], times["bare"]) | {"clock": "wall"}


def copied(folder: Path, count: int) -> None:
    """Fill a new folder with repeated copies of the photos of models/photos."""
    originals = sorted((MODELS / "photos").iterdir())
    folder.mkdir()
    for number in range(count):
        original = originals[number % len(originals)]
        shutil.copy(original, folder / f"{number:04}{original.suffix}")


def read_and_run(path: Path, folder: Path) -> int:
    """Read a folder of photos by the spec and run the bare session on batches; return their number."""
    import onnxruntime as ort

    spec = InputSpec.read(path.with_suffix(".toml"))
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name, files, done = session.get_inputs()[0].name, sorted(folder.iterdir()), 0
    for start in range(0, len(files), BATCH):
        batch, _ = read_inputs(files[start : start + BATCH], spec)
        done += len(session.run(None, {name: batch.x})[0])
    return done


def _command(path: Path, folder: Path, out: Path) -> None:
    """Explain a folder by the command line, within this process, after removing earlier results."""
    from xaionnx_cli.app import main

    shutil.rmtree(out) if out.is_dir() else out.unlink(missing_ok=True)
    heard = io.StringIO()
    with contextlib.redirect_stdout(heard), contextlib.redirect_stderr(heard):
        try:
            main(["explain", "grad_cam", str(path), str(folder), "-o", str(out), "--device", "cpu"])
        except SystemExit as end:
            if end.code:
                raise RuntimeError(heard.getvalue()) from end
    if not out.exists():
        raise RuntimeError(heard.getvalue())


def _ratio(name: str, limit: float, ours: list[float], others: list[float]) -> Row:
    return {
        "kind": "over",
        "name": name,
        "target": limit,
        "rounds": [round(a / b, 3) for a, b in zip(ours, others, strict=True)],
        "seconds": round(statistics.median(ours), 4),
        "clock": "processor",
    }


_EXPLAINED = """
import xaionnx
from tests.bench.tasks import picture
model = xaionnx.Model.load({path!r}, device="cpu", batch_size=8)
xaionnx.explain(model, picture(), "{method}", list(range({count})), **{settings!r})
"""
