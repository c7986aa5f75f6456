"""Explanation: the record of one explained batch."""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal, final

import numpy as np

from xaionnx.caveats import warnings_of
from xaionnx.data.display import Display
from xaionnx.data.storage import write_whole
from xaionnx.errors import DataError
from xaionnx.typing import Array, Document

if TYPE_CHECKING:
    from PIL import Image

Arrays = Array | dict[str, Array]

# What the values of a method can mean; `xaionnx.render.value_kinds` has the sentences of pictures.
ValueKind = Literal[
    "contribution",
    "hindrance",
    "contrast",
    "core",
    "importance",
    "slope",
    "sensitivity",
    "spread",
    "alone",
    "signal",
    "activation",
    "component",
    "attention",
]
MEANINGS: Final[Mapping[ValueKind, str]] = {
    "contribution": "to the target: above zero what raises it, below what lowers it",
    "hindrance": "of the target: above zero what lowers it, below what raises it",
    "contrast": "to the target, less what speaks for the classes that it is compared with",
    "core": "to the target, less what its context contributes",
    "importance": "for the target, in order: sizes of contributions, shifted ones, or those of the signal",
    "slope": "of the target, by each element",
    "sensitivity": "of the target: sizes of slopes, or of changes, whichever way they go",
    "spread": "of what is found in noisy copies",
    "alone": "the target of a part without the rest",
    "signal": "a pattern in the input that the target rests on, in the input's terms",
    "activation": "what a layer holds, whatever the target",
    "component": "of what a layer holds, whatever the target",
    "attention": "that is taken to what the head reads, whatever the target",
}

# The order in which arrays are written; a change of meaning raises the number.
_FORMAT = 1
_RECORD = "record"
# The fields that are kept as JSON.
_WORDS = ("diagnostics", "provenance")
# Of more targets than these the first are shown.
_SHOWN = 3

# What the provenance lists sample by sample.
_BY_SAMPLE = ("input_sha256", "inputs", "file_sha256")


@final
@dataclass(frozen=True, eq=False)
class Explanation:
    """What a method found for a batch of N samples, and all that is needed to repeat it.

    For a list of T targets every array named below gains a leading axis T, except ``features``.

    Attributes
    ----------
    method : str
        Name of the method, as the command line knows it.
    values : array (N, ...) or dict of arrays by input name
        The attribution, in the shape of the input, or of the layer that ``provenance["layer"]`` names. A player's
        value is given to each of its elements, never divided among them.
    target : array of str, (N,)
        The scalar that was explained, in words, such as ``Egyptian cat (285)``.
    prediction : array (N,)
        That scalar at the input.
    baseline_prediction : array (N,) or None
        That scalar where everything is removed, if the method evaluated it.
    feature_values : array (N, P) or None
        The value of each player. Samples with fewer than P players are padded with NaN.
    features : array of int32, or dict of them by input name, or None
        For each element the number 0..P-1 of its player, -1 where it is never removed; it broadcasts to
        the input's shape (N, ...).
    standard_error : array or None
        Of each player's value, in the shape of ``feature_values`` (of ``values`` where that is None).
    maps : dict of arrays
        Further maps that a method draws, each described in the method's docstring.
    diagnostics : dict
        Numbers that say how far to trust the result: evaluations, seconds, completeness gap, fit. A list holds
        one entry a sample.
    provenance : dict
        What the values mean, versions, hashes of model and input, device, seed and resolved parameters.
    display : dict of Display by input name, the explained input first
        What the model saw, small, so that :meth:`plot` can draw over it; see :mod:`xaionnx.data.display`.

    Examples
    --------
    >>> e = Explanation("occlusion", np.ones((1, 3)), np.array(["y[0]"]), np.array([2.0]))
    >>> e.samples
    1
    """

    method: str
    values: Arrays
    target: Array
    prediction: Array
    baseline_prediction: Array | None = None
    feature_values: Array | None = None
    features: Arrays | None = None
    standard_error: Array | None = None
    maps: dict[str, Array] = field(default_factory=dict)
    diagnostics: Document = field(default_factory=dict)
    provenance: Document = field(default_factory=dict)
    display: dict[str, Display] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Method, model, samples, targets and predictions, what the values mean, what they cost, what is off."""
        model = self.provenance.get("model")
        names, scores = self.target.reshape(-1)[:_SHOWN], self.prediction.reshape(-1)[:_SHOWN]
        told = [f"{name} = {score:.4g}" for name, score in zip(names, scores, strict=True)]
        if self.target.size > _SHOWN:
            told.append(f"... {self.target.size} in all")
        each = self.values if isinstance(self.values, dict) else {"": self.values}
        shapes = ", ".join(f"{name} {array.shape} {array.dtype}".strip() for name, array in each.items())
        kind = self.value_kind
        means = "" if kind is None else f", {kind}: {MEANINGS.get(kind, '')}"
        several = f", {len(self.target)} targets" if self.several_targets else ""
        lines = [
            f"Explanation by {self.method}{f' of {model}' if model else ''}, "
            f"{self.samples} sample{'' if self.samples == 1 else 's'}{several}",
            f"  target   {'; '.join(told)}",
            f"  values   {shapes}{means}",
        ]
        spent, seconds = self.diagnostics.get("evaluations"), self.diagnostics.get("seconds")
        if isinstance(spent, list) and seconds is not None:
            lines.append(f"  cost     {sum(spent):,} evaluations, {seconds:.3g} s")
        warnings = self.warnings
        lines += [f"  warning  {warning}" for warning in warnings[:1]]
        if len(warnings) > 1:
            lines[-1] += f" (and {len(warnings) - 1} more: .warnings)"
        return "\n".join(lines)

    @property
    def samples(self) -> int:
        """The number N of samples."""
        return int(self.target.shape[-1])

    @property
    def several_targets(self) -> bool:
        """Whether the arrays have a leading axis of targets."""
        return self.target.ndim == 2

    @property
    def value_kind(self) -> ValueKind | None:
        """What the values mean, a `ValueKind`; None where the provenance does not tell."""
        return self.provenance.get("value_kind")

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is off about the values, and what to do, a sentence or two each; see :mod:`xaionnx.caveats`."""
        return warnings_of(self)

    def plot(  # noqa: PLR0913 - options of a picture, all by keyword
        self,
        sample: int = 0,
        target: int = 0,
        *,
        kind: str = "auto",
        photo: Array | None = None,
        sign: str = "auto",
        top: int | None = None,
        original: bool = False,
        input: str | None = None,
    ) -> Image.Image:
        """Draw one sample: as a map over what the model saw, as colours behind its series, or as bars.

        The picture is one of Pillow: a notebook shows it, and ``.save("cat.png")`` saves it.

        Parameters
        ----------
        sample, target : int
            Which of the N samples, and which of several targets.
        kind, photo, sign, top, original, input
            As of :func:`xaionnx.render.picture`. A ``photo`` that is sharper than what the model saw may be given.

        Returns
        -------
        PIL.Image.Image
            RGB.

        Raises
        ------
        ParameterError
            There is no such sample or target, or a parameter is out of its domain.
        DataError
            The values are not finite.

        Examples
        --------
        >>> import xaionnx
        >>> image = np.zeros((1, 1, 28, 28), np.float32)
        >>> xaionnx.explain("models/mnist_cnn.onnx", image, "occlusion").plot().mode
        'RGB'
        """
        image: Image.Image = _pictures("xaionnx.render").picture(
            self,
            kind,
            photo=photo,
            input=input,
            sample=sample,
            target=target,
            sign=sign,
            top=top,
            original=original,
        )
        return image

    def _repr_html_(self) -> str:
        text: str = _pictures("xaionnx.render.notebook").html(self)
        return text

    def sample(self, n: int, target: int | None = None) -> Explanation:
        """The record of sample ``n`` alone (N = 1), for one of its targets, or all of them; ``seconds`` stay whole.

        Raises
        ------
        IndexError
            There is no such sample or target.
        """

        def pick(array: Array) -> Array:
            if not self.several_targets:
                return array[n : n + 1]
            return array[:, n : n + 1] if target is None else array[target, n : n + 1]

        def place(array: Array) -> Array:
            return array if array.shape[0] == 1 else array[n : n + 1]

        if not 0 <= n < self.samples or not 0 <= (target or 0) < (len(self.target) if self.several_targets else 1):
            raise IndexError(f"no sample {n} with target {target} in an explanation of {self.target.shape}")
        return dataclasses.replace(
            self,
            values=_each(self.values, pick),
            target=pick(self.target),
            prediction=pick(self.prediction),
            baseline_prediction=None if self.baseline_prediction is None else pick(self.baseline_prediction),
            feature_values=None if self.feature_values is None else pick(self.feature_values),
            features=None if self.features is None else _each(self.features, place),
            standard_error=None if self.standard_error is None else pick(self.standard_error),
            maps={name: pick(array) for name, array in self.maps.items()},
            diagnostics={key: self._diagnostic(told, n, target) for key, told in self.diagnostics.items()},
            provenance={
                key: [told[n]] if key in _BY_SAMPLE and len(told) == self.samples else told
                for key, told in self.provenance.items()
            },
            display={name: one.sample(n) for name, one in self.display.items()},
        )

    def _diagnostic(self, told: Any, n: int, target: int | None) -> Any:
        """A diagnostic of one sample, in a list of one, and of one target where it lists one a target."""
        if not isinstance(told, list) or len(told) != self.samples:
            return told
        one = told[n]
        by_target = self.several_targets and isinstance(one, list) and len(one) == len(self.target)
        return [one if target is None or not by_target else one[target]]

    def to_dict(self) -> Document:
        """The record and its warnings as plain Python values, ready for JSON (NaN and infinity become None).

        The display, which repeats the input, is left out.
        """
        names = [item.name for item in dataclasses.fields(self) if item.name != "display"]
        record = {name: _plain(getattr(self, name)) for name in names}
        return {**record, "warnings": list(self.warnings)}

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the record as ``.npz``: arrays bit for bit, the rest as JSON, nothing pickled.

        Raises
        ------
        StorageError
            The file could not be written; nothing half-written is left.
        """
        arrays: dict[str, Array] = {}
        record: Document = {"format": _FORMAT}

        def put(array: Array) -> dict[str, str]:
            if array.dtype.hasobject:
                raise TypeError("an explanation holds numbers and text; objects would have to be pickled")
            name = f"a{len(arrays)}"
            arrays[name] = array
            return {"array": name}

        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if item.name == "display":
                record[item.name] = {key: {**vars(one), "array": put(one.array)} for key, one in value.items()}
            elif isinstance(value, np.ndarray):
                record[item.name] = put(value)
            elif isinstance(value, dict) and item.name not in _WORDS:
                record[item.name] = {"arrays": {key: put(array) for key, array in value.items()}}
            else:
                record[item.name] = value
        text = np.frombuffer(json.dumps(record, sort_keys=True, default=_unboxed).encode(), dtype=np.uint8)

        def write(stream: BinaryIO) -> None:
            save: Any = np.savez_compressed  # its own options would be mistaken for arrays
            save(stream, **{_RECORD: text}, **arrays)

        return write_whole(path, write)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Explanation:
        """Read a record that :meth:`save` wrote.

        Raises
        ------
        DataError
            The file is missing or is not such a record.
        """
        try:
            # np.load leaves a file open that it opened and cannot read.
            with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
                record = json.loads(archive[_RECORD].tobytes())
                if record["format"] != _FORMAT:
                    raise DataError(f"{path} was written by another version of xaionnx. Make it again.")
                del record["format"]
                shown = record.pop("display", {})
                for name in record.keys() - set(_WORDS):
                    value = record[name]
                    if isinstance(value, dict) and "array" in value:
                        record[name] = archive[value["array"]]
                    elif isinstance(value, dict) and "arrays" in value:
                        record[name] = {key: archive[entry["array"]] for key, entry in value["arrays"].items()}
                return cls(**record, display={key: _display(one, archive) for key, one in shown.items()})
        except FileNotFoundError as error:
            raise DataError(f"There is no file {path}.") from error
        except OSError as error:
            raise DataError(f"Cannot read {path}: {error.strerror or error}.") from error
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"{path} is not an explanation saved by xaionnx. Save one with -o NAME.npz.") from error


def _display(told: dict[str, Any], archive: Mapping[str, Array]) -> Display:
    size = None if told["size"] is None else (told["size"][0], told["size"][1])
    array = archive[told["array"]["array"]]
    return Display(told["kind"], array, tuple(told["names"]), told["channel"], size)


def _each(arrays: Arrays, of: Any) -> Arrays:
    return {name: of(array) for name, array in arrays.items()} if isinstance(arrays, dict) else of(arrays)


def _plain(value: Any) -> Any:  # of a record
    """Arrays as lists, numpy's numbers as Python's, and None for what JSON cannot hold."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray) and value.dtype.kind == "f" and not np.isfinite(value).all():
        finite = value.astype(object)
        finite[~np.isfinite(value)] = None
        return finite.tolist()
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _unboxed(value: Any) -> Any:  # of a record
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise TypeError(f"a record cannot hold a {type(value).__name__}")


def _pictures(name: str) -> ModuleType:
    """A package of pictures, found by name as methods are: pictures are made of results, and import this module."""
    return importlib.import_module(name)
