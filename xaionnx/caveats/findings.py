"""The warnings about a record, or about those of a run added up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from xaionnx.caveats.caveat import Caveat, Finding
from xaionnx.caveats.cells import shape_of
from xaionnx.caveats.checks import CHECKS, OF_INPUTS

if TYPE_CHECKING:
    from xaionnx.explanation import Explanation


def caveats(one: Explanation) -> list[Caveat]:
    """The caveats of one sample and one target (see :meth:`Explanation.sample`), the most serious first."""
    return [caveat for check in CHECKS for caveat in check.of_one(one)]


def warnings_of(explanation: Explanation) -> tuple[str, ...]:
    """The warnings about a result; with several samples or targets, each says how many of them it concerns.

    Examples
    --------
    >>> import numpy as np
    >>> from xaionnx import Explanation
    >>> gaps = {"relative_gap": [0.29, 0.0], "steps": [16, 16]}
    >>> facts = {"parameters": {"steps": 16}}
    >>> e = Explanation("a", np.ones((2, 3)), np.array(["y", "y"]), np.ones(2), diagnostics=gaps, provenance=facts)
    >>> e.warnings[0].partition(". ")[0]
    'In 1 of 2 samples, first in sample 0: The values do not add up: they are off by 29 % of the change in the prediction'
    """  # noqa: E501 - the sentence is one line
    return Findings.of(explanation).sentences(explanation)


def warnings_of_each(explanation: Explanation) -> list[tuple[str, ...]]:
    """The warnings of each of N samples, those of ``explanation.sample(n)``."""
    explanation = explanation.samples_first()
    found = [check.sentences(explanation) for check in CHECKS]
    return [tuple(filter(None, each)) for each in zip(*found, strict=True)]


def warnings_of_inputs(explanation: Explanation) -> tuple[str, ...]:
    """The warnings about what the samples are, which hold for any method."""
    return tuple(filter(None, (check.sentence(explanation.samples_first()) for check in OF_INPUTS)))


@final
@dataclass(frozen=True)
class Findings:
    """What was found in the samples of a record, to be added up over the records of a run.

    Examples
    --------
    >>> import numpy as np
    >>> from xaionnx import Explanation
    >>> e = Explanation("a", np.float32([[0, 0], [1, 0]]), np.array(["y", "y"]), np.ones(2))
    >>> added = Findings.of(e[:1]) + Findings.of(e[1:])
    >>> added == Findings.of(e), added.sentences(e) == e.warnings
    (True, True)
    """

    by_check: tuple[Finding | None, ...]
    targets: int

    @classmethod
    def of(cls, explanation: Explanation) -> Findings:
        """Return those in a record."""
        explanation = explanation.samples_first()
        found = (None if check.concerns is None else check.finding(explanation) for check in CHECKS)
        return cls(tuple(found), shape_of(explanation)[1])

    def __add__(self, other: Findings) -> Findings:
        """Return those in the samples of both, the others after these."""
        pairs = zip(self.by_check, other.by_check, strict=True)
        both = (None if a is None or b is None else a.followed(b, self.targets) for a, b in pairs)
        return Findings(tuple(both), self.targets)

    def sentences(self, whole: Explanation) -> tuple[str, ...]:
        """Return the warnings; ``whole`` has what all samples have in common, and their display."""
        whole = whole.samples_first()
        each = [
            check.sentence(whole) if finding is None else finding.sentence(self.targets)
            for check, finding in zip(CHECKS, self.by_check, strict=True)
        ]
        return tuple(filter(None, each))
