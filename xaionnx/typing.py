"""Types that every room shares: arrays, and the shorthand that people may write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
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
# Several are a list. To a type checker a list of targets is no list of targets and ints, so that it is told of a
# sequence; a tuple is refused when it is read.
TargetLike: TypeAlias = "Target | int | str | Array | Sequence[Target | int | str] | None"
BaselineLike: TypeAlias = "Baseline | npt.ArrayLike | Mapping[str, BaselineLike] | None"
FeaturesLike: TypeAlias = "Features | npt.ArrayLike | Mapping[str, npt.ArrayLike] | None"
GradientLike: TypeAlias = "FiniteDifferences | Gradient | Model | str | os.PathLike[str]"
PatternsLike: TypeAlias = "Patterns | str | os.PathLike[str] | Array | Feeds | None"
# What a record, a JSON document or a TOML file holds: numbers, texts, lists and mappings of them to any depth.
Document: TypeAlias = dict[str, Any]
# The same, to be read alone.
Facts: TypeAlias = Mapping[str, Any]
# numpy's own name for an element type needs the type.
DType: TypeAlias = np.dtype[Any]
