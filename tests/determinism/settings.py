"""How far results lie apart that differ in batch size, threads, order, company and hash seed alone, as a table.

    python -m tests.determinism.settings              explains all anew, and keeps the results
    python -m tests.determinism.settings rise lime    only by these methods

Each setting explains five samples of each model in a process of its own, since threads of libraries and the hash seed
belong to a process. Beside the reference, in the same process, the rows of every run of a session are run again in
other batches and on two threads by the session alone: how far its outputs lie apart then is the bound for methods.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import xaionnx
from models import planted
from tests import tiny
from tests.maskers import masker_of
from xaionnx import Explanation, Model, discovery, parameters
from xaionnx.errors import XaionnxError
from xaionnx.evaluation import metrics
from xaionnx.evaluation.metric import METRICS
from xaionnx.patterns import estimate_patterns
from xaionnx.runtime.batch_runner import BatchRunner
from xaionnx.runtime.session import Session

Array = npt.NDArray[Any]
ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).with_name("results.json")

SAMPLES = 5
OPTIONS: dict[str, Any] = {
    "budget": 400, "window": 7, "stride": 5, "grid": 4, "steps": 12, "draws": 6, "noise": 0.1, "seed": 3,
}  # fmt: skip
# onnxruntime rounds the mean over the steps of the series otherwise in another batch.
MODELS = ("table", "picture", "pooled picture", "series", "transformer")
# Explained by these alone, besides the methods by their defaults.
TREES = "trees"
SUMS = ("linear", "sum of columns")
_OF_SUMS = ("linear_shap", "additive_shap")
_OF_CONCEPTS = "self-explaining"
# Of all samples together: their order and company are part of the question.
_TOGETHER = ("dependence",)
# Scores by a metric are written as this and its name; that of sufficiency compares the samples of a batch.
METRIC = "metric "
_METRIC_MODELS = ("table", "pooled picture")
_COMPARES_SAMPLES = (f"{METRIC}sufficiency",)
_FILES = {
    "table": "german_credit_mlp",
    TREES: "german_credit_forest",
    "picture": "mnist_cnn",
    "transformer": "mnist_vit",
    _OF_CONCEPTS: "mnist_senn",
}
# Methods with options by which they work in another way.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "lime in bins": ("lime", {"neighbourhood": "bins"}),
    "lime by a tree": ("lime", {"surrogate": "tree"}),
    "tree_shap by paths": ("tree_shap", {"perturbation": "path_dependent"}),
    "tree_shap of pairs": ("tree_shap", {"interactions": True}),
}
# Of these, methods take three rows of data for the baseline, over which they average.
ROWS = ("table", "series", TREES)
# The largest difference of values, beside that of outputs: sums, quotients and regressions of outputs amplify rounding.
AMPLIFIED = 16.0
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class Setting:
    """How samples are explained; ``rows`` are groups of samples that are explained together, in this order."""

    name: str
    batch_size: int | None = 64
    threads: int = 1
    rows: tuple[tuple[int, ...], ...] = (tuple(range(SAMPLES)),)
    hash_seed: int = 0
    # What the session does for itself here: "batch", "threads", or nothing.
    noise: str = "batch"


REFERENCE = Setting("reference", noise="")
SETTINGS = (
    Setting("batch of 1", batch_size=1),
    Setting("batch of 7", batch_size=7),
    Setting("tuned batch", batch_size=None),
    Setting("2 threads", threads=2, noise="threads"),
    Setting("reversed", rows=(tuple(reversed(range(SAMPLES))),)),
    Setting("alone", rows=tuple((n,) for n in range(SAMPLES))),
    Setting("hash seed", hash_seed=1, noise=""),
)


@cache
def samples(name: str) -> Array:
    """The samples of a model."""
    shape = {
        "table": (20,),
        TREES: (20,),
        **dict.fromkeys(SUMS, (20,)),
        "pooled picture": (3, 12, 12),
        "series": (30, 6),
    }.get(name, (1, 28, 28))
    return np.random.default_rng(7).normal(size=(SAMPLES, *shape)).astype(np.float32)


def loaded(name: str, batch_size: int | None = 64, threads: int = 1) -> Model:
    """One of the models."""
    options: dict[str, Any] = {"batch_size": batch_size, "threads": threads, "device": "cpu"}
    rng = np.random.default_rng(5)
    if name == "pooled picture":
        return planted.load(planted.pooled(rng.normal(size=(4, 3)), rng.normal(size=(3, 4)), (12, 12)), **options)
    if name in SUMS:
        w = rng.normal(size=(20, 3)).astype(np.float32)
        body = "y = MatMul(x, w)" if name == "linear" else "a = Tanh(x) y = MatMul(a, w)"
        return planted.load(tiny.parsed(f"g (float[N,20] x) => (float[N,3] y) {{ {body} }}", w=w), **options)
    if name == "series":
        w, v = (rng.normal(size=size).astype(np.float32) for size in ((6, 640), (640, 3)))
        text = (
            "g (float[N,30,6] x) => (float[N,3] y) { a = MatMul(x, w) b = Tanh(a) "
            "c = ReduceMean<axes=[1], keepdims=0>(b) y = MatMul(c, v) }"
        )
        return planted.load(tiny.parsed(text, w=w, v=v), **options)
    file = {
        "table": "german_credit_mlp",
        TREES: "german_credit_forest",
        "picture": "mnist_cnn",
        "transformer": "mnist_vit",
        _OF_CONCEPTS: "mnist_senn",
    }[name]
    return Model.load(ROOT / "models" / f"{file}.onnx", **options)


def made(method: str, name: str) -> xaionnx.Explainer:
    """A method with options that keep it short."""
    method, variant = VARIANTS.get(method, (method, {}))
    kind = discovery.method(method)
    known = parameters.declared(kind)
    options = {**{key: value for key, value in OPTIONS.items() if key in known}, **variant}
    if "features" in known and name not in ("table", TREES, *SUMS):
        options["features"] = xaionnx.Features.grid(3, 3)
    if method in ("exact_shapley", "shapley_interactions") and name == "table":
        options["features"] = xaionnx.Features.columns([list(range(10)), list(range(10, 13))])
    if "baseline" in known and name in ROWS:
        options["baseline"] = xaionnx.Baseline.background(samples(name)[1:4] / 2)
    if method in ("tree_shap", *_OF_SUMS):
        # Otherwise it takes the rows that are explained together.
        options["background"] = samples(name)
    if "neighbourhood" in variant:
        options.pop("baseline", None)
        options["background"] = np.concatenate([samples(name) * scale for scale in (0.5, 1, 2)])
    if "donors" in known:
        options["donors"] = samples(name)[::-1].copy()
    if "patterns" in known:
        options["patterns"] = _patterns(name)
    if "masker" in known:
        options["masker"] = masker_of(loaded(name), samples(name))
    return kind(**options)


def all_methods() -> list[str]:
    """The methods, by their defaults and as variants."""
    return [*discovery.methods(), *VARIANTS]


def all_metrics() -> list[str]:
    """The metrics, which tests try in the settings that a process allows."""
    return [f"{METRIC}{name}" for name in metrics()]


def models_of(method: str) -> tuple[str, ...]:
    """The models that a method explains, or refuses."""
    if method.startswith(METRIC):
        return _METRIC_MODELS
    if method in _OF_SUMS:
        return SUMS
    if method == "senn":
        return (_OF_CONCEPTS,)
    if method in _TOGETHER:
        return ("table", "linear")
    return (*MODELS, TREES) if "tree_shap" in method else MODELS


def applies(setting: Setting, method: str) -> bool:
    """Whether a setting changes only how a method's samples are computed."""
    if method in _TOGETHER:
        return setting.rows == REFERENCE.rows
    return method not in _COMPARES_SAMPLES or len(setting.rows) == 1


@cache
def _patterns(name: str) -> Any:
    return estimate_patterns(loaded(name), samples(name))


def explained(method: str, name: str, setting: Setting) -> dict[str, Array] | None:
    """The arrays of an explanation or of scores, in the order of the samples; None if the model is refused."""
    try:
        model = loaded(name, setting.batch_size, setting.threads)
        parts = [_of_rows(method, name, model, list(rows)) for rows in setting.rows]
    except XaionnxError:
        return None
    order = np.argsort([row for rows in setting.rows for row in rows])
    joined = {key: _joined([one[key] for one in parts]) for key in parts[0]}
    return joined if method in _TOGETHER else {key: array[order] for key, array in joined.items()}


def _of_rows(method: str, name: str, model: Model, rows: list[int]) -> dict[str, Array]:
    """The arrays of the explanation of some samples, or of their scores."""
    x = samples(name)[rows]
    if not method.startswith(METRIC):
        return _arrays(made(method, name).attribute(model, x))
    metric = method.removeprefix(METRIC)
    options = {"similarity": {"other": "occlusion"}, "label_randomisation": {"control_model": model}}.get(metric, {})
    masks = (x if x.ndim == 2 else x[:, 0]) > 0.5 if "masks" in METRICS.find(metric).needs else None
    found = xaionnx.evaluate(model, x, "input_x_gradient", metric, 1, masks=masks, seed=3, **options)
    arrays = {"values": found.values, "control": found.controls["random"].values}
    return arrays | {f"curve {key}": np.asarray(curve) for key, curve in found.curves.items()}


def _joined(parts: Sequence[Array]) -> Array:
    """The parts along the samples; a sample with fewer players than others has NaN for these."""
    if parts[0].ndim < 2 or len({part.shape[1] for part in parts}) == 1:
        return np.concatenate(parts)
    widest = max(part.shape[1] for part in parts)
    padding = [(0, 0)] * (parts[0].ndim - 2)
    return np.concatenate(
        [np.pad(part, [(0, 0), (0, widest - part.shape[1]), *padding], constant_values=np.nan) for part in parts]
    )


def _arrays(found: Explanation) -> dict[str, Array]:
    """The arrays of a record whose first axis is that of the samples."""
    values = found.values if isinstance(found.values, dict) else {"": found.values}
    arrays = {f"values {key}": np.asarray(array) for key, array in values.items()}
    arrays |= {f"map {key}": np.asarray(array) for key, array in found.maps.items()}
    for key in ("feature_values", "standard_error", "prediction", "baseline_prediction"):
        array = getattr(found, key)
        for more, one in array.items() if isinstance(array, dict) else [("", array)]:
            if one is not None and len(one) == len(found.prediction):
                arrays[f"{key} {more}"] = np.asarray(one)
    return arrays


def apart(found: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
    """The largest difference of two results, beside the largest number of its array; 0 if equal bit for bit."""
    assert found.keys() == expected.keys()
    return max(_distance(found[key], expected[key]) for key in expected)


def _distance(a: Array, b: Array) -> float:
    if a.shape != b.shape:
        return float("inf")
    if np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
        return 0.0
    size = np.nanmax(np.abs(b.astype(np.float64)), initial=0.0)
    return float(np.nanmax(np.abs(a.astype(np.float64) - b)) / (size or 1.0))


class SessionNoise:
    """How far outputs of the bare session lie apart, beside their range, in other batches and on two threads."""

    def __init__(self) -> None:
        self.largest = {"batch": 0.0, "threads": 0.0}
        self._twins: dict[Session, Session] = {}

    @contextlib.contextmanager
    def measured(self) -> Iterator[None]:
        """Measure beside all runs inside the block."""
        batches, init = BatchRunner.batches, Session.__init__
        given: dict[Session, tuple[tuple[Any, ...], dict[str, Any]]] = {}

        def opened(session: Session, *args: Any, **options: Any) -> None:
            given[session] = args, options
            init(session, *args, **options)

        def twin(session: Session) -> Session:
            if session not in self._twins:
                (model, settings), options = given[session]
                self._twins[session] = Session.__new__(Session)
                init(self._twins[session], model, replace(settings, threads=2), **options)
            return self._twins[session]

        def run(runner: BatchRunner, count: int, feed: Any, *more: Any) -> Iterator[Any]:
            def all_rows(size: int, session: Callable[[str], Session]) -> dict[str, Array]:
                other = replace(runner, batch_size=size, session=session, tuners={}, _accepted={})
                parts = [outputs for _, _, outputs in batches(other, count, feed, *more)]
                return {key: np.concatenate([np.atleast_1d(part[key]) for part in parts]) for key in parts[0]}

            if runner.batch_size == 64 and count:
                own = all_rows(64, runner.session)
                for size in (1, 7):
                    self._note("batch", all_rows(size, runner.session), own)
                self._note("threads", all_rows(64, lambda kind: twin(runner.session(kind))), own)
            yield from batches(runner, count, feed, *more)

        BatchRunner.batches, Session.__init__ = run, opened  # type: ignore[method-assign]
        try:
            yield
        finally:
            BatchRunner.batches, Session.__init__ = batches, init  # type: ignore[method-assign]

    def _note(self, kind: str, found: Mapping[str, Array], own: Mapping[str, Array]) -> None:
        for key, expected in own.items():
            if (
                expected.dtype.kind == "f"
                and found[key].shape == expected.shape
                and not np.array_equal(found[key], expected)
            ):
                spread = float(np.ptp(expected)) or float(np.abs(expected).max()) or 1.0
                self.largest[kind] = max(self.largest[kind], float(np.abs(found[key] - expected).max()) / spread)


def bound(setting: Setting, noise: Mapping[str, float]) -> float:
    """How far results may lie apart: not at all, unless those of the session do."""
    return AMPLIFIED * noise.get(setting.noise, 0.0)


def measured(methods: Sequence[str]) -> dict[str, dict[str, dict[str, float]]]:
    """For each method and model: how far each setting is from the reference, and the session from itself."""
    with tempfile.TemporaryDirectory() as folder:
        reference = _in_a_process(REFERENCE, methods, Path(folder))
        found: dict[str, dict[str, dict[str, float]]] = {}
        for key, arrays in reference.items():
            method, name = key.split("/")
            noise = {f"session, {kind}": float(arrays.pop(f"noise {kind}")) for kind in ("batch", "threads")}
            found.setdefault(method, {})[name] = noise
        for setting in SETTINGS:
            some = [method for method in methods if applies(setting, method)]
            others = _in_a_process(setting, some, Path(folder))
            assert others.keys() == {key for key in reference if key.split("/")[0] in some}, setting
            for key, arrays in others.items():
                method, name = key.split("/")
                found[method][name][setting.name] = apart(arrays, reference[key])
    return found


def _in_a_process(setting: Setting, methods: Sequence[str], folder: Path) -> dict[str, dict[str, Array]]:
    file = folder / f"{setting.name}.npz"
    environment = {
        **os.environ,
        **dict.fromkeys(_ONE_THREAD, str(setting.threads)),
        "PYTHONHASHSEED": str(setting.hash_seed),
        "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("", "kernels", "cli")),
    }
    words = [sys.executable, "-m", "tests.determinism.settings", "--setting", setting.name, "--file", str(file)]
    subprocess.run([*words, *methods], check=True, cwd=ROOT, env=environment)
    found: dict[str, dict[str, Array]] = {}
    with np.load(file) as arrays:
        for path in arrays.files:
            method, name, key = path.split("/", 2)
            found.setdefault(f"{method}/{name}", {})[key] = arrays[path]
    return found


def _explain_all(setting: Setting, methods: Sequence[str], file: Path) -> None:
    arrays: dict[str, Array] = {}
    for method in methods:
        for name in models_of(method):
            noise = SessionNoise()
            with noise.measured() if setting is REFERENCE else contextlib.nullcontext():
                found = explained(method, name, setting)
            for key, array in (found or {}).items():
                arrays[f"{method}/{name}/{key}"] = array
            for kind, largest in noise.largest.items() if found and setting is REFERENCE else ():
                arrays[f"{method}/{name}/noise {kind}"] = np.float64(largest)
    np.savez(file, **arrays)


def kept_results() -> dict[str, dict[str, dict[str, float]]]:
    """The kept results by method, model and setting."""
    kept: dict[str, dict[str, dict[str, float]]] = json.loads(RESULTS.read_text())
    return kept


def markdown() -> str:
    """The kept results as a table: the worst of the models."""
    lines = [
        f"| method | {' | '.join(setting.name for setting in SETTINGS)} | session, batches | session, threads |",
        f"| --- |{' ---: |' * (len(SETTINGS) + 2)}",
    ]
    for method, models in sorted(kept_results().items()):
        keys = [*(setting.name for setting in SETTINGS), "session, batch", "session, threads"]
        # A setting that changes the question is left out.
        worst = [max((one[key] for one in models.values() if key in one), default=None) for key in keys]
        lines.append(f"| `{method}` | {' | '.join(_cell(number) for number in worst)} |")
    return "\n".join(lines)


def _cell(number: float | None) -> str:
    if number is None:
        return "–"
    return "=" if number == 0 else f"{number:.0e}"


def main() -> None:
    """Explain in one setting, or measure all and keep."""
    parser = argparse.ArgumentParser(description="Explain the same samples in several settings.")
    parser.add_argument("--setting")
    parser.add_argument("--file", type=Path)
    parser.add_argument("methods", nargs="*", metavar="METHOD")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    methods = given.methods or all_methods()
    if given.setting is not None:
        setting = next(one for one in (REFERENCE, *SETTINGS) if one.name == given.setting)
        _explain_all(setting, methods, given.file)
        return
    kept = kept_results() if RESULTS.exists() and given.methods else {}
    kept |= measured(methods)
    RESULTS.write_text(json.dumps(dict(sorted(kept.items())), indent=1) + "\n")


if __name__ == "__main__":
    main()
