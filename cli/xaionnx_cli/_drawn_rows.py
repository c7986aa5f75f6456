"""Pictures of rows of a run, drawn in worker processes: drawing takes longer than most explanations."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from xaionnx.counting import counted
from xaionnx.runs import Run
from xaionnx.typing import Document
from xaionnx_cli._messages import printable
from xaionnx_cli._overwriting import storage_errors

# Starting a worker takes as long as drawing so many pictures.
_FEW: Final = 20
# Rows that a worker draws at once: those of a part are read together.
_CHUNK: Final = 16
# Pictures whose inputs are named.
_NAMED: Final = 10


@final
@dataclass(frozen=True)
class DrawnRows:
    """The pictures of a run.

    Attributes
    ----------
    run : Path
    looks : dict
        Options of `xaionnx.render.picture`, and ``picture``, the kind.
    workers : int or None
        One for each core if None.
    """

    run: Path
    looks: Document
    workers: int | None = None

    def save(self, rows: Sequence[int], folder: Path) -> list[str]:
        """Draw rows into a folder, and return the paths of the pictures, ``row-17.png`` and so on.

        Raises
        ------
        XaionnxError
            One cannot be drawn or written.
        """
        workers = self.workers or min(os.cpu_count() or 1, -(-len(rows) // _CHUNK))
        if len(rows) <= _FEW or workers == 1:
            return self.draw(list(rows), folder)
        chunks = [list(rows[start : start + _CHUNK]) for start in range(0, len(rows), _CHUNK)]
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            return [path for paths in pool.map(self.draw, chunks, [folder] * len(chunks)) for path in paths]

    def draw(self, rows: Sequence[int], folder: Path) -> list[str]:
        """Draw rows in this process."""
        run = Run.open(self.run)
        return [path for row in rows for path in self._draw_row(run, row, folder)]

    def _draw_row(self, run: Run, row: int, folder: Path) -> list[str]:
        from xaionnx import render

        record, looks = run[row], dict(self.looks)
        kind, spec = looks.pop("picture"), run.settings["spec"]
        count, paths = len(record.target) if record.several_targets else 1, []
        for target in range(count):
            stretched = bool(spec) and spec.get("resize") == "stretch"
            image = render.picture(record, kind, sample=0, target=target, stretched=stretched, **looks)
            # With the first picture: none may be drawable.
            with storage_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"row-{row}{f'-target{target + 1}' if count > 1 else ''}.png"
            paths.append(str(render.save(image, path)))
        return paths


def picture_lines(run: Run, rows: Sequence[int], paths: Sequence[str]) -> list[str]:
    """Return where pictures were saved, and of which inputs the first are, which the names of the files do not say."""
    if not paths:
        return []
    each, places = len(paths) // len(rows), [Path(path) for path in paths]
    names = [run[row].provenance["inputs"][0] for row in rows[:_NAMED]]
    return [
        f"saved {counted(len(paths), 'picture')} in {printable(str(places[0].parent))}",
        *(f"  {places[n * each].name}: {printable(name)}" for n, name in enumerate(names)),
        *([f"  and {len(rows) - _NAMED:,} more"] if len(rows) > _NAMED else []),
    ]
