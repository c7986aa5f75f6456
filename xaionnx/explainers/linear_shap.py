"""Exact Shapley values of linear models, from the weights in the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from xaionnx.explainers._additive.explainer import SumExplainer


@final
@dataclass(frozen=True, kw_only=True)
class LinearShap(SumExplainer):
    """Weights times the distance from the mean of the background, of a model that the graph shows to be linear::

        phi_i = w_i (x_i - mean of x_i over background rows)

    These are the exact interventional Shapley values. Scalers ahead and links behind (sigmoid, softmax, exponential)
    are part of a linear model: what is explained is the sum ahead of the link, a logit or logarithm.

    Parameters
    ----------
    background : rows of data, optional
        Absent features take their values from them; only their mean counts. By default the explained rows themselves.

    Notes
    -----
    When to use: LinearRegressor, LinearClassifier, and Gemm or MatMul of the inputs, with scalers.

    When not to use: Any other model; ``additive_shap`` for sums of functions of single columns, such as linear models
    behind encoders.

    References
    ----------
    Lundberg and Lee, A unified approach to interpreting model predictions, NeurIPS 2017, arXiv:1705.07874,
    corollary 1.

    Raises
    ------
    UnsupportedModelError
        The output, or what its link is applied to, is not a linear function of the inputs.
    ParameterError
        There is no background to compare with.

    Examples
    --------
    >>> import numpy as np
    >>> from models import planted
    >>> model = planted.load(planted.linear([[1.0, 2.0, -3.0]]))
    >>> LinearShap(background=np.zeros((1, 3))).attribute(model, np.float32([[3, 2, 1]])).values
    array([[ 3.,  4., -3.]], dtype=float32)
    """

    reference: ClassVar[str] = "Lundberg and Lee 2017, arXiv:1705.07874"
    linear: ClassVar[bool] = True
