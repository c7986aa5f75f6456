"""Captions: notes, and one line on how a result was computed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

from xaionnx.caveats import number
from xaionnx.explanation import Explanation
from xaionnx.render.colours import number_words
from xaionnx.render.headings import method_words
from xaionnx.render.page import Caption
from xaionnx.render.settings import against, approximations, facts, gap, guessed_axes, left_as_is, replacement
from xaionnx.typing import Document

# A gap of this share and more is in every caption.
_NOTABLE: Final = 0.01

_SEPARATOR: Final = "\N{NO-BREAK SPACE}· "


def made_by(one: Explanation, *, alone: bool = True) -> str:
    """One line on how it was computed: method, parameters, features, baseline, approximations, evaluations, fit, model.

    ``alone`` is whether the line describes a single sample, so that it can name the classes it was compared with.
    """
    off = gap(one)
    # The gap is reported with the steps used, not with those requested.
    parts = [
        method_words(one),
        *(fact for fact in facts(one) if not (off and fact.startswith(("steps ", "max steps ")))),
    ]
    parts += [str(one.provenance["slice"])] if "slice" in one.provenance else []
    parts += guessed_axes(one)
    parts += left_as_is(one)
    parts += approximations(one)
    parts += against(one) if alone else []
    spent, fit = (number(one, name) for name in ("evaluations", "r2"))
    if spent is not None:
        parts.append(f"{spent:.0f} evaluation{'' if spent == 1 else 's'}")
    parts += off
    if fit is not None:
        parts.append(f"R² {number_words(fit)}")
    if "model" in one.provenance:
        parts.append(str(one.provenance["model"]))
    return _SEPARATOR.join(parts)


def made_by_in_short(one: Explanation) -> str:
    """One short line on how it was computed: method, baseline, classes that it was compared with, gap, model.

    Steps that are not exact are named, since they may change what the picture means.
    """
    given: Document = one.provenance.get("parameters", {})
    parts = [method_words(one)]
    parts += replacement(given)
    parts += [str(one.provenance["slice"])] if "slice" in one.provenance else []
    parts += [*guessed_axes(one), *left_as_is(one), *approximations(one), *against(one)]
    parts += gap(one) if (number(one, "relative_gap") or 0) > _NOTABLE else []
    parts += [str(one.provenance["model"])] if "model" in one.provenance else []
    return _SEPARATOR.join(parts)


def caption(one: Explanation, notes: Sequence[str], details: Sequence[str] = ()) -> Caption:
    """The caption of a picture of one sample: its notes, further details, and how it was computed."""
    return Caption(list(filter(None, notes)), made_by_in_short(one), list(filter(None, details)), made_by(one))


def caption_of_rows(result: Explanation, notes: Sequence[str], details: Sequence[str] = ()) -> Caption:
    """The caption of a picture of all rows; evaluations are those of all of them."""
    first = result.sample(0)
    spent = result.diagnostics.get("evaluations")
    total = sum(spent) if isinstance(spent, list) and len(spent) == result.samples else None
    whole = dataclasses.replace(
        first,
        diagnostics={} if total is None else {"evaluations": [total]},
        provenance={key: value for key, value in first.provenance.items() if key != "input_sha256"},
    )
    return Caption(
        list(filter(None, notes)), made_by_in_short(whole), list(filter(None, details)), made_by(whole, alone=False)
    )
