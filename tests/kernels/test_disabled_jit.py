"""The loops are ordinary Python: the same tests pass with the compiler off."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.slow
def test_the_kernels_hold_without_the_compiler():
    files = [
        str(HERE / name)
        for name in (
            "test_fills.py",
            "test_masks.py",
            "test_counter.py",
            "test_selections.py",
            "test_views.py",
            "test_moments.py",
        )
    ]
    files.append(f"{HERE / 'test_trees.py'}::test_by_hand")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-k", "not numpy", "-p", "no:cacheprovider", *files],
        cwd=HERE.parents[1],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-3000:]
    assert " passed" in result.stdout
