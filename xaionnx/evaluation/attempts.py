"""Attempts: what is done with samples, of which the faulty ones are left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeVar

from xaionnx.data.block import Block
from xaionnx.errors import TimeLimitError, XaionnxError
from xaionnx.runtime.model import Model

T = TypeVar("T")

# What fails for so many samples and worked for none fails for all.
_TRIED: Final = 3


@dataclass(eq=False)
class Attempts:
    """Does something with blocks, and where it fails with their halves, so that only the faulty samples are left out.

    Attributes
    ----------
    halves : bool
        Whether halves are tried; otherwise one faulty sample is an error of all.
    count : int or None
        How many units there are in all, if that is known: what fails for all of them is an error.
    done : bool
        Whether it worked for a sample yet: otherwise what fails for the first ones fails for all.
    """

    halves: bool
    count: int | None = None
    done: bool = field(default=False, init=False)
    _failed: int = field(default=0, init=False)

    def of(self, block: Block, work: Callable[[Block], T], model: Model) -> list[tuple[Block, T | XaionnxError]]:
        """Return the results of the parts of a block, or the error of a sample that is a part of its own.

        Raises
        ------
        XaionnxError
            It works for none of the first samples.
        TimeLimitError
            The time is used up.
        """
        if not self.halves:
            return [(block, work(block))]
        return list(self._parts(block, work, model))

    def _parts(
        self, block: Block, work: Callable[[Block], T], model: Model
    ) -> Iterator[tuple[Block, T | XaionnxError]]:
        try:
            result = work(block)
        except TimeLimitError:
            raise
        except XaionnxError as error:
            units = sorted({*block.units})
            if len(units) > 1 and _sees_rows_together(model, block):
                raise
            if len(units) > 1:
                # Between two units, so that both halves have one.
                middle = units[len(units) // 2]
                for start, stop in ((block.start, middle), (middle, block.stop)):
                    yield from self._parts(block.within(start, stop, model.shared), work, model)
                return
            self._failed += 1
            if not self.done and self._failed >= min(_TRIED, self.count or _TRIED):
                raise
            yield block, error
        else:
            self.done = True
            yield block, result


def _sees_rows_together(model: Model, block: Block) -> bool:
    """Whether a probe finds that the answer for a row depends on the others, so that a half has other answers."""
    assert block.inputs is not None  # something has failed
    probed = model.probed(block.inputs.arrays, {one.name for one in model.outputs})
    return probed.axes.rows != model.axes.rows
