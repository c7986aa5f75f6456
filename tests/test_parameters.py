"""Parameters: one declaration checks a value, reads it from text and words its domain."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from xaionnx import parameters
from xaionnx.errors import ParameterError
from xaionnx.parameters import choice, flag, free, integer, name, real, size


@dataclass(frozen=True, kw_only=True)
class Method:
    steps: int = integer(50, "steps of the path", low=1)
    seed: int = integer(0, "seed", low=0, high=2**63 - 1)
    share: float = real(0.5, "share", low=0, high=1, low_open=True)
    tolerance: float | None = real(None, "tolerance", low=0, optional=True)
    anything: float = real(0.0, "anything")
    overlap: str = choice("mean", ("mean", "sum"), "how windows join")
    maps: bool = flag(True, "also maps")
    layer: str | None = name("a tensor")
    window: int | tuple[int, ...] = size(16, "window")
    stride: int | tuple[int, ...] | None = size(None, "stride", optional=True)
    baseline: Any = free(None, "a number or a name", "baseline", reader=lambda text: text.upper())

    def __post_init__(self) -> None:
        parameters.check_all(self)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("steps", [1, 10**18, np.int64(3), np.uint8(3)]),
        ("seed", [0, 2**63 - 1]),
        ("share", [1, 0.001, np.float32(0.5), np.int64(1)]),
        ("tolerance", [None, 0, 1e300]),
        ("anything", [-1e9, 5]),
        ("overlap", ["mean", "sum"]),
        ("maps", [True, False]),
        ("layer", [None, "relu_5"]),
        ("window", [1, (3, 4), (2,), np.int64(3)]),
        ("stride", [None, 2]),
        ("baseline", [None, 3, "blur", np.zeros(3), object()]),
    ],
)
def test_what_is_accepted(field, values):
    for value in values:
        assert getattr(Method(**{field: value}), field) is value


@pytest.mark.parametrize(
    ("field", "domain", "values"),
    [
        ("steps", "an int in [1, inf)", [0, -3, 1.0, "3", True, None, np.float64(2)]),
        ("seed", "an int in [0, 2**63 - 1]", [-1, 2**63, 0.5]),
        ("share", "a float in (0, 1]", [0, 1.001, float("nan"), "a", True, None]),
        ("tolerance", "a float in [0, inf) or None", [-0.1, float("inf"), float("nan"), "x"]),
        ("anything", "a float in (-inf, inf)", [float("inf"), float("nan"), 1j]),
        ("overlap", "one of 'mean', 'sum'", ["max", None, 3, ["mean"]]),
        ("maps", "True or False", [1, 0, None, "true", np.True_]),
        ("layer", "a str or None", [3, b"relu"]),
        ("window", "a positive int, or one positive int per axis", [0, (3, 0), (), 2.0, (1.5,), None, True, [3, 4]]),
        ("stride", "a positive int, or one positive int per axis or None", [0, -1]),
    ],
)
def test_what_is_refused_and_how(field, domain, values):
    for value in values:
        with pytest.raises(ParameterError) as caught:
            Method(**{field: value})
        assert str(caught.value) == f"The '{field}' parameter of Method must be {domain}. Got {value!r} instead."


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("steps", "12", 12),
        ("share", "0.25", 0.25),
        ("share", "1e-3", 0.001),
        ("overlap", "sum", "sum"),
        ("maps", "true", True),
        ("maps", "False", False),
        ("layer", "conv 1", "conv 1"),
        ("window", "7", 7),
        ("window", "7,9", (7, 9)),
        ("window", "7x9", (7, 9)),
        ("baseline", "blur", "BLUR"),
    ],
)
def test_text_of_the_command_line(field, text, value):
    parameter, _ = parameters.declared(Method)[field]
    assert parameter.parse(text) == value
    assert Method(**{field: parameter.parse(text)})


@pytest.mark.parametrize(
    ("field", "text"),
    [("steps", "1.5"), ("steps", ""), ("share", "half"), ("maps", "yes"), ("window", "7,"), ("window", "wide")],
)
def test_text_that_is_no_value(field, text):
    with pytest.raises(ValueError, match=r"invalid literal|could not convert|neither true nor false"):
        parameters.declared(Method)[field][0].parse(text)


def test_every_field_is_declared_with_its_default_and_help():
    declared = parameters.declared(Method)
    assert list(declared) == [field.name for field in dataclasses.fields(Method)]
    assert declared["steps"][1] == 50
    assert declared["steps"][0].help == "steps of the path"
    assert {name for name, (parameter, _) in declared.items() if parameter.optional} == {
        "tolerance",
        "layer",
        "stride",
        "baseline",
    }

    @dataclass
    class Careless:
        steps: int = 3

    with pytest.raises(TypeError, match=r"Careless.steps has no declared parameter"):
        parameters.declared(Careless)
