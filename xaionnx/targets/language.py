"""Causal language models: the log probabilities of the next tokens, and where a text ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import numpy as np

from xaionnx.data.tokens import TextTokenizer
from xaionnx.errors import DataError, ParameterError, UnsupportedModelError, XaionnxError
from xaionnx.runtime.model import Model
from xaionnx.runtime.token_inputs import reads_text
from xaionnx.short_repr import short_repr
from xaionnx.targets.added_tensors import with_tensors
from xaionnx.targets.first_outputs import first_outputs
from xaionnx.targets.scores import default_shape
from xaionnx.typing import Array, Feeds

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder

_RANK: Final = 3
_LONGEST: Final = 40


@final
@dataclass(frozen=True, eq=False)
class NextTokens:
    """The output (N, T, V) of a causal language model, bound to texts.

    Attributes
    ----------
    scores : str
        The output, whose log probabilities over V are added to the graph.
    ids : int array (N, T)
    lengths : int array (N,)
        The number of tokens of each text without padding after it.
    tokenizer : TextTokenizer or None
    """

    scores: str
    ids: Array
    lengths: Array
    tokenizer: TextTokenizer | None

    __repr__ = short_repr

    @classmethod
    def of(cls, model: Model, feeds: Feeds, scores: str) -> NextTokens:
        """Return the output ``scores`` bound to texts.

        Raises
        ------
        UnsupportedModelError
            It does not have a score for each token and each word of a vocabulary.
        """
        ids = feeds[model.input().name]
        shape = first_outputs(model, feeds, [scores])[scores].shape
        if ids.ndim != _RANK - 1 or ids.dtype.kind not in "iu" or len(shape) != _RANK or shape[1] != ids.shape[1]:
            raise UnsupportedModelError(
                f"'{scores}' of {model.name} has the shape {shape} for the tokens {ids.shape}. A language model has a "
                "score for each token of a text and each of its vocabulary, (N, T, V)."
            )
        lengths = np.full(len(ids), ids.shape[1])
        for name, purpose in model.purposes.items():
            if purpose.purpose == "mask" and feeds[name].shape == ids.shape:
                # The last real token, wherever the padding is.
                lengths = ids.shape[1] - np.argmax(feeds[name][:, ::-1] != 0, axis=1)
        return cls(scores, ids, lengths, tokenizer_of(model))

    @property
    def tensor(self) -> str:
        """The name of the log probabilities."""
        return f"xaionnx_log_probabilities_{self.scores}"

    def extended(self, model: Model) -> Model:
        """Return the model with the log probabilities as an output."""

        def emit(g: Builder, values: Mapping[str, ir.Value]) -> Mapping[str, ir.Value]:
            floats = g.op("Cast", values[self.scores], to=1)
            return {self.tensor: g.op("LogSoftmax", floats, axis=-1)}

        if any(info.name == self.tensor for info in model.outputs):
            return model
        return with_tensors(model, ("log probabilities", self.scores), emit)

    def word(self, number: int) -> str:
        """Return a token as a reader writes it, in quotes."""
        return repr(self.tokenizer.piece(number)) if self.tokenizer is not None else f"token {number}"

    def first_number(self, text: str) -> int:
        """Return the first token of a text.

        Raises
        ------
        ParameterError
            There is no tokenizer, or it knows no token that the text begins with.
        """
        first = self.numbers(text)[0]
        if self.tokenizer is not None and first == self.tokenizer.special_id("unknown"):
            word = self.tokenizer.piece(first).strip()
            if word != text.strip():
                raise ParameterError(
                    f"{self.tokenizer.path.name} has no token that {text!r} begins with, and reads it as '{word}'. "
                    "Check the spelling, and the space before it."
                )
        return first

    def numbers(self, text: str) -> list[int]:
        """Return the tokens of a text without special ones.

        Raises
        ------
        ParameterError
            There is no tokenizer, or the text has no tokens.
        """
        if self.tokenizer is None:
            raise ParameterError("There is no tokenizer.json beside the model, so that tokens are named by number.")
        found = self.tokenizer.id_of(text)
        if not found:
            raise ParameterError(f"The text {text!r} has no tokens. Give at least one word.")
        return found


def shortened(text: str) -> str:
    """A text of a target's name."""
    return repr(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}...")


def tokenizer_of(model: Model) -> TextTokenizer | None:
    """Return the tokenizer of a model; None if there is none, or it cannot be opened."""
    try:
        return model.tokenizer if reads_text(model) else None
    except (DataError, ParameterError, UnsupportedModelError):
        return None


def writes_text(model: Model) -> bool:
    """Whether the default output may hold scores of the next token, as far as the file says."""
    tokenizer, size = tokenizer_of(model), default_shape(model)[-1]
    if tokenizer is None or tokenizer.special_id("mask") is not None:
        return False
    return not isinstance(size, int) or size >= tokenizer.size


def is_causal(model: Model, feeds: Feeds, scores: str) -> bool:
    """Whether an output holds scores of the next token: one a word of the vocabulary, of a tokenizer without a mask."""
    tokenizer = tokenizer_of(model)
    if tokenizer is None or tokenizer.special_id("mask") is not None:
        return False
    ids = feeds[model.input().name]
    if ids.ndim != _RANK - 1 or ids.dtype.kind not in "iu":
        return False
    try:
        shape = first_outputs(model, feeds, [scores])[scores].shape
    except XaionnxError:
        return False
    return len(shape) == _RANK and shape[1] == ids.shape[1] and shape[2] >= tokenizer.size
