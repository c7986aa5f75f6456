"""Every method says when to use it and when not to, in the Notes of its docstring."""

import re

import pytest

from xaionnx import discovery


@pytest.mark.parametrize("name", discovery.methods())
def test_a_method_says_when_to_use_it(name):
    notes = re.search(
        r"\nNotes\n-----\n(.*?)\n\n[A-Z]\w+\n---", discovery.method(name).__doc__.replace("\n    ", "\n"), re.DOTALL
    )
    assert notes is not None
    assert re.fullmatch(r"When to use: [A-Z][^\n]+.*\.\n\nWhen not to use: [A-Z][^\n]+.*\.", notes[1], re.DOTALL)
