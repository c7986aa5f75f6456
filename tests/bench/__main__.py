"""Measure the rows of the table in README.md, and keep them in results.json.

    python -m tests.bench --nets FOLDER               all rows, five rounds and more
    python -m tests.bench --nets FOLDER --only RISE   rows whose name contains a word; nothing is kept
    python -m tests.bench --nets FOLDER --only gradient --keep    measure these again, and keep the other rows

FOLDER holds the graphs of real size, made by ``python models/scripts/export_timm.py FOLDER``. Without it their rows are
left out, and named. Comparisons with shap run if shap is installed; those of gradients with PyTorch if torch and timm
are.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import onnxruntime as ort

import xaionnx
from tests.bench import explanations, fresh, gain, games, gradients, maps, passes, searches, table
from tests.bench.ratio import Bare, measure
from tests.bench.tasks import NETS, Task, tasks
from xaionnx import Model, discovery

Row = dict[str, Any]


def timed(task: Task, rounds: int) -> Row:
    """One row of ratios to the bare session."""
    x, model, settings = task.x(), Model.load(task.path), task.settings()
    source = task.path if model.graph is None else model.graph.SerializeToString()
    bare = Bare(source, task.perturbed(x).astype(x.dtype), model.output().name, task.sizes)
    found = measure(lambda: xaionnx.explain(model, x, task.method, **settings), bare, rounds)
    return {
        "kind": "ratio",
        "name": task.name,
        "target": task.target,
        "rounds": [round(r, 3) for r in found.rounds],
        "cpu": [round(r, 3) for r in found.cpu],
        "first": round(found.first, 3),
        "evaluations": found.evaluations,
        "batch": found.batch,
        "limit_s": round(found.limit_s, 4),
    }


def shapley(seeds: int) -> Iterator[Row]:
    """A row for each game: evaluations to 5 % error."""
    methods = {
        "KernelSHAP": games.ours("kernel_shap"),
        "ShapleySampling": games.ours("shapley_sampling"),
        "naive permutations": games.permutations,
    }
    if find_spec("shap") is not None:
        methods["shap, l1_reg=0"] = games.kernel_shap_of_peer
    for game in games.games():
        needed = {name: games.evaluations_needed(game, method, seeds) for name, method in methods.items()}
        # JSON has no infinity
        yield {
            "kind": "evaluations",
            "name": game.name,
            "least": games.LEAST,
            "needed": {name: None if math.isinf(n) else round(n) for name, n in needed.items()},
        }


def other_rows(folder: Path | None, rounds: int) -> Iterator[Row]:
    """Maps, first explanation and memory."""
    for number, (error, needed) in enumerate(maps.evaluations_to_equal_error(3)):
        yield {
            "kind": "map",
            "name": f"RISE, MNIST CNN, digit {number}",
            "error": round(error, 3),
            "plain": maps.PLAIN,
            "needed": round(needed),
        }
    uncached, cached = fresh.first_explanation(rounds)
    yield {
        "kind": "first",
        "name": "import and first explanation, digits_cnn.onnx",
        "uncached": round(uncached, 3),
        "cached": [round(s, 3) for s in cached],
    }
    net = None if folder is None else folder / NETS["MobileNetV3-small"]
    if net is not None and net.exists():
        for method, settings in (("rise", ""), ("lime", "features=xaionnx.Features.grid(7)")):
            found = fresh.peaks(net, (3, 224, 224), method, settings, (200, 5000))
            yield {
                "kind": "memory",
                "name": f"{method}, MobileNetV3-small",
                "peaks": {key: round(mb, 1) for key, mb in found.items()},
            }


def machine() -> dict[str, Any]:
    """The environment that the numbers depend on."""
    return {
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "onnxruntime": ort.__version__,
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def measured(nets: Path | None, only: str, rounds: int, seeds: int, left_out: list[str]) -> Iterator[Row]:
    """The rows whose name contains ``only``; those whose graphs are missing are named in ``left_out``."""
    known = discovery.methods()
    for task in tasks(nets):
        if only not in task.name:
            continue
        if task.path.exists() and task.method in known:
            yield timed(task, rounds)
        else:
            left_out.append(task.name)
    large = (nets or Path()) / NETS["ResNet18"]
    if large.exists():
        yield from gain.rows(large, only, rounds)
    else:
        left_out.append("incremental occlusion, ResNet18")
    if nets is not None:
        yield from (row | {"machine": machine()} for row in gradients.rows(nets, only, rounds))
        yield from gradients.cam_rows(nets, only, rounds)
        yield from explanations.rows(nets, only, rounds)
    yield from passes.measured(rounds, only)
    yield from (row | {"machine": machine()} for row in searches.rows(only, rounds))
    left_out += [
        f"gradient, {net.name}"
        for net in gradients.NETS
        if only in f"gradient, {net.name}" and not ((nets or Path()) / f"{net.file}.onnx").exists()
    ]
    if not only:
        yield from shapley(seeds)
        yield from other_rows(nets, rounds)


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", type=Path, help="folder of the exported graphs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=8, help="for evaluations to an error")
    parser.add_argument("--only", default="", help="rows whose name contains this; nothing is kept")
    parser.add_argument("--keep", action="store_true", help="with --only: put these rows in place of the kept ones")
    given = parser.parse_args()
    rows: list[Row] = []
    left_out: list[str] = []
    for row in measured(given.nets, given.only, given.rounds, given.seeds, left_out):
        rows.append(row)
        print(json.dumps(row), flush=True)
    if left_out:
        print(f"Left out: {'; '.join(left_out)}. Make the graphs with models/scripts/export_timm.py, and pass --nets.")
    results = {"machine": machine(), "rows": rows, "left_out": left_out}
    print(table.markdown(results))
    for row in rows:
        if row["kind"] == "ratio":
            wall, cpu = statistics.median(row["rounds"]), statistics.median(row["cpu"])
            print(f"{row['name']}: wall {wall:.3f}, cpu {cpu:.3f}, target {row['target']}")
    if given.only and given.keep:
        results = table.replaced(results)
    if given.keep or not given.only:
        table.RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
