"""One character of a CTC output."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Final, final

import numpy as np

from xaionnx.data.labels import class_word
from xaionnx.errors import AbsentTargetError, ParameterError
from xaionnx.registry import Form
from xaionnx.runtime.model import Model
from xaionnx.targets.ctc import Frames
from xaionnx.targets.kinds._of_frames import OfFrames
from xaionnx.targets.scores import flat, is_int
from xaionnx.targets.selection import TargetTerm, padded_elements
from xaionnx.targets.target import Target
from xaionnx.typing import Array

_QUANTITIES: Final = {"probabilities": "probability", "log probabilities": "log probability"}


@final
@dataclass(frozen=True)
class Character(OfFrames):
    """The scores of a character, summed over all frames that collapse to it.

    Attributes
    ----------
    which : int or str
        Its position in the decoded text, or a letter.
    output : str or None
    frames : Frames or None
        The frames of the output; found when the target is bound to a model.
    """

    forms: ClassVar[tuple[Form[Target], ...]] = (
        Form(
            "character",
            lambda which, output, model: Character(class_word(which), output),
            ":POSITION|LETTER",
            "character:0",
        ),
    )

    which: int | str
    output: str | None = None
    frames: Frames | None = field(default=None, repr=False)

    def tensor(self, model: Model) -> str:
        return super().tensor(model) if self.frames is None else self.frames.tensor

    def terms(self, output: Array, model: Model) -> list[TargetTerm]:
        frames = self.bound_frames()
        elements, names = np.zeros(output.shape, dtype=bool), []
        for n, scores in enumerate(output):
            found = frames.characters(scores)
            position = self._position([frames.letter(k, scores.shape[1], model) for k, _ in found], n)
            k, run = found[position]
            elements[n, run, k] = True
            frame = f"frame {run[0]}" if len(run) == 1 else f"frames {run[0]} to {run[-1]}"
            letter, text = frames.letter(k, scores.shape[1], model), frames.text(scores, model)
            names.append(f"'{letter}' at position {position} of '{text}', {frame}")
        indices, weights = padded_elements(flat(elements))
        # The sum over several frames is not a probability.
        quantity = _QUANTITIES.get(frames.scale) if indices.shape[1] == 1 else None
        return [TargetTerm(self.tensor(model), "identity", indices, weights, tuple(names), quantity=quantity)]

    def _position(self, letters: list[str], n: int) -> int:
        text = "".join(letters)
        if isinstance(self.which, str):
            if self.which not in letters:
                raise AbsentTargetError(f"Sample {n} is read as '{text}', which has no '{self.which}'.")
            return letters.index(self.which)
        if not is_int(self.which) or not 0 <= self.which < len(letters):
            absent = is_int(self.which) and self.which >= 0
            raise (AbsentTargetError if absent else ParameterError)(
                f"The 'which' parameter of Target.character must be a letter, or an int below the number of "
                f"characters: sample {n} is read as '{text}', {len(letters)} of them. Got {self.which!r} instead."
            )
        return self.which
