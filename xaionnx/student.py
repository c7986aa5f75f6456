"""Standard errors that hold for few draws."""

from __future__ import annotations

from functools import cache

_LEVEL = 0.975


@cache
def student(degrees: int) -> float:
    """Return the factor by which a standard error from few draws is widened.

    A variance from n draws is itself uncertain: a mean lies within 1.96 of its standard errors in 95 % of all cases
    only if n is large, and in 90 % for n = 8. Widened by the ratio of the quantiles of Student's t and the normal
    distribution, 1.96 standard errors hold in 95 % for any n.

    Parameters
    ----------
    degrees : int
        Degrees of freedom of the variance, n - 1 for a mean.

    References
    ----------
    Student, The probable error of a mean, Biometrika 6, 1908, doi:10.1093/biomet/6.1.1.

    Examples
    --------
    >>> round(student(7), 3), round(student(999), 3)
    (1.206, 1.001)
    """
    from scipy import stats

    return float(stats.t.ppf(_LEVEL, max(degrees, 1)) / stats.norm.ppf(_LEVEL))
