"""Every tolerance under other arithmetic: other orders of sums, other instructions, other numbers of threads.

``pytest -n 0 -s -m slow tests/test_arithmetic.py`` prints the largest error of each entry of the table, relative to the
tolerance.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__  # numpy exposes these nowhere else

from tests.conftest import OPTIMIZATION, THREADS
from tests.tolerances import SHARES, Tolerance, assert_close

ROOT = Path(__file__).parents[1]
# Together these tests use every tolerance, where arithmetic differs most: real models, products, quotients.
TESTS = [
    "autodiff/test_attention.py", "autodiff/test_gates.py", "autodiff/test_guided.py", "autodiff/test_invariance.py",
    "autodiff/test_lrp.py", "autodiff/test_normalisation.py", "autodiff/test_recurrent.py",
    "autodiff/test_resize.py", "autodiff/test_types.py",
    "compilation/test_compiled.py", "explainers/test_attention.py", "explainers/test_cams.py",
    "explainers/test_deep_lift.py", "explainers/test_full_grad.py", "explainers/test_patterns.py",
    "explainers/test_propagation.py", "explainers/test_reveal_cancel.py", "explainers/test_shapley.py",
    "goldens", "graph/test_canonicalize.py", "graph/test_cut.py", "kernels/test_coalitions.py",
    "kernels/test_masks.py", "perturb/test_incremental.py", "runtime/test_model.py", "targets/test_target.py",
]  # fmt: skip


def without(*words: str) -> str:
    """The environment that disables numpy's CPU features whose names contain one of ``words``."""
    return " ".join(name for name in __cpu_dispatch__ if __cpu_features__[name] and any(word in name for word in words))


def arithmetics() -> dict[str, dict[str, str]]:
    """Environments by name: every setting occurs, but not every combination, since some cannot run on each machine."""
    wide = any(__cpu_features__.get(name) for name in ("AVX512_SKX", "X86_V4"))
    medium = any(__cpu_features__.get(name) for name in ("AVX2", "X86_V3"))
    found = {
        "optimised, 1 thread": {OPTIMIZATION: "all", THREADS: "1"},
        "basic, 2 threads": {OPTIMIZATION: "basic", THREADS: "2"},
        "not optimised, 1 thread, oldest instructions": {
            OPTIMIZATION: "off", THREADS: "1", "OPENBLAS_CORETYPE": "Prescott",
            "NPY_DISABLE_CPU_FEATURES": without("AVX512", "AVX2", "FMA3", "X86_V3", "X86_V4"),
        },
    }  # fmt: skip
    if medium:
        found["not optimised, 2 threads, Haswell without AVX-512"] = {
            OPTIMIZATION: "off", THREADS: "2", "OPENBLAS_CORETYPE": "Haswell",
            "NPY_DISABLE_CPU_FEATURES": without("AVX512", "X86_V4"),
        }  # fmt: skip
        found["optimised, 2 threads, Zen"] = {OPTIMIZATION: "all", THREADS: "2", "OPENBLAS_CORETYPE": "Zen"}
    if wide:
        found["basic, 1 thread, SkylakeX"] = {OPTIMIZATION: "basic", THREADS: "1", "OPENBLAS_CORETYPE": "SkylakeX"}
    return found


def shares(environment: dict[str, str], file: Path) -> dict[Tolerance, tuple[float, str]]:
    """The largest share of each tolerance that the tests use, and the test; written to ``file``."""
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider",
         *(str(ROOT / "tests" / name) for name in TESTS)],
        cwd=ROOT, env=os.environ | environment | {SHARES: str(file)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
    worst: dict[Tolerance, tuple[float, str]] = {}
    for line in file.read_text().splitlines():
        name, share, test = line.split("\t")
        worst[Tolerance[name]] = max(worst.get(Tolerance[name], (0.0, "")), (float(share), test))
    return worst


def table(found: dict[str, dict[Tolerance, tuple[float, str]]]) -> str:
    """A line for each tolerance: the share in each arithmetic, and the test of the largest."""
    lines = [f"{number}: {name}" for number, name in enumerate(found)]
    for tolerance in Tolerance:
        row = [worst.get(tolerance, (np.nan, "")) for worst in found.values()]
        largest = max(row, key=lambda one: np.nan_to_num(one[0]))
        lines.append(f"{tolerance.name:22}" + "".join(f"{share:9.2g}" for share, _ in row) + f"  {largest[1]}")
    return "\n".join(lines)


@pytest.mark.slow
def test_every_tolerance_holds_under_other_arithmetic(tmp_path, capsys):
    found = {name: shares(how, tmp_path / f"{n}.tsv") for n, (name, how) in enumerate(arithmetics().items())}
    with capsys.disabled():
        sys.stdout.write(f"\n{table(found)}\n")
    for worst in found.values():
        assert set(worst) == set(Tolerance)
        assert max(share for share, _ in worst.values()) <= 1


def test_errors_are_told_with_the_tolerance_and_its_reason():
    assert_close(np.float32([1, np.nan, np.inf]), [1 + 1e-6, np.nan, np.inf], Tolerance.OPERATIONS)
    assert_close(np.ones((2, 3)), 1, Tolerance.OPERATIONS)
    with pytest.raises(AssertionError, match=r"1\.1 for 1\.0 at \(1,\) is 1e\+04 times as far as SUMS allows; 1 of 2"):
        assert_close([1, 1.1], [1.0, 1.0], Tolerance.SUMS)
    with pytest.raises(AssertionError, match="inf times as far"):
        assert_close([np.nan], [1.0], Tolerance.SUMS)
    with pytest.raises(AssertionError, match=r"shapes \(2,\) and \(1, 2\)"):
        assert_close([1, 1], [[1, 1]], Tolerance.SUMS)
