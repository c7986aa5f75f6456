"""The standard table: one rule an op, gathered from the files of :mod:`xaionnx.autodiff.rules`."""

from __future__ import annotations

import importlib
import pkgutil
from types import MappingProxyType

from xaionnx.autodiff import rules
from xaionnx.autodiff.rule import Table, registered


def _gathered() -> Table:
    for module in pkgutil.iter_modules(rules.__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"{rules.__name__}.{module.name}")
    return MappingProxyType(dict(sorted(registered.items())))


# Another table is this one with some rules swapped: ``STANDARD | {"Relu": guided_relu}``.
STANDARD: Table = _gathered()
