"""Random graphs, specs and options: each ends in one sentence or in a right value.

What a long run finds becomes a case of `tests/corpus`, or of the test of the op. A run of 20 minutes:
``XAIONNX_FUZZ=2000 pytest -n 1 -m slow tests/fuzz``.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

import xaionnx
from models import planted
from tests import tiny
from tests.autodiff.differences import either, reference, widened
from tests.corpus.case import REFUSED, Case, writes
from tests.corpus.checks import check
from tests.corpus.runner import Runner
from tests.fuzz.graphs import OUTPUTS, graphs
from tests.fuzz.texts import options, specs
from xaionnx import Explanation, Model, discovery, parameters
from xaionnx.errors import XaionnxError
from xaionnx.typing import Array

_ALWAYS = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))
LONG = int(os.environ.get("XAIONNX_FUZZ", "60"))
# A smaller example of what fails is sought on request alone, since each try takes half a second.
SHRINKS = "XAIONNX_FUZZ_SHRINK" in os.environ


def quick(examples: int) -> settings:
    """A few examples, the same in each run."""
    return settings(_ALWAYS, derandomize=True, max_examples=examples, phases=(Phase.generate,))


def long(share: float = 1.0) -> settings:
    """Other examples in each run."""
    phases = (Phase.generate, Phase.shrink) if SHRINKS else (Phase.generate,)
    return settings(_ALWAYS, max_examples=max(1, int(LONG * share)), print_blob=True, phases=phases)


# ---- graphs


def outcome(explain: Callable[[], Explanation]) -> tuple[Explanation | None, str]:
    """The explanation, or the sentence of the refusal."""
    try:
        return explain(), ""
    except XaionnxError as error:
        return None, str(error)


def bare(proto: onnx.ModelProto, x: Array) -> Array | None:
    """The outputs of the bare session; None if it does not take the model, and so there is nothing to explain."""
    try:
        return tiny.run(proto, {"x": x})["y"].astype(np.float64)
    except Exception as error:
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        return None


def finite_inside(proto: onnx.ModelProto, x: Array) -> bool:
    """Whether no tensor between has NaN or infinity, from which no difference is taken."""
    shown = onnx.ModelProto.FromString(proto.SerializeToString())
    names = {name for node in shown.graph.node for name in node.output if name} - {
        one.name for one in shown.graph.output
    }
    shown.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in sorted(names))
    found = tiny.run(shown, {"x": x}).values()
    return all(np.isfinite(array).all() for array in found if array.dtype.kind == "f")


def slope_along(run: object, x: Array, direction: Array, k: int) -> Array | None:
    """The central difference of output k of each sample; None near a kink, where those of two steps differ."""

    def at(step: float) -> Array:
        # What divides by zero inside may be finite at the end.
        with np.errstate(all="ignore"):
            return run({"x": x + step * direction}, ["y"])[0][:, k]  # type: ignore[operator]

    found = [(at(step) - at(-step)) / (2 * step) for step in (1e-6, 1e-5)]
    ahead = (at(1e-6) - at(0.0)) / 1e-6
    scale = 1e-4 * (1 + np.abs(found[0]))
    return (
        found[0]
        if (np.abs(found[1] - found[0]) < scale).all() and (np.abs(ahead - found[0]) < 50 * scale).all()
        else None
    )


def check_gradient(model: Model, proto: onnx.ModelProto, x: Array, seed: int) -> None:
    k = seed % OUTPUTS
    result, _ = outcome(lambda: xaionnx.explain(model, x, "saliency", k, absolute=False))
    if result is None:
        return
    direction = np.random.default_rng(seed).standard_normal(x.shape)
    # onnxruntime opens a GRU of float64, and then has no kernel for it.
    evaluate = reference if any(node.op_type == "GRU" for node in proto.graph.node) else either
    expected = slope_along(evaluate(widened(proto)), x.astype(np.float64), direction, k)
    assume(expected is not None)
    products = (result.values * direction).reshape(len(x), -1)
    # Slopes of saturated activations, 1 - tanh(x)^2, are what rounding leaves of numbers of order one.
    terms = np.linalg.norm(products, axis=1) + np.abs(expected) + 2e-2
    error = np.abs(products.sum(axis=1) - expected) / terms
    estimated = result.diagnostics["gradient"] != "graph"
    assert (error < (3e-2 if estimated else 2e-3)).all(), (error, products.sum(axis=1), expected)


def check_sums(model: Model, proto: onnx.ModelProto, x: Array, seed: int) -> None:
    """Values by removal follow from plain runs, and sums of contributions from the change of the output."""
    k = seed % OUTPUTS
    ends = [bare(proto, array)[:, k] for array in (x, np.zeros_like(x))]
    assume(np.isfinite(ends).all())
    change = ends[0] - ends[1]
    scale = 1e-4 * (1 + np.abs(ends).sum(axis=0))
    found = xaionnx.explain(model, x, "feature_ablation", k, features="elements", baseline=0)
    without = x.copy()
    place = (slice(None), *np.unravel_index(seed % x[0].size, x.shape[1:]))
    without[place] = 0
    drop = ends[0] - bare(proto, without)[:, k]
    assert (np.abs(found.values[place] - drop) < scale).all(), (found.values[place], drop)
    for method in ("deep_lift", "integrated_gradients"):
        found, _ = outcome(lambda method=method: xaionnx.explain(model, x, method, k, baseline=0))
        if found is None:
            continue
        gap = found.values.reshape(len(x), -1).sum(axis=1, dtype=np.float64) - change
        terms = scale + 1e-4 * np.abs(found.values).reshape(len(x), -1).sum(axis=1)
        assert (np.abs(gap - np.array(found.diagnostics["completeness_gap"])) < terms).all(), (method, gap)
        if method == "deep_lift" and not found.provenance["approximations"]:
            adds_up = bool((np.abs(gap) < 10 * terms).all())
            said = any("do not add up" in warning for warning in found.warnings)
            assert adds_up or (said and not finite_inside(proto, np.zeros_like(x))), (method, gap, change)


def check_any(model: Model, x: Array, method: str, target: object) -> None:
    """Any method ends in an explanation or in one sentence of ours."""
    kind = discovery.method(method)
    known = parameters.declared(kind)
    small = {"budget": 150, "steps": 4, "draws": 3, "grid": 2, "window": 2, "stride": 2, "donors": x[::-1].copy()}
    made = kind(**{name: value for name, value in small.items() if name in known})
    found, refusal = outcome(lambda: xaionnx.explain(model, x, made, target))
    if found is None:
        assert 8 < len(refusal) < 1200
        assert "\n" not in refusal
        return
    values = found.values if isinstance(found.values, dict) else {"": found.values}
    assert all(np.isfinite(array).all() for array in values.values())
    assert np.isfinite(found.prediction).all()


TARGETS = st.sampled_from([None, 0, 2, [0, 1], "probability"])


def check_graph(example: tuple[onnx.ModelProto, tuple[int, ...], int], method: str, target: object) -> None:
    proto, shape, seed = example
    x = np.random.default_rng(seed).normal(size=(2, *shape)).astype(np.float32)
    y = bare(proto, x)
    assume(y is not None)
    assume(np.isfinite(y).all() and np.abs(y).max() < 1e4)
    try:
        model = planted.load(proto, device="cpu")
    except XaionnxError:
        return
    asked = xaionnx.Target.probability(1) if target == "probability" else target
    check_gradient(model, proto, x, seed)
    check_sums(model, proto, x, seed)
    check_any(model, x, method, asked)


METHODS = st.sampled_from(discovery.methods())


@quick(5)
@given(graphs(), METHODS, TARGETS)
def test_graphs(example, method, target):
    check_graph(example, method, target)


@pytest.mark.slow
@long()
@given(graphs(), METHODS, TARGETS)
def test_many_graphs(example, method, target):
    check_graph(example, method, target)


# ---- specs and options


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    started = Runner()
    yield started
    started.close()


def check_words(runner: Runner, words: tuple[str, ...], build=lambda folder: None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check(Case("fuzz", words, {0, *REFUSED}, build), runner, Path(folder))


def check_spec(runner: Runner, text: str) -> None:
    x = "picture.png" if len(text) % 2 else "array.npy"
    words = ("explain", "occlusion", "model.onnx", x, "--window", "4", "--stride", "4", "--json")
    check_words(runner, words, writes("model.toml", text.encode("utf-8", "surrogateescape")))


def check_options(runner: Runner, group: str, words: tuple[str, ...]) -> None:
    method, *rest = words

    def rows(folder: Path) -> None:
        np.save(folder / "rows.npy", np.ones((3, 1, 8, 8), np.float32))

    if group == "explain":
        check_words(runner, ("explain", method, "model.onnx", "array.npy", *rest, "--json"), rows)
        return
    with tempfile.TemporaryDirectory() as folder:
        command = ("compile", method, "model.onnx", "-o", "made.onnx", *rest, "--json")
        check(Case("fuzz", command, {0, *REFUSED}, rows, written=("made.onnx",)), runner, Path(folder))


@quick(20)
@given(text=specs())
def test_specs(runner, text):
    check_spec(runner, text)


@quick(10)
@given(words=options("explain"))
def test_options(runner, words):
    check_options(runner, "explain", words)


@pytest.mark.slow
@long(4)
@given(text=specs())
def test_many_specs(runner, text):
    check_spec(runner, text)


@pytest.mark.slow
@pytest.mark.parametrize("group", ["explain", "compile"])
def test_many_options(runner, group):
    @long(2)
    @given(words=options(group))
    def many(words):
        check_options(runner, group, words)

    many()
