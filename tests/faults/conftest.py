"""What the tests of faults and of kills share: the process that runs commands, and what an undisturbed run returns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.corpus.runner import Runner
from tests.faults.case import TABLE, Trial, key, value
from tests.faults.comparison import Comparison


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    started = Runner()
    yield started
    started.close()


@pytest.fixture(scope="module")
def reference(runner: Runner, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    whole = Trial(runner, tmp_path_factory.mktemp("whole"), "document", True).run().document
    assert whole is not None
    return {key(one["input"]): value(one) for one in whole["results"]}


@pytest.fixture(scope="module")
def rows_reference(runner: Runner, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same of a table."""
    whole = Trial(runner, tmp_path_factory.mktemp("rows"), TABLE, True).run().document
    assert whole is not None
    return {key(one["input"]): value(one) for one in whole["results"]}


@pytest.fixture(scope="module")
def comparison(runner: Runner, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """What an undisturbed comparison leaves."""
    return Comparison.of(runner, tmp_path_factory.mktemp("compared"))
