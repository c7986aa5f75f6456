"""The document of a run, which says what it is: written before the first part, and compared by who goes on with it."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from xaionnx.data.dataset import Dataset
from xaionnx.data.files import MAX_TEXT_BYTES, read_bytes
from xaionnx.data.storage import write_whole
from xaionnx.errors import DataError, UsageError
from xaionnx.runs.settings import differences, fingerprint
from xaionnx.short_repr import short_repr
from xaionnx.typing import Document

RUN: Final = "run.json"
"""The file that says what a run is."""
PARTS: Final = "parts"
"""The folder of its results."""
_FORMAT: Final = 1

# One thread asks for the hash of the data at a time: the others wait for its answer.
_LOCK: Final = threading.Lock()


def read_run(folder: Path) -> Document:
    """Return the document of the run in a folder.

    Raises
    ------
    DataError
        There is none, or it is damaged.
    """
    path = folder / RUN
    if not os.path.lexists(path):
        raise DataError(f"{folder} holds no run: there is no {RUN} in it. Check the path.")
    # The parts name the run that they are of, so that none is lost with its document.
    damaged = f"{path} is damaged. Remove it and run again: the parts that are finished are kept."
    data = read_bytes(path, "document of a run", MAX_TEXT_BYTES)
    try:
        document: Document = json.loads(data)
        known, whole = document["format"] == _FORMAT, isinstance(document["model"], str)
        whole = whole and fingerprint(document["settings"]) == document["fingerprint"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(damaged) from error
    if not known:
        raise DataError(f"{path} was written by another version of xaionnx. Make the run again.")
    if not whole:
        raise DataError(damaged)
    return document


@final
@dataclass(eq=False)
class RunDocument:
    """The document of a run that is being made: its folder has the same one, or gets it before the first part.

    The hash of the data may take as long as explaining the first of them, as the sizes of 100,000 files do. Where there
    is nothing to compare it with, it is asked for when the first part is written, while the next one is explained.

    Attributes
    ----------
    folder : Path
    model : str
        The name of the model's file.
    settings : dict
        All that the results depend on but the data.
    dataset : Dataset
    resume : bool
        Whether what is there is gone on with, rather than replaced.
    """

    folder: Path
    model: str
    settings: Document
    dataset: Dataset
    resume: bool
    _content: Document | None = None

    __repr__ = short_repr

    def __getstate__(self) -> dict[str, Document]:
        # Workers need no more, and what they write follows the document.
        return {"_content": self.content}

    @property
    def is_new(self) -> bool:
        """Whether the folder has nothing that it would be compared with."""
        return not os.path.lexists(self.folder / RUN) and not self._has_parts()

    @property
    def fingerprint(self) -> str:
        """The hash of all that the results depend on."""
        found: str = self.content["fingerprint"]
        return found

    @property
    def content(self) -> Document:
        """What it says; once this is asked for, it is in the folder.

        Raises
        ------
        UsageError
            The folder holds another run.
        DataError
            Its document is damaged.
        StorageError
            The document cannot be written.
        """
        with _LOCK:
            if self._content is None:
                self._content = self._written()
            return self._content

    def _written(self) -> Document:
        """Write the document, unless the folder has it, and return it as it is read from there."""
        labels = {} if self.dataset.labels_sha256 is None else {"labels_sha256": self.dataset.labels_sha256}
        data = {"key": self.dataset.units.key, "count": self.dataset.count, **labels}
        settings = self.settings | {"data": data}
        own = fingerprint(settings)
        if os.path.lexists(self.folder / RUN) and self.resume:
            earlier = read_run(self.folder)
            if earlier["fingerprint"] == own:
                return earlier
            if self._has_parts():
                raise UsageError(
                    f"The run in {self.folder} is another one: {differences(earlier['settings'], settings)}. Choose "
                    "another folder, or replace it with resume=False."
                )
        document = {"format": _FORMAT, "model": self.model, "fingerprint": own, "settings": settings}
        text = json.dumps(document, indent=2, default=str)
        write_whole(self.folder / RUN, lambda stream: stream.write(text.encode()))
        read: Document = json.loads(text)
        return read

    def _has_parts(self) -> bool:
        """Whether the folder has results, or several processes that make them."""
        groups = list((self.folder / PARTS).iterdir())
        return len(groups) > 1 or any(not file.name.startswith(".") for file in groups[0].iterdir())
