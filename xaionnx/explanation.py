"""Explanation: the record of an explained batch."""

from __future__ import annotations

import dataclasses
import importlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Literal, final

import numpy as np

from xaionnx import explanation_file, explanation_frame, explanation_samples, feature_names
from xaionnx.caveats import warnings_of
from xaionnx.data.display import Display
from xaionnx.errors import ParameterError, UnknownNameError
from xaionnx.typing import Array, Document

if TYPE_CHECKING:
    from PIL import Image

Arrays = Array | dict[str, Array]

# What the values of a method may mean; `xaionnx.render.value_kinds` has the captions of pictures.
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
    "contribution": "to the target: positive values raise it, negative values lower it",
    "hindrance": "of the target: positive values lower it, negative values raise it",
    "contrast": "to the target, minus what supports the classes that it is compared with",
    "core": "to the target, minus what its context contributes",
    "importance": "for the target, as a ranking: sizes of contributions, shifted ones, or those of the signal",
    "slope": "of the target with respect to each element",
    "sensitivity": "of the target: sizes of slopes or changes, without direction",
    "spread": "of the values in noisy copies",
    "alone": "the target of a part without the rest",
    "signal": "the pattern in the input that the target depends on, in units of the input",
    "activation": "the values of a layer, independent of the target",
    "component": "the main component of a layer, independent of the target",
    "attention": "paid by the tokens that the head reads, independent of the target",
}

# How many targets the repr shows.
_REPR_TARGETS = 3


@final
@dataclass(frozen=True, eq=False)
class Explanation:
    """The attributions of a batch of N samples, and all that is needed to repeat them.

    For a list of T targets every array below has a leading axis T, except ``features``.

    Attributes
    ----------
    method : str
        Name of the method, as on the command line.
    values : array (N, ...) or dict of arrays by input name
        The attribution, in the shape of the input, or of the layer ``provenance["layer"]``. Each element of a player
        has the player's whole value. If the samples of an input are not on its first axis, ``values``, ``features``
        and ``standard_error`` follow the input, and ``provenance["sample_axes"]`` says where they are, None if the
        input has none and there is a single sample; :meth:`samples_first` moves them.
    target : array of str, (N,)
        The name of the explained scalar, such as ``Egyptian cat (285)``.
    prediction : array (N,)
        The target at the input.
    baseline_prediction : array (N,) or None
        The target with everything removed, if the method evaluated it.
    feature_values : array (N, P) or None
        The value of each player; samples with fewer than P players are padded with NaN.
    features : array of int32, or dict of them by input name, or None
        The number 0..P-1 of each element's player, -1 if it is never removed; broadcasts to the input's shape (N, ...).
    standard_error : array or None
        The standard error of each player's value, in the shape of ``feature_values`` (of ``values`` if that is None).
    maps : dict of arrays
        Further maps, described in the method's docstring.
    diagnostics : dict
        Measures of cost and reliability: evaluations, seconds, completeness gap, fit. A list has one entry per sample.
    provenance : dict
        What the values mean, versions, hashes of model and input, device, seed and resolved parameters.
    display : dict of Display by input name, the explained input first
        A reduced copy of the inputs, over which :meth:`plot` draws; see :mod:`xaionnx.data.display`.

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
        """Method, model, samples, targets, predictions, meaning of the values, cost, and warnings."""
        model = self.provenance.get("model")
        names, scores = self.target.reshape(-1)[:_REPR_TARGETS], self.prediction.reshape(-1)[:_REPR_TARGETS]
        targets = [f"{name} = {score:.4g}" for name, score in zip(names, scores, strict=True)]
        if self.target.size > _REPR_TARGETS:
            targets.append(f"... {self.target.size} in all")
        each = self.values if isinstance(self.values, dict) else {"": self.values}
        shapes = ", ".join(f"{name} {array.shape} {array.dtype}".strip() for name, array in each.items())
        kind = self.value_kind
        means = "" if kind is None else f", {kind}: {MEANINGS.get(kind, '')}"
        several = f", {len(self.target)} targets" if self.several_targets else ""
        together = self.diagnostics.get("samples")
        count = self.samples if together is None else together
        words = f"{count:,} sample{'' if count == 1 else 's'}{'' if together is None else ' together'}"
        lines = [
            f"Explanation by {self.method}{f' of {model}' if model else ''}, {words}{several}",
            f"  target   {'; '.join(targets)}",
            f"  values   {shapes}{means}",
        ]
        evaluations, seconds = self.diagnostics.get("evaluations"), self.diagnostics.get("seconds")
        if isinstance(evaluations, list) and seconds is not None:
            spent = sum(evaluations)
            lines.append(f"  cost     {spent:,} evaluation{'' if spent == 1 else 's'}, {seconds:.3g} s")
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
        """What the values mean, a `ValueKind`; None if the provenance does not record it."""
        return self.provenance.get("value_kind")

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the P features: columns, groups of them, words; ``feature 3`` where nothing names it.

        They are those of ``feature_values``, or of the flattened elements of ``values`` if that is None.

        Examples
        --------
        >>> Explanation("saliency", np.ones((1, 2)), np.array(["y"]), np.ones(1)).feature_names
        ('feature 0', 'feature 1')
        """
        return feature_names.feature_names(self)

    def shown_values(self, n: int) -> tuple[str, ...]:
        """The value of each feature in sample ``n`` as a reader writes it: ``own``, ``48 months``, ``1,169 DM``.

        It is "" where the record does not keep it, as for regions of a photo and samples beyond a large batch's first.

        Raises
        ------
        IndexError
            There is no such sample.
        """
        if not 0 <= n < self.samples:
            raise IndexError(f"no sample {n} in an explanation of {self.samples}")
        return feature_names.shown_values(self, n)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about the values and what to do, one or two sentences each; see :mod:`xaionnx.caveats`."""
        return warnings_of(self)

    def plot(  # noqa: PLR0913 - options of a picture, all by keyword
        self,
        sample: int | str | None = None,
        target: int = 0,
        *,
        kind: str = "auto",
        photo: Array | None = None,
        sign: str = "auto",
        top: int | float | None = None,
        smooth: float | None = None,
        original: bool | str = False,
        input: str | None = None,
        feature: str | int | None = None,
        theme: str = "light",
        details: bool = False,
    ) -> Image.Image:
        """A picture of one sample or all rows: a map over the input, colours behind a series, or a chart of features.

        A notebook shows the Pillow image, and ``.save("cat.png")`` saves it.

        Parameters
        ----------
        sample : int or str, optional
            Index of the sample, or a kind of picture: ``plot("beeswarm")`` is ``plot(kind="beeswarm")``. If None, all
            rows of a table are drawn, or the first sample of anything else.
        target : int
            Index of the target, if there are several.
        kind, photo, sign, top, smooth, original, input, feature, theme, details
            As in :func:`xaionnx.render.picture`. ``photo`` may have a higher resolution than the model's input.

        Returns
        -------
        PIL.Image.Image
            RGB.

        Raises
        ------
        UnknownNameError
            There is no such kind.
        ParameterError
            There is no such sample or target, or a parameter is invalid.
        DataError
            The values are not finite.

        Examples
        --------
        >>> import xaionnx
        >>> image = np.zeros((1, 1, 28, 28), np.float32)
        >>> xaionnx.explain("models/mnist_cnn.onnx", image, "occlusion").plot().mode
        'RGB'
        """
        if isinstance(sample, str):
            if kind not in ("auto", sample):
                raise ParameterError(f"The kind of picture is given twice, as {sample!r} and {kind!r}. Give one.")
            kind = sample
        image: Image.Image = _pictures("xaionnx.render").picture(
            self,
            kind,
            photo=photo,
            input=input,
            sample=None if isinstance(sample, str) else sample,
            target=target,
            sign=sign,
            top=top,
            smooth=smooth,
            original=original,
            feature=feature,
            theme=theme,
            details=details,
        )
        return image

    def _repr_html_(self) -> str:
        text: str = _pictures("xaionnx.render.notebook").html(self)
        return text

    def samples_first(self) -> Explanation:
        """The same record with the samples on the first axis of all arrays."""
        return explanation_samples.samples_first(self)

    def sample(self, n: int, target: int | None = None) -> Explanation:
        """The record of sample ``n`` alone (N = 1), for one target or all; ``seconds`` remain those of the batch.

        The samples are on the first axis of all its arrays.

        Raises
        ------
        IndexError
            There is no such sample or target.
        """
        if not 0 <= n < self.samples or not 0 <= (target or 0) < (len(self.target) if self.several_targets else 1):
            raise IndexError(f"no sample {n} with target {target} in an explanation of {self.target.shape}")
        return explanation_samples.some_samples(self, slice(n, n + 1), target)

    def __getitem__(self, which: int | slice | Sequence[int] | Array | str) -> Explanation:
        """The record of some samples, in the order given, or of one target by its name.

        Parameters
        ----------
        which : int, slice, sequence of int, array of bool (N,), or str
            The samples, as an index of numpy; or the name of a target, as in ``target``, if there are several.

        Raises
        ------
        IndexError
            There is no such sample.
        UnknownNameError
            There is no such target.

        Examples
        --------
        >>> rows = Explanation("lime", np.float32([[1, 4], [3, 0]]), np.array(["y", "y"]), np.array([1.0, 2.0]))
        >>> rows[1].values, rows[::-1].prediction.tolist(), rows[rows.prediction > 1].samples
        (array([[3., 0.]], dtype=float32), [2.0, 1.0], 1)
        """
        if isinstance(which, str):
            return self._of_target(which)
        if isinstance(which, int | np.integer) and not isinstance(which, bool):
            if not -self.samples <= which < self.samples:
                raise IndexError(f"no sample {which} in an explanation of {self.samples}")
            return explanation_samples.some_samples(self, np.array([which % self.samples]), None)
        return explanation_samples.some_samples(self, np.arange(self.samples)[which], None)

    def _of_target(self, name: str) -> Explanation:
        """The record of the target of this name for all samples."""
        rows = self.target if self.several_targets else self.target[None]
        found = [number for number, row in enumerate(rows) if (row == name).all()]
        if not found:
            raise UnknownNameError.among("target of all samples", name, sorted({str(one) for one in rows.flat}))
        if not self.several_targets:
            return self
        return explanation_samples.some_samples(self, slice(None), found[0])

    def to_frame(self, backend: str | None = None, *, long: bool = False) -> Any:  # Any: a frame of any library
        """The values as a frame, with a row for each sample, and for each target if there are several.

        Parameters
        ----------
        backend : {"pandas", "polars", "pyarrow"}, optional
            The library of the frame; the first of them that is installed if None.
        long : bool
            One row for each feature: ``feature``, ``feature_value`` as a reader writes it, ``value``, and
            ``standard_error`` if there is one; instead of one column for each feature.

        Returns
        -------
        frame
            With the columns ``sample``, ``target``, ``prediction`` and, if known, ``base_value`` first.

        Raises
        ------
        ParameterError
            There is no such library, or it is not installed.

        Examples
        --------
        >>> rows = Explanation("lime", np.float32([[1, 4], [3, 0]]), np.array(["y", "y"]), np.array([1.0, 2.0]))
        >>> rows.to_frame("polars").columns
        ['sample', 'target', 'prediction', 'feature 0', 'feature 1']
        """
        return explanation_frame.as_frame(self, backend, long=long)

    def mean(self) -> Explanation:
        """The explanation of the mean of the target over the samples, as one sample (N = 1).

        Methods that are linear in the target, such as ablation, Shapley values and integrated gradients, have the same
        values for one number of a whole batch, such as the mean loss, with a feature removed in all samples at once.
        Samples must have the same features. Standard errors are upper bounds, since samples share their draws.

        Raises
        ------
        ParameterError
            The features differ between samples, as superpixels do.

        Examples
        --------
        >>> rows = Explanation("saliency", np.float32([[1, 4], [3, 0]]), np.array(["y", "y"]), np.array([1.0, 2.0]))
        >>> rows.mean().values, rows.mean().target
        (array([[2., 2.]], dtype=float32), array(['mean of y over 2 samples'], dtype='<U24'))
        """
        return explanation_samples.mean(self)

    def to_dict(self) -> Document:
        """The record and its warnings as plain Python values for JSON (NaN and infinity become None).

        The display, a copy of the input, is left out.
        """
        names = [item.name for item in dataclasses.fields(self) if item.name != "display"]
        record = {name: explanation_file.as_json(getattr(self, name)) for name in names}
        return {**record, "warnings": list(self.warnings)}

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the record as ``.npz``, with exact arrays, the rest as JSON, and nothing pickled.

        Raises
        ------
        StorageError
            The file could not be written; no partial file is left.
        """
        return explanation_file.write(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Explanation:
        """Read a record that :meth:`save` wrote.

        Raises
        ------
        DataError
            The file is missing or is not such a record.
        """
        return explanation_file.read(cls, path)


def _pictures(name: str) -> ModuleType:
    """A module of pictures, imported by name because pictures import this module."""
    return importlib.import_module(name)
