"""Baseline: the values that replace removed players.

A baseline gives one array for each sample, or B of them (noise, background rows) over which the outputs are averaged;
every coalition then costs B evaluations.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.data.whole_arrays import whole_array
from xaionnx.errors import InputMismatchError, ParameterError, UnknownNameError
from xaionnx.hooks import hook
from xaionnx.parameters import free
from xaionnx.perturb.by_name import by_input_name, file_form_error, read_option
from xaionnx.perturb.element_types import typed
from xaionnx.perturb.rows import RowsLike, row_arrays
from xaionnx.registry import Form, Registry, Shorthand
from xaionnx.typing import Array, BaselineLike

if TYPE_CHECKING:
    from xaionnx.runtime.model import Model


class Baseline(ABC):
    """The values that replace removed players. Use the constructors, a name, a number or an array.

    Each file of :mod:`xaionnx.perturb.baselines` defines one kind.

    Attributes
    ----------
    forms : tuple of Form
        Text forms of the kind; none by default.
    fixed : bool
        Whether the baseline is the same for every sample of a model.
    arithmetic : bool
        Whether its values are computed from those of the input or of rows, as numbers of tokens cannot be.

    Examples
    --------
    >>> BASELINES.words()[:36]
    'background:file, black, blur[:sigma]'
    """

    forms: ClassVar[tuple[Form[Baseline], ...]] = ()
    fixed: ClassVar[bool] = False
    arithmetic: ClassVar[bool] = False

    @abstractmethod
    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        """Return B arrays for input ``name`` of a sample, in a shape that broadcasts to (B, ...)."""

    @hook
    def bind(self, model: Model) -> Baseline:
        """Return the baseline with files of data read for a model."""
        del model
        return self

    @hook
    def is_shared(self, sample: Sample) -> bool:
        """Whether all samples of the batch of this one have the same baselines."""
        del sample
        return self.fixed

    @property
    @hook
    def weights(self) -> Array | None:
        """The weights (B,) of the baselines in means over them, which sum to 1; None if all are equal."""
        return None

    @hook
    def interpolates(self, name: str) -> bool:
        """Whether absent parts of the input ``name`` are interpolated between the present ones."""
        del name
        return False

    def draws(
        self, sample: Sample, names: tuple[str, ...], seed: int, *, may_interpolate: bool = False
    ) -> dict[str, Array]:
        """Return the baselines of each named input, (B, ...) in the input's type.

        Random values depend only on ``seed`` and the input's name, so that a batch gives the same results as its
        samples one by one.

        Parameters
        ----------
        sample : Sample
        names : tuple of str
        seed : int
        may_interpolate : bool
            Whether the caller interpolates where :meth:`interpolates` says so; the values are then those of a series
            of which nothing is present.

        Raises
        ------
        InputMismatchError, ParameterError
            The baseline does not fit the input's shape or type, or depends on what is present.
        """
        filled = {}
        for name in names:
            x = sample.x[name]
            self.check_tokens(sample, name)
            if self.interpolates(name) and not may_interpolate:
                raise ParameterError(
                    f"baseline='interpolate' needs parts of input '{name}' that are present while others are absent. "
                    "Use it with kernel_shap, lime, feature_ablation, shapley_sampling or occlusion; or use 'mean'."
                )
            values = np.asarray(self.fill(sample, name, np.random.default_rng([seed, zlib.crc32(name.encode())])))
            if values.ndim <= x.ndim:
                values = values[None]
            try:
                shaped = np.broadcast_to(values, (len(values), *x.shape))
            except ValueError as error:
                raise InputMismatchError(
                    f"The baseline has the shape {values.shape[1:]}, which does not fit input '{name}' of shape "
                    f"{('N', *x.shape)}. Give a number, a name, or an array that broadcasts to it."
                ) from error
            filled[name] = typed(shaped, x.dtype, name)
        counts = {name: len(values) for name, values in filled.items()}
        most = max(counts.values())
        if not set(counts.values()) <= {1, most}:
            each = ", ".join(f"{name} {count}" for name, count in counts.items())
            raise InputMismatchError(f"The baselines of several inputs differ in their number of rows: {each}.")
        return {n: np.repeat(v, most, axis=0) if len(v) == 1 < most else v for n, v in filled.items()}

    def check_tokens(self, sample: Sample, name: str) -> None:
        """Check that the baseline does not compute with the numbers of tokens.

        Raises
        ------
        InputMismatchError
            It does.
        """
        text = sample.text if name == sample.main else None
        if self.arithmetic and text is not None and text.file is None:
            raise InputMismatchError(
                f"A baseline of the kind {type(self).__name__} computes with values, and input '{name}' holds tokens, "
                "whose numbers mean nothing. Use 'mask', 'pad', 'unk' or the number of a token, or to remove words "
                "'delete'."
            )

    @classmethod
    def of(cls, given: BaselineLike) -> Baseline:
        """Return the baseline for a shorthand: None (zero), a number, a name, an array, a dict of these, or a Baseline.

        A name may include a number or a file of rows: ``blur:10``, ``constant:0.5``, ``mean:rows.csv``. Text may also
        name inputs: ``picture=blur:10,row=0``.

        Raises
        ------
        UnknownNameError, ParameterError
            The name is unknown, or the value is none of these.
        """
        if isinstance(given, Baseline):
            return given
        if isinstance(given, str):
            return _read_text(given)
        if given is None:
            return cls.zero()
        if isinstance(given, Mapping):
            from xaionnx.perturb.baselines.by_input import ByInput

            return ByInput({name: cls.of(item) for name, item in given.items()})
        array = whole_array(given)
        if array.dtype.kind in "fiub" and array.ndim == 0:
            return cls.constant(array.item())
        if array.dtype.kind in "fiubUTO":
            return cls.picture(array)
        raise ParameterError(
            f"The 'baseline' parameter must be a number, a name, an array or a Baseline. Got {given!r} instead."
        )

    @staticmethod
    def zero() -> Baseline:
        """Zeros in the model's input tensor (the mean colour, if the mean was subtracted)."""
        from xaionnx.perturb.baselines.constant import Constant

        return Constant(0.0)

    @staticmethod
    def constant(value: float) -> Baseline:
        """One number in the model's input tensor."""
        from xaionnx.perturb.baselines.constant import Constant

        return Constant(value)

    @staticmethod
    def black() -> Baseline:
        """Black pixels, as the InputSpec scales them."""
        from xaionnx.perturb.baselines.pixel import Pixel

        return Pixel(0.0)

    @staticmethod
    def white() -> Baseline:
        """White pixels, as the InputSpec scales them."""
        from xaionnx.perturb.baselines.pixel import Pixel

        return Pixel(255.0)

    @staticmethod
    def mean(rows: RowsLike | str | None = None) -> Baseline:
        """The mean of each channel over a picture or series, or of each element over rows of data (B, ...)."""
        from xaionnx.perturb.baselines.average import Average
        from xaionnx.perturb.baselines.mean import Mean

        return Mean() if rows is None else Average(row_arrays(rows))

    @staticmethod
    def median(rows: RowsLike | str) -> Baseline:
        """The median of each element over rows of data (B, ...), such as the columns of a table."""
        from xaionnx.perturb.baselines.average import Average

        return Average(row_arrays(rows), "median")

    @staticmethod
    def blur(sigma: float = 10.0) -> Baseline:
        """The picture after a Gaussian blur of ``sigma`` pixels."""
        from xaionnx.perturb.baselines.blur import Blur

        return Blur(sigma)

    @staticmethod
    def uniform(draws: int = 1) -> Baseline:
        """Uniform noise over the range of values, ``draws`` times."""
        from xaionnx.perturb.baselines.uniform import Uniform

        return Uniform(draws)

    @staticmethod
    def gaussian(share: float = 0.2, draws: int = 1) -> Baseline:
        """The input plus Gaussian noise with a standard deviation of ``share`` times the range of values."""
        from xaionnx.perturb.baselines.gaussian import Gaussian

        return Gaussian(share, draws)

    @staticmethod
    def noise(draws: int = 1) -> Baseline:
        """Gaussian noise with the mean and the deviation of each channel over the sample, ``draws`` times."""
        from xaionnx.perturb.baselines.noise import Noise

        return Noise(draws)

    @staticmethod
    def interpolate() -> Baseline:
        """A straight line across the absent part of a series, between its present neighbours."""
        from xaionnx.perturb.baselines.interpolate import Interpolate

        return Interpolate()

    @staticmethod
    def max_distance() -> Baseline:
        """For each element, the end of the range of values that is farther from it."""
        from xaionnx.perturb.baselines.max_distance import MaxDistance

        return MaxDistance()

    @staticmethod
    def picture(tensor: Array) -> Baseline:
        """Another picture, as an input tensor of the model: for all samples, or one per sample."""
        from xaionnx.perturb.baselines.values import Values

        return Values(np.asarray(tensor))

    @staticmethod
    def shuffle(tile: int = 16) -> Baseline:
        """The picture with its tiles of ``tile`` pixels in random order."""
        from xaionnx.perturb.baselines.shuffle import Shuffle

        return Shuffle(tile)

    @staticmethod
    def background(rows: RowsLike | str) -> Baseline:
        """B rows of data, (B, ...), over which the outputs are averaged (the marginal expectation).

        With several inputs, row b of each belongs to row b of the others: a dict of arrays (B, ...) by input name. A
        path is that of a file with rows, read as samples of the model.
        """
        from xaionnx.perturb.baselines.background import Background

        return Background(row_arrays(rows))


BASELINES: Final[Shorthand[Baseline]] = Shorthand(Registry("baseline", "xaionnx.perturb.baselines", Baseline))


def parameter(help: str) -> BaselineLike:
    """Return a dataclass field for a baseline or its shorthand; ``help`` describes its use."""
    field: BaselineLike = free(
        None,
        "a number, a name such as 'blur', an array or a Baseline",
        lambda: (
            f"{help}: a number, {BASELINES.words()}, an array in a .npy file, or by input name, NAME=BASELINE,...; "
            "if not given zero, or for text a special token of its tokenizer"
        ),
        reader=read_option,
        resolver=Baseline.of,
    )
    return field


def check_positive(owner: str, name: str, value: object, whole: bool) -> None:
    """Raise ParameterError unless ``value`` is a number above 0, and an int if ``whole``."""
    types = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    if not isinstance(value, types) or isinstance(value, bool) or not 0 < value < np.inf:
        domain = "an int in [1, inf)" if whole else "a float in (0, inf)"
        raise ParameterError(f"The '{name}' parameter of {owner} must be {domain}. Got {value!r} instead.")


def _read_text(text: str) -> Baseline:
    if "=" in text:
        return Baseline.of(by_input_name(text, "baseline"))
    try:
        return Baseline.constant(float(text))
    except ValueError:
        pass
    try:
        return BASELINES.read(text)
    except UnknownNameError as error:
        raise file_form_error(error, text, BASELINES.forms().values()) from None
