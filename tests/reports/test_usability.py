"""The logs of public reports: each names tests that exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
FUNCTION = re.compile(r"^def (test_\w+)", re.MULTILINE)
NAMES = {name for path in TESTS.rglob("test_*.py") for name in FUNCTION.findall(path.read_text())}
LOGS = {
    name: tomllib.loads(Path(__file__).with_name(f"{name}.toml").read_text())["report"]
    for name in ("activations", "usability", "real_models", "reliability", "series", "pictures", "tables")
}


@pytest.mark.parametrize(
    "report", [report for log in LOGS.values() for report in log], ids=lambda report: report["link"]
)
def test_a_report_is_told_and_held(report):
    assert set(report) == {"number", "link", "met", "here", "mended", "tests"}
    assert re.fullmatch(r"[\w.-]+/[\w.-]+#\d+", report["link"])
    assert report["tests"]
    # By name alone, since files move.
    assert set(report["tests"]) <= NAMES


@pytest.mark.parametrize("name", LOGS)
def test_reports_are_numbered_and_told_once(name):
    assert [report["number"] for report in LOGS[name]] == [*range(1, len(LOGS[name]) + 1)]
    assert len({report["link"] for report in LOGS[name]}) == len(LOGS[name])


@pytest.mark.parametrize("name", ["real_models", "reliability", "series", "pictures"])
def test_reports_are_sorted_by_tool(name):
    links = [report["link"].rpartition("#") for report in LOGS[name]]
    assert links == sorted(links, key=lambda link: (link[0].lower(), int(link[2])))
