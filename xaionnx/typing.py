"""Types that every room shares: arrays, and the shorthand that people may write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy.typing as npt

if TYPE_CHECKING:
    import os

    from xaionnx.autodiff import Gradient
    from xaionnx.data.inputs import Given
    from xaionnx.explainer import Explainer
    from xaionnx.gradients.finite_differences import FiniteDifferences
    from xaionnx.patterns import Patterns
    from xaionnx.perturb.baseline import Baseline
    from xaionnx.perturb.features import Features
    from xaionnx.runtime.model import Model
    from xaionnx.targets.target import Target

# Of any shape and element type; docstrings give them where they are fixed.
Array: TypeAlias = npt.NDArray[Any]
# By input name, batch axis first.
Feeds: TypeAlias = Mapping[str, Array]

# What may be given for each: see the function that reads it, such as Target.of.
ModelLike: TypeAlias = "Model | str | os.PathLike[str]"
InputLike: TypeAlias = "Given"
MethodLike: TypeAlias = "Explainer | str"
TargetLike: TypeAlias = "Target | int | str | Array | list[TargetLike] | None"
BaselineLike: TypeAlias = "Baseline | npt.ArrayLike | Mapping[str, BaselineLike] | None"
FeaturesLike: TypeAlias = "Features | npt.ArrayLike | Mapping[str, npt.ArrayLike] | None"
GradientLike: TypeAlias = "FiniteDifferences | Gradient | Model | str | os.PathLike[str]"
PatternsLike: TypeAlias = "Patterns | str | os.PathLike[str] | Array | Feeds | None"
