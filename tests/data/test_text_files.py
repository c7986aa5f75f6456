"""Specs and labels that are odd, damaged, or lead elsewhere."""

import os

import pytest

from xaionnx import InputSpec
from xaionnx.errors import ParameterError

SPEC = '[input]\nkind = "array"\n[output]\n'


def spec(folder, text):
    (folder / "m.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return InputSpec.read(folder / "m.toml")


def test_a_byte_order_mark_is_no_part_of_the_spec(tmp_path):
    assert spec(tmp_path, b"\xef\xbb\xbf" + SPEC.encode()).kind == "array"


@pytest.mark.parametrize("digits", [400, 5000])
def test_numbers_of_many_digits(tmp_path, digits):
    with pytest.raises(ParameterError) as refused:
        spec(tmp_path, f'[input]\nkind = "picture"\nmean = {"9" * digits}\n')
    assert len(str(refused.value)) < 400 + len(str(tmp_path))
    with pytest.raises(ParameterError):
        InputSpec(size=(10**digits, 1))


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_pipe_or_a_folder_is_not_read(tmp_path, make):
    make(tmp_path / "m.toml")
    with pytest.raises(ParameterError, match="is not a regular file"):
        InputSpec.read(tmp_path / "m.toml")
    make(tmp_path / "labels.txt")
    (tmp_path / "n.toml").write_text(f'{SPEC}labels = "labels.txt"\n')
    with pytest.raises(ParameterError, match="is not a regular file"):
        InputSpec.read(tmp_path / "n.toml")


@pytest.mark.parametrize("first", ["[PAD]", "[0] zero", "{", "[a, b]"])
def test_labels_that_start_with_a_bracket(tmp_path, first):
    (tmp_path / "labels.txt").write_text(f"{first}\nthe\n")
    assert spec(tmp_path, f'{SPEC}labels = "labels.txt"\n').labels == (first, "the")


def test_labels_that_a_link_leads_to(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text("a\nb\n")
    (folder / "inside.txt").write_text("c\nd\n")
    for name, target in (("out.txt", "../secret.txt"), ("in.txt", "inside.txt"), ("up", "..")):
        (folder / name).symlink_to(target)
    for name in ("out.txt", "up/secret.txt"):
        with pytest.raises(ParameterError, match="is a link that leads out of the folder of the spec"):
            spec(folder, f'{SPEC}labels = "{name}"\n')
    assert spec(folder, f'{SPEC}labels = "in.txt"\n').labels == ("c", "d")
