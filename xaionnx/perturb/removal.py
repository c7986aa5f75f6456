"""Removal: how an absence is written into the input.

A removal turns codes (coalitions, window corners, mask numbers) into model inputs. It has two faces that give
the same inputs: the host fills a buffer with a kernel (:meth:`Removal.fill`), or nodes in front of the model
compute it where the model runs (:meth:`Removal.emit`), so that only the codes travel to the device.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xaionnx.perturb.features import Players
from xaionnx.perturb.sample import Sample

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder

Array = npt.NDArray[Any]


class Removal(ABC):
    """Writes inputs for one sample.

    Attributes
    ----------
    sample : Sample
    players : Players
        Who can be absent.
    baseline : dict of arrays by input name, (B, ...)
        What an absent player is replaced by.
    """

    def __init__(self, sample: Sample, players: Players, baseline: Mapping[str, Array]) -> None:
        self.sample = sample
        self.players = players
        self.baseline = dict(baseline)

    @property
    def draws(self) -> int:
        """The number B of baselines that answers are averaged over."""
        return len(next(iter(self.baseline.values())))

    @property
    def empty(self) -> Array | None:
        """The code that removes everything, (1, ...); None where no code does."""
        return None

    def begin(self, out: Mapping[str, Array]) -> None:
        """Fill fresh buffers (M, ...) with the input itself."""
        for name, buffer in out.items():
            buffer[...] = self.sample.x[name]

    @abstractmethod
    def fill(self, codes: Array, draw: int, out: Mapping[str, Array]) -> None:
        """Write one input for each code into buffers (M, ...), with baseline number ``draw``."""

    def restore(self, codes: Array, out: Mapping[str, Array]) -> None:
        """Undo what :meth:`fill` wrote for ``codes``, where the next fill does not overwrite all of it."""
        del codes, out

    @property
    @abstractmethod
    def structure(self) -> tuple[Any, ...]:
        """What the nodes of :meth:`emit` depend on."""

    @abstractmethod
    def emit(self, g: Builder) -> dict[str, ir.Value]:
        """Add nodes that compute the changed inputs (M, ...) by name from :meth:`codes` and :meth:`shared`."""

    @abstractmethod
    def codes(self, codes: Array) -> dict[str, Array]:
        """What travels to the device for each run: arrays (M, ...)."""

    @abstractmethod
    def shared(self, draw: int) -> dict[str, Array]:
        """What stays on the device: the input, the baseline and the layout of the players."""


def kept_name(name: str) -> str:
    return f"xaionnx_x_{name}"


def baseline_name(name: str) -> str:
    return f"xaionnx_baseline_{name}"


def input_like(g: Builder, label: str, array: Array) -> ir.Value:
    return g.input(label, array.dtype, array.shape)


def cast(g: Builder, value: ir.Value, dtype: np.dtype[Any]) -> ir.Value:
    import onnx_ir as ir

    return value if dtype == np.float32 else g.op("Cast", value, to=int(ir.DataType.from_numpy(dtype)))


def emit_blend(g: Builder, x: ir.Value, weights: ir.Value, baseline: ir.Value | None) -> ir.Value:
    mixed = g.op("Mul", x, weights)
    if baseline is None:
        return mixed
    return g.op("Add", mixed, g.op("Mul", baseline, g.op("Sub", 1.0, weights)))
