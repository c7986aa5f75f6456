"""Judge: how far the answer of a model is from the wanted one, and which way is nearer."""

from __future__ import annotations

from typing import Final, final

import numpy as np

from xaionnx.autodiff import gradient
from xaionnx.errors import DataError, OutputError, ParameterError, UnknownNameError, UnsupportedModelError
from xaionnx.runtime import progress
from xaionnx.runtime.model import Model
from xaionnx.typing import Array, Feeds

# A class must lead by so much: rounding in other batches does not take it back.
_LEAD: Final = 1e-4
# A score that approaches the goal from below does not reach it: searches aim beyond, by so much for a class, and by so
# large a share of the way for a number.
_AIM: Final = 0.05
_SHARE: Final = 0.01


@final
class Judge:
    """The score of inputs by a model, which is wanted to be at least ``goal``; searches aim at ``aim``.

    For a class the score is its output less the highest other one; for a number, the output less it, with the sign of
    the way there. Without a wanted class it is the highest output of other classes less that of the predicted one.

    Parameters
    ----------
    model : Model
        Of one float input (N, ...), and an output (N, K).
    row : array (...)
        The input that is to change.
    to : int, str, float or None
        The class, by number or label; a number if the output is a single one.
    keep : bool
        Whether the predicted class is wanted, whose score counts then, and ``to`` is None.

    Attributes
    ----------
    own : int
        The predicted class; -1 for a number.

    Raises
    ------
    UnknownNameError
        There is no such class.
    UnsupportedModelError
        The model does not read floats alone, or does not return classes or a number.
    DataError
        The input, or what the model returns for it, has NaN or infinity, from which nothing is far or near.
    """

    def __init__(self, model: Model, row: Array, to: int | str | float | None, keep: bool = False) -> None:
        info, output = model.input(), model.output()
        if len(model.inputs) > 1 or info.dtype.kind != "f":
            raise UnsupportedModelError(
                f"{model.name} does not read one input of numbers: its input '{info.name}' is {info}. Counterfactuals "
                "need one."
            )
        self.model, self.name, self.output = model, info.name, output.name
        self.of_rows = len(info.shape) == 2
        self.evaluations = 0
        self.differentiable = True
        if not np.isfinite(row).all():
            raise DataError(
                f"Input '{info.name}' has NaN or infinity, from which no change has a size. Fill missing values first."
            )
        found = self._outputs(row[None])
        if found.ndim != 2:
            raise UnsupportedModelError(
                f"Output '{output.name}' of {model.name} is {('N', *found.shape[1:])}, not one score a class or one "
                "number, of which counterfactuals are."
            )
        if not np.isfinite(found).all():
            raise OutputError(f"{model.name} returns NaN or infinity for the input, which is no answer to change.")
        self._classes = found.shape[1]
        self.own = int(found[0].argmax()) if self._classes > 1 else -1
        self._class, self._value, self._sign = -1, 0.0, 1.0
        self.goal, self.aim = _LEAD, _AIM
        if self._classes > 1:
            self._class = self.own if to is None else self._number_of(to)
            self._sign = 1.0 if to is not None or keep else -1.0
        elif isinstance(to, str) or to is None:
            raise ParameterError(f"{model.name} returns one number. Give a number as 'to'. Got {to!r} instead.")
        else:
            self._value, self._sign = float(to), 1.0 if found[0, 0] < to else -1.0
            self.goal, self.aim = 0.0, _SHARE * abs(float(to) - float(found[0, 0]))

    def _number_of(self, to: int | str | float) -> int:
        if isinstance(to, float) and not to.is_integer():
            raise UnknownNameError(f"Classes of {self.model.name} are whole numbers or labels. Got {to} instead.")
        number = self.model.input_spec.class_number(to if isinstance(to, str) else int(to))
        if not 0 <= number < self._classes:
            raise UnknownNameError(f"{self.model.name} has {self._classes} classes, from 0. Got {to}.")
        return number

    def words(self, row: Array) -> str:
        """Return the answer of the model: the label of the class, or the number."""
        outputs = self._outputs(row[None])[0]
        if self._classes == 1:
            return f"{float(outputs[0]):.4g}"
        number = int(outputs.argmax())
        return self.model.input_spec.label(number)

    def rivals(self, row: Array, count: int) -> list[int]:
        """Return the classes with the highest outputs but the predicted one."""
        order = np.argsort(-self._outputs(row[None])[0], kind="stable")
        return [int(k) for k in order if k != self.own][:count]

    def scores(self, rows: Array) -> Array:
        """Return the scores (M,) of rows (M, F)."""
        return self._scores(self._outputs(rows))

    def valid(self, rows: Array) -> Array:
        """Return which rows (M,) have the wanted answer."""
        return np.asarray(self.scores(rows) >= self.goal)

    def slope(self, row: Array) -> Array | None:
        """Return the gradient (...) of the score at an input; None if the model has none."""
        if not self.differentiable:
            return None
        try:
            graph = gradient(self.model, self.output, [self.name], sample=self._feeds(row[None]))
        except UnsupportedModelError:
            self.differentiable = False
            return None
        weights = np.zeros((1, self._classes), dtype=np.float32)
        if self._classes > 1:
            outputs = self._outputs(row[None])[0]
            weights[0, self._class] = self._sign
            weights[0, self._rival(outputs)] = -self._sign
        else:
            weights[0, 0] = self._sign
        _, slopes = graph.run(self._feeds(row[None]), weights)
        self.evaluations += 1
        return np.asarray(slopes[self.name][0], dtype=np.float64)

    def _rival(self, outputs: Array) -> int:
        others = outputs.astype(np.float64)
        others[self._class] = -np.inf
        return int(others.argmax())

    def _scores(self, outputs: Array) -> Array:
        wide = outputs.astype(np.float64)
        if self._classes == 1:
            return self._sign * (wide[:, 0] - self._value)
        others = np.delete(wide, self._class, axis=1).max(axis=1)
        return np.asarray(self._sign * (wide[:, self._class] - others))

    def _outputs(self, rows: Array) -> Array:
        self.evaluations += len(rows)
        progress.advance(len(rows))
        return self.model.run(self._feeds(rows), [self.output])[self.output]

    def _feeds(self, rows: Array) -> Feeds:
        return {self.name: rows.astype(self.model.input().dtype)}
