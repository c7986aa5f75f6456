"""The protocol of methods whose values a graph computes at once, without gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

import onnx

from xaionnx.request import Request
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.target import Target
from xaionnx.typing import Array, Feeds


@final
@dataclass(frozen=True, eq=False)
class GraphValues:
    """What is added to a model so that it returns values of P players for T targets.

    Attributes
    ----------
    nodes : sequence of onnx.NodeProto
    constants : sequence of onnx.TensorProto
    values : str
        The tensor (N, P, T) of the values.
    players : int
    base : array (T,)
        What the values of a row add up to, beside the target.
    explained : str
        What the target's number is to the model's output: ``identity``, or the link, such as ``logistic``.
    """

    nodes: Sequence[onnx.NodeProto]
    constants: Sequence[onnx.TensorProto]
    values: str
    players: int
    base: Array
    explained: str

    __repr__ = short_repr


@runtime_checkable
class ClosedForm(Protocol):
    """A method with a closed form that ordinary ops compute."""

    def every_target(self, model: Model, output: str | None, feeds: Feeds) -> list[Target]:
        """All targets of an output, which are explained if none is given; of ``feeds`` only the sizes count."""

    def in_graph(self, request: Request, prefix: str, limit: float) -> GraphValues:
        """What computes the values of any rows; ``request`` has some rows.

        Parameters
        ----------
        request : Request
        prefix : str
            Of the names of new tensors.
        limit : float
            The most bytes that may be added.

        Raises
        ------
        UnsupportedModelError
            They would be more.
        """
