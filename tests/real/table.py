"""The table of the docs, from results.json."""

from __future__ import annotations

import json
from typing import Any

from tests.real.catalogue import HERE, Entry, catalogue

RESULTS = HERE / "results.json"
METHODS = (
    "saliency",
    "integrated_gradients",
    "grad_cam",
    "lrp",
    "deep_lift",
    "occlusion",
    "rise",
    "lime",
    "kernel_shap",
    "feature_ablation",
)
Results = dict[str, Any]


def markdown() -> str:
    """The generated part of docs/tables/real_models.md."""
    results = json.loads(RESULTS.read_text())
    return "\n".join([summary(results), "", cells(results), "", reasons(results), ""])


def state(entry: Entry, cell: dict[str, Any]) -> str:
    """The state of a cell; a refusal of what cannot mean anything is no failure."""
    found = str(cell["state"])
    return "no meaning" if found == "refused" and entry.reason(cell["method"]) is not None else found


def summary(results: Results) -> str:
    """How many cells are in each state."""
    counts: dict[str, int] = {}
    for entry in tried(results):
        for cell in results[entry.name]["cells"].values():
            found = state(entry, cell)
            counts[found] = counts.get(found, 0) + 1
    sensible = sum(counts.values()) - counts.get("no meaning", 0)
    kinds = {entry.kind for entry in tried(results)}
    others = ", ".join(
        f"{count} {name}" for name, count in sorted(counts.items()) if name not in ("works", "no meaning")
    )
    return (
        f"{len(tried(results))} models of {len(kinds)} kinds, {sum(counts.values())} cells, of which "
        f"{counts.get('no meaning', 0)} have no meaning and are refused with the reason. Of the other {sensible}, "
        f"{counts.get('works', 0)} work ({counts.get('works', 0) / max(sensible, 1):.0%})"
        + (f"; {others}." if others else ".")
    )


def tried(results: Results) -> list[Entry]:
    return [entry for entry in catalogue() if results.get(entry.name, {}).get("cells")]


def cells(results: Results) -> str:
    """One row a model."""
    lines = [
        f"| model | kind | {' | '.join(f'`{method}`' for method in METHODS)} |",
        f"| --- | --- | {' | '.join('---' for _ in METHODS)} |",
    ]
    for entry in tried(results):
        found = results[entry.name]["cells"]
        row = [_shown(entry, found[method]) if method in found else "" for method in METHODS]
        lines.append(f"| {entry.name} | {entry.kind} | {' | '.join(row)} |")
    return "\n".join(lines)


def _shown(entry: Entry, cell: dict[str, Any]) -> str:
    found = state(entry, cell)
    if found == "no meaning":
        return "–"
    ratio = cell.get("ratio")
    return f"works, {_rounded(ratio)} x" if found == "works" and ratio is not None else f"**{found}**"


def _rounded(ratio: float) -> str:
    """Two digits, or all of a larger number."""
    return f"{ratio:.2g}" if ratio < 99.5 else f"{ratio:,.0f}"


def reasons(results: Results) -> str:
    """What is the matter with the cells that do not work, and the packages."""
    lines = ["| model | method | what | message |", "| --- | --- | --- | --- |"]
    for entry in tried(results):
        for method in METHODS:
            cell = results[entry.name]["cells"].get(method)
            if cell is not None and state(entry, cell) not in ("works", "no meaning"):
                note = " ".join(str(cell["note"]).split())
                note = note if len(note) <= 220 else note[:217].rsplit(" ", 1)[0] + " ..."
                lines.append(f"| {entry.name} | `{method}` | {cell['state']} | {note.replace('|', '/')} |")
    packages = ["| model | package | file | licence |", "| --- | --- | --- | --- |"]
    packages += [f"| {e.name} | {e.package} | `{e.file}` | {e.licence} |" for e in tried(results)]
    parts = ["## Packages", "", *packages]
    if len(lines) > 2:
        parts = ["## Cells that do not work", "", *lines, "", *parts]
    return "\n".join(parts)
