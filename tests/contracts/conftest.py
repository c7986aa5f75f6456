"""What takes longer than what it is there for is done once."""

from collections.abc import Iterator

import pytest

from xaionnx.explainers._gradients import regions
from xaionnx.typing import Array


@pytest.fixture(scope="session", autouse=True)
def segments_are_found_once() -> Iterator[None]:
    """The segments of a picture, which XRAI looks for in each of its explanations, are a function of its pixels."""
    find, known = regions.segments, {}

    def found(picture: Array) -> list[Array]:
        key = picture.tobytes()
        if key not in known:
            known[key] = find(picture)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regions, "segments", found)
        yield
