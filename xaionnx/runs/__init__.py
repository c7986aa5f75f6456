"""Runs: the explanations of whole data sets, in folders that are resumed, shared and merged."""

from xaionnx.runs.engines import Engine, InProcess, Processes, RayActors
from xaionnx.runs.run import Run
from xaionnx.runs.start import explain_all

__all__ = ["Engine", "InProcess", "Processes", "RayActors", "Run", "explain_all"]
