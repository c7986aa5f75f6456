"""When the compiled loops are worth their loading.

The first compiled call of a process costs about 0.35 s (Numba's import, and the registries it fills) even with a warm
cache, as much as numpy needs for some 10^8 elements. So a process starts on numpy forms, which agree with the loops bit
for bit, and goes over to the loops for good once it has asked for more work than a small model ever does.
"""

from __future__ import annotations

ELEMENTS_BEFORE_LOADING = 2**25
_elements_so_far = 0


def compiled_pays(elements: int) -> bool:
    """Count ``elements`` of work and say whether the compiled loops should do it."""
    global _elements_so_far
    if _elements_so_far <= ELEMENTS_BEFORE_LOADING:  # a lost update between threads only moves the switch a little
        _elements_so_far += elements
    return _elements_so_far > ELEMENTS_BEFORE_LOADING
