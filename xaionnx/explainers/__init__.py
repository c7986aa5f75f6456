"""The methods, one per file, and the base classes for methods of your own.

A method has one base class, which determines how it works, and mixins that add parameters:

==================== ========================================== ================================================
works by             base                                       mixins
==================== ========================================== ================================================
removing players     :class:`GameExplainer`                     :class:`ByFeatures`, :class:`WithinBudget`
gradients            :class:`GradientExplainer`                 :class:`AtLayer`, :class:`FromBaseline`,
                                                                :class:`Propagation`
maps of a layer      :class:`CamExplainer`                      :class:`ByLayerGradient` with :class:`CamFormula`
                                                                or :class:`ByClassScores`, :class:`ByChannel`
==================== ========================================== ================================================
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xaionnx.explainers._cams.cam import CamExplainer
    from xaionnx.explainers._cams.cam_ops import CamOps, PlanesT
    from xaionnx.explainers._cams.channels import ByChannel
    from xaionnx.explainers._cams.classes import ByClassScores
    from xaionnx.explainers._cams.gradient_cam import ByLayerGradient, CamFormula
    from xaionnx.explainers._closed_forms.graph_values import ClosedForm, GraphValues
    from xaionnx.explainers._games.by_features import ByFeatures
    from xaionnx.explainers._games.game import GameExplainer
    from xaionnx.explainers._games.results import GameResult
    from xaionnx.explainers._games.sampling import WithinBudget
    from xaionnx.explainers._gradients.compilable import ChoosesLayer, Compilable, Emitted, Rows, Traced
    from xaionnx.explainers._gradients.gradient import AtLayer, ByGradient, GradientExplainer, Points
    from xaionnx.explainers._gradients.paths import FromBaseline
    from xaionnx.explainers._gradients.propagation import Propagation

__all__ = [
    "AtLayer",
    "ByChannel",
    "ByClassScores",
    "ByFeatures",
    "ByGradient",
    "ByLayerGradient",
    "CamExplainer",
    "CamFormula",
    "CamOps",
    "ChoosesLayer",
    "ClosedForm",
    "Compilable",
    "Emitted",
    "FromBaseline",
    "GameExplainer",
    "GameResult",
    "GradientExplainer",
    "GraphValues",
    "PlanesT",
    "Points",
    "Propagation",
    "Rows",
    "Traced",
    "WithinBudget",
]

# Imported on first access: explaining by removal does not need gradients.
_MODULES = {
    "AtLayer": "_gradients.gradient",
    "ByChannel": "_cams.channels",
    "ByFeatures": "_games.by_features",
    "ByGradient": "_gradients.gradient",
    "ByLayerGradient": "_cams.gradient_cam",
    "CamExplainer": "_cams.cam",
    "CamFormula": "_cams.gradient_cam",
    "CamOps": "_cams.cam_ops",
    "ByClassScores": "_cams.classes",
    "ChoosesLayer": "_gradients.compilable",
    "ClosedForm": "_closed_forms.graph_values",
    "Compilable": "_gradients.compilable",
    "Emitted": "_gradients.compilable",
    "FromBaseline": "_gradients.paths",
    "GameExplainer": "_games.game",
    "GameResult": "_games.results",
    "GraphValues": "_closed_forms.graph_values",
    "GradientExplainer": "_gradients.gradient",
    "PlanesT": "_cams.cam_ops",
    "Points": "_gradients.gradient",
    "Propagation": "_gradients.propagation",
    "Rows": "_gradients.compilable",
    "Traced": "_gradients.compilable",
    "WithinBudget": "_games.sampling",
}


def __getattr__(name: str) -> Any:  # a class or a function
    if name not in _MODULES:
        raise AttributeError(f"module 'xaionnx.explainers' has no attribute '{name}'")
    return getattr(importlib.import_module(f"xaionnx.explainers.{_MODULES[name]}"), name)
