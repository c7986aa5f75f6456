"""InputSpec: conversion of pictures, table rows or text to the input of a model, and back for display."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from xaionnx.counting import counted
from xaionnx.data.images import Resize
from xaionnx.data.labels import class_word, find_label
from xaionnx.data.pixel_format import PixelFormat
from xaionnx.data.spec_fields import Activation, Color, Kind, Layout, checked_fields, read_fields
from xaionnx.data.spec_guess import guessed_fields
from xaionnx.data.time_axis import TimeAxis
from xaionnx.errors import InputMismatchError, ParameterError, UnknownNameError
from xaionnx.short_repr import changed_repr
from xaionnx.typing import Array


@dataclass(frozen=True)
class InputSpec:
    """How data are converted to the input tensor of a model, and what its output means.

    Usually read from a TOML file beside the model (same stem), with the sections ``[input]`` and ``[output]``. Fields
    have the names of its keys, except ``output``, which is ``[output] name``.

    Parameters
    ----------
    kind : {"picture", "table", "text", "array", "series", "bytes"}
        Kind of data. ``array`` and ``text`` read tensors from .npy files; ``series`` also reads .csv and .wav files;
        ``bytes`` reads files of any kind, byte by byte.
    name : str, optional
        Name of the input tensor; the model's first input if None.
    axes : str, optional
        Roles of the axes of the input tensor, such as ``"N T F"``: see `xaionnx.data.axes.TensorAxes.stated`. Found in
        the model if None.
    layout : {"NCHW", "NHWC"}
        Order of the axes of the picture tensor.
    size : (int, int), optional
        H, W in pixels; pictures are not resized if None.
    color : {"RGB", "BGR", "L"}
        Order of the channels; ``L`` is one gray channel (ITU-R BT.601 luma).
    mean, scale : float or sequence of float, one per channel
        tensor = (pixel - mean) / scale, for pixels from 0 to 255.
    resize : {"crop", "stretch", "pad"}
        How pictures are resized to ``size``: see `xaionnx.data.images.fit`.
    columns : sequence of str
        Columns of a table in the order of the tensor's F columns; in the order of the file if empty.
    ignore : sequence of str
        Columns that a table may contain but the model does not use, such as the true class.
    categories : mapping of str to sequence of str
        For columns of words: the words in the order of their codes 0, 1, 2, ...
    channel_names : sequence of str
        Names of the C channels of a series; the key ``channels``.
    rate : float, optional
        Steps of a series per second.
    step : str, optional
        Time from one step of a series to the next, such as ``"1 h"`` or ``"0.5 s"``, instead of ``rate``.
    start : float or str, optional
        Time of the first step in the unit of ``step``, or its date and time; 0 if None.
    tokenizer : str, optional
        The tokenizer.json file of a text model, beside the spec; found beside the model if None.
    max_length : int, optional
        The most tokens of a text, with special ones; that of the tokenizer if None.
    special_tokens : bool
        Whether the tokenizer's special tokens, such as [CLS], are added to a text.
    text : str or sequence of two str
        The column of a table that holds the text, or those of the two texts of a pair.
    head, tail : int, optional
        How many bytes of a file a model reads from its start and from its end; all if both are None.
    padding : int, optional
        The number that stands for no byte, where a file is shorter, and by which bytes are removed.
    shift : int
        The number of byte 0; bytes are numbered from there.
    strip : int
        If above 0, only so many bytes at either end of a file are looked at, without the white space at that end.
    groups : mapping of str to sequence of str
        Columns that are one player together by default, such as those of a one-hot code, by the name of the player.
    units : mapping of str to str
        Units of columns, such as months, for reports and pictures.
    output : str, optional
        Name of the output tensor to explain; the model's first floating-point output if None.
    activation : {"logits", "softmax", "sigmoid", "none"}
        Meaning of that output: logits, probabilities after softmax or sigmoid, or none of these.
    labels : sequence of str
        Names of the K classes; empty if there are none.
    boxes : str, optional
        Layout of the boxes of a detector, the name of a file of :mod:`xaionnx.targets.layouts` such as ``yolo_v8``,
        perhaps with settings, as in ``yolo_v5_heads:yolov5``; recognised from the outputs if None.
    blank : int, optional
        The class of a CTC output that stands for no character; recognised from the output if None.
    concepts, relevances : str, optional
        Names of the output tensors of a self-explaining network with its concepts and their relevances.
    guessed : bool
        True if the spec was guessed from the model's shapes alone (`InputSpec.guess`).

    Raises
    ------
    ParameterError
        A field has the wrong type or value.

    Examples
    --------
    >>> spec = InputSpec(size=(224, 224), mean=127, scale=128, labels=["cat", "dog"])
    >>> spec.to_tensor(np.full((1, 300, 451, 3), 255, np.uint8)).shape
    (1, 3, 224, 224)
    >>> spec.pixel(255).ravel().tolist()
    [1.0, 1.0, 1.0]
    >>> spec.index("dog")
    1
    """

    kind: Kind = "picture"
    name: str | None = None
    axes: str | None = None
    layout: Layout = "NCHW"
    size: tuple[int, int] | None = None
    color: Color = "RGB"
    mean: Sequence[float] | float = 0.0
    scale: Sequence[float] | float = 1.0
    resize: Resize = "crop"
    columns: Sequence[str] = ()
    ignore: Sequence[str] = ()
    categories: Mapping[str, Sequence[str]] = field(default_factory=dict, hash=False)
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict, hash=False)
    units: Mapping[str, str] = field(default_factory=dict, hash=False)
    channel_names: Sequence[str] = ()
    rate: float | None = None
    step: str | None = None
    start: float | str | None = None
    tokenizer: str | None = None
    max_length: int | None = None
    special_tokens: bool = True
    text: Sequence[str] | str = ()
    head: int | None = None
    tail: int | None = None
    padding: int | None = None
    shift: int = 0
    strip: int = 0
    output: str | None = None
    activation: Activation = "none"
    labels: Sequence[str] = ()
    boxes: str | None = None
    blank: int | None = None
    concepts: str | None = None
    relevances: str | None = None
    guessed: bool = False

    __repr__ = changed_repr

    def __post_init__(self) -> None:
        for key, value in checked_fields({f.name: getattr(self, f.name) for f in dataclasses.fields(self)}).items():
            object.__setattr__(self, key, value)

    @classmethod
    def of(cls, given: InputSpec | str | os.PathLike[str]) -> InputSpec:
        """Return the spec that is given, or read it from the TOML file of a path.

        Raises
        ------
        ParameterError, UnknownNameError
            It is neither, or the file is missing or has a wrong key or value.
        """
        if isinstance(given, str | os.PathLike):
            return cls.read(given)
        if not isinstance(given, InputSpec):
            raise ParameterError(
                f"The 'spec' parameter must be an InputSpec or the path of its TOML file. Got {given!r} instead."
            )
        return given

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> InputSpec:
        """Read a spec from a TOML file.

        Parameters
        ----------
        path : path
            The TOML file; a labels file named in it must be in the same folder.

        Returns
        -------
        InputSpec

        Raises
        ------
        ParameterError
            The file is missing, not TOML, or has a wrong value.
        UnknownNameError
            It has an unknown section or key.
        """
        path = Path(path)
        try:
            return cls(**read_fields(path))
        except (ParameterError, UnknownNameError) as error:
            raise type(error)(f"{path}: {error}") from error

    @classmethod
    def beside(cls, model_path: str | Path) -> InputSpec | None:
        """Read the spec from the TOML file with the model's stem; None if there is no such file."""
        path = Path(model_path).with_suffix(".toml")
        return cls.read(path) if path.exists() else None

    @classmethod
    def guess(
        cls,
        shape: Sequence[int | str | None],
        dtype: DTypeLike = np.float32,
        metadata: Mapping[str, str] = MappingProxyType({}),
    ) -> InputSpec:
        """Guess a spec from the declared shape of a model's input, if there is no file.

        Four axes with 1 or 3 channels are assumed to be a gray or RGB picture, with floating-point values from 0 to 1
        (mean 0, scale 255) or integer values from 0 to 255 (scale 1), unless the model's metadata say BGR or another
        range. Two axes of floating-point numbers are assumed to be a table, anything else an array. The model may have
        been trained with another mean, scale or channel order, which few files record, so ``guessed`` is True in the
        result.

        Parameters
        ----------
        shape : sequence of int, str or None
            As declared, batch axis first; a str or None is a free axis.
        dtype : dtype
            Element type of the input.
        metadata : mapping of str to str
            Of the file: ``Image.BitmapPixelFormat`` and ``Image.NominalPixelRange`` are read, as ONNX defines them.

        Returns
        -------
        InputSpec

        References
        ----------
        ONNX, Metadata, https://onnx.ai/onnx/repo-docs/MetadataProps.html.

        Examples
        --------
        >>> spec = InputSpec.guess(("N", 224, 224, 3))
        >>> spec.layout, spec.size, spec.scale, spec.guessed
        ('NHWC', (224, 224), (255.0, 255.0, 255.0), True)
        """
        return cls(**guessed_fields(shape, dtype, metadata), guessed=True)

    def summary(self) -> str:
        """Return a description of the data on one line, without labels and column names.

        Examples
        --------
        >>> InputSpec(size=(224, 224), labels=["cat", "dog"]).summary()
        'picture 224 x 224 RGB, NCHW'
        """
        text: str = self.kind
        if self.kind == "picture":
            size = "of any size" if self.size is None else f"{self.size[0]} x {self.size[1]}"
            text = f"picture {size} {self.color}, {self.layout}"
        elif self.columns:
            text = f"{self.kind} of {counted(len(self.columns), 'column')}"
        elif self.kind == "series":
            text = self._series_words()
        return f"{text}, guessed from the shape" if self.guessed else text

    def _series_words(self) -> str:
        channels = f" of {counted(len(self.channel_names), 'channel')}" if self.channel_names else ""
        step = f", {self.rate:g} Hz" if self.rate is not None else f", a step every {self.step}" if self.step else ""
        return f"series{channels}{step}"

    @property
    def time(self) -> TimeAxis | None:
        """When the steps of a series are; None if the spec does not say."""
        return TimeAxis.of(self.rate, self.step, self.start)

    @property
    def channels(self) -> int:
        """Number of channels C of the picture tensor."""
        return self.pixels.channels

    @property
    def channel_axis(self) -> int:
        """Axis of the channels in the batch-first tensor."""
        return self.pixels.channel_axis

    @property
    def spatial_axes(self) -> tuple[int, int]:
        """Axes of H and W in the batch-first tensor."""
        return self.pixels.spatial_axes

    @property
    def pixels(self) -> PixelFormat:
        """How pixels become numbers, for pictures."""
        return PixelFormat(self.layout, self.size, self.color, self.mean, self.scale, self.resize)

    def fit(self, pictures: NDArray[np.uint8] | Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        """Resize pictures to ``size``, if it is not None; :meth:`to_tensor` does this for pictures of any size.

        Parameters
        ----------
        pictures : uint8 array (N, H, W, 3) or (N, H, W), or a sequence of (H, W, 3) or (H, W)

        Raises
        ------
        InputMismatchError
            An item is not a uint8 picture.
        """
        return self.pixels.fit(pictures)

    def to_tensor(
        self, pictures: NDArray[np.uint8] | Sequence[NDArray[np.uint8]], dtype: DTypeLike = np.float32
    ) -> Array:
        """Convert pictures to the model's tensor: resize to ``size``, order the channels, scale.

        Parameters
        ----------
        pictures : uint8 array (N, H, W, 3) or (N, H, W), or a sequence of (H, W, 3) or (H, W)
            RGB or gray pixels from 0 to 255.
        dtype : dtype
            Element type of the tensor. Integer types are refused if mean and scale give fractions.

        Returns
        -------
        array, (N, C, H, W) or (N, H, W, C)

        Raises
        ------
        InputMismatchError
            An item is not a uint8 picture, or the pictures differ in size and ``size`` is None.
        ParameterError
            The dtype cannot represent the values.
        """
        self._check_is_picture("to_tensor")
        return self.pixels.to_tensor(pictures, dtype)

    def to_pictures(self, tensor: ArrayLike) -> NDArray[np.uint8]:
        """Convert a model's tensor back to pictures for display.

        Values are rounded to whole pixels and clipped to 0..255; a gray channel is repeated three times.

        Parameters
        ----------
        tensor : array, (N, C, H, W) or (N, H, W, C) according to the layout

        Returns
        -------
        uint8 array, (N, H, W, 3)

        Raises
        ------
        InputMismatchError
            The tensor does not have four axes with the spec's channels.
        """
        self._check_is_picture("to_pictures")
        return self.pixels.to_pictures(tensor)

    def pixel(self, value: float) -> NDArray[np.float32]:
        """Return the tensor value of a gray pixel: 0 is black, 255 is white.

        Parameters
        ----------
        value : float
            Pixel value in [0, 255].

        Returns
        -------
        float32 array, (C, 1, 1) or (1, 1, C)
            Broadcasts against the model's tensor.
        """
        self._check_is_picture("pixel")
        return self.pixels.pixel(value)

    def label(self, index: int) -> str:
        """Return the name of a class, or its number as text if the spec has no labels."""
        inside = isinstance(index, int | np.integer) and not isinstance(index, bool) and index >= 0
        if not inside or (self.labels and index >= len(self.labels)):
            end = str(len(self.labels)) if self.labels else "inf"
            raise ParameterError(
                f"The 'index' parameter of InputSpec.label must be an int in [0, {end}). Got {index!r} instead."
            )
        return self.labels[index] if self.labels else str(index)

    def index(self, label: str) -> int:
        """Return the number of a class by its name.

        An exact match is preferred; otherwise the only label that contains the text, ignoring case.

        Raises
        ------
        UnknownNameError
            No label matches, or several do; the message lists the nearest or the candidates.
        """
        return find_label(self.labels, label)

    def class_number(self, given: int | str) -> int:
        """Return the number of a class given by its name as in :meth:`index`, or by its number, also as text.

        A text that is both is the name.

        Raises
        ------
        UnknownNameError
            No label matches, or several do.
        """
        word = class_word(given, self.labels) if isinstance(given, str) else given
        return self.index(word) if isinstance(word, str) else int(word)

    def check_outputs(self, count: int) -> None:
        """Check that the number of labels is that of the model's classes.

        Raises
        ------
        InputMismatchError
            There are labels, but not ``count`` of them.
        """
        if self.labels and len(self.labels) != count:
            raise InputMismatchError(
                f"The InputSpec lists {counted(len(self.labels), 'label')}, but the model's output has "
                f"{counted(count, 'class', 'classes')}. "
                "Give one label per class, in the order of the outputs."
            )

    def check_size(self, shape: Sequence[int | str | None], name: str) -> None:
        """Check that ``size`` is that of the model's input ``name``, declared as ``shape``, as far as it is fixed.

        Raises
        ------
        ParameterError
            Pictures of this size do not fit the model.
        """
        if self.kind != "picture" or self.size is None or self.axes is not None or len(shape) != 4:
            return
        declared = [shape[axis] for axis in self.spatial_axes]
        if any(isinstance(side, int) and side != size for side, size in zip(declared, self.size, strict=True)):
            raise ParameterError(
                f"The InputSpec has size = {list(self.size)}, but input '{name}' is ({', '.join(map(str, shape))}) in "
                f"the layout {self.layout}. Write its height and width."
            )

    def _check_is_picture(self, method: str) -> None:
        if self.kind != "picture":
            raise ParameterError(f"InputSpec.{method} is for the kind 'picture'. This spec has the kind '{self.kind}'.")
