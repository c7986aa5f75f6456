"""Patterns: for each layer the direction of the signal that it reads, estimated from inputs."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal, final

import numpy as np

from xaionnx.autodiff import gradient
from xaionnx.autodiff.patterns import GROWTH, SUMS, layers_of, pattern, statistics, sum_name, table
from xaionnx.data.files import expand
from xaionnx.data.storage import write_whole
from xaionnx.errors import DataError, InputMismatchError, ParameterError, UnsupportedModelError
from xaionnx.layers.embeddings import gradient_tensors
from xaionnx.layers.graph_facts import graph_fact
from xaionnx.runtime import progress
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, ModelLike, PatternsLike

Estimator = Literal["two_component", "linear"]

_ABOUT = "about"
# What is kept beside the patterns themselves.
_FACTS = ("model_sha256", "estimator", "samples", "units", "zero", "within", "gains")
# Files without a number are of the first kind, which left units with a large bias at zero.
_FORMAT = 2
_MAKE = (
    "Make a file of them with xaionnx patterns MODEL FOLDER -o FILE.npz, or "
    "estimate_patterns(model, inputs).save(file)."
)


@final
@dataclass(frozen=True, eq=False)
class Patterns:
    """The patterns of a model's layers. Make them with :func:`estimate_patterns`, or :meth:`load` them.

    Attributes
    ----------
    layers : mapping of str to array
        By the name of the tensor that a layer makes, in the shape of its weights.
    model_sha256 : str
        Of the model.
    estimator : str
    samples : int
        How many inputs they were estimated from.
    units : int
        Of all layers together.
    zero : int
        Units without a pattern: their answer did not vary where it counted, as that of a unit that is never above zero.
    within : int
        Units whose pattern is the covariance within the regime instead of the paper's equation 8; see
        :func:`estimate_patterns`.
    gains : mapping of str to float
        By how many powers of two the numbers of PatternNet grow at a layer on their way back, seen at the last input.
    sha256 : str
        Of all this.
    """

    layers: Mapping[str, Array] = field(repr=False)
    model_sha256: str
    estimator: str
    samples: int
    units: int
    zero: int
    within: int
    gains: Mapping[str, float] = field(repr=False, default_factory=dict)
    sha256: str = ""

    __repr__ = short_repr

    def __post_init__(self) -> None:
        digest = hashlib.sha256(repr([getattr(self, name) for name in _FACTS]).encode())
        for name, array in self.layers.items():
            digest.update(f"{name} {array.shape} {array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        object.__setattr__(self, "sha256", digest.hexdigest())

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a .npz file, without pickle.

        Raises
        ------
        StorageError
            It cannot be written.
        """
        about = {name: getattr(self, name) for name in _FACTS} | {"format": _FORMAT, "layers": list(self.layers)}
        arrays = {f"pattern_{index}": array for index, array in enumerate(self.layers.values())}
        arrays[_ABOUT] = np.array(json.dumps(about))

        def write(stream: BinaryIO) -> None:
            save: Any = np.savez_compressed  # its own options would be mistaken for arrays
            save(stream, **arrays)

        return write_whole(path, write)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Patterns:
        """Read a file that :meth:`save` wrote.

        Raises
        ------
        DataError
            It is missing, holds no patterns, or holds those of another version of this format.
        """
        if not Path(path).exists():
            raise DataError(f"There is no file '{os.fspath(path)}' with patterns. {_MAKE}")
        try:
            with np.load(path, allow_pickle=False) as file:
                about = json.loads(str(file[_ABOUT]))
                layers = {name: file[f"pattern_{index}"] for index, name in enumerate(about["layers"])}
                if about.get("format", 1) == _FORMAT:
                    return cls(layers, *(about[name] for name in _FACTS))
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"'{os.fspath(path)}' holds no patterns. {_MAKE}") from error
        raise DataError(
            f"'{os.fspath(path)}' holds patterns in format {about.get('format', 1)}, and this version of xaionnx reads "
            f"{_FORMAT}: they were estimated by other rules. {_MAKE}"
        )

    @classmethod
    def of(cls, given: PatternsLike, model: Model) -> Patterns:
        """The patterns behind a shorthand: Patterns, or inputs to estimate them from, once for a model.

        Raises
        ------
        ParameterError
            There are none.
        InputMismatchError
            They belong to another model.
        """
        if given is None:
            raise ParameterError(
                "The 'patterns' parameter must be Patterns, a .npz file of them, or inputs to estimate them from: a "
                "folder or an array. Got None instead. Make a file with xaionnx patterns MODEL FOLDER -o FILE.npz."
            )
        try:
            found = given if isinstance(given, cls) else _kept(model, given)
        except InputMismatchError as error:
            raise InputMismatchError(f"Patterns cannot be estimated: {error}") from error
        if found.model_sha256 != model.sha256:
            raise InputMismatchError(
                f"The patterns were estimated for another model than {model.name}: sha256 {found.model_sha256[:12]}, "
                f"not {model.sha256[:12]}. Estimate them again."
            )
        return found


def estimate_patterns(model: ModelLike, inputs: Any, estimator: Estimator = "two_component") -> Patterns:
    """Estimate the pattern of each layer between the input and the usual output from inputs, sample by sample.

    Parameters
    ----------
    model : Model or path
    inputs : array (N, ...), mapping of arrays by input name, or path
        A path is a folder, or a file of several inputs, as the model's InputSpec reads it. Thousands of samples of
        what the model was trained on make good patterns; labels are not needed.
    estimator : str
        ``two_component`` takes the samples and places at which the layer's answer is above zero, for layers in front
        of a rectifier, since what is below is no signal; ``linear`` takes all. The former is the paper's equation 8,
        made for units without a bias; units that a bias above zero opens where w.x is below zero on average take the
        covariance among the samples and places at which they are open, and ``within`` counts them.

    Returns
    -------
    Patterns

    Raises
    ------
    ParameterError
        There is no such estimator.
    UnsupportedModelError
        The model has no layer with weights between the input and the output.
    DataError
        An input cannot be read, or does not fit the model.

    References
    ----------
    Kindermans et al., Learning how to explain neural networks: PatternNet and PatternAttribution, ICLR 2018,
    arXiv:1705.05598, section 4.

    Examples
    --------
    A signal in the direction (1, 0) with a distractor in the direction (1, 1), which w = (1, -1) cancels:

    >>> import numpy as np
    >>> from models import planted
    >>> rng = np.random.default_rng(0)
    >>> signal, distractor = rng.normal(size=(2, 500, 1))
    >>> x = np.float32(signal * [1, 0] + distractor * [1, 1])
    >>> found = estimate_patterns(planted.load(planted.linear([[1.0, -1.0]])), x)
    >>> bool(np.abs(found.layers["y"] - [[1, 0]]).max() < 0.1)
    True
    """
    if estimator not in ("two_component", "linear"):
        raise ParameterError(
            f"The 'estimator' parameter must be 'two_component' or 'linear'. Got {estimator!r} instead."
        )
    opened = model if isinstance(model, Model) else Model.load(model)
    totals: dict[str, Array] = {}
    samples, layers, one = 0, list[str](), dict[str, Array]()
    for feeds in _pieces(opened, inputs):
        rows = {name: array for name, array in feeds.items() if name not in opened.shared}
        shared = {name: array for name, array in feeds.items() if name in opened.shared}
        found = gradient(
            opened, opened.output().name, gradient_tensors(opened), statistics(estimator == "two_component"), feeds
        )
        layers = layers_among([info.name for info in found.model.outputs], opened)
        fetch = [sum_name(layer, which) for layer in layers for which in SUMS]
        info = found.model.input(found.cotangent)
        count, size = len(next(iter(rows.values()))), [int(s) for s in info.shape[1:] if s is not None]
        progress.expect(count)
        for number in range(count):
            one = {name: array[number : number + 1] for name, array in rows.items()} | shared
            nothing = np.zeros((1, *size), dtype=info.dtype)
            # One sample at a time, whose sums have no batch axis.
            answers = found.model.run({**one, found.cotangent: nothing}, fetch)
            for name in fetch:
                totals[name] = totals.get(name, 0) + answers[name].astype(np.float64)
            progress.advance(1)
        samples += count
    made = {layer: pattern({which: totals[sum_name(layer, which)] for which in SUMS}) for layer in layers}
    counts = [sum(getattr(each, name) for each in made.values()) for name in ("units", "zero", "within")]
    arrays = {layer: each.pattern.astype(np.float32) for layer, each in made.items()}
    return _measured(opened, one, Patterns(arrays, opened.sha256, estimator, samples, *counts))


def _kept(model: Model, inputs: Any) -> Patterns:
    """The patterns from inputs, which are kept with the model: a method meets them at each of its samples."""
    key: Hashable
    if isinstance(inputs, str | os.PathLike):
        files = [(str(file), file.stat()) for file in expand(Path(inputs))]
        key = tuple((name, about.st_size, about.st_mtime_ns) for name, about in files)
    else:
        named = inputs if isinstance(inputs, Mapping) else {"": inputs}
        arrays = [(name, np.ascontiguousarray(array)) for name, array in named.items()]
        key = tuple((name, a.shape, str(a.dtype), hashlib.sha256(a.tobytes()).digest()) for name, a in arrays)
    return graph_fact(model, ("patterns", key), lambda _: estimate_patterns(model, inputs))


def _measured(model: Model, sample: Mapping[str, Array], found: Patterns) -> Patterns:
    """The patterns with their gains, from a walk that starts at the sample's largest answer.

    Where numbers leave the range of floats, a walk tells nothing of the layers behind; the next one stays in range as
    far as gains are known.
    """
    out = model.output().name
    answer = model.run({info.name: sample[info.name] for info in model.inputs}, [out])[out]
    while True:
        rules = table(found.sha256, found.layers, found.gains, measured=True)
        walk = gradient(model, out, gradient_tensors(model), rules, sample)
        fetch = [sum_name(layer, which) for layer in found.layers for which in GROWTH]
        start = (answer == answer.max()).astype(walk.model.input(walk.cotangent).dtype)
        sizes = walk.model.run({**sample, walk.cotangent: start}, fetch)
        pairs = {layer: [float(sizes[sum_name(layer, which)]) for which in GROWTH] for layer in found.layers}
        told = {layer: pair for layer, pair in pairs.items() if np.isfinite(pair).all() and min(pair) > 0}
        gains = {layer: round(float(np.log2(after / before)), 2) for layer, (before, after) in told.items()}
        if gains.keys() <= found.gains.keys():
            return found
        found = replace(found, gains={**gains, **found.gains})
        if len(told) == len(pairs):
            return found


def layers_among(outputs: Sequence[str], model: Model) -> list[str]:
    """The layers of which there are statistics among the outputs of a graph.

    Raises
    ------
    UnsupportedModelError
        There are none.
    """
    found = layers_of(outputs)
    if not found:
        raise UnsupportedModelError(f"{model.name} has no layer with weights, so there are no patterns.")
    return found


def _pieces(model: Model, inputs: Any) -> Iterator[dict[str, Array]]:
    """Inputs by name, a file at a time."""
    if not isinstance(inputs, str | os.PathLike):
        yield model.read(inputs).arrays
        return
    files = expand(Path(inputs))
    if not files:
        raise DataError(f"'{os.fspath(inputs)}' holds no files. Name a folder of inputs.")
    for file in files:
        yield model.read(file, partial=True).arrays
