"""The figures of a small code base equal those counted by hand."""

import importlib.util
import textwrap
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location("house", Path(__file__).parents[2] / ".ci" / "house.py")
house = importlib.util.module_from_spec(spec)
spec.loader.exec_module(house)

FILES = {
    "xaionnx/__init__.py": '"""The package: nothing else."""\nfrom xaionnx.explainers.one import One\n',
    "xaionnx/base.py": '''
        """What others stand on."""
        from abc import abstractmethod
        from typing import Any

        def hook(method): return method

        class Base:
            """A base that says what a subclass has to do.

            Parameters
            ----------
            x : int
                Something of no interest here.

            Examples
            --------
            >>> Base()
            """
            @abstractmethod
            def must(self): return 1 + 1
            @hook
            def may(self): return 1 + 1
            def nothing(self): "Say nothing."; return None
            def refuse(self): raise NotImplementedError
            def work(self): return 1 + 1
            def __repr__(self): return str(1)
        ''',
    "xaionnx/explainers/__init__.py": "from xaionnx.explainers._inner.middle import Middle\n",
    "xaionnx/explainers/_inner/__init__.py": "",
    "xaionnx/explainers/_inner/middle.py": """
        from xaionnx.base import Base
        class Middle(Base):
            def must(self): return "Reshape".lower()
            def may(self): return 2
            def nothing(self): return 3
            def refuse(self): return 4
            def __repr__(self): return "middle"
        """,
    "xaionnx/explainers/one.py": """
        from typing import Any, TYPE_CHECKING
        from xaionnx import base
        from xaionnx.explainers import Middle
        if TYPE_CHECKING:
            from xaionnx_cli import app
        class Other(Middle): pass
        class One(Other, base.Base):
            def work(self) -> Any: return 5  # noqa: B001
            def must(self) -> Any: return 5  # noqa: B001 - for a reason
        # Whatever it is.
        Free = Any
        Bare = Any
        """,
    "kernels/xaionnx_kernels/__init__.py": "",
    "cli/xaionnx_cli/__init__.py": "",
    "cli/xaionnx_cli/app.py": "def late():\n    from xaionnx.explainers._inner import middle\n",
    "README.md": "one\ntwo\n",
}


@pytest.fixture
def built(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return house.House(tmp_path)


def test_arrows_go_from_room_to_room(built):
    assert built.rooms == [
        "xaionnx",
        "xaionnx.base",
        "xaionnx.explainers",
        "xaionnx.explainers._inner",
        "xaionnx_cli",
        "xaionnx_kernels",
    ]
    assert built.folders == {"xaionnx.explainers", "xaionnx.explainers._inner", "xaionnx_cli", "xaionnx_kernels"}
    # Imports for the type checker do not count; imports inside functions do.
    assert built.arrows == {
        ("xaionnx", "xaionnx.explainers"),
        ("xaionnx.explainers", "xaionnx.base"),
        ("xaionnx.explainers", "xaionnx.explainers._inner"),
        ("xaionnx.explainers._inner", "xaionnx.base"),
        ("xaionnx_cli", "xaionnx.explainers._inner"),
    }
    assert built.back == []


def test_a_circle_has_an_arrow_back(built):
    built.arrows = {("a", "b"), ("b", "c"), ("c", "a"), ("a", "c"), ("d", "a")}
    assert built.back == [("c", "a")]


def test_private_modules_are_imported_within_their_package(built):
    assert built.private == ["xaionnx_cli.app imports xaionnx.explainers._inner.middle"]


def test_classes_are_followed_through_imports(built):
    assert built.depth("xaionnx.explainers.one.One") == 4
    assert [name.rpartition(".")[2] for name in built.ancestors("xaionnx.explainers.one.One")] == [
        "Other",
        "Middle",
        "Base",
    ]


def test_an_override_counts_where_the_base_does_something_and_is_no_hook(built):
    assert built.overridden == ["One.must overrides that of Middle", "One.work overrides that of Base"]


def test_figures(built):
    built.over_the_limits = []  # ruff counts them; tests do not need that
    figures = built.figures()
    assert figures["files that spell Reshape"] == 1
    assert figures["ignores without a reason"] == 1
    assert figures["lines of README.md"] == 2
    assert figures["Any"] == 4
    assert figures["Any without a reason"] == 3  # that of an ignored finding is none for Any


def test_sentences_are_those_of_prose(built):
    assert built.sentences() == [
        "xaionnx: The package: nothing else.",
        "xaionnx.base.Base: A base that says what a subclass has to do.",
    ]


@pytest.fixture(scope="module")
def ours():
    return house.House(house.ROOT)


def test_no_class_is_more_than_three_of_ours_deep(ours):
    assert [name for name in ours.classes if ours.depth(name) > 3] == []


def test_no_method_with_a_body_is_overridden_unless_it_is_a_hook(ours):
    assert ours.overridden == []


def test_every_any_has_a_reason(ours):
    assert ours.any_without_reason == []


def test_every_ignored_finding_has_a_reason(ours):
    assert ours.without_reason == []
