"""The sum of the elements of a tensor that a function of its values chooses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np

from xaionnx.errors import AbsentTargetError, ParameterError
from xaionnx.runtime.model import Model
from xaionnx.targets.scores import flat
from xaionnx.targets.selection import TargetTerm, padded_elements
from xaionnx.targets.target import Target
from xaionnx.typing import Array


@final
@dataclass(frozen=True, eq=False)
class Where(Target):
    """The sum of the elements that ``choose`` returns for the tensor's values at the input."""

    choose: Callable[[Array], Array]
    output: str | None = None

    def __repr__(self) -> str:
        return f"Where(choose={_name(self.choose)}, output={self.output!r})"

    @property
    def follows(self) -> bool:
        return True

    def terms(self, output: Array, model: Model) -> list[TargetTerm]:
        tensor = self.tensor(model)
        # A copy: the function may write to its argument, and the outputs are used again.
        indices, weights = padded_elements(self._mask(output, np.asarray(self.choose(output.copy())), tensor))
        counts = np.count_nonzero(weights, axis=1)
        names = [
            _element(tensor, int(row[0]), output.shape[1:])
            if count == 1
            else f"sum of {count} elements of {tensor} by {_name(self.choose)}"
            for row, count in zip(indices, counts, strict=True)
        ]
        return [TargetTerm(tensor, "identity", indices, weights, tuple(names))]

    def _mask(self, output: Array, found: Array, tensor: str) -> Array:
        """The chosen elements of each sample as a bool array (N, S)."""
        size = flat(output).shape[1]
        if found.dtype == np.bool_ and found.shape == output.shape:
            mask = flat(found)
            empty = ~mask.any(axis=1)
            if not empty.any():
                return mask
            raise AbsentTargetError(
                f"The function of Target.where chooses nothing of '{tensor}' for sample {int(empty.argmax())}."
            )
        if found.dtype.kind in "iu" and found.shape == output.shape[:1]:
            if ((found >= 0) & (found < size)).all():
                return np.asarray(np.arange(size) == found[:, None])
            raise ParameterError(
                f"The function of Target.where must return ints in [0, {size - 1}] for '{tensor}'. Got {found} instead."
            )
        raise ParameterError(
            f"The function of Target.where must return a bool array of the shape {output.shape} of '{tensor}', True "
            "for the elements to add up, or one int per sample, an element of the flattened tensor. Got "
            f"{found.dtype} of shape {found.shape} instead."
        )


def _element(tensor: str, element: int, shape: tuple[int, ...]) -> str:
    return f"{tensor}[{', '.join(str(int(i)) for i in np.unravel_index(element, shape))}]"


def _name(function: Callable[..., object]) -> str:
    """The name of a function, without its address."""
    return str(getattr(function, "__name__", type(function).__name__))
