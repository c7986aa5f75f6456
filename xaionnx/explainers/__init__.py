"""The methods, a file each, and the bases that a method of your own builds on."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xaionnx.explainers._cams.cam import CamExplainer
    from xaionnx.explainers._cams.gradient_cam import CamFormula, GradientCamExplainer
    from xaionnx.explainers._games.game import FeatureExplainer, GameExplainer, GameResult
    from xaionnx.explainers._games.sampling import SamplingExplainer
    from xaionnx.explainers._gradients.compilable import Compilable, Emitted, Rows, Traced
    from xaionnx.explainers._gradients.gradient import GradientExplainer, LayerExplainer, Points

__all__ = [
    "CamExplainer",
    "CamFormula",
    "Compilable",
    "Emitted",
    "FeatureExplainer",
    "GameExplainer",
    "GameResult",
    "GradientCamExplainer",
    "GradientExplainer",
    "LayerExplainer",
    "Points",
    "Rows",
    "SamplingExplainer",
    "Traced",
]

# Loaded when they are asked for: a method by removal needs no gradients.
_MODULES = {
    "CamExplainer": "_cams.cam",
    "CamFormula": "_cams.gradient_cam",
    "Compilable": "_gradients.compilable",
    "Emitted": "_gradients.compilable",
    "FeatureExplainer": "_games.game",
    "GameExplainer": "_games.game",
    "GameResult": "_games.game",
    "GradientCamExplainer": "_cams.gradient_cam",
    "GradientExplainer": "_gradients.gradient",
    "LayerExplainer": "_gradients.gradient",
    "Points": "_gradients.gradient",
    "Rows": "_gradients.compilable",
    "SamplingExplainer": "_games.sampling",
    "Traced": "_gradients.compilable",
}


def __getattr__(name: str) -> Any:  # a class or a function
    if name not in _MODULES:
        raise AttributeError(f"module 'xaionnx.explainers' has no attribute '{name}'")
    return getattr(importlib.import_module(f"xaionnx.explainers.{_MODULES[name]}"), name)
