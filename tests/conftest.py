"""Fixtures of all tests."""

import os
import signal
import zlib
from collections.abc import Iterator

import pytest

# onnxruntime's optimisation level (off, basic, extended or all) and number of threads for every session of the tests.
# Set by tests.test_arithmetic.
OPTIMIZATION, THREADS = "XAIONNX_TEST_OPTIMIZATION", "XAIONNX_TEST_THREADS"
LEVELS = {"off": "DISABLE_ALL", "basic": "ENABLE_BASIC", "extended": "ENABLE_EXTENDED", "all": "ENABLE_ALL"}


def pytest_configure() -> None:
    if OPTIMIZATION in os.environ or THREADS in os.environ:
        import onnxruntime

        class Options(onnxruntime.SessionOptions):
            def __init__(self) -> None:
                super().__init__()
                level = LEVELS[os.environ.get(OPTIMIZATION, "all")]
                self.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_{level}")
                self.intra_op_num_threads = int(os.environ.get(THREADS, "0"))

        onnxruntime.SessionOptions = Options


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow all but a share of the cases of tests that are ``sampled``; which ones depends on their names."""
    for item in items:
        sampled = item.get_closest_marker("sampled")
        if sampled is not None and zlib.crc32(item.nodeid.encode()) % 100 >= sampled.kwargs["percent"]:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_works() -> Iterator[None]:
    """Restore SIGINT, which a shell ignores for background jobs."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
