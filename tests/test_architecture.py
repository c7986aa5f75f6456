"""The house: imports go one way, nothing heavy is loaded early, files stay short, and the version is told once."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import xaionnx

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path for top in ("xaionnx", "kernels/xaionnx_kernels", "cli/xaionnx_cli") for path in (ROOT / top).rglob("*.py")
)

TESTS = sorted((ROOT / "tests").rglob("*.py"))

# Each floor may import from itself and from the floors before it.
FLOORS = [
    ["xaionnx_kernels"],
    ["xaionnx.errors", "xaionnx.typing", "xaionnx.version", "xaionnx.parameters"],
    ["xaionnx.loading"],
    ["xaionnx.graph"],
    ["xaionnx.data"],
    ["xaionnx.runtime"],
    ["xaionnx.targets"],
    ["xaionnx.autodiff", "xaionnx.perturb"],
    ["xaionnx.layers"],
    ["xaionnx.gradients"],
    ["xaionnx.explanation", "xaionnx.explainer"],
    ["xaionnx.discovery", "xaionnx.patterns"],
    ["xaionnx.explainers"],
    ["xaionnx.compilation"],
    ["xaionnx"],
    ["xaionnx_cli"],
]  # fmt: skip


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[1:] if parts[0] in ("kernels", "cli") else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def floor(module):
    best = [
        (len(room), level)
        for level, rooms in enumerate(FLOORS)
        for room in rooms
        if module == room or module.startswith(f"{room}.")
    ]
    assert best, f"{module} stands on no floor"
    return max(best)[1]


def imported(path, package):
    """Modules of ours that a file imports when it runs; those for the type checker alone don't count."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0].startswith("xaionnx"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0].startswith("xaionnx"):
            assert node.level == 0
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                exists = (ROOT / inner.replace(".", "/")).with_suffix(".py").exists()
                exists |= (ROOT / inner.replace(".", "/")).is_dir()
                yield inner if exists else node.module


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_go_one_way(path):
    module = module_name(path)
    for other in imported(path, module):
        if module.startswith("xaionnx.render"):
            # Pictures are made from results alone.
            assert other in (
                "xaionnx.explanation",
                "xaionnx.errors",
                "xaionnx.typing",
                "xaionnx.data.storage",
            ) or other.startswith("xaionnx.render")
        elif other.startswith("xaionnx.render"):
            assert module.startswith("xaionnx_cli")
        else:
            assert floor(other) <= floor(module), f"{module} imports {other}, which stands above it"


@pytest.mark.parametrize("path", [p for p in SOURCES if "kernels" in p.parts], ids=module_name)
def test_kernels_import_numpy_and_numba_alone(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            root = name.split(".")[0]
            assert root in ("numpy", "numba", "xaionnx_kernels") or root in sys.stdlib_module_names


@pytest.mark.parametrize("path", SOURCES + TESTS, ids=module_name)
def test_no_file_has_two_rooms_in_it(path):
    assert len(path.read_text().splitlines()) <= 400


def test_nothing_heavy_is_loaded_before_it_is_needed():
    heavy = ("matplotlib", "skimage", "sklearn", "scipy", "onnx_ir", "numba", "rich")
    code = f"import sys, xaionnx; print([m for m in {heavy} if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"


def test_exports_exist_and_are_documented():
    for name in set(xaionnx.__all__) - {"__version__"}:
        assert getattr(xaionnx, name).__doc__, name


def test_the_changelog_knows_the_version():
    assert f"## [{xaionnx.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "version" in project["dynamic"]


def test_every_error_stands_in_the_tree():
    from xaionnx import errors

    tree = errors.__doc__
    for name, item in vars(errors).items():
        if isinstance(item, type) and issubclass(item, Exception):
            assert re.search(rf"\b{name}\b", tree), name
