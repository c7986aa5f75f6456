"""Fixtures of the tests of pictures."""

import zlib

import numpy as np
import pytest


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A generator whose seed is the name of the test, so that its numbers depend on no other test."""
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))
