"""The log of public reports: each names tests that exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
FUNCTION = re.compile(r"^def (test_\w+)", re.MULTILINE)
NAMES = {name for path in TESTS.rglob("test_*.py") for name in FUNCTION.findall(path.read_text())}
REPORTS = tomllib.loads(Path(__file__).with_name("usability.toml").read_text())["report"]


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: report["link"])
def test_a_report_is_told_and_held(report):
    assert set(report) == {"number", "link", "met", "here", "mended", "tests"}
    assert re.fullmatch(r"[\w.-]+/[\w.-]+#\d+", report["link"])
    assert report["tests"]
    # By name alone, since files move.
    assert set(report["tests"]) <= NAMES


def test_reports_are_numbered_and_told_once():
    assert [report["number"] for report in REPORTS] == [*range(1, len(REPORTS) + 1)]
    assert len({report["link"] for report in REPORTS}) == len(REPORTS)
