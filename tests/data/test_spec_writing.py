"""A spec that is written is read as it was."""

from pathlib import Path

import pytest

from xaionnx import InputSpec
from xaionnx.data.spec_writing import write_spec

SPECS = [
    InputSpec(),
    InputSpec(kind="picture", size=(8, 8), color="L", mean=0.5, scale=255, layout="NHWC", resize="stretch", name="x"),
    InputSpec(
        color="BGR", mean=(1.0, 2.0, 3.0), labels=('a "quoted" one', "back\\slash", "münze"), activation="logits"
    ),
    InputSpec(kind="table", columns=("age", "job"), ignore=("class",), categories={"job": ("a", "b c")}, output="y"),
    InputSpec(kind="array", activation="sigmoid"),
    *(InputSpec.read(path) for path in sorted(Path("models").glob("*.toml"))),
]


@pytest.mark.parametrize("spec", SPECS)
def test_what_is_written_is_read(tmp_path, spec):
    assert InputSpec.read(write_spec(tmp_path / "m.toml", spec)) == spec
