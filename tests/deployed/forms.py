"""Forms in which a model is deployed: each should explain as the file that was exported.

    python -m tests.deployed.forms               measures all nets anew, and keeps each in results.json
    python -m tests.deployed.forms bert vit      only these

All take about five minutes on two cores. The nets are those of `tests.goldens.make_architectures`, whose weights are
drawn. The target is the top class of the source.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

import xaionnx
from tests.goldens.peers import filled
from xaionnx import Model
from xaionnx.errors import XaionnxError

ROOT = Path(__file__).parents[2]
GOLDENS = ROOT / "tests" / "goldens" / "architectures"
RESULTS = Path(__file__).with_name("results.json")
NETS = ("resnet18", "mobilenetv3", "efficientnet", "convnext", "vit", "bert")
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


def _quantised(form: str) -> Make:
    def make(source: Path, path: Path, golden: Any) -> None:
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        class Samples(CalibrationDataReader):
            def __init__(self) -> None:
                self._rows = iter(_neighbours(golden["x"]))

            def get_next(self) -> dict[str, Array] | None:
                return next(self._rows, None)

        prepared = path.with_suffix(".prepared.onnx")
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared), str(path), Samples(), quant_format=getattr(QuantFormat, form), per_channel=True,
            weight_type=QuantType.QInt8, activation_type=QuantType.QUInt8,
        )  # fmt: skip

    return make


def _neighbours(x: Array) -> Iterator[dict[str, Array]]:
    """Inputs for the calibration: the explained one first, and others like it."""
    generator = np.random.default_rng(0)
    for turn in range(8):
        if x.dtype == np.int64:
            yield {"x": x if turn == 0 else generator.permuted(x, axis=1)}
        else:
            yield {"x": x if turn == 0 else (x + generator.normal(size=x.shape) * 0.3).astype(np.float32)}


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
    "int8, QDQ": _quantised("QDQ"),
    "int8, QOperator": _quantised("QOperator"),
}
# Forms whose numbers are rounded so far that a correlation is what can be asked.
ROUNDED = ("int8, QDQ", "int8, QOperator")


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


def measured(net: str, folder: Path, forms: tuple[str, ...] = tuple(FORMS)) -> dict[str, dict[str, float | str]]:
    """For each form of a net the agreement of each method with the source, or the refusal."""
    with np.load(GOLDENS / f"{net}.npz") as golden:
        source = folder / f"{net}.onnx"
        onnx.save(filled(golden, "trace"), source)
        top = int(golden["out"][0].argmax())
        theirs = explained(source, golden["x"], top)
        found: dict[str, dict[str, float | str]] = {}
        for number, form in enumerate(forms):
            path = folder / f"{net}_{number}.onnx"
            FORMS[form](source, path, golden)
            ours = explained(path, golden["x"], top)
            rows = {name: compared(form, ours[name], theirs[name]) for name in METHODS}
            found[form] = {name: value for name, value in rows.items() if value is not None}
    return found


def markdown() -> str:
    """The kept results as tables, one a net."""
    kept = json.loads(RESULTS.read_text())
    lines: list[str] = []
    for net in NETS:
        methods = [name for name in METHODS if any(name in row for row in kept[net].values())]
        lines += [f"## {net}", "", f"| form | {' | '.join(f'`{name}`' for name in methods)} |"]
        lines.append(f"| --- |{' ---: |' * len(methods)}")
        for form, row in kept[net].items():
            cells = " | ".join(_cell(form, row.get(name)) for name in methods)
            lines.append(f"| {form} | {cells} |")
        lines.append("")
    return "\n".join(lines).rstrip()


def _cell(form: str, value: float | str | None) -> str:
    if value is None or isinstance(value, str):
        return "refused" if value else ""
    if form in ROUNDED:
        return f"r = {value:.3f}"
    return "equal" if value == 0 else f"{value:.0e}"


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(description="How far explanations of deployed forms are from those of the source.")
    parser.add_argument("nets", nargs="*", metavar="NET", help=", ".join(NETS))
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for net in given.nets or NETS:
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            kept[net] = measured(net, Path(folder))
        print(f"{net}: {time.perf_counter() - began:.0f} s", flush=True)
        for form, row in kept[net].items():
            print(
                "  ",
                form,
                {name: v if isinstance(v, str) else float(f"{v:.2g}") for name, v in row.items()},
                flush=True,
            )
        RESULTS.write_text(json.dumps({name: kept[name] for name in NETS if name in kept}, indent=1) + "\n")


if __name__ == "__main__":
    main()
