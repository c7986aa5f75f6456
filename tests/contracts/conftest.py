"""Cache slow steps that are not under test."""

from collections.abc import Iterator

import pytest

from xaionnx.explainers._gradients import regions
from xaionnx.typing import Array


@pytest.fixture(scope="session", autouse=True)
def segments_are_found_once() -> Iterator[None]:
    """Cache the segments of a picture, which XRAI computes for each explanation from the pixels."""
    find, known = regions.segments, {}

    def found(picture: Array) -> list[Array]:
        key = picture.tobytes()
        if key not in known:
            known[key] = find(picture)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regions, "segments", found)
        yield
