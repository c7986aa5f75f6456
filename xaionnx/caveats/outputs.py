"""Warnings about the output: scores that are not what the spec says, and a label that contradicts them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from xaionnx.caveats.caveat import Caveat
from xaionnx.caveats.cells import entries, shape_of

if TYPE_CHECKING:
    from xaionnx.explanation import Explanation
    from xaionnx.typing import Array


def not_logits(one: Explanation) -> Iterator[Caveat]:
    name = one.provenance.get("not_logits")
    if name:
        yield Caveat(
            f"The spec calls output '{name}' logits, but its scores sum to 1 as probabilities do: a probability is "
            "then the softmax of a softmax.",
            'Write activation = "softmax" under [output] if they are probabilities.',
        )


def disagrees(explanation: Explanation) -> Array:
    flags = [flag is True for flag in entries(explanation, "label_disagrees")]
    return np.reshape(flags, shape_of(explanation))


def label_disagrees(_: Explanation) -> Iterator[Caveat]:
    finding = "The class that the model's label output names is explained, though its score is not the highest."
    yield Caveat(finding, "Check the order of the scores, and the threshold of the label.")
