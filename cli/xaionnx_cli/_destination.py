"""Where results go: ``-o`` as a picture, a record or a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from xaionnx.errors import ParameterError, StorageError
from xaionnx_cli._overwriting import replaces

PICTURES = (".png", ".jpg", ".jpeg")
RECORD = ".npz"

Kind = Literal["nothing", "picture", "record", "folder"]


@dataclass
class Destination:
    """The files that results are written to.

    A picture's name is kept for one input and one target. Otherwise its stem is followed by the input's stem, and by
    the number of the target from 1: ``out-cat.png``, ``out-cat-target2.png``. A folder gets ``cat.png`` and
    ``cat.npz``.

    Attributes
    ----------
    kind : str
        ``nothing``, ``picture``, ``record`` (one .npz for all inputs) or ``folder``.
    path : Path
    protected : set of Path
        Files that are never written to: the inputs and the model.
    force : bool
        Whether files may be replaced that xaionnx did not write.
    """

    kind: Kind
    path: Path
    protected: set[Path]
    force: bool = False
    _taken: set[str] = field(default_factory=set)
    _replaced: set[Path] = field(default_factory=set)

    @classmethod
    def of(
        cls, given: str | None, protected: Iterable[Path], force: bool = False, sources: Iterable[Path] = ()
    ) -> Destination:
        """Check the place before anything is computed; ``sources`` are the files whose results go there.

        Raises
        ------
        ParameterError
            The suffix is none that can be written.
        StorageError
            There is no such folder, or it cannot be written to.
        UsageError
            A file is there that may not be replaced.
        """
        kept = {path.resolve() for path in protected}
        if given is None:
            return cls("nothing", Path(), kept)
        path = Path(given)
        suffix = path.suffix.lower()
        if path.is_dir() or given.endswith(("/", os.sep)) or not suffix:
            # It is made when there is something to put into it.
            writable(next(folder for folder in (path, *path.parents) if folder.exists()))
            place = cls("folder", path, kept, force)
            for source in sources:
                # Of how many rows a table or an array consists is not known yet.
                if source.suffix.lower() in (".csv", ".npy", ".npz"):
                    continue
                place._claim(path / f"{source.stem}.png", "picture")
                place._claim(path / f"{source.stem}{RECORD}", "record")
            return place
        if suffix not in (*PICTURES, RECORD):
            raise ParameterError(
                f"-o must end in {', '.join(PICTURES)} (a picture) or {RECORD} (the whole record), or name a folder. "
                f"Got '{given}' instead."
            )
        writable(path.parent)
        place = cls("record" if suffix == RECORD else "picture", path, kept, force)
        place._claim(path, "record" if suffix == RECORD else "picture")
        return place

    def name(self, input_name: str) -> str:
        """A file name for an input, different for each: its stem, and its row where it is one of several."""
        matched = re.fullmatch(r"(.*?)(?::(\d+)|\[(\d+)\])?", Path(input_name).name)
        base, row = (matched[1], matched[2] or matched[3]) if matched else (input_name, None)
        stem = Path(base).stem + (f"-{row}" if row else "")
        name, number = stem, 1
        # Some file systems do not tell Cat.png from cat.png.
        while name.casefold() in self._taken:
            number += 1
            name = f"{stem}_{number}"
        self._taken.add(name.casefold())
        return name

    def picture(self, name: str, several: bool, target: int | None) -> Path:
        """Where the picture of an input goes; ``target`` is None where there is one."""
        # A bare number would make of input y what is the name of another input y-1.
        number = "" if target is None else f"-target{target + 1}"
        if self.kind == "folder":
            path = self._made() / f"{name}{number}.png"
        else:
            path = self.path.with_name(f"{self.path.stem}{f'-{name}' if several else ''}{number}{self.path.suffix}")
        self._claim(path, "picture")
        return path

    def record(self, name: str) -> Path:
        """Where the record of one input goes in a folder."""
        path = self._made() / f"{name}{RECORD}"
        self._claim(path, "record")
        return path

    def saved(self, path: str | Path) -> str:
        """What to say of a file that was written."""
        return f"saved {path}" + (", replacing the earlier one" if Path(path) in self._replaced else "")

    def _made(self) -> Path:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"Cannot make the folder {self.path}: {error.strerror}. Choose another.") from error
        return self.path

    def _claim(self, path: Path, kind: Literal["picture", "record"]) -> None:
        if replaces(path, kind, self.protected, self.force):
            self._replaced.add(path)


def writable(folder: Path) -> Path:
    """A folder that is there and can be written to.

    Raises
    ------
    StorageError
        It is not.
    """
    if not folder.is_dir():
        raise StorageError(f"There is no folder {folder}. Make it, or choose another with -o.")
    if not os.access(folder, os.W_OK):
        raise StorageError(f"The folder {folder} cannot be written to. Choose another with -o.")
    return folder
