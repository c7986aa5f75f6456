"""The time of a series: when its steps are, and how a reader writes it."""

from __future__ import annotations

import datetime
import math
import re
from dataclasses import dataclass
from typing import Final, final

from xaionnx.errors import ParameterError

# Seconds of the units in which a step may be given if the first step has a date.
_SECONDS: Final = {
    "ms": 1e-3,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "day": 86400.0,
    "days": 86400.0,
    "week": 604800.0,
    "weeks": 604800.0,
}
_LONG: Final = {"s": "seconds", "ms": "milliseconds", "min": "minutes", "h": "hours", "d": "days"}
_STEP: Final = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)?\s*([^\W\d_][\w/%µ]*)\s*")


@final
@dataclass(frozen=True)
class TimeAxis:
    """When the steps of a series are.

    Attributes
    ----------
    step : float
        Time from one step to the next, in units.
    unit : str
        Such as ``s`` or ``h``; empty if time is counted in steps.
    start : float or str
        Time of the first step in units, or its date and time in ISO 8601.

    Examples
    --------
    >>> TimeAxis(1 / 16000, "s").span(8000, 12000)
    '0.50-0.75 s'
    >>> TimeAxis(1, "h", "2024-03-01").span(6, 12)
    '2024-03-01 06:00-12:00'
    >>> TimeAxis().span(12, 16), TimeAxis().span(12, 13)
    ('12-15', '12')
    """

    step: float = 1.0
    unit: str = ""
    start: float | str = 0.0

    @classmethod
    def of(cls, rate: float | None, step: str | None, start: float | str | None) -> TimeAxis | None:
        """Return the axis that a spec states; None if it states nothing.

        Raises
        ------
        ParameterError
            The step is not a number with a unit, or the start is no date and time.
        """
        if rate is None and step is None:
            return None if start is None or isinstance(start, str) else cls(start=float(start))
        size, unit = (1 / rate, "s") if rate is not None else _read_step(step or "")
        if isinstance(start, str):
            _read_date(start)
            if unit not in _SECONDS:
                raise ParameterError(
                    f"The 'start' parameter of InputSpec is a date, so 'step' must be in {', '.join(_SECONDS)}. "
                    f"Got {step!r} instead."
                )
        return cls(size, unit, 0.0 if start is None else start)

    @property
    def label(self) -> str:
        """The title of the axis in a picture."""
        if not self.unit:
            return "time step"
        return "time" if isinstance(self.start, str) else f"time in {_LONG.get(self.unit, self.unit)}"

    @property
    def dated(self) -> bool:
        """Whether steps have dates."""
        return isinstance(self.start, str)

    def at(self, step: float) -> float:
        """Return the time of a step in units, counted from the first step if that has a date."""
        return (0.0 if isinstance(self.start, str) else self.start) + step * self.step

    def date(self, step: float) -> datetime.datetime:
        """Return the date and time of a step, for axes with dates."""
        return _read_date(str(self.start)) + datetime.timedelta(seconds=step * self.step * _SECONDS[self.unit])

    def span(self, first: int, stop: int) -> str:
        """Return the steps from ``first`` up to ``stop``, which is no part of them, in words."""
        if isinstance(self.start, str):
            try:
                return self._dates(first, stop)
            except OverflowError:
                # After the year 9999.
                return TimeAxis(self.step, self.unit).span(first, stop)
        if not self.unit:
            low, high = (f"{self.at(step):g}" for step in (first, stop - 1))
            return low if stop - first == 1 else f"{low}-{high}"
        if stop - first == 1:
            return f"{self.at(first):g} {self.unit}"
        return f"{_joined(*_alike(self.at(first), self.at(stop)))} {self.unit}"

    def words(self, first: int, stop: int) -> str:
        """Return :meth:`span`, led by ``step`` or ``steps`` where it is numbers alone."""
        return self.counted(self.span(first, stop), several=stop - first > 1)

    def counted(self, spans: str, *, several: bool) -> str:
        """Return the words of spans, led by ``step`` or ``steps`` where they are numbers alone."""
        return spans if self.unit or self.dated else f"{'steps' if several else 'step'} {spans}"

    def _dates(self, first: int, stop: int) -> str:
        """The dates, or times, from the start of step ``first`` to the end of the last one, as a reader writes them."""
        whole = self.step * _SECONDS[self.unit] >= _SECONDS["d"]
        if whole:
            low, high = (f"{self.date(step):%Y-%m-%d}" for step in (first, stop - 1))
            return low if stop - first == 1 else f"{low} to {high}"
        start, end = self.date(first), self.date(stop)
        if start.time() == end.time() == datetime.time() and stop - first > 1:
            last = f"{end - datetime.timedelta(days=1):%Y-%m-%d}"
            return last if (end - start).days == 1 else f"{start:%Y-%m-%d} to {last}"
        fine = "%H:%M" if self.step * _SECONDS[self.unit] >= _SECONDS["min"] else "%H:%M:%S"
        low = f"{start:%Y-%m-%d} {start:{fine}}"
        if stop - first == 1:
            return low
        return f"{low}-{end:{fine}}" if start.date() == end.date() else f"{low} to {end:%Y-%m-%d} {end:{fine}}"


def _read_step(text: str) -> tuple[float, str]:
    found = _STEP.fullmatch(text)
    size = float(found[1] or 1) if found else 0.0
    if found is None or not 0 < size < math.inf:
        raise ParameterError(
            f"The 'step' parameter of InputSpec must be a number above 0 with a unit, such as '1 h' or '0.5 s'. "
            f"Got {text!r} instead."
        )
    return size, found[2]


def _read_date(text: str) -> datetime.datetime:
    try:
        return datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise ParameterError(
            f"The 'start' parameter of InputSpec must be a number or a date and time such as '2024-03-01 06:00'. "
            f"Got {text!r} instead."
        ) from error


def _alike(low: float, high: float) -> tuple[str, str]:
    """Two numbers with as many decimals as tell them apart to about a hundredth of their difference."""
    decimals = max(0, 1 - math.floor(math.log10(high - low))) if high > low else 3
    return f"{low:.{decimals}f}", f"{high:.{decimals}f}"


def _joined(low: str, high: str) -> str:
    if "." in low and float(low).is_integer() and float(high).is_integer():
        low, high = low.partition(".")[0], high.partition(".")[0]
    return f"{low} to {high}" if low.startswith("-") or high.startswith("-") else f"{low}-{high}"
