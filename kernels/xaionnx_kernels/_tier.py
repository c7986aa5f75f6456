"""When the compiled loops are worth their loading.

The first compiled call of a process costs 0.35 s and more even with a warm cache: Numba's import, and the registries
it fills. In that time numpy's forms, which agree with the loops bit for bit, write some 10^8 elements; the loops are
two to six times as fast. So a process starts on numpy, and goes over to the loops for good once it has asked for so
much work that the loading comes back. A small model never does, and starts at once.
"""

from __future__ import annotations

ELEMENTS_BEFORE_LOADING = 2**26
_elements_so_far = 0


def compiled_pays(elements: int) -> bool:
    """Count ``elements`` of work and say whether the compiled loops should do it."""
    global _elements_so_far  # noqa: PLW0603 - the count of a process
    if _elements_so_far <= ELEMENTS_BEFORE_LOADING:  # a lost update between threads only moves the switch a little
        _elements_so_far += elements
    return _elements_so_far > ELEMENTS_BEFORE_LOADING
