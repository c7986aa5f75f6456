"""A special token of the tokenizer in place of removed words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.data.text import FilePart
from xaionnx.data.tokens import SpecialTokenName
from xaionnx.errors import InputMismatchError
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.text_players import in_place_of_words, text_of
from xaionnx.registry import Form
from xaionnx.typing import Array

_OTHERS: Final = "Use one that it has, the number of a token, or in methods by removal 'delete'."


@final
@dataclass(frozen=True)
class SpecialToken(Baseline):
    """The mask, padding, unknown or start token of the tokenizer, in place of all but special tokens.

    At padding the attention mask, if the model has one, is 0 too, so that no other token attends to it.
    """

    forms: ClassVar[tuple[Form[Baseline], ...]] = (
        Form("mask", lambda _: SpecialToken("mask")),
        Form("pad", lambda _: SpecialToken("pad")),
        Form("unk", lambda _: SpecialToken("unknown")),
        Form("start", lambda _: SpecialToken("start")),
    )

    which: SpecialTokenName

    def followers(self, sample: Sample) -> tuple[str, ...]:
        return attention_masks(sample) if self.which == "pad" else ()

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        if name in self.followers(sample):
            return np.asarray(0)
        if name != sample.main:
            raise InputMismatchError(
                f"A baseline of the {self.which} token is for the text '{sample.main}', not for input '{name}'. Name a "
                f"baseline for each: {sample.main}=mask,{name}=0."
            )
        text = text_of(sample, f"A baseline of the {self.which} token")
        if text.file is not None:
            return np.full(sample.array.shape, self._of_file(text.file))
        tokenizer = text.tokenizer
        if tokenizer is None:
            raise InputMismatchError(
                f"Input '{sample.main}' holds strings, for which there is no {self.which} token. Use 'delete' or "
                "'word:TEXT'."
            )
        number = tokenizer.special_id(self.which)
        if number is None and self.which == "pad" and self.followers(sample):
            number = tokenizer.pad_id
        if number is None:
            raise InputMismatchError(f"{tokenizer.path.name} has no {self.which} token. {_OTHERS}")
        return in_place_of_words(sample, text, number)

    def _of_file(self, file: FilePart) -> int:
        """The number that stands for no byte.

        Raises
        ------
        InputMismatchError
            There is none, or another token was asked for.
        """
        if self.which == "pad" and file.padding is not None:
            return file.padding
        raise InputMismatchError(
            f"Bytes have no {self.which} token. Use the number to put in their place, "
            + (
                "or 'pad', the padding of the spec."
                if file.padding is not None
                else "or write the padding in the spec."
            )
        )


def attention_masks(sample: Sample) -> tuple[str, ...]:
    """The inputs that tell real tokens from padding: masks of the shape of the tokens."""
    return tuple(
        name
        for name, array in sample.own.items()
        if name in sample.purposes and sample.purposes[name].purpose == "mask" and array.shape == sample.array.shape
    )
