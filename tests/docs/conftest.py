"""Import the hooks of the documentation, which live in docs/hooks."""

import importlib.util
import sys
from pathlib import Path

import pytest

HOOKS = Path(__file__).resolve().parents[2] / "docs" / "hooks"


@pytest.fixture(scope="session")
def hook():
    """Import a module of docs/hooks by its name."""

    def imported(name):
        spec = importlib.util.spec_from_file_location(f"site_{name}", HOOKS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    sys.path.insert(0, str(HOOKS))  # they import each other
    yield imported
    sys.path.remove(str(HOOKS))
