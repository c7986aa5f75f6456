"""ActivationView: the base class of what can be shown of the inside of a model, one view a file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Final, Literal, final

from xaionnx import parameters
from xaionnx.activations.sheet import ActivationSheet, Row
from xaionnx.data.dataset import Dataset
from xaionnx.errors import ParameterError
from xaionnx.part import Part
from xaionnx.record import recorded_value
from xaionnx.registry import Registry
from xaionnx.runtime.model import Model
from xaionnx.typing import Array


class ActivationView(Part, ABC):
    """Shows what is inside a model. A frozen dataclass whose fields are its parameters.

    Attributes
    ----------
    reads : str
        What it reads beside the model.
    reference : str
        The publication that it follows.
    """

    reads: ClassVar[Literal["nothing", "an input", "a data set"]] = "a data set"
    reference: ClassVar[str] = ""

    @abstractmethod
    def show(self, model: Model, data: Dataset | None) -> ActivationSheet:
        """Return the sheet; ``data`` is what :attr:`reads` says.

        Raises
        ------
        XaionnxError
            The model, the layer or the data do not fit.
        """

    @final
    def sheet(
        self, model: Model, title: str, rows: list[Row], reading: str, numbers: dict[str, Array]
    ) -> ActivationSheet:
        """Return a sheet with the record of how it was made."""
        settings = {field: recorded_value(getattr(self, field)) for field in parameters.declared(type(self))}
        made = {"view": self.name(), "model": model.name, "model_sha256": model.sha256}
        return ActivationSheet(title, tuple(rows), reading, numbers, settings, made)


def channel_numbers(help: str) -> tuple[int, ...] | None:
    """Declare a parameter of channels: numbers from 0, None by default."""
    return parameters.free(None, "numbers from 0, with commas between them", help, reader=_read, resolver=_check)


def _read(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _check(given: object) -> None:
    numbers = list(given) if isinstance(given, tuple | list) else []
    sound = bool(numbers) and all(type(one) is int and one >= 0 for one in numbers)
    if not sound or len(set(numbers)) < len(numbers):
        raise ParameterError(f"Channels are different whole numbers from 0, in a tuple. Got {given!r} instead.")


VIEWS: Final[Registry[ActivationView]] = Registry("activation view", "xaionnx.activations.views", ActivationView)
