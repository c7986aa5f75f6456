"""The end of a text, as a language model continues its beginning."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Self, final

import numpy as np

from xaionnx.errors import ParameterError
from xaionnx.registry import Form
from xaionnx.runtime.model import Model
from xaionnx.targets.language import NextTokens, shortened
from xaionnx.targets.selection import TargetTerm
from xaionnx.targets.target import Target
from xaionnx.typing import Array, Feeds


def _read(text: str | None, output: str | None, model: Model) -> Target:
    if not text:
        raise ValueError(text)
    return Continuation(text, output)


@final
@dataclass(frozen=True)
class Continuation(Target):
    """The log probability of the last tokens of a text, each after all before it: their sum (teacher forcing).

    The text ends with the continuation, which is never removed.

    Attributes
    ----------
    text : str
        What the text ends with, with the space before it.
    output : str or None
    tokens : NextTokens or None
        The output; found when the target is bound to a model.
    """

    forms: ClassVar[tuple[Form[Target], ...]] = (
        Form("continuation", _read, ":TEXT", "continuation: in Paris", note="the end of the text"),
    )

    text: str
    output: str | None = None
    tokens: NextTokens | None = field(default=None, repr=False)

    def bind(self, model: Model, feeds: Feeds) -> Self:
        if self.tokens is not None:
            return self
        return replace(self, tokens=NextTokens.of(model, feeds, super().tensor(model)))

    def extended(self, model: Model) -> Model:
        return model if self.tokens is None else self.tokens.extended(model)

    def tensor(self, model: Model) -> str:
        return super().tensor(model) if self.tokens is None else self.tokens.tensor

    def kept_tokens(self) -> list[range]:
        """The tokens of each text that are its continuation.

        Raises
        ------
        ParameterError
            A text does not end with the continuation, or begins with it.
        """
        tokens = self.tokens
        assert tokens is not None  # bound before it is resolved
        wanted, found = tokens.numbers(self.text), list[range]()
        for n, (ids, length) in enumerate(zip(tokens.ids, tokens.lengths.tolist(), strict=True)):
            start = length - len(wanted)
            if start < 1 or ids[start:length].tolist() != wanted:
                raise ParameterError(
                    f"Text {n} must end with the continuation {shortened(self.text)}, after at least one token; begin "
                    "it at a word, with the space before it."
                )
            found.append(range(start, length))
        return found

    def terms(self, output: Array, model: Model) -> list[TargetTerm]:
        tokens, count = self.tokens, output.shape[2]
        assert tokens is not None  # bound before it is resolved
        # The score of a token is in the place of the one before it.
        rows = [
            [(place - 1) * count + int(tokens.ids[n, place]) for place in kept]
            for n, kept in enumerate(self.kept_tokens())
        ]
        indices = np.array(rows)
        names = (f"continuation {shortened(self.text)}, log probability",) * len(output)
        ones = np.ones(indices.shape)
        return [TargetTerm(self.tensor(model), "identity", indices, ones, names, quantity="log probability")]
