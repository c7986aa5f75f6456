"""Choice between numpy and the compiled loops, by the amount of work so far.

The first compiled call of a process costs at least 0.35 s even with a warm cache, for importing Numba and filling its
registries. In that time the numpy versions, which agree with the loops bit for bit, write some 10^8 elements; the
loops are two to six times as fast. A process therefore starts with numpy, and switches to the loops for good once it
has done enough work to repay the loading time. Small models never reach that point and start without delay.
"""

from __future__ import annotations

ELEMENTS_BEFORE_LOADING = 2**26
_elements_so_far = 0


def compiled_pays(elements: int) -> bool:
    """Add ``elements`` to the work so far and return whether the compiled loops should be used."""
    global _elements_so_far  # noqa: PLW0603 - one counter per process
    if _elements_so_far <= ELEMENTS_BEFORE_LOADING:  # an update lost between threads only delays the switch a little
        _elements_so_far += elements
    return _elements_so_far > ELEMENTS_BEFORE_LOADING
