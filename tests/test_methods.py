"""The methods as typed functions: their results, and how a type checker checks their settings."""

import dataclasses
import inspect
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import xaionnx
from xaionnx import discovery, methods, parameters

ROOT = Path(__file__).parents[1]
X = np.random.default_rng(0).normal(size=(1, 1, 8, 8)).astype(np.float32)


def test_a_function_is_explain_with_the_methods_name():
    model = xaionnx.Model.load(ROOT / "models" / "digits_cnn.onnx")
    found = methods.lime(model, X, 3, budget=60, features="grid:4", seed=2)
    same = xaionnx.explain(model, X, "lime", 3, budget=60, features="grid:4", seed=2)
    np.testing.assert_array_equal(found.values, same.values)
    assert found.provenance["parameters"] == same.provenance["parameters"]


@pytest.mark.parametrize("name", discovery.methods())
def test_every_method_has_a_function_with_its_settings(name):
    settings = list(inspect.signature(getattr(methods, name)).parameters.values())[3:]
    declared = parameters.declared(discovery.method(name))
    assert {setting.name: setting.default for setting in settings} == {
        key: default for key, (_, default) in declared.items()
    }
    assert set(declared) <= set(methods.Settings.__annotations__)


@pytest.mark.slow
def test_the_file_is_what_the_dataclasses_say():
    pytest.importorskip("ruff")
    script = [sys.executable, ROOT / ".ci" / "signatures.py", "--check"]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# mypy checks all of xaionnx, which takes longer than five seconds without a cache.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('methods.lime("m.onnx", x, 3, budget=3, kernel="l2", features="grid:4", baseline=0.5)', None),
        ('methods.lrp("m.onnx", {"x": x}, [1, Target.margin(1, 2)], composite="z_plus")', None),
        ('xaionnx.explain("m.onnx", "cat.png", "lime", budget=3)', None),
        ('xaionnx.explain("m.onnx", x, Lime(budget=3), target="cat")', None),
        ("xaionnx.explain('m.onnx', x, input(), **dict[str, Any]())", None),
        (
            'methods.lime("m.onnx", x, budgett=3)',
            'Unexpected keyword argument "budgett" for "lime"; did you mean "budget"',
        ),
        ('methods.rise("m.onnx", x, kernel="l2")', 'Unexpected keyword argument "kernel" for "rise"'),
        ('methods.lime("m.onnx", x, budget="3")', 'Argument "budget" to "lime" has incompatible type "str"'),
        ('methods.lime("m.onnx", x, kernel="l3")', 'Argument "kernel" to "lime" has incompatible type'),
        ('methods.lime("m.onnx", x, 1.5)', 'Argument 3 to "lime" has incompatible type "float"'),
        ('xaionnx.explain("m.onnx", x, "lime", budgett=3)', 'Unexpected keyword argument "budgett" for "explain"'),
        ('xaionnx.explain("m.onnx", x, Lime(budgett=3))', 'Unexpected keyword argument "budgett" for "Lime"'),
        ('xaionnx.compile("m.onnx", "saliency", absolut=False)', 'Unexpected keyword argument "absolut" for "compile"'),
    ],
)
def test_a_type_checker_names_a_wrong_setting(line, said, checked):
    messages = checked(line)
    assert messages == "" if said is None else said in messages


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """The errors of mypy for a line, from one run over all lines of the test above."""
    [marks] = [m for m in test_a_type_checker_names_a_wrong_setting.pytestmark if m.name == "parametrize"]
    lines = [line for line, _ in marks.args[1]]
    head = [
        "from typing import Any",
        "import numpy as np, xaionnx",
        "from xaionnx import Target, methods",
        "from xaionnx.explainers.lime import Lime",
        "x = np.zeros((1, 1, 8, 8), np.float32)",
    ]
    file = tmp_path_factory.mktemp("typed") / "typed.py"
    file.write_text("\n".join([*head, *lines]) + "\n")
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "kernels", ROOT / "cli")))
    pytest.importorskip("mypy")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--explicit-package-bases", "--follow-imports=silent", file],
        capture_output=True,
        text=True,
        cwd=file.parent,
        check=False,
        env={**os.environ, "MYPYPATH": paths},
    )
    found = done.stdout.splitlines()

    def said(line):
        number = len(head) + 1 + lines.index(line)
        return "\n".join(m for m in found if m.startswith(f"typed.py:{number}:") or f"/typed.py:{number}:" in m)

    return said


def test_settings_are_fields_of_dataclasses():
    # Names that mypy rejects are refused at run time, with the same message by all entry points.
    with pytest.raises(TypeError, match="budgett"):
        methods.lime("m.onnx", X, budgett=3)
    with pytest.raises(
        xaionnx.errors.UnknownNameError, match=r"No parameter of lime named 'budgett'\. Nearest: budget\."
    ):
        xaionnx.explain("m.onnx", X, "lime", budgett=3)
    assert all(dataclasses.is_dataclass(kind) for kind in discovery.METHODS.kinds())
