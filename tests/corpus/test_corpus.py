"""Bad inputs of every kind end in one sentence and the right exit code, whatever they are."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import pytest

from tests.corpus.case import all_cases
from tests.corpus.checks import check, check_terminal
from tests.corpus.runner import Runner

EVERY = list(all_cases())
CASES = {case.name: case for case in EVERY}
# Of each kind a few; the whole takes minutes.
_SAMPLE = 2


def _sample() -> list[str]:
    rng = random.Random(0)
    kinds: dict[str, list[str]] = {}
    for name in CASES:
        kinds.setdefault(name.split("/")[0], []).append(name)
    return [name for names in kinds.values() for name in rng.sample(names, min(_SAMPLE, len(names)))]


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    started = Runner()
    yield started
    started.close()


def test_the_corpus_is_large_and_its_names_are_unique():
    assert len(CASES) == len(EVERY) >= 500


def _cases(names: Iterable[str], quick: Collection[str]) -> list[Any]:
    """The cases, of which all but a few are slow."""
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", _cases(CASES, _sample()))
def test_a_bad_input_ends_in_one_sentence(name, runner, tmp_path):
    check(CASES[name], runner, tmp_path)


HOSTILE = [name for name in CASES if name.startswith("names/")]


@pytest.mark.parametrize("name", _cases(HOSTILE, random.Random(1).sample(HOSTILE, 2)))
def test_no_hostile_name_reaches_the_terminal(name, runner, tmp_path):
    check_terminal(CASES[name], runner, tmp_path)
