"""A graph with nodes in front that write its inputs and nodes behind that read the target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from xaionnx.graph.builder import Builder

if TYPE_CHECKING:
    import onnx

    from xaionnx.perturb.removal import Removal
    from xaionnx.selection import Selection

OUTPUT = "xaionnx_values"
