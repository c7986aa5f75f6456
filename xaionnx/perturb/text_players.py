"""Parts of a text as players."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.data.text import Text
from xaionnx.errors import InputMismatchError
from xaionnx.perturb.features import Features
from xaionnx.perturb.players import Players
from xaionnx.typing import Array


def text_of(sample: Sample, what: str) -> Text:
    """Return the text of a sample.

    Raises
    ------
    InputMismatchError
        It has none, and ``what`` needs it.
    """
    if sample.text is None:
        raise InputMismatchError(
            f"{what} needs text, but no text is known of input '{sample.main}'. Put the model's tokenizer.json beside "
            "it, or name it in the spec: [input] kind = 'text', tokenizer = 'tokenizer.json'."
        )
    return sample.text


def in_place_of_words(sample: Sample, text: Text, number: float) -> Array:
    """Return the input of a text with a number in place of all tokens but special ones and padding, which stay."""
    return np.where(text.special, sample.array, number).reshape(sample.array.shape)


def text_players(
    sample: Sample, features: Features, grouping: Callable[[Text], Array], what: str, *, of_file: bool = False
) -> Players:
    """Return the players of a text: ``grouping`` returns the player of each of its T tokens, -1 for none.

    Raises
    ------
    InputMismatchError
        There is no text, or it is the bytes of a file and the players are not ``of_file``, or the other way round.
    """
    text = text_of(sample, what)
    if of_file != (text.file is not None):
        held, instead = (
            ("a text", "'words', 'tokens' or 'sentences'") if of_file else ("the bytes of a file", "'bytes'")
        )
        raise InputMismatchError(f"{what} does not divide input '{sample.main}', which holds {held}. Use {instead}.")
    labels = grouping(text).astype(np.int32)
    count = int(labels.max()) + 1
    x = sample.array
    if x.dtype == object:
        return Players({sample.main: np.full(x.shape, -1, np.int32)}, np.arange(count), features, parts=labels)
    found = sample.positions()
    fits = found is not None and found.extent == labels.shape
    return Players({sample.main: found.over(labels) if fits and found else labels}, np.arange(count), features)
