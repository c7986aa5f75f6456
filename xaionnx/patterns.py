"""Patterns: the signal direction of each layer, estimated from inputs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, final, get_args

import numpy as np

from xaionnx.autodiff import gradient
from xaionnx.autodiff.patterns import GROWTH, SUMS, layers_of, pattern, statistics, sum_name, table
from xaionnx.data.arrays import NUMBERS, read_arrays
from xaionnx.data.folders import expand
from xaionnx.data.storage import write_npz
from xaionnx.errors import DataError, InputMismatchError, ParameterError, UnsupportedModelError, shortened
from xaionnx.layers.embeddings import gradient_tensors
from xaionnx.runtime import progress
from xaionnx.runtime.graph_facts import graph_fact
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.scores import default_output
from xaionnx.typing import Array, Feeds, InputLike, ModelLike, PatternsLike

Estimator = Literal["two_component", "linear"]

_ABOUT = "about"
# Metadata saved with the patterns.
_FACTS = ("model_sha256", "estimator", "samples", "units", "zero", "within", "gains")
# Files without a format number have format 1, in which units with a large bias have no pattern.
_FORMAT = 2
_MAKE = (
    "Make a file of them with xaionnx patterns MODEL FOLDER -o FILE.npz, or "
    "estimate_patterns(model, inputs).save(file)."
)


@final
@dataclass(frozen=True, eq=False)
class Patterns:
    """The patterns of a model's layers, from :func:`estimate_patterns` or :meth:`load`.

    Attributes
    ----------
    layers : mapping of str to array
        By the name of a layer's output tensor, in the shape of its weights.
    model_sha256 : str
        Hash of the model.
    estimator : str
    samples : int
        Number of inputs used for the estimate.
    units : int
        Number of units of all layers.
    zero : int
        Units without a pattern, because their output did not vary in the regime, such as units that are never positive.
    within : int
        Units whose pattern is the covariance within the regime instead of the paper's equation 8; see
        :func:`estimate_patterns`.
    gains : mapping of str to float
        By how many powers of two the signal of PatternNet grows at a layer in the backward pass, at the last input.
    sha256 : str
        Hash of the patterns and their metadata.
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
            The file cannot be written.
        """
        about = {name: getattr(self, name) for name in _FACTS} | {"format": _FORMAT, "layers": list(self.layers)}
        arrays = {f"pattern_{index}": array for index, array in enumerate(self.layers.values())}
        arrays[_ABOUT] = np.array(json.dumps(about))
        return write_npz(path, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Patterns:
        """Read a file that :meth:`save` wrote.

        Raises
        ------
        DataError
            The file is missing, contains no patterns, or has another format version.
        """
        if not Path(path).exists():
            raise DataError(f"There is no file '{os.fspath(path)}' with patterns. {_MAKE}")
        try:
            arrays = read_arrays(path, f"{NUMBERS}U")
            about = json.loads(str(arrays[_ABOUT]))
            if about.get("format", 1) == _FORMAT:
                layers = {name: arrays[f"pattern_{index}"] for index, name in enumerate(about["layers"])}
                loaded = cls(layers, *(about[name] for name in _FACTS))
                _check(loaded)
                return loaded
        except (DataError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(f"'{os.fspath(path)}' contains no patterns, or is damaged. {_MAKE}") from error
        raise DataError(
            f"'{os.fspath(path)}' contains patterns in format {shortened(about.get('format', 1))}, but this version of "
            f"xaionnx reads format {_FORMAT}, whose estimates differ. {_MAKE}"
        )

    @classmethod
    def of(cls, given: PatternsLike, model: Model) -> Patterns:
        """The patterns given as Patterns, or estimated from inputs once per model.

        Raises
        ------
        ParameterError
            No patterns are given.
        InputMismatchError
            The patterns belong to another model.
        """
        if given is None:
            raise ParameterError(
                "The 'patterns' parameter must be Patterns, a .npz file of them, or inputs to estimate them from: a "
                "folder or an array. Got None instead. Make a file with xaionnx patterns MODEL FOLDER -o FILE.npz."
            )
        try:
            patterns = given if isinstance(given, cls) else _cached_patterns(model, given)
        except InputMismatchError as error:
            raise InputMismatchError(f"Patterns cannot be estimated: {error}") from error
        if patterns.model_sha256 != model.sha256:
            raise InputMismatchError(
                f"The patterns were estimated for another model than {model.name}: sha256 "
                f"{patterns.model_sha256[:12]}, not {model.sha256[:12]}. Estimate them again."
            )
        return patterns


def _check(patterns: Patterns) -> None:
    """Raise TypeError or ValueError if the parts of a file do not fit each other."""
    counts = (patterns.samples, patterns.units, patterns.zero, patterns.within)
    if any(type(count) is not int or count < 0 for count in counts):
        raise ValueError("counts must be whole numbers")
    if type(patterns.model_sha256) is not str or patterns.estimator not in get_args(Estimator):
        raise ValueError("no hash of a model, or no estimator")
    if not all(type(name) is str for name in patterns.layers) or not set(patterns.gains) <= patterns.layers.keys():
        raise ValueError("gains of other layers")
    numbers = [*patterns.layers.values(), np.array([*patterns.gains.values(), 0.0])]
    if any(array.dtype.kind != "f" or not np.isfinite(array).all() for array in numbers):
        raise ValueError("patterns and gains must be finite numbers")
    if any(array.ndim < 1 for array in patterns.layers.values()):
        raise ValueError("patterns have at least one axis")


def estimate_patterns(model: ModelLike, inputs: InputLike, estimator: Estimator = "two_component") -> Patterns:
    """The patterns of the layers between the input and the default output, estimated from inputs.

    Parameters
    ----------
    model : Model or path
    inputs : array (N, ...), mapping of arrays by input name, or path
        A path is a folder, or a file of several inputs, read as the model's InputSpec declares. Good patterns need
        thousands of samples like the training data; labels are not needed. Samples run one at a time.
    estimator : str
        ``two_component`` uses the samples and positions with a positive layer output, for layers before a rectifier,
        since negative outputs carry no signal; ``linear`` uses all. The former is equation 8 of the paper, which
        assumes units without a bias. Units that are active only through a positive bias, with a negative mean of w.x,
        use the covariance over the samples and positions at which they are active; ``within`` counts them.

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
        An input cannot be read, or does not match the model.

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
    loaded = model if isinstance(model, Model) else Model.load(model)
    totals: dict[str, Array] = {}
    samples, layers, sample = 0, list[str](), dict[str, Array]()
    for feeds in _batches(loaded, inputs):
        rows = {name: array for name, array in feeds.items() if name not in loaded.shared}
        shared = {name: array for name, array in feeds.items() if name in loaded.shared}
        backward = gradient(
            loaded, default_output(loaded), gradient_tensors(loaded), statistics(estimator == "two_component"), feeds
        )
        layers = layers_among([info.name for info in backward.model.outputs], loaded)
        fetch = [sum_name(layer, which) for layer in layers for which in SUMS]
        info = backward.model.input(backward.cotangent)
        count, size = len(next(iter(rows.values()))), [int(s) for s in info.shape[1:] if s is not None]
        progress.expect(count)
        for number in range(count):
            sample = {name: array[number : number + 1] for name, array in rows.items()} | shared
            zero_cotangent = np.zeros((1, *size), dtype=info.dtype)
            # One sample at a time, because the sums have no batch axis.
            sums = backward.model.run({**sample, backward.cotangent: zero_cotangent}, fetch)
            for name in fetch:
                totals[name] = totals.get(name, 0) + sums[name].astype(np.float64)
            progress.advance(1)
        samples += count
    estimates = {layer: pattern({which: totals[sum_name(layer, which)] for which in SUMS}) for layer in layers}
    counts = [sum(getattr(each, name) for each in estimates.values()) for name in ("units", "zero", "within")]
    arrays = {layer: each.pattern.astype(np.float32) for layer, each in estimates.items()}
    constant = next((layer for layer, array in arrays.items() if not array.any()), None)
    if samples == 1 and constant is not None:
        raise DataError(
            f"Layer '{constant}' of {loaded.name} has one value for the single input given, and a pattern is how a "
            "layer varies with its input. Give several inputs, (N, ...), or a folder of them."
        )
    return _with_gains(loaded, sample, Patterns(arrays, loaded.sha256, estimator, samples, *counts))


def _cached_patterns(model: Model, inputs: str | os.PathLike[str] | Array | Feeds) -> Patterns:
    """The patterns estimated from inputs, cached with the model because a method needs them for every sample."""
    key: Hashable
    if isinstance(inputs, str | os.PathLike):
        files = [(str(file), file.stat()) for file in expand(Path(inputs))]
        key = tuple((name, about.st_size, about.st_mtime_ns) for name, about in files)
    else:
        named = inputs if isinstance(inputs, Mapping) else {"": inputs}
        arrays = [(name, np.ascontiguousarray(array)) for name, array in named.items()]
        key = tuple((name, a.shape, str(a.dtype), hashlib.sha256(a.tobytes()).digest()) for name, a in arrays)
    return graph_fact(model, ("patterns", key), lambda _: estimate_patterns(model, inputs))


def _with_gains(model: Model, sample: Mapping[str, Array], patterns: Patterns) -> Patterns:
    """The patterns with their gains, measured in backward passes from the sample's largest output.

    If values leave the range of floats, a pass measures no gains beyond that layer. The next pass rescales by the gains
    known so far, and so reaches further.
    """
    out = default_output(model)
    output = model.run({info.name: sample[info.name] for info in model.inputs}, [out])[out]
    if output.size == 0:
        raise UnsupportedModelError(f"Output '{out}' of {model.name} holds no numbers, so there are no patterns.")
    while True:
        rules = table(patterns.sha256, patterns.layers, patterns.gains, measured=True)
        backward = gradient(model, out, gradient_tensors(model), rules, sample)
        fetch = [sum_name(layer, which) for layer in patterns.layers for which in GROWTH]
        start = (output == output.max()).astype(backward.model.input(backward.cotangent).dtype)
        sizes = backward.model.run({**sample, backward.cotangent: start}, fetch)
        pairs = {layer: [float(sizes[sum_name(layer, which)]) for which in GROWTH] for layer in patterns.layers}
        finite = {layer: pair for layer, pair in pairs.items() if np.isfinite(pair).all() and min(pair) > 0}
        gains = {layer: round(float(np.log2(after / before)), 2) for layer, (before, after) in finite.items()}
        if gains.keys() <= patterns.gains.keys():
            return patterns
        patterns = replace(patterns, gains={**gains, **patterns.gains})
        if len(finite) == len(pairs):
            return patterns


def layers_among(outputs: Sequence[str], model: Model) -> list[str]:
    """The layers with statistics among the outputs of a graph.

    Raises
    ------
    UnsupportedModelError
        There are no such layers.
    """
    layers = layers_of(outputs)
    if not layers:
        raise UnsupportedModelError(f"{model.name} has no layer with weights, so there are no patterns.")
    return layers


def _batches(model: Model, inputs: InputLike) -> Iterator[dict[str, Array]]:
    """Inputs by name, one file at a time."""
    if not isinstance(inputs, str | os.PathLike):
        yield model.read(inputs).arrays
        return
    files = expand(Path(inputs))
    if not files:
        raise DataError(f"'{os.fspath(inputs)}' contains no files. Give a folder of inputs.")
    for file in files:
        yield model.read(file, partial=True).arrays
