"""Engines: where the shards of a run are done."""

from xaionnx.runs.engines.engine import Engine, Lost, Pool
from xaionnx.runs.engines.in_process import InProcess
from xaionnx.runs.engines.processes import Processes
from xaionnx.runs.engines.ray_actors import RayActors

__all__ = ["Engine", "InProcess", "Lost", "Pool", "Processes", "RayActors"]
