"""Try every method on every model, and keep what came of it.

python -m tests.real CACHE                    fetch, try all, and keep what came of it in results.json
python -m tests.real CACHE --only silero ICLabel --methods saliency
python -m tests.real CACHE --fetch            only fetch
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from tests.real.catalogue import Entry, catalogue
from tests.real.fetch import fetch
from tests.real.table import METHODS, RESULTS

# One model, in seconds.
LIMIT = 200


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.real")
    parser.add_argument("cache", type=Path)
    parser.add_argument("--fetch", action="store_true", help="only fetch the files")
    parser.add_argument("--only", nargs="+", default=[], help="models whose name contains one of these")
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--worker", help="the name of one model: print its cells as lines of JSON")
    chosen = parser.parse_args()
    entries = catalogue()
    if chosen.worker is not None:
        (entry,) = (entry for entry in entries if entry.name == chosen.worker)
        work(entry, chosen.cache, chosen.methods)
        return
    entries = [e for e in entries if not chosen.only or any(word.lower() in e.name.lower() for word in chosen.only)]
    fetch(entries, chosen.cache)
    if chosen.fetch:
        return
    for entry in entries:
        keep(entry, in_process(entry, chosen.cache, chosen.methods))


def work(entry: Entry, cache: Path, methods: list[str]) -> None:
    """The cells of one model, printed one by one so that none is lost with the process."""
    from tests.real.cells import Case, try_method

    case = Case(entry, cache / entry.path)
    print(json.dumps({"bare": case.bare, "score": case.score, "index": case.plain.target.get("index")}), flush=True)
    for method in methods:
        print(json.dumps(asdict(try_method(case, method))), flush=True)


def in_process(entry: Entry, cache: Path, methods: list[str]) -> list[dict[str, object]]:
    """The lines of :func:`work`, in a process of its own with a limit of time."""
    command = [sys.executable, "-m", "tests.real", str(cache), "--worker", entry.name, "--methods", *methods]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
        out, state, end = done.stdout, "crash", f"the process ended with {done.returncode}: {done.stderr[-300:]}"
    except subprocess.TimeoutExpired as error:
        out, state, end = (error.stdout or b"").decode(), "slow", f"no answer within {LIMIT} s"
    rows = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    answered = {row["method"] for row in rows if "method" in row}
    return rows + [{"method": m, "state": state, "note": end} for m in methods if m not in answered]


def keep(entry: Entry, rows: list[dict[str, object]]) -> None:
    """Add the cells of a model to the results."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    known = results.setdefault(entry.name, {"cells": {}})
    for row in rows:
        if "method" in row:
            known["cells"][row["method"]] = row
            print(f"{entry.name:32} {row['method']:22} {row['state']:12} {str(row['note'])[:150]}", flush=True)
        else:
            known.update(row)
            print(f"{entry.name:32} {row}", flush=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
