"""Outputs of connectionist temporal classification (CTC): class scores of each frame, and the text they collapse to.

The best path takes the highest class of each frame. Equal classes in a row are one character, and the blank none
(Graves et al. 2006, doi:10.1145/1143844.1143891).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import numpy as np

from xaionnx.errors import ParameterError
from xaionnx.graph.ending import ending
from xaionnx.runtime.model import Model
from xaionnx.targets.added_tensors import with_tensors
from xaionnx.targets.first_outputs import first_outputs
from xaionnx.targets.layout import class_labels
from xaionnx.targets.scores import shape_words
from xaionnx.typing import Array, Feeds

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder

FRAMES: Final = "xaionnx_frames_of_"
"""Prefix of the tensor (N, T, C) with the scores of all frames, added where the output is (T, N, C)."""
LOGARITHMS: Final = "xaionnx_log_probabilities_of_"
"""Prefix of the tensor (N, T, C) with the log probabilities of all frames, added to the graph."""

# How far the sum of probabilities may be from 1.
_CLOSE: Final = 1e-3


@final
@dataclass(frozen=True)
class Frames:
    """The frames of a CTC output.

    Attributes
    ----------
    output : str
    time_first : bool
        Whether the output is (T, N, C) rather than (N, T, C).
    scale : str
        What the scores are: ``probabilities``, ``log probabilities`` or ``logits``.
    blank : int
        The class that stands for no character.
    """

    output: str
    time_first: bool
    scale: str
    blank: int

    @classmethod
    def of(cls, model: Model, feeds: Feeds, tensor: str) -> Frames:
        """Return the frames of a model's output.

        The blank is that of the spec, else the first or the last class, whichever separates more characters.

        Raises
        ------
        ParameterError
            The output has no axes of frames and classes.
        """
        output = first_outputs(model, feeds, [tensor])[tensor]
        if output.ndim != 3 or 1 not in output.shape[:2] or output.shape[2] < 2:
            raise ParameterError(
                f"Tensor '{tensor}' of shape {shape_words(output)} has no frames with class scores, (N, T, C) or "
                "(T, N, C), as a CTC output has. Use Target.index with one int per axis."
            )
        time_first = output.shape[0] != 1
        scores = output.reshape(-1, output.shape[2]).astype(np.float64)
        spec = model.spec
        blank = None if spec is None else spec.blank
        if blank is not None and blank >= output.shape[2]:
            raise ParameterError(
                f"The spec states blank = {blank}, but '{tensor}' of {model.name} has {output.shape[2]} classes."
            )
        if blank is None:
            blank = _blank(scores)
        return cls(tensor, time_first, _scale(scores, ending(model.view, tensor)), blank)

    @property
    def tensor(self) -> str:
        """The tensor (N, T, C) with the model's scores."""
        return FRAMES + self.output if self.time_first else self.output

    @property
    def logarithms(self) -> str:
        """The tensor (N, T, C) with log probabilities."""
        return LOGARITHMS + self.output

    def extended(self, model: Model) -> Model:
        """Return the model with :attr:`tensor` and :attr:`logarithms` as further outputs."""
        if any(info.name == self.logarithms for info in model.outputs):
            return model
        return with_tensors(model, self, self._emit)

    def _emit(self, g: Builder, tensors: Mapping[str, ir.Value]) -> dict[str, ir.Value]:
        scores = tensors[self.output]
        frames = g.op("Transpose", scores, perm=[1, 0, 2]) if self.time_first else scores
        if self.scale == "logits":
            logarithms = g.op("LogSoftmax", frames, axis=2)
        elif self.scale == "probabilities":
            # The smallest normal number, in place of the logarithm of 0.
            logarithms = g.op("Log", g.op("Max", frames, np.finfo(np.float32).tiny))
        else:
            logarithms = g.op("Identity", frames)
        added = {self.logarithms: logarithms}
        return {self.tensor: frames, **added} if self.time_first else added

    def characters(self, scores: Array) -> list[tuple[int, Array]]:
        """Return the characters of one sample (T, C): the class of each, and its frames."""
        highest = scores.argmax(axis=1)
        edges = np.flatnonzero(np.diff(highest)) + 1
        runs = np.split(np.arange(len(highest)), edges)
        return [(int(highest[run[0]]), run) for run in runs if highest[run[0]] != self.blank]

    def letter(self, k: int, count: int, model: Model) -> str:
        """Return the label of a class: its name, or its number in brackets."""
        labels = class_labels(model)
        if len(labels) == count:
            return labels[k]
        # Lists of characters mostly leave out the blank.
        place = k - (self.blank < k)
        return labels[place] if len(labels) == count - 1 else f"[{k}]"

    def text(self, scores: Array, model: Model) -> str:
        """Return the decoded text of one sample."""
        return "".join(self.letter(k, scores.shape[1], model) for k, _ in self.characters(scores))


def _blank(scores: Array) -> int:
    """The first or the last class of the scores (T, C): the one with more runs of frames in which it is the highest."""
    ends = (0, scores.shape[1] - 1)
    is_highest = {k: np.concatenate([[False], scores.argmax(axis=1) == k]) for k in ends}
    runs = {k: int((np.diff(is_highest[k].astype(int)) > 0).sum()) for k in ends}
    blank: int = max(ends, key=lambda k: (runs[k], int(is_highest[k].sum()), float(scores[:, k].mean())))
    return blank


def _scale(scores: Array, op: str | None) -> str:
    """What the scores (T, C) of frames are."""
    if op == "LogSoftmax" or (scores.max() <= 0 and np.allclose(np.exp(scores).sum(axis=1), 1, atol=_CLOSE)):
        return "log probabilities"
    if op == "Softmax" or (scores.min() >= 0 and np.allclose(scores.sum(axis=1), 1, atol=_CLOSE)):
        return "probabilities"
    return "logits"
