"""The base of targets that read the frames of a CTC output."""

from __future__ import annotations

import dataclasses
from typing import Self, final

from xaionnx.errors import ParameterError
from xaionnx.runtime.model import Model
from xaionnx.targets.ctc import Frames
from xaionnx.targets.target import Target
from xaionnx.typing import Feeds


class OfFrames(Target):
    """A target that finds the frames of its output when it is bound to a model.

    A subclass has the fields ``output`` and ``frames``, None until it is bound.
    """

    frames: Frames | None

    @property
    @final
    def follows(self) -> bool:
        return True

    @final
    def bind(self, model: Model, feeds: Feeds) -> Self:
        if self.frames is not None:
            return self
        return dataclasses.replace(self, frames=Frames.of(model, feeds, self.tensor(model)))  # type: ignore[type-var]  # each is a dataclass

    @final
    def extended(self, model: Model) -> Model:
        return model if self.frames is None else self.frames.extended(model)

    @final
    def bound_frames(self) -> Frames:
        """The frames.

        Raises
        ------
        ParameterError
            The target is not bound to a model.
        """
        if self.frames is None:
            raise ParameterError(
                f"Target.{type(self).__name__.lower()} must be bound to a model first: see Target.bind."
            )
        return self.frames
