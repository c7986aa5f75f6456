"""Removal: how absent players are replaced in the input.

A removal converts codes (coalitions, window corners, mask numbers) to model inputs, in two equivalent ways: a kernel
fills a buffer on the host (:meth:`Removal.fill`), or nodes before the model compute the input on the device
(:meth:`Removal.emit`), so that only the codes are transferred.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, ClassVar, Self, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.hooks import hook
from xaionnx.perturb.players import Players
from xaionnx.typing import Array, DType

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder
    from xaionnx.runtime.model import Model
    from xaionnx.targets.selection import TargetSet


class Removal(ABC):
    """Writes inputs for one sample.

    Attributes
    ----------
    sample : Sample
    players : Players
        The players that can be absent.
    baseline : dict of arrays by input name, (B, ...)
        The values that replace absent players.
    """

    def __init__(self, sample: Sample, players: Players, baseline: Mapping[str, Array]) -> None:
        self.sample = sample
        self.players = players
        self.baseline = dict(baseline)

    @property
    def draws(self) -> int:
        """The number B of baselines over which outputs are averaged."""
        return len(next(iter(self.baseline.values())))

    @property
    @hook
    def empty(self) -> Array | None:
        """The code that removes everything, (1, ...); None if there is none."""
        return None

    def begin(self, out: Mapping[str, Array]) -> None:
        """Fill new buffers (M, ...) with the input."""
        for name, buffer in out.items():
            buffer[...] = self.sample.x[name]

    @hook
    def fill(self, codes: Array, draws: slice, out: Mapping[str, Array]) -> None:
        """Write inputs into buffers, with one row for each code and each of the baselines ``draws``."""
        numbers = range(draws.start, draws.stop)
        if len(numbers) == 1:
            self._fill_one(codes, numbers[0], out)
            return
        for row in range(len(codes) * len(numbers)):
            code, number = divmod(row, len(numbers))
            one = {name: buffer[row : row + 1] for name, buffer in out.items()}
            self._fill_one(codes[code : code + 1], numbers[number], one)

    @property
    @hook
    def is_by_element(self) -> bool:
        """Whether each element of an input is the sample's, the baseline's or a mixture of both."""
        return False

    @hook
    def element_labels(self, name: str) -> Array | None:
        """Return the player of each element of an input, flattened, -1 if none; None if codes are not players."""
        del name
        return None

    @hook
    def kept_elements(self, codes: Array, name: str) -> Array:
        """Return whether each of the L elements of an input is the sample's, bool (M, L), if codes are not players."""
        raise TypeError(f"{type(self).__name__} does not select elements")

    @hook
    def reading(self, selection: TargetSet, outputs: Mapping[str, Array], model: Model) -> Self:
        """Return the same removal for the targets of N samples, which are read from outputs (N, ...) of the model."""
        del selection, outputs, model
        return self

    @final
    def of_sample(self, sample: Sample) -> Self:
        """Return the same removal of another sample, with the same players and the same baseline."""
        # Several times faster than copy.copy, and there may be many samples.
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, sample=sample)
        return other

    @hook
    def null_players(self, x: Mapping[str, Array], baseline: Mapping[str, Array]) -> Array:
        """Return whether each player is equal in its sample and in all baselines, so that its removal is no change.

        Parameters
        ----------
        x : dict of arrays (R, ...) by input name
            The inputs with players, of R samples with the same P players.
        baseline : dict of arrays (R or 1, B, ...)

        Returns
        -------
        (R, P) bool
        """
        del baseline
        return np.zeros((len(next(iter(x.values()))), self.players.count), dtype=bool)

    @hook
    def of_players(self, players: Players) -> Self:
        """Return the same removal with some of the players, of :meth:`xaionnx.perturb.players.Players.only`."""
        if players is not self.players:
            raise TypeError(f"{type(self).__name__} cannot leave out players")
        return self

    @abstractmethod
    def _fill_one(self, codes: Array, draw: int, out: Mapping[str, Array]) -> None:
        """Write one input for each code into buffers (M, ...), with baseline number ``draw``."""

    # Whether inputs are written on the host only.
    on_host: ClassVar[bool] = False

    # Whether a fill changes only a part of a row, so that it has to be undone before the next.
    restores: ClassVar[bool] = False

    @hook
    def restore(self, codes: Array, out: Mapping[str, Array]) -> None:
        """Undo :meth:`fill` for ``codes``, if the next fill does not overwrite all of it."""
        del codes, out

    @property
    @abstractmethod
    def structure(self) -> tuple[Hashable, ...]:
        """A key for the nodes of :meth:`emit`."""

    @abstractmethod
    def emit(self, g: Builder) -> dict[str, ir.Value]:
        """Add nodes that compute the changed inputs (M, ...) by name from :meth:`codes` and :meth:`shared`."""

    @abstractmethod
    def codes(self, codes: Array) -> dict[str, Array]:
        """Return the arrays (M, ...) that are transferred to the device for each run."""

    @abstractmethod
    def shared(self, draw: int) -> dict[str, Array]:
        """Return the arrays that stay on the device: the input, the baseline and the layout of the players."""


def x_name(name: str) -> str:
    """Return the name of the graph input for a sample's input."""
    return f"xaionnx_x_{name}"


def baseline_name(name: str) -> str:
    """Return the name of the graph input for its baseline."""
    return f"xaionnx_baseline_{name}"


def input_like(g: Builder, label: str, array: Array) -> ir.Value:
    """Add a graph input of an array's type and shape."""
    import onnx_ir as ir

    return g.input(label, ir.DataType.STRING if array.dtype == object else array.dtype, array.shape)


def cast(g: Builder, value: ir.Value, dtype: DType) -> ir.Value:
    """Cast a float32 value to another type."""
    import onnx_ir as ir

    return value if dtype == np.float32 else g.op("Cast", value, to=int(ir.DataType.from_numpy(dtype)))


def blend(g: Builder, x: ir.Value, weights: ir.Value, baseline: ir.Value | None, dtype: DType) -> ir.Value:
    """Mix input and baseline (zero if None) of type ``dtype``, rounded for whole numbers.

    ``weights`` are the shares of the input, in float32.
    """
    if dtype.kind in "iu":
        wide = [None if value is None else g.op("Cast", value, to=1) for value in (x, baseline)]
        assert wide[0] is not None
        return cast(g, g.op("Round", blend(g, wide[0], weights, wide[1], np.dtype(np.float32))), dtype)
    weights = cast(g, weights, dtype)
    mixed = g.op("Mul", x, weights)
    if baseline is None:
        return mixed
    return g.op("Add", mixed, g.op("Mul", baseline, g.op("Sub", 1.0, weights)))
