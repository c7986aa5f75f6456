"""The destination of results: ``-o`` names a picture, a record or a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from xaionnx.data.storage import sweep
from xaionnx.errors import ParameterError, StorageError, UsageError
from xaionnx_cli._overwriting import check_replaceable, real_paths, storage_errors

PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".html")
RECORD = ".npz"

Kind = Literal["nothing", "picture", "record", "folder"]


@dataclass
class Destination:
    """The files that results are written to.

    With one input and one target a picture gets exactly the given name. Otherwise the stem of the input and the number
    of the target, counted from 1, are appended: ``out-cat.png``, ``out-cat-target2.png``. In a folder the files are
    ``cat.png`` and ``cat.npz``.

    Attributes
    ----------
    kind : str
        ``nothing``, ``picture``, ``record`` (one .npz for all inputs) or ``folder``.
    path : Path
    protected : set of Path
        Files that are never overwritten: the inputs and the model.
    force : bool
        Whether files that xaionnx did not write may be replaced.
    """

    kind: Kind
    path: Path
    protected: set[Path]
    force: bool = False
    _used_names: set[str] = field(default_factory=set)
    _replaced: set[Path] = field(default_factory=set)

    @classmethod
    def of(
        cls, given: str | None, protected: Iterable[Path], force: bool = False, sources: Iterable[Path] = ()
    ) -> Destination:
        """Check the destination before anything is computed; ``sources`` are the files to be explained.

        Raises
        ------
        ParameterError
            No file with this suffix can be written.
        StorageError
            The folder does not exist or is not writable.
        UsageError
            A file exists and may not be replaced.
        """
        kept = real_paths(protected)
        if given is None:
            return cls("nothing", Path(), kept)
        with storage_errors(Path(given)):
            return cls._of(given, kept, force, sources)

    @classmethod
    def _of(cls, given: str, kept: set[Path], force: bool, sources: Iterable[Path]) -> Destination:
        path = Path(given)
        suffix = path.suffix.lower()
        if given and (path.is_dir() or given.endswith(("/", os.sep)) or not suffix):
            # The folder is created with its first file.
            check_writable(next(folder for folder in (path, *path.parents) if folder.exists()))
            place = cls("folder", path, kept, force)
            for source in sources:
                # The number of rows of a table or array is not known yet.
                if source.suffix.lower() in (".csv", ".npy", ".npz"):
                    continue
                place._claim(path / f"{source.stem}.png", "picture")
                place._claim(path / f"{source.stem}{RECORD}", "record")
            return place
        if suffix not in (*PICTURES, RECORD):
            raise ParameterError(
                f"-o must end in {', '.join(PICTURES)} (a picture or page) or {RECORD} (the whole record), or name a "
                f"folder. Got '{given}' instead."
            )
        check_writable(path.parent)
        place = cls("record" if suffix == RECORD else "picture", path, kept, force)
        place._claim(path, "record" if suffix == RECORD else _drawn_kind(path))
        return place

    def name(self, input_name: str) -> str:
        """A unique file name for an input: its stem, and its row if the file has several."""
        matched = re.fullmatch(r"(.*?)(?:\[(\d+)\])?", Path(input_name).name)
        base, row = (matched[1], matched[2]) if matched else (input_name, None)
        stem = Path(base).stem + (f"-{row}" if row else "")
        name, number = stem, 1
        # On some file systems Cat.png and cat.png are the same file.
        while name.casefold() in self._used_names:
            number += 1
            name = f"{stem}_{number}"
        self._used_names.add(name.casefold())
        return name

    def picture(self, name: str, several: bool, target: int | None) -> Path:
        """Path of the picture of an input; ``target`` is None if there is only one."""
        path = self.path_of_picture(name, several, target)
        self._claim(path, _drawn_kind(path))
        return path

    def path_of_picture(self, name: str, several: bool, target: int | None) -> Path:
        """The same path, whether or not it may be written."""
        # With a bare number, target 1 of input y would have the name of input y-1.
        number = "" if target is None else f"-target{target + 1}"
        if self.kind == "folder":
            return self._make_folder() / f"{name}{number}.png"
        return self.path.with_name(f"{self.path.stem}{f'-{name}' if several else ''}{number}{self.path.suffix}")

    def record(self, name: str) -> Path:
        """Path of the record of one input in a folder."""
        path = self._make_folder() / f"{name}{RECORD}"
        self._claim(path, "record")
        return path

    def saved_line(self, path: str | Path) -> str:
        """The line that reports a written file."""
        return f"saved {path}" + (", replacing the earlier one" if Path(path) in self._replaced else "")

    def _make_folder(self) -> Path:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"Cannot create the folder {self.path}: {error.strerror}. Choose another with -o."
            ) from error
        return self.path

    def _claim(self, path: Path, kind: Literal["picture", "page", "record"]) -> None:
        if check_replaceable(path, kind, self.protected, self.force):
            self._replaced.add(path)


def _drawn_kind(path: Path) -> Literal["picture", "page"]:
    return "page" if path.suffix.lower() == ".html" else "picture"


def check_outside(given: str | None, inputs: Iterable[str]) -> None:
    """Check that results do not come into a folder of inputs, where the next run would read them as inputs.

    Raises
    ------
    UsageError
        They do.
    """
    if given is None:
        return
    with storage_errors(Path(given)):
        real = Path(given).resolve()
        inside = next((one for one in inputs if Path(one).is_dir() and real.is_relative_to(Path(one).resolve())), None)
    if inside is not None:
        raise UsageError(
            f"-o {given} is in the folder of inputs {inside}, whose files are the inputs of the next run. Choose "
            "another place."
        )


def folder_to_write(given: str, name: str) -> Path:
    """Return the folder that an option or argument names, which need not exist.

    Raises
    ------
    ParameterError, StorageError
        It is no folder, or cannot be made.
    """
    folder = Path(given)
    if not given:
        raise ParameterError(f"{name} must name a folder. Got '' instead.")
    with storage_errors(folder):
        check_writable(next(one for one in (folder, *folder.parents) if os.path.lexists(one)))
    return folder


def check_writable(folder: Path) -> Path:
    """Return ``folder`` if it exists and is writable, without the temporary files of killed runs.

    Raises
    ------
    StorageError
        The folder does not exist or is not writable.
    """
    with storage_errors(folder):
        exists, is_other = folder.is_dir(), os.path.lexists(folder)
    if is_other and not exists:
        raise StorageError(f"{folder} is not a folder. Choose another with -o.")
    if not exists:
        raise StorageError(f"The folder {folder} does not exist. Create it, or choose another with -o.")
    if not os.access(folder, os.W_OK):
        raise StorageError(f"The folder {folder} is not writable. Choose another with -o.")
    sweep(folder)
    return folder
