"""What a record keeps of text: the characters of each word or token, and the sums of values over the words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from xaionnx.attribution import Attribution, PlayerValues
from xaionnx.typing import Document

if TYPE_CHECKING:
    from xaionnx.data.sample import Sample
    from xaionnx.explanation import ValueKind
    from xaionnx.perturb.players import Players
    from xaionnx.request import Request

# Values whose sign says nothing about for or against are added by size.
_BY_SIZE = ("slope", "sensitivity", "spread")


def with_words(attribution: Attribution, samples: Sequence[Sample], kind: ValueKind) -> Attribution:
    """Return an attribution of tokens, or of what a model makes of each, with a value for each word or byte.

    The value of a word is the sum over its tokens and their numbers, or the sum of their sizes where the values have no
    direction. Attributions of players, or of other things than tokens, are returned as they are.
    """
    if samples[0].text is None:
        return attribution
    texts = [sample.text for sample in samples if sample.text is not None]
    if len(texts) < len(samples) or attribution.players is not None or len(attribution.values) != 1:
        return attribution
    ((name, values),) = attribution.values.items()
    length = len(texts[0].ids)
    axes = [axis for axis in range(2, values.ndim) if values.shape[axis] == length]
    if not axes or values.dtype.kind != "f" or samples[0].array.dtype == object:
        return attribution
    sized = np.abs(values) if kind in _BY_SIZE else values
    other = tuple(axis for axis in range(2, values.ndim) if axis != axes[0])
    by_token = sized.sum(axis=other, dtype=np.float64)
    count = max(int(text.units.max()) + 1 for text in texts)
    sums = np.full((*values.shape[:2], count), np.nan)
    for n, text in enumerate(texts):
        own = int(text.units.max()) + 1
        sums[:, n, :own] = 0
        np.add.at(sums[:, n].T, text.units[text.units >= 0], by_token[:, n, text.units >= 0].T)
    shape = [length if axis == axes[0] else 1 for axis in range(2, values.ndim)]
    labels = {name: np.stack([text.units.reshape(shape) for text in texts])}
    errors = attribution.standard_error or {}
    return replace(
        attribution,
        players=PlayerValues(sums, labels),
        standard_error=None,
        maps={**attribution.maps, **{f"standard_error_{name}": array for name, array in errors.items()}},
        facts={**attribution.facts, "spans": [text.spans_of(text.units) for text in texts]},
    )


def player_spans(sample: Sample, players: Players) -> list[list[int]] | None:
    """Return the characters from start to stop of each player of a text; None if they are not made of its tokens."""
    labels = players.maps.get(sample.main) if players.parts is None else players.parts
    if sample.text is None or labels is None or labels.size != sample.text.ids.size:
        return None
    return sample.text.spans_of(labels.reshape(-1))


def player_words(sample: Sample, players: Players) -> tuple[str, ...]:
    """Return the names of players, of a text their words; () if they have none."""
    spans = player_spans(sample, players)
    if spans is None or sample.text is None:
        return players.names
    return tuple(sample.text.name_of(own) for own in spans)


def text_facts(request: Request, attribution: Attribution) -> Document:
    """Return the names of the players of texts, how much of each text the model sees, and the tokenizer."""
    spans = attribution.facts.get("spans")
    if spans is None or request.samples[0].text is None:
        return {}
    known = [sample.text for sample in request.samples if sample.text is not None]
    if len(known) < len(request.samples):
        return {}
    tokenizer = known[0].tokenizer
    names = [[text.name_of(own) for own in each] for text, each in zip(known, spans, strict=True)]
    files = [text.file for text in known if text.file is not None]
    return {
        "feature_names": names,
        "seen": [[list(part) for part in file.ranges] for file in files] or [text.seen for text in known],
        **({"file_sizes": [file.size for file in files]} if files else {}),
        **({} if tokenizer is None else {"tokenizer": tokenizer.path.name, "tokenizer_sha256": tokenizer.sha256}),
    }
