"""Parts of a text as players."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.data.tokens import Text
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


def text_players(sample: Sample, features: Features, grouping: Callable[[Text], Array], what: str) -> Players:
    """Return the players of a text: ``grouping`` returns the player of each of its T tokens, -1 for none."""
    text = text_of(sample, what)
    labels = grouping(text).astype(np.int32)
    count = int(labels.max()) + 1
    x = sample.array
    if x.dtype == object:
        return Players({sample.main: np.full(x.shape, -1, np.int32)}, np.arange(count), features, parts=labels)
    found = sample.positions()
    fits = found is not None and found.extent == labels.shape
    return Players({sample.main: found.over(labels) if fits and found else labels}, np.arange(count), features)
