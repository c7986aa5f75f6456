"""Measurements in separate processes: the first explanation, and the peak of memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.tasks import MODELS

ROOT = MODELS.parent
MEGABYTE = 2**20

_FIRST = """
import time
began = time.perf_counter()
import numpy as np, xaionnx
x = np.random.default_rng(0).random((1, 1, 8, 8)).astype(np.float32)
xaionnx.explain({model!r}, x, "occlusion", window=2, stride=1)
print(time.perf_counter() - began)
"""

_BARE = """
import numpy as np, xaionnx, sklearn.linear_model, skimage.segmentation
from xaionnx.explainers import lime, rise
from xaionnx_kernels import _loops, coalitions
import onnxruntime as ort
options = ort.SessionOptions()
options.add_session_config_entry("session.intra_op.allow_spinning", "0")
session = ort.InferenceSession({model!r}, options, providers=["CPUExecutionProvider"])
x = np.zeros(({batch}, *{shape}), np.float32)
session.run(None, {{session.get_inputs()[0].name: x}})
row = np.zeros((1, 1), np.uint32)
labels, present, scratch = np.zeros(1, np.int32), np.ones((1, 1), np.bool_), np.empty(1, np.bool_)
_loops.select(row, row[None], labels, present, 1, scratch, row[None, None])
"""

_ENGINE = """
import numpy as np, xaionnx, sklearn.linear_model, skimage.segmentation
from xaionnx.explainers import lime, rise
from xaionnx_kernels import _loops, coalitions
model = xaionnx.Model.load({model!r}, batch_size={batch})
x = np.random.default_rng(0).random((1, *{shape})).astype(np.float32)
xaionnx.explain(model, x, "{method}", budget={budget}, {settings})
"""


# Linux counts the memory of the parent, which was forked, into ru_maxrss; VmHWM begins with the program.
_PEAK = """
import pathlib, resource, sys
status = pathlib.Path("/proc/self/status")
if status.exists():
    print(1024 * int(status.read_text().split("VmHWM:")[1].split()[0]))
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(peak if sys.platform == "darwin" else 1024 * peak)
"""


def _run(script: str, **environment: str) -> str:
    paths = os.pathsep.join(str(ROOT / part) for part in ("", "kernels", "cli"))
    variables = {**os.environ, "PYTHONPATH": paths, **environment}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", script], env=variables, capture_output=True, text=True, check=True, cwd=ROOT
    )
    return done.stdout


def peak(script: str) -> float:
    """Peak of resident memory of a script, in MB."""
    return int(_run(script + _PEAK)) / MEGABYTE


def first_explanation(rounds: int, model: Path = MODELS / "digits_cnn.onnx") -> tuple[float, list[float]]:
    """Seconds from the first import to the map: without any cache, and ``rounds`` times with them."""
    script = _FIRST.format(model=str(model))
    with tempfile.TemporaryDirectory() as folder:
        caches = {"PYTHONPYCACHEPREFIX": folder, "NUMBA_CACHE_DIR": folder}
        uncached, *cached = [float(_run(script, **caches)) for _ in range(rounds + 1)]
    return uncached, cached


def peaks(
    model: Path, shape: tuple[int, ...], method: str, settings: str, budgets: tuple[int, ...], batch: int = 16
) -> dict[str, float]:
    """Peaks of resident memory in MB: the bare session after one batch, and a method with each budget.

    Both processes import the same modules, the compiled loops among them, and run batches of the same size, so that the
    difference is the engine's own: the graph of the file, the buffers of a batch, coalitions and outputs. ``allowed``
    is the bare peak, 64 MB and two batches of input.
    """
    given = {"model": str(model), "shape": shape, "batch": batch, "method": method, "settings": settings}
    bare = peak(_BARE.format(**given))
    inputs = 2 * batch * 4
    for n in shape:
        inputs *= n
    found = {"bare": bare, "allowed": bare + 64 + inputs / MEGABYTE}
    for budget in budgets:
        found[f"{budget:,}"] = peak(_ENGINE.format(**given, budget=budget))
    return found
