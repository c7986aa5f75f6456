"""The table of README.md, from the results that are kept beside this file."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results.json"


def markdown(results: dict[str, Any] | None = None) -> str:
    """The tables with their text, as Markdown.

    Parameters
    ----------
    results : dict, optional
        As ``python -m tests.bench`` keeps them; those of results.json if not given.
    """
    results = results or json.loads(RESULTS.read_text(encoding="utf-8"))
    machine, rows = results["machine"], results["rows"]
    of = {
        kind: [row for row in rows if row["kind"] == kind]
        for kind in (
            "ratio",
            "gradient",
            "gain",
            "evaluations",
            "peers",
            "map",
            "cam",
            "over",
            "first",
            "memory",
            "pass",
            "search",
            "search of a peer",
            "products",
        )
    }
    parts = []
    if of["ratio"]:
        parts += [_ratios(of["ratio"])]
    if of["gradient"]:
        parts += [_gradients(of["gradient"])]
    if of["pass"]:
        parts += [_passes(of["pass"])]
    if of["search"]:
        parts += [_searches(of["search"])]
    if of["search of a peer"]:
        parts += [_searches_of_peer(of["search of a peer"])]
    if of["products"]:
        parts += [_products(of["products"])]
    if of["evaluations"]:
        parts += [_evaluations(of["evaluations"])]
    if of["peers"]:
        parts += [_peers(of["peers"])]
    parts += [_sentence(row) for kind in ("gain", "map", "cam", "over", "first", "memory") for row in of[kind]]
    if results["left_out"]:
        parts.append(f"Not measured: {'; '.join(results['left_out'])}.")
    parts.append(
        f"Measured on {machine['cores']} shared cores ({machine['processor']}, load {machine['load']}) with "
        f"onnxruntime {machine['onnxruntime']} on {machine['date']} by `python -m tests.bench`. On a shared machine "
        "a tenth is not resolved in wall time; processor time is steadier."
    )
    return "\n\n".join(parts)


def replaced(results: dict[str, Any]) -> dict[str, Any]:
    """The kept results, with these rows replacing those of the same name, or appended."""
    kept: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    measured = {row["name"]: row for row in results["rows"]}
    rows = [measured.pop(row["name"], row) for row in kept["rows"]] + list(measured.values())
    known = {row["name"] for row in rows}
    left_out = [name for name in dict.fromkeys(kept["left_out"] + results["left_out"]) if name not in known]
    return {"machine": kept["machine"], "rows": rows, "left_out": left_out}


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def _ratios(rows: list[dict[str, Any]]) -> str:
    lines = [
        "Time of an explanation over its limit, the bare session's best time for as many evaluations, interleaved "
        "batch by batch; median and range of the rounds:",
        "",
        "| explanation | evaluations | limit | wall / limit | processor / limit | first call | aim |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {row['name']} | {row['evaluations']:,} | {row['limit_s']:.3g} s | {_spread(row['rounds'])} "
        f"| {_spread(row['cpu'])} | {row['first']:.2f} | {row['target']:.2f} |"
        for row in rows
    ]
    return "\n".join(lines)


def _passes(rows: list[dict[str, Any]]) -> str:
    lines = [
        "Time of a pass over a data set (`explain_all`: reading, explaining, writing) over that of its own graph "
        "alone, batch by batch on one thread on tensors in memory, for occlusion the bare session for as many "
        "evaluations. The pass explains on one thread too, and reads and writes beside it; median and range of the "
        "rounds:",
        "",
        "| pass | graph, a sample | reading, a sample | wall / graph | processor / graph | samples a second | aim |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {row['name'].removeprefix('pass: ')} | {row['graph_ms']:.3g} ms | {row['reading_ms']:.3g} ms "
        f"| {_spread(row['ratio'])} | {_spread(row['cpu'])} | {row['a_second']:,.0f} | {row['target'] or ''} |"
        for row in rows
    ]
    return "\n".join(lines)


def _searches(rows: list[dict[str, Any]]) -> str:
    machine = rows[-1]["machine"]
    lines = [
        "Processor time of a step of a search for pictures (picture, view, gradient, and all of that backwards) over a "
        "run of its gradient graph in the bare session: one thread, interleaved, median and range of the rounds. "
        f"Measured on {machine['date']} at load {machine['load']}:",
        "",
        "| search | graph | step / graph | aim |",
        "| --- | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {row['name'].removeprefix('step of a search, ')} | {1000 * row['graph_s']:.3g} ms "
        f"| {_spread(row['rounds'])} | {row['target']} |"
        for row in rows
    ]
    return "\n".join(lines)


def _searches_of_peer(rows: list[dict[str, Any]]) -> str:
    lines = [
        "The same searches on the same network by lucent and PyTorch, both with their settings by default at 224 "
        "pixels: processor time of a step on one thread, interleaved, and the unit after as many steps, at views that "
        "neither search has seen, by `python -m tests.bench.lucent`:",
        "",
        "| search | step | ours / lucent | aim | steps | found, in unseen views | by lucent |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {row['name']} | {1000 * row['step_s']:.3g} ms | {_spread(row['rounds'])} | {row['target']} "
        f"| {row['steps']} | {row['unseen']} | {row['unseen_of_peer']} |"
        for row in rows
    ]
    return "\n".join(lines)


def _products(rows: list[dict[str, Any]]) -> str:
    kinds = ("forward", "reverse", "hessian")
    lines = [
        "Derivatives along a direction (forward), gradients (reverse) and products with Hessians for two samples, and "
        "how many times as long as the graphs of onnx-ad 0.3.0 they take, through the same onnxruntime on one thread: "
        "processor time, interleaved, median and range of the rounds, by `python -m tests.bench.products`. On "
        "`efficientnet_lite0` the two modes of onnx-ad disagree.",
        "",
        "| model | run | forward | ours / onnx-ad | reverse | ours / onnx-ad | Hessian | ours / onnx-ad |",
        "| --- | ---: |" + " ---: |" * 6,
    ]
    for row in rows:
        cells = [f"{row['ms'][f'ours {kind}']:.3g} ms | {_spread(row['rounds'][kind])}" for kind in kinds]
        lines.append(f"| `{row['model']}` | {row['ms']['run']:.3g} ms | {' | '.join(cells)} |")
    return "\n".join(lines)


def _gradients(rows: list[dict[str, Any]]) -> str:
    machine = rows[-1]["machine"]
    lines = [
        "Time of the gradient graph over the forward run of the file, and over PyTorch's forward and backward to the "
        "same tensor: batch 8 on one thread, processor time, interleaved, median and range of the rounds. Memory is "
        f"what one more sample adds to the peak of a process. Measured on {machine['date']} at load {machine['load']}:",
        "",
        "| net | forward, a sample | gradient / forward | aim | gradient / PyTorch | memory: forward | gradient |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {row['name'].removeprefix('gradient, ')} | {1000 * row['forward_s']:.3g} ms | {_spread(row['rounds'])} "
        f"| {row['target']:.1f} | {_spread(row['peer']) if row['peer'] else 'not measured'} "
        f"| {row['memory']['forward']:.1f} MB | {row['memory']['gradient']:.1f} MB |"
        for row in rows
    ]
    return "\n".join(lines)


def _evaluations(rows: list[dict[str, Any]]) -> str:
    names = list(rows[0]["needed"])
    lines = [
        "Evaluations until Shapley values are within 5 % of the exact ones:",
        "",
        f"| game | {' | '.join(names)} |",
        f"| --- |{' ---: |' * len(names)}",
    ]
    for row in rows:
        cells = [_count(n, row["least"]) for n in row["needed"].values()]
        lines.append(f"| {row['name']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _peers(rows: list[dict[str, Any]]) -> str:
    lines = [
        "Evaluations until the mean error of 20 inputs of a trained model is 5 %, with the mean of the data as the "
        "baseline, by `python -m tests.bench.peers`; Captum's schemes are rebuilt:",
        "",
        f"| method | {' | '.join(row['name'] for row in rows)} |",
        f"| --- |{' ---: |' * len(rows)}",
    ]
    for method in rows[0]["needed"]:
        cells = [_count(row["needed"][method], row["least"], most=16_384) for row in rows]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _count(needed: int | None, least: int, most: int = 32_768) -> str:
    if needed is None:
        return f"over {most:,}"
    return f"{needed:,} or fewer" if needed <= least else f"{needed:,}"


def _sentence(row: dict[str, Any]) -> str:
    if row["kind"] == "gain":
        return (
            f"{row['name']}: {_spread(row['rounds'])} times as fast as plain in wall time, {_spread(row['cpu'])} in "
            f"processor time; the aim is {row['target']}."
        )
    if row["kind"] == "map":
        times = row["plain"] / row["needed"]
        return (
            f"{row['name']}: the default needs {row['needed']:,} masks for the error {row['error']:.2f} of the plain "
            f"sum over {row['plain']:,}, {times:.1f} times fewer."
        )
    if row["kind"] == "cam":
        return (
            f"{row['name']}: {_spread(row['rounds'])} times a forward run of {1000 * row['forward_s']:.3g} ms a "
            f"sample, in processor time at batch 8 on one thread; the aim is {row['target']}."
        )
    if row["kind"] == "over":
        said = (
            f"{row['name']}: {_spread(row['rounds'])} times as long, in {row['clock']} time; it takes "
            f"{row['seconds']:.3g} s, and the aim is {row['target']}"
        )
        if "peaks" not in row:
            return f"{said}."
        (few, least), (many, most) = row["peaks"].items()
        return (
            f"{said}. Peak memory is {most:.0f} MB for {many} and {least:.0f} MB for {few}; the aim is {row['more']} "
            "MB more at most."
        )
    if row["kind"] == "first":
        return (
            f"{row['name']}: {_spread(row['cached'])} s; {row['uncached']:.2f} s before Python has compiled anything."
        )
    peaks = dict(row["peaks"])
    bare, allowed = peaks.pop("bare"), peaks.pop("allowed")
    each = ", ".join(f"{mb:.0f} MB for {budget} evaluations" for budget, mb in peaks.items())
    return (
        f"{row['name']}: peak memory {each}; {bare:.0f} MB for the bare session with the same modules loaded, "
        f"{allowed:.0f} MB with 64 MB and two batches on top."
    )
