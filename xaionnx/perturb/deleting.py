"""Removal of tokens by deletion: those that stay move together, and the text becomes shorter."""

from __future__ import annotations

import copy
import math
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, ClassVar, Self, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import InputMismatchError, UnsupportedModelError
from xaionnx.hooks import hook
from xaionnx.perturb.players import Players
from xaionnx.perturb.removal import Removal
from xaionnx.perturb.text_players import text_of
from xaionnx.targets.selection import TargetSet
from xaionnx.typing import Array

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder
    from xaionnx.runtime.model import Model


@final
class DeletedTokens(Removal):
    """Deletes the tokens of absent players. Codes are coalitions, bool (M, P).

    For a model with an attention mask the length T stays the same: padding that the mask hides fills it up at the end.
    A model without a mask gets shorter inputs, see :meth:`lengths`, and so does a causal one, whose output is read at
    the last token: padding before it would be counted as positions by many. If the length is fixed there is padding
    alone, before the text for a causal model. At least one token stays.
    """

    on_host: ClassVar[bool] = True

    def __init__(self, sample: Sample, players: Players) -> None:
        from xaionnx.perturb.baselines.special_token import attention_masks

        super().__init__(sample, players, {sample.main: np.zeros((1, *sample.array.shape), sample.array.dtype)})
        self._text = text_of(sample, "baseline='delete'")
        self._labels = players.maps[sample.main].reshape(-1)
        self._masks = attention_masks(sample)
        self._causal = False
        self._tokens_first: frozenset[str] = frozenset()
        tokenizer = self._text.tokenizer
        self._pad = 0 if tokenizer is None else tokenizer.pad_id
        purpose = sample.purposes.get(sample.main)
        self._is_free = purpose is not None and purpose.is_free
        self.shortens = not self._masks and self._is_free
        real = ~self._text.special | (self._text.ids != self._pad)
        real[: int(np.flatnonzero(~self._text.special)[-1]) + 1] = True
        self._real = real
        # Padding after the text, as in a batch with longer ones, stays there.
        self._end = int(np.flatnonzero(real)[-1]) + 1
        self._along = {
            name
            for name, array in sample.own.items()
            if name != sample.main and array.shape == sample.array.shape and name not in self._masks
        }

    @hook
    def reading(self, selection: TargetSet, outputs: Mapping[str, Array], model: Model) -> Self:
        """Return the same removal, which keeps the elements of outputs that are read in their places.

        Raises
        ------
        InputMismatchError
            An element belongs to a token before the last one, which deletion moves or removes.
        """
        last = int(np.flatnonzero(self._labels >= 0)[-1])
        shapes = {name: array.shape[1:] for name, array in outputs.items()}
        own = selection.of_sample(self.sample.number)
        free = {info.name for info in model.outputs if len(info.shape) > 1 and not isinstance(info.shape[1], int)}
        by_token = [term for term in own.terms if self._has_tokens(shapes[term.tensor], term.tensor in free)]
        for term in by_token:
            position = int((term.indices // math.prod(shapes[term.tensor][1:])).min())
            if position < last:
                raise InputMismatchError(
                    f"'{term.names[0]}' belongs to token {position} of '{term.tensor}', and baseline='delete' moves "
                    "tokens. Use baseline='mask', 'pad' or 'unk'."
                )
        other = copy.copy(self)
        other._causal = bool(by_token)
        other.shortens = self._is_free and (other._causal or not self._masks)
        other._tokens_first = frozenset(term.tensor for term in by_token)
        return other

    def at_end(self, name: str, output: Array) -> Array:
        """Return an output of a shortened text in the shape of that of the whole, its last token at that one's."""
        if name not in self._tokens_first:
            return output
        around = self._end - output.shape[1], self.sample.array.shape[0] - self._end
        return np.pad(output, [(0, 0), around, *[(0, 0)] * (output.ndim - 2)]) if any(around) else output

    def _has_tokens(self, shape: tuple[int, ...], is_free: bool) -> bool:
        """Whether the first axis of a sample's output is that of its tokens; a single axis may be one of classes."""
        return shape[:1] == self.sample.array.shape[:1] and (len(shape) > 1 or is_free)

    def _are_positions(self, name: str) -> bool:
        return name in self.sample.purposes and self.sample.purposes[name].purpose == "positions"

    @property
    @hook
    def empty(self) -> Array:
        return np.zeros((1, self.players.count), dtype=bool)

    def kept(self, codes: Array) -> Array:
        """Return which tokens stay, bool (M, T); one padding token of an empty text does."""
        members = np.concatenate([codes.astype(bool), np.ones((len(codes), 1), bool)], axis=1)
        return np.asarray(members[:, self._labels] & self._real)

    def lengths(self, codes: Array) -> Array:
        """Return the number of tokens that each input keeps, (M,)."""
        return np.asarray(np.maximum(1, self.kept(codes).sum(axis=1)))

    def _fill_one(self, codes: Array, draw: int, out: Mapping[str, Array]) -> None:
        name = self.sample.main
        end = min(self._end, out[name].shape[1])
        source = {one: self.sample.x[one] for one in (name, *self._along)}
        for row, kept in enumerate(self.kept(codes)):
            places = np.flatnonzero(kept)
            count = max(1, len(places))
            where = slice(end - count, end) if self._causal else slice(0, count)
            out[name][row] = self._pad
            out[name][row, where] = source[name][places] if len(places) else self._pad
            for mask in self._masks:
                out[mask][row] = 0
                out[mask][row, where] = 1
            for other in self._along:
                out[other][row] = 0
                out[other][row, where] = np.arange(count) if self._are_positions(other) else source[other][:count]

    def shortened(self, codes: Array, length: int) -> dict[str, Array]:
        """Return the inputs of coalitions that all keep ``length`` tokens, without padding, by name."""
        name = self.sample.main
        shapes = {one: self.sample.x[one] for one in (name, *self._along, *self._masks)}
        out = {one: np.empty((len(codes), length), array.dtype) for one, array in shapes.items()}
        self._fill_one(codes, 0, out)
        rest = {n: a for n, a in self.sample.own.items() if n not in out}
        return {**out, **{n: np.broadcast_to(a, (len(codes), *a.shape)) for n, a in rest.items()}}

    @property
    def structure(self) -> tuple[Hashable, ...]:
        return (type(self).__name__,)

    def emit(self, g: Builder) -> dict[str, ir.Value]:
        raise UnsupportedModelError("Tokens are deleted on the host only. Use applier='host'.")

    def codes(self, codes: Array) -> dict[str, Array]:
        raise UnsupportedModelError("Tokens are deleted on the host only. Use applier='host'.")

    def shared(self, draw: int) -> dict[str, Array]:
        raise UnsupportedModelError("Tokens are deleted on the host only. Use applier='host'.")
