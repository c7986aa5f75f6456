"""Inputs that are searched for: what makes a unit of a model large.

A search follows the gradient graph of an objective, from a parametrisation of the picture through random views of it.
Objectives, parametrisations and optimisers are one file each.
"""

from xaionnx.masker import Masker
from xaionnx.optimization.change import Change, CounterfactualSearch
from xaionnx.optimization.contrast import Contrast, InputSearch, Problem
from xaionnx.optimization.counterfactual_search import (
    COUNTERFACTUALS,
    Case,
    Counterfactual,
    RowSearch,
    counterfactual,
)
from xaionnx.optimization.deep_dream import Dream, dream
from xaionnx.optimization.masker import MaskerTraining, TrainingInterrupted
from xaionnx.optimization.objective import OBJECTIVES, Objective
from xaionnx.optimization.search import Search, SearchInterrupted, visualize
from xaionnx.optimization.visualization import Visualization

__all__ = [
    "COUNTERFACTUALS",
    "OBJECTIVES",
    "Case",
    "Change",
    "Contrast",
    "Counterfactual",
    "CounterfactualSearch",
    "Dream",
    "InputSearch",
    "Masker",
    "MaskerTraining",
    "Objective",
    "Problem",
    "RowSearch",
    "Search",
    "SearchInterrupted",
    "TrainingInterrupted",
    "Visualization",
    "counterfactual",
    "dream",
    "visualize",
]
