"""Masker: a small network that finds, in one run, the region that a class of a model depends on."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, final

import numpy as np

from xaionnx.data.block import Refused
from xaionnx.data.sample import Positions, Sample
from xaionnx.errors import DataError, InputMismatchError, ParameterError, UnsupportedModelError
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.scores import default_output, default_shape
from xaionnx.typing import Array, Document, MaskerLike

if TYPE_CHECKING:
    import onnx

INPUT: Final = "x"
"""The input of a masker with the pictures."""
CLASS: Final = "class"
"""The input of a masker with one-hot rows (N, K) of the classes."""
MASK: Final = "mask"
"""The output of a masker, (N, H, W)."""
PRESENT: Final = "present"
"""The logit (N, 1), by a masker, of the class being there at all, which opens the mask."""
ABOUT: Final = "xaionnx_masker"
"""The entry of the file's metadata that says what the masker explains, and how it was trained."""

_MAKE: Final = "Make one with xaionnx masker MODEL FOLDER -o FILE.onnx, or MaskerTraining().train(model, x, file)."


@final
@dataclass(frozen=True, eq=False)
class Masker:
    """A trained masker, from :meth:`xaionnx.optimization.MaskerTraining.train` or :meth:`load`.

    Attributes
    ----------
    model : Model
        The network: ``x`` and one-hot rows ``class`` to ``mask``.
    of : str
        Hash of the model that it explains.
    objective : tuple of float
        The objective of each step of its training, which is a mean over the inputs of the step.
    training : dict
        The settings of the training, and the number and the hash of its inputs.
    refused : tuple of Refused
        Inputs that its training left out, since they could not be read.
    """

    model: Model
    of: str
    objective: Sequence[float] = field(default=(), repr=False, metadata={"recorded": False})
    training: Document = field(default_factory=dict, repr=False, metadata={"recorded": False})
    refused: tuple[Refused, ...] = field(default=(), repr=False, metadata={"recorded": False})

    __repr__ = short_repr

    @property
    def sha256(self) -> str:
        """Hash of the file."""
        return self.model.sha256

    @property
    def classes(self) -> int:
        """The number K of classes."""
        return int(self.model.input(CLASS).shape[1] or 0)

    @classmethod
    def load(cls, path: str | os.PathLike[str], device: str = "auto") -> Self:
        """Read a file that a training wrote.

        Raises
        ------
        DataError
            There is no such file, or it is not a masker.
        """
        if not Path(path).exists():
            raise DataError(f"There is no file '{os.fspath(path)}' with a masker. {_MAKE}")
        model = Model.load(path, device)
        about = about_masker(model.file.proto)
        if about is None:
            raise DataError(f"'{os.fspath(path)}' is not a masker. {_MAKE}")
        return cls(model, about["of"], tuple(about["objective"]), about["training"])

    @classmethod
    def of_model(cls, given: MaskerLike, model: Model) -> Masker:
        """Return a masker, given as one or as its file, if it explains a model.

        Raises
        ------
        ParameterError
            None is given.
        DataError
            There is no such file, or it is not a masker.
        InputMismatchError
            It explains another model.
        """
        if given is None:
            raise ParameterError(
                f"The 'masker' parameter must be a Masker, or its .onnx file. Got None instead. {_MAKE}"
            )
        masker = given if isinstance(given, Masker) else cls.load(given, model.settings.device)
        if masker.of != model.sha256:
            raise InputMismatchError(
                f"The masker was trained for another model than {model.name}: sha256 {masker.of[:12]}, not "
                f"{model.sha256[:12]}. Train one for this model."
            )
        return masker

    def masks(self, x: Array, classes: Array) -> Array:
        """Return masks (N, H, W) in [0, 1] of what the classes depend on, in one run.

        Parameters
        ----------
        x : array (N, C, H, W), or (N, H, W, C) if the model takes that
            Inputs of the model.
        classes : array of int (N,)

        Raises
        ------
        InputMismatchError
            The inputs have another size than those of the training, or there is no such class.
        """
        size, numbers = tuple(self.model.input(INPUT).shape[1:]), np.asarray(classes)
        if x.shape[1:] != size:
            raise InputMismatchError(
                f"The masker takes inputs (N, {', '.join(map(str, size))}), as it was trained with. Got {x.shape} "
                "instead. Train one with inputs of this size."
            )
        if not ((numbers >= 0) & (numbers < self.classes)).all():
            raise InputMismatchError(f"The classes must be numbers in [0, {self.classes}). Got {classes} instead.")
        chosen = np.eye(self.classes, dtype=np.float32)[numbers]
        return self.model.run(self.model.check({INPUT: np.asarray(x, np.float32), CLASS: chosen}), [MASK])[MASK]


def about_masker(proto: onnx.ModelProto) -> Document | None:
    """Return the description in a masker's file: ``of``, ``objective`` and ``training``; None if it is not a masker."""
    entries = {entry.key: entry.value for entry in proto.metadata_props}
    found: Document | None = json.loads(entries[ABOUT]) if ABOUT in entries else None
    return found


def picture_positions(model: Model, sample: Sample) -> Positions:
    """Return the rows and columns of the picture that a classifier takes.

    Raises
    ------
    UnsupportedModelError
        The model is not a classifier of one picture.
    """
    found, shape = sample.positions(), default_shape(model)
    fits = len(model.inputs) == 1 and found is not None and found.is_picture and len(found.values) <= 1
    # One axis of classes; a file without an axis of samples may keep one of length 1.
    classes = [size for size in shape[1:] if size != 1]
    if found is None or not fits or len(classes) != 1:
        raise UnsupportedModelError(
            "Masks are learned for models of one picture that return a score for each class. "
            f"{model.name} with its output '{default_output(model)}' is none."
        )
    return found
