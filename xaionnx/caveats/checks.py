"""All checks of a record, in the order of their warnings."""

from __future__ import annotations

from typing import Final

from xaionnx.caveats.caveat import Check
from xaionnx.caveats.estimates import bad_fit, fits_badly, is_noisy, mostly_noise, shifted_prediction, shifts
from xaionnx.caveats.gradients import (
    computes_otherwise,
    estimated_gradients,
    finite_differences,
    is_differenced,
    looked_up,
    other_arithmetic,
)
from xaionnx.caveats.inputs import guessed_spec, left_out, nan_not_taken, off_scale, own_background, zero_by_default
from xaionnx.caveats.outputs import disagrees, label_disagrees, not_logits
from xaionnx.caveats.searches import lacks_rule, misses_area, no_rule, other_area, stays, still_there
from xaionnx.caveats.sums import (
    hardly_changes,
    has_gap,
    large_gap,
    loses_relevance,
    lost_relevance,
    misses_tolerance,
    small_change,
    unmet_tolerance,
)
from xaionnx.caveats.zeros import all_zero, is_zero

# The most serious first.
CHECKS: Final = (
    Check(all_zero, is_zero),
    Check(no_rule, lacks_rule, alike=False),
    Check(large_gap, has_gap, alike=False),
    Check(small_change, hardly_changes, alike=False),
    Check(still_there, stays, alike=False),
    Check(other_area, misses_area, alike=False),
    Check(lost_relevance, loses_relevance, alike=False),
    Check(mostly_noise, is_noisy, alike=False),
    Check(left_out),
    Check(nan_not_taken),
    Check(zero_by_default),
    Check(own_background),
    Check(bad_fit, fits_badly, alike=False),
    Check(unmet_tolerance, misses_tolerance),
    Check(label_disagrees, disagrees),
    Check(shifted_prediction, shifts, alike=False),
    Check(off_scale),
    Check(guessed_spec),
    Check(not_logits),
    Check(other_arithmetic, computes_otherwise, alike=False),
    Check(estimated_gradients),
    Check(looked_up),
    Check(finite_differences, is_differenced),
)

OF_INPUTS: Final = (Check(nan_not_taken), Check(off_scale), Check(guessed_spec))
"""Checks of the samples, whose warnings hold for any method."""
