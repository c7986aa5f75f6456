"""The token that a language model writes next."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Self, final

import numpy as np

from xaionnx.errors import ParameterError
from xaionnx.registry import Form
from xaionnx.runtime.model import Model
from xaionnx.targets.language import NextTokens
from xaionnx.targets.scores import is_int
from xaionnx.targets.selection import TargetTerm
from xaionnx.targets.target import Target
from xaionnx.typing import Array, Feeds


@final
@dataclass(frozen=True)
class NextToken(Target):
    """The log probability of the token after a text: the most probable one, or a given one.

    Attributes
    ----------
    token : str, int or None
        The beginning of what follows, with the space before it, or the number of a token.
    output : str or None
    tokens : NextTokens or None
        The output; found when the target is bound to a model.
    """

    forms: ClassVar[tuple[Form[Target], ...]] = (
        Form("next", lambda token, output, model: NextToken(token, output), "[:TOKEN]", "next: Paris"),
    )

    token: str | int | None = None
    output: str | None = None
    tokens: NextTokens | None = field(default=None, repr=False)

    @property
    def follows(self) -> bool:
        return self.token is None

    def bind(self, model: Model, feeds: Feeds) -> Self:
        if self.tokens is not None:
            return self
        return replace(self, tokens=NextTokens.of(model, feeds, super().tensor(model)))

    def extended(self, model: Model) -> Model:
        return model if self.tokens is None else self.tokens.extended(model)

    def tensor(self, model: Model) -> str:
        return super().tensor(model) if self.tokens is None else self.tokens.tensor

    def terms(self, output: Array, model: Model) -> list[TargetTerm]:
        tokens = self.tokens
        assert tokens is not None  # bound before it is resolved
        last, count = tokens.lengths - 1, output.shape[2]
        best = output[np.arange(len(output)), last].argmax(axis=1)
        chosen = best if self.token is None else np.full(len(output), self._number(tokens, count))
        names = tuple(f"next token {tokens.word(int(number))}, log probability" for number in chosen)
        indices = (last * count + chosen)[:, None]
        ones = np.ones(indices.shape)
        return [TargetTerm(self.tensor(model), "identity", indices, ones, names, quantity="log probability")]

    def _number(self, tokens: NextTokens, count: int) -> int:
        number = int(self.token) if is_int(self.token) else tokens.first_number(str(self.token))
        if not 0 <= number < count:
            raise ParameterError(f"The vocabulary has {count} tokens. Got {number} instead.")
        return number
