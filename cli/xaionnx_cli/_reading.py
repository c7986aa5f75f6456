"""Read files in a thread beside the work on those before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

T = TypeVar("T")

# Files that are read but not yet used, and their size: what they hold stays in memory until then.
_MAX_FILES: Final = 64
_MAX_BYTES: Final = 2**25


def read_ahead(files: Sequence[Path], read: Callable[[Path], T]) -> Iterator[tuple[Path, Future[T]]]:
    """Yield each file and what ``read`` returns or raises for it, in order, while the next ones are being read.

    Examples
    --------
    >>> files = [Path("one.txt"), Path("two.txt")]
    >>> [(path.name, reading.result()) for path, reading in read_ahead(files, lambda path: len(path.name))]
    [('one.txt', 7), ('two.txt', 7)]
    """
    reader = ThreadPoolExecutor(1, thread_name_prefix="reading")
    waiting: deque[tuple[Path, int, Future[T]]] = deque()
    try:
        for path in files:
            size = _size(path)
            while waiting and (len(waiting) >= _MAX_FILES or size + sum(one for _, one, _ in waiting) > _MAX_BYTES):
                yield _first(waiting)
            waiting.append((path, size, reader.submit(read, path)))
        while waiting:
            yield _first(waiting)
    finally:
        # Ctrl-C does not wait for files that nobody needs any more.
        reader.shutdown(wait=False, cancel_futures=True)


def _first(waiting: deque[tuple[Path, int, Future[T]]]) -> tuple[Path, Future[T]]:
    path, _, reading = waiting.popleft()
    return path, reading


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
