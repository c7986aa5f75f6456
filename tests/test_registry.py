"""Registries: the name of a file finds its class, and forms describe the syntax of kinds."""

import sys
from abc import ABC, abstractmethod

import pytest

from xaionnx.errors import UnknownNameError
from xaionnx.registry import Registry


class Animal(ABC):
    @abstractmethod
    def sound(self):
        """What it says."""


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    package = tmp_path / "zoo"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "_fur.py").write_text("raise AssertionError('private')")
    (package / "cat.py").write_text(
        "from tests.test_registry import Animal\nclass Cat(Animal):\n    def sound(self): return 'meow'\n"
    )
    (package / "two.py").write_text("from zoo.cat import Cat\nclass A(Cat): ...\nclass B(Cat): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, "tests.test_registry", sys.modules[__name__])
    yield Registry("animal", "zoo", Animal)
    for name in [name for name in sys.modules if name.partition(".")[0] == "zoo"]:
        del sys.modules[name]


def test_a_file_is_found_by_its_name(zoo):
    assert zoo.names() == ["cat", "two"]
    assert zoo.find("cat")().sound() == "meow"


def test_an_unknown_name_and_a_file_of_two_are_refused(zoo):
    with pytest.raises(UnknownNameError, match=r"No animal named 'car'\. Nearest: cat\."):
        zoo.find("car")
    with pytest.raises(TypeError, match=r"zoo\.two must define one Animal. Got 2"):
        zoo.find("two")
