"""The tasks to time: a model file, its input, a method, and the perturbed inputs for the bare session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from xaionnx_kernels import masks

from tests.bench.ratio import SIZES, TABLE_SIZES
from xaionnx import Baseline, Features, InputSpec
from xaionnx.data.table_files import read_table
from xaionnx.typing import Array

MODELS = Path(__file__).resolve().parents[2] / "models"
NETS = {"MobileNetV3-small": "mobilenetv3_small_100.onnx", "ResNet18": "resnet18.onnx"}
PLAYERS = 49


@dataclass(frozen=True)
class Task:
    """One row of the table.

    Attributes
    ----------
    name : str
    path : Path
        The model.
    target : float
        The ratio that is wanted.
    method : str
    settings : callable
        Makes the method's parameters.
    x : callable
        Makes the input (1, ...).
    perturbed : callable
        Makes some of the task's own inputs (n, ...) from x.
    sizes : tuple of int
        Batches among which the bare session chooses.
    """

    name: str
    path: Path
    target: float
    method: str
    settings: Callable[[], dict[str, Any]]
    x: Callable[[], Array]
    perturbed: Callable[[Array], Array]
    sizes: tuple[int, ...] = SIZES


def picture() -> Array:
    """A picture (1, 3, 224, 224) of smooth noise."""
    rng = np.random.default_rng(0)
    coarse = rng.normal(size=(1, 3, 14, 14)).astype(np.float32)
    return np.kron(coarse, np.ones((1, 1, 16, 16), np.float32))


def applicants() -> Array:
    """Rows (51, 20) of the credit data."""
    spec = InputSpec.read(MODELS / "german_credit_mlp.toml")
    table, _ = read_table(MODELS / "data" / "german_credit_sample.csv", spec)
    return table.values.astype(np.float32)


def background(count: int = 100) -> Array:
    """``count`` rows of the data, with each column shuffled."""
    rows, rng = applicants(), np.random.default_rng(1)
    return np.stack([rng.choice(column, count) for column in rows.T], axis=1)


def patched(x: Array) -> Array:
    """Inputs with a window of 16 pixels set to zero."""
    corners = masks.window_corners((224, 224), (16, 16), (8, 8))[:: 729 // 32][:32]
    out = np.repeat(x, len(corners), axis=0)
    for row, (top, left) in zip(out, corners, strict=True):
        row[:, top : top + 16, left : left + 16] = 0
    return out


def coalitions(x: Array) -> Array:
    """Inputs with half of the cells of a grid set to zero."""
    keep = np.random.default_rng(2).random((32, 1, 7, 7)) < 0.5
    return x * np.kron(keep, np.ones((1, 1, 32, 32))).astype(np.float32)


def veiled(x: Array) -> Array:
    """Inputs under the masks of RISE."""
    cell = (32, 32)
    cells, shifts = masks.rise_cells(0, 0, 32, (7, 7), 0.5), masks.rise_shifts(0, 0, 32, cell)
    return x * masks.rise_masks(cells, shifts, cell, (224, 224))[:, None]


def mixed_rows(x: Array) -> Array:
    """Rows with half of the columns from background rows."""
    others, rng = background(100), np.random.default_rng(3)
    kept, own = rng.random((4096, x.shape[1])) < 0.5, x[np.arange(4096) % len(x)]
    return np.where(kept, own, others[rng.integers(0, len(others), 4096)])


def tasks(folder: Path | None) -> list[Task]:
    """All tasks; those on nets of real size have their files in ``folder``."""
    nets = {name: (folder or Path()) / file for name, file in NETS.items()}
    small, large = nets["MobileNetV3-small"], nets["ResNet18"]

    def grid() -> dict[str, Any]:
        return {"features": Features.grid(7)}

    def sampled() -> dict[str, Any]:
        return {"features": Features.grid(7), "budget": 1000}

    def table(budget: int) -> Callable[[], dict[str, Any]]:
        return lambda: {"baseline": Baseline.background(background()), "budget": budget}

    def row() -> Array:
        return applicants()[:1]

    sliding = {"window": 16, "stride": 8}
    found = [
        Task("occlusion 224, window 16 stride 8, MobileNetV3-small", small, 1.05, "occlusion", lambda: sliding, picture,
             patched),
        Task("occlusion 224, window 16 stride 8, ResNet18", large, 1.02, "occlusion", lambda: sliding, picture,
             patched),
        Task("feature ablation, 49 cells, MobileNetV3-small", small, 1.10, "feature_ablation", grid, picture,
             coalitions),
        Task("KernelSHAP, 49 cells, 1,000 evaluations, MobileNetV3-small", small, 1.10, "kernel_shap", sampled, picture,
             coalitions),
        Task("LIME, 49 cells, 1,000 evaluations, MobileNetV3-small", small, 1.10, "lime", sampled, picture, coalitions),
        Task("RISE, 1,000 masks, MobileNetV3-small", small, 1.15, "rise", lambda: {"budget": 1001}, picture, veiled),
    ]  # fmt: skip
    for kind, target in (("mlp", 1.15), ("forest", 1.05)):
        path = MODELS / f"german_credit_{kind}.onnx"
        found.append(
            Task(f"KernelSHAP, table, 100 background rows, {kind}", path, target, "kernel_shap", table(100_001), row,
                 mixed_rows, TABLE_SIZES)
        )  # fmt: skip
    mlp, forest = (MODELS / f"german_credit_{kind}.onnx" for kind in ("mlp", "forest"))

    def rows(count: int) -> Callable[[], Array]:
        return lambda: background(count)

    def plain(**settings: Any) -> Callable[[], dict[str, Any]]:
        return lambda: {"baseline": applicants()[:1], **settings}

    for name, path, target, method, settings, x in (
        ("LIME, table, 5,000 evaluations, mlp", mlp, 2.0, "lime", lambda: {"budget": 5000}, row),
        ("LIME, 100 rows, 5,000 evaluations, mlp", mlp, 2.0, "lime", plain(budget=5000), rows(100)),
        ("KernelSHAP, 1,000 rows, 1,000 evaluations, mlp", mlp, 1.5, "kernel_shap", plain(budget=1001), rows(1000)),
        ("KernelSHAP, 100 rows, 1,000 evaluations, forest", forest, 1.15, "kernel_shap", plain(budget=1001), rows(100)),
        ("KernelSHAP, 100 rows, 100 background rows, mlp", mlp, 1.5, "kernel_shap", table(100_001), rows(100)),
        ("feature ablation, 10,000 rows, mlp", mlp, 2.0, "feature_ablation", plain(), rows(10_000)),
        ("feature ablation, 10,000 rows, forest", forest, 2.0, "feature_ablation", plain(), rows(10_000)),
        ("occlusion, 10,000 rows, mlp", mlp, 2.0, "occlusion", plain(), rows(10_000)),
    ):
        found.append(Task(name, path, target, method, settings, x, mixed_rows, TABLE_SIZES))
    return found
