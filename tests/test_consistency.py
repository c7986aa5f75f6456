"""Records whose parts do not fit each other are refused when they are loaded, whatever the bytes."""

import pytest

from tests.corpus.case import all_cases
from xaionnx.errors import DataError
from xaionnx.explanation import Explanation
from xaionnx.patterns import Patterns

CASES = {case.name: case for case in all_cases() if case.name.startswith("records/") and "flipped" not in case.name}


@pytest.mark.parametrize("name", CASES)
def test_a_damaged_record(tmp_path, name):
    _, kind, path = CASES[name].words
    CASES[name].build(tmp_path)
    with pytest.raises(DataError) as refused:
        (Explanation if kind == "record" else Patterns).load(tmp_path / path)
    assert str(refused.value).endswith(".")
