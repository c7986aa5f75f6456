"""Reading what a view is shown of: one input, or the pictures of a data set."""

from __future__ import annotations

from xaionnx.data.block import Block
from xaionnx.data.dataset import Dataset
from xaionnx.errors import DataError, UnsupportedModelError
from xaionnx.runtime.model import Model
from xaionnx.typing import Feeds


def first_sample(model: Model, data: Dataset | None) -> Feeds:
    """Return the first input of a data set as the model's inputs.

    Raises
    ------
    DataError
        There is none, or it cannot be read.
    """
    assert data is not None  # as the view says that it reads one
    return feeds_of(model, data, 0)


def feeds_of(model: Model, data: Dataset, unit: int) -> Feeds:
    """Return the samples of a unit of a data set as the model's inputs.

    Raises
    ------
    DataError
        It cannot be read.
    """
    blocks = data.read(model, unit, unit + 1)
    inputs = blocks[0].inputs if blocks else None
    if inputs is None:
        raise DataError(_reason(blocks) or "The data set is empty.")
    return model.check(inputs.arrays)


def check_pictures(model: Model, what: str) -> None:
    """Refuse models whose explained input is not a picture.

    Raises
    ------
    UnsupportedModelError
    """
    info, spec = model.input(), model.input_spec
    if spec.kind != "picture":
        raise UnsupportedModelError(
            f"Input '{info.name}' of {model.name} is {info}, not a picture. {what} are of pictures."
        )


def _reason(blocks: list[Block]) -> str:
    return next((one.reason for block in blocks for one in block.refused), "")
