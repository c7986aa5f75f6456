"""Exact Shapley values of sums of terms of few features: additive models, explainable boosting machines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from xaionnx.explainers._additive.explainer import SumExplainer


@final
@dataclass(frozen=True, kw_only=True)
class AdditiveShap(SumExplainer):
    """Exact Shapley values of a model that adds terms of one to three features each, which the graph shows::

        f(x) = c + sum over terms of g_k(x_i, x_j, ...)
        term of one feature       phi_i = g(x_i) - mean of g over background rows
        term of two features      each has half of what they do together

    The terms are found by going back from the output as long as the graph adds, scales and reshapes; which columns a
    term reads follows from the ops ahead of it. So explainable boosting machines, generalised additive models, splines,
    and linear models behind encoders are explained exactly from the file: terms of one feature at one evaluation a row,
    terms of several at one for each background row and feature of theirs.

    What is explained is the sum ahead of a sigmoid, softmax or exponential: a logit or logarithm.

    Parameters
    ----------
    background : rows of data, optional
        Absent features take their values from them, all of the rows together. By default the explained rows themselves.

    Notes
    -----
    When to use: Explainable boosting machines, additive and linear models, and pipelines that end in one.

    When not to use: Models whose terms join more than three features: ``tree_shap`` for forests, else ``kernel_shap``.
    Probabilities behind a link.

    References
    ----------
    Lundberg and Lee, A unified approach to interpreting model predictions, NeurIPS 2017, arXiv:1705.07874, section 4.2;
    Lou, Caruana, Gehrke and Hooker, Accurate intelligible models with pairwise interactions, KDD 2013,
    doi:10.1145/2487575.2487579.

    Raises
    ------
    UnsupportedModelError
        A term is computed from more than three features.
    ParameterError
        There is no background to compare with.

    Examples
    --------
    >>> import numpy as np
    >>> from models import planted
    >>> model = planted.load(planted.linear([[1.0, 2.0, -3.0]]))
    >>> AdditiveShap(background=np.float32([[0, 0, 0], [2, 2, 0]])).attribute(model, np.float32([[3, 2, 1]])).values
    array([[ 2.,  2., -3.]], dtype=float32)
    """

    reference: ClassVar[str] = "Lundberg and Lee 2017, arXiv:1705.07874"
    linear: ClassVar[bool] = False
