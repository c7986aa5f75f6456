"""Types shared by the whole package: arrays, and the shorthand that users may write."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import os

    from xaionnx.autodiff import Gradient
    from xaionnx.data.inputs import Given
    from xaionnx.explainer import Explainer
    from xaionnx.gradients.finite_differences import FiniteDifferences
    from xaionnx.masker import Masker
    from xaionnx.patterns import Patterns
    from xaionnx.perturb.baseline import Baseline
    from xaionnx.perturb.features import Features
    from xaionnx.runtime.model import Model
    from xaionnx.targets.target import Target

# Any shape and element type; docstrings state them where they are fixed.
Array: TypeAlias = npt.NDArray[Any]
# Any: single and double precision.
Floats: TypeAlias = npt.NDArray[np.floating[Any]]
# By input name, batch axis first.
Feeds: TypeAlias = Mapping[str, Array]
# By the name of a tensor; None where a size is not known, or is free.
Shapes: TypeAlias = Mapping[str, Sequence[int | None]]

MOST_AXES: Final = 64
"""The most axes that an array of numpy has."""

# Accepted values: see the function that reads them, such as Target.of.
ModelLike: TypeAlias = "Model | str | os.PathLike[str]"
InputLike: TypeAlias = "Given"
MethodLike: TypeAlias = "Explainer | str"
# Several targets are a list. Lists are invariant for a type checker, so the alias says Sequence; Target.of refuses
# tuples.
TargetLike: TypeAlias = "Target | int | str | Array | Sequence[Target | int | str] | None"
BaselineLike: TypeAlias = "Baseline | npt.ArrayLike | Mapping[str, BaselineLike] | None"
FeaturesLike: TypeAlias = "Features | npt.ArrayLike | Mapping[str, FeaturesLike] | None"
GradientLike: TypeAlias = "FiniteDifferences | Gradient | Model | str | os.PathLike[str]"
HierarchyLike: TypeAlias = "FeaturesLike | Sequence[FeaturesLike]"
LabelsLike: TypeAlias = "npt.ArrayLike | str | os.PathLike[str] | None"
MaskerLike: TypeAlias = "Masker | str | os.PathLike[str] | None"
# A scorer of scikit-learn, or its name.
MetricLike: TypeAlias = "str | Callable[..., float] | None"
NeuronLike: TypeAlias = "Target | str | None"
NoiseLike: TypeAlias = "float | Mapping[str, float]"
PairsLike: TypeAlias = "Sequence[tuple[str | int, ...]] | None"
PatternsLike: TypeAlias = "Patterns | str | os.PathLike[str] | Array | Feeds | None"
RowsLike: TypeAlias = "npt.ArrayLike | Mapping[str, npt.ArrayLike] | None"
BackgroundLike: TypeAlias = "RowsLike | os.PathLike[str]"
# Value of an entry in a record, a JSON document or a TOML file: a number, a string, or nested lists and mappings of
# them. Which one depends on the name of the entry.
Entry: TypeAlias = Any
Document: TypeAlias = dict[str, Entry]
# The same, read-only.
Facts: TypeAlias = Mapping[str, Entry]
# numpy's type of an element type is generic.
DType: TypeAlias = np.dtype[Any]
