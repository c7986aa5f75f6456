"""Forms in which a model is deployed: each should explain as the file that was exported.

    python -m tests.deployed.forms               measures all nets anew, and keeps each in results.json
    python -m tests.deployed.forms bert vit      only these

All take about five minutes on two cores. The nets are those of `tests.goldens.make_architectures`, whose weights are
drawn, and EfficientNet-Lite0, which is trained, on a photograph. The target is the top class of the source. How far
files with rounded weights are from exact arithmetic with these weights is measured by `tests.deployed.own_weights`.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from PIL import Image

import xaionnx
from tests.goldens.peers import filled
from xaionnx import Model
from xaionnx.errors import XaionnxError
from xaionnx.runtime.session import simplified

ROOT = Path(__file__).parents[2]
GOLDENS = ROOT / "tests" / "goldens" / "architectures"
RESULTS = Path(__file__).with_name("results.json")
OWN_WEIGHTS = Path(__file__).with_name("own_weights.json")
ARCHITECTURES = ("resnet18", "mobilenetv3", "efficientnet", "convnext", "vit", "bert")
TRAINED = "efficientnet_lite0"
NETS = (*ARCHITECTURES, TRAINED)
METHODS: dict[str, dict[str, Any]] = {
    "saliency": {"absolute": False},
    "grad_cam": {},
    "lrp": {"composite": "epsilon_plus"},
    "deep_lift": {},
    "guided_backprop": {},
    "attention_rollout": {},
}
Array = npt.NDArray[Any]
# Makes a form of the file at the first path, and saves it at the second.
Make = Callable[[Path, Path, Any], None]


def _optimised(level: str) -> Make:
    def make(source: Path, path: Path, golden: Any) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_ENABLE_{level}")
        options.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])

    return make


def _fused(source: Path, path: Path, golden: Any) -> None:
    from onnxruntime.transformers import optimizer

    kind = "bert" if golden["x"].dtype == np.int64 else "vit"
    found = optimizer.optimize_model(str(source), model_type=kind, num_heads=0, hidden_size=0, opt_level=0)
    found.save_model_to_file(str(path))


def _quantised(form: str, per_channel: bool) -> Make:
    def make(source: Path, path: Path, golden: Any) -> None:
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        class Samples(CalibrationDataReader):
            def __init__(self) -> None:
                self._rows = _calibration(golden, onnx.load(source).graph.input[0].name)

            def get_next(self) -> dict[str, Array] | None:
                return next(self._rows, None)

        prepared = path.with_suffix(".prepared.onnx")
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared), str(path), Samples(), quant_format=getattr(QuantFormat, form), per_channel=per_channel,
            weight_type=QuantType.QInt8, activation_type=QuantType.QUInt8,
        )  # fmt: skip

    return make


def _calibration(golden: Mapping[str, Array], name: str) -> Iterator[dict[str, Array]]:
    """Inputs for the calibration: photographs, or the explained input and others like it."""
    if "calibration" in golden:
        yield from ({name: row[None]} for row in golden["calibration"])
        return
    x, generator = golden["x"], np.random.default_rng(0)
    for turn in range(8):
        if x.dtype == np.int64:
            yield {name: x if turn == 0 else generator.permuted(x, axis=1)}
        else:
            yield {name: x if turn == 0 else (x + generator.normal(size=x.shape) * 0.3).astype(np.float32)}


def _half(source: Path, path: Path, golden: Any) -> None:
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    # onnxruntime 1.31 crashes while it opens float16 LayerNormalization on a CPU.
    kept = [*DEFAULT_OP_BLOCK_LIST, "LayerNormalization"]
    wide = onnx.load(source)
    onnx.save(convert_float_to_float16(wide, keep_io_types=True, op_block_list=kept), path)


def _dynamo(source: Path, path: Path, golden: Any) -> None:
    onnx.save(filled(golden, "dynamo"), path)


FORMS: dict[str, Make] = {
    "optimised, basic": _optimised("BASIC"),
    "optimised, extended": _optimised("EXTENDED"),
    "optimised, all": _optimised("ALL"),
    "fused for transformers": _fused,
    "dynamo export": _dynamo,
    "float16": _half,
    "int8, QDQ": _quantised("QDQ", True),
    "int8, QOperator": _quantised("QOperator", True),
    "int8, QDQ, one scale a tensor": _quantised("QDQ", False),
    "int8, QOperator, one scale a tensor": _quantised("QOperator", False),
}
# Forms whose numbers are rounded so far that a correlation is what can be asked.
ROUNDED = tuple(form for form in FORMS if form.startswith("int8"))
# Forms that hold other weights than the source.
NARROW = ("float16", *ROUNDED)
# The model's own outputs, in a row of methods.
ANSWER = "answer"


def explained(path: Path, x: Array, target: int) -> dict[str, Array | str]:
    """The values of each method, or the refusal."""
    model = Model.load(path, device="cpu")
    found: dict[str, Array | str] = {}
    for name, options in METHODS.items():
        try:
            found[name] = np.asarray(xaionnx.explain(model, x, name, target, **options).values, dtype=np.float64)
        except XaionnxError as error:
            found[name] = str(error)
    return found


def compared(form: str, ours: Array | str, theirs: Array | str) -> float | str | None:
    """The largest difference over the largest value of the source, or the correlation; None if its values are 0."""
    if isinstance(theirs, str) or not np.any(theirs):
        return None
    if isinstance(ours, str):
        return ours
    if form in ROUNDED:
        return float(np.corrcoef(ours.ravel(), theirs.ravel())[0, 1])
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


@contextmanager
def source_of(net: str, folder: Path) -> Iterator[tuple[Path, Mapping[str, Array], int]]:
    """The exported file, its input ``x`` and more, and the explained class."""
    path = folder / f"{net}.onnx"
    if net == TRAINED:
        path.write_bytes(simplified((ROOT / "models" / f"{net}.onnx").read_bytes()))
        photos = sorted((ROOT / "models" / "photos").iterdir())
        rows = np.stack([_crop(photo) for photo in photos])
        golden = {"x": rows[[photo.stem for photo in photos].index("cat")][None], "calibration": rows}
        yield path, golden, int(answer(path, golden["x"]).argmax())
        return
    with np.load(GOLDENS / f"{net}.npz") as golden:
        onnx.save(filled(golden, "trace"), path)
        yield path, golden, int(golden["out"][0].argmax())


def _crop(photo: Path) -> Array:
    """The square in the middle of a photograph, (3, 224, 224), as EfficientNet-Lite0 takes it."""
    picture = Image.open(photo).convert("RGB")
    size = min(picture.size)
    left, top = (picture.width - size) // 2, (picture.height - size) // 2
    crop = picture.crop((left, top, left + size, top + size)).resize((224, 224))
    pixels: Array = (np.asarray(crop, dtype=np.float32).transpose(2, 0, 1) - 127) / 128
    return pixels


def answer(path: Path, x: Array) -> Array:
    """The outputs of a file by onnxruntime itself."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found: Array = session.run(None, {session.get_inputs()[0].name: x})[0]
    return found.astype(np.float64)


def forms_of(net: str) -> tuple[str, ...]:
    """The forms of a net: there is one export of the trained one."""
    return tuple(form for form in FORMS if net != TRAINED or form not in ("dynamo export", "fused for transformers"))


def measured(net: str, folder: Path, forms: tuple[str, ...] = ()) -> dict[str, dict[str, float | str]]:
    """For each form of a net the agreement of its outputs and of each method with the source, or the refusal."""
    with source_of(net, folder) as (source, golden, top):
        theirs = explained(source, golden["x"], top)
        outputs = answer(source, golden["x"])
        found: dict[str, dict[str, float | str]] = {}
        for number, form in enumerate(forms or forms_of(net)):
            path = folder / f"{net}_{number}.onnx"
            FORMS[form](source, path, golden)
            ours = explained(path, golden["x"], top)
            rows = {name: compared(form, ours[name], theirs[name]) for name in METHODS}
            rows[ANSWER] = compared(form, answer(path, golden["x"]), outputs)
            found[form] = {name: value for name, value in rows.items() if value is not None}
    return found


def markdown() -> str:
    """The kept results as tables, one a net."""
    kept, own = json.loads(RESULTS.read_text()), json.loads(OWN_WEIGHTS.read_text())
    lines: list[str] = []
    for net in NETS:
        methods = [name for name in (ANSWER, *METHODS) if any(name in row for row in kept[net].values())]
        heads = ["the file's answer" if name == ANSWER else f"`{name}`" for name in methods]
        lines += [f"## {net}", "", f"| form | {' | '.join(heads)} |"]
        lines.append(f"| --- |{' ---: |' * len(methods)}")
        for form, row in kept[net].items():
            lines.append(_line(form, form in ROUNDED, row, methods))
            if form in own.get(net, {}):
                lines.append(_line(f"{form}, against its own weights", False, own[net][form], methods))
        lines.append("")
    return "\n".join(lines).rstrip()


def _line(title: str, correlated: bool, row: dict[str, float | str], methods: list[str]) -> str:
    return f"| {title} | {' | '.join(_cell(correlated, row.get(name)) for name in methods)} |"


def _cell(correlated: bool, value: float | str | None) -> str:
    if value is None or isinstance(value, str):
        return "refused" if value else ""
    if correlated:
        return f"r = {value:.3f}"
    return "equal" if value == 0 else f"{value:.0e}"


def keep(results: Path, description: str, measure: Callable[[str, Path], Any]) -> None:
    """Measure the nets that the command line names, all by default, and keep each in a file of results."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("nets", nargs="*", metavar="NET", help=", ".join(NETS))
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    kept = json.loads(results.read_text()) if results.exists() else {}
    for net in given.nets or NETS:
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            kept[net] = measure(net, Path(folder))
        print(f"{net}: {time.perf_counter() - began:.0f} s", flush=True)
        for form, row in kept[net].items():
            shown = {name: v if isinstance(v, str) else float(f"{v:.2g}") for name, v in row.items()}
            print("  ", form, shown, flush=True)
        results.write_text(json.dumps({name: kept[name] for name in NETS if name in kept}, indent=1) + "\n")


if __name__ == "__main__":
    keep(RESULTS, "How far explanations of deployed forms are from those of the source.", measured)
